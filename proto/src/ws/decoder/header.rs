//! Reading a frame's header, with every rule that its bytes can break.

use super::super::frame::{CONTROL_BYTES_MAX, FIN, MASKED, OpCode};
use super::{Limits, Violation};

/// Longest header: two bytes, a 64-bit length, a mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// Bits of the first byte that only extensions use.
const RESERVED: u8 = 0x70;

/// What a header is judged against.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Frames carry a mask (the peer is a client) or must not.
    pub(super) masked: bool,
    /// Bytes of the open message so far; `None`: no message is open.
    pub(super) open: Option<usize>,
    pub(super) limits: &'a Limits,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    /// Zero in frames without a mask.
    pub(super) mask: [u8; 4],
    pub(super) payload_len: usize,
    /// Bytes of the header itself.
    pub(super) len: usize,
}

/// Reads the header at the front of `bytes`; `None`: more bytes are needed.
///
/// Rules are checked in the order of the bytes, each as soon as its bytes are there, so that the verdict does
/// not depend on how the stream was cut, and a frame over the limits is refused before anything of it is
/// kept.
#[inline]
pub(super) fn parse(bytes: &[u8], context: Context<'_>) -> Result<Option<Header>, Violation> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (opcode, fin) = first_byte(first, context.open.is_some())?;
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if (second & MASKED != 0) != context.masked {
        return Err(if context.masked { Violation::Unmasked } else { Violation::Masked });
    }
    let short = usize::from(second & !MASKED);
    if opcode.is_control() && short > CONTROL_BYTES_MAX {
        return Err(Violation::ControlTooLong);
    }
    let Some((payload_len, len)) = length(bytes, short)? else { return Ok(None) };
    if !opcode.is_control() {
        if payload_len > context.limits.frame_bytes_max {
            return Err(Violation::FrameTooBig);
        }
        // No overflow: the frame's own limit was checked, and what is open has passed the message's.
        if payload_len.saturating_add(context.open.unwrap_or(0)) > context.limits.message_bytes_max {
            return Err(Violation::MessageTooBig);
        }
    }
    if !context.masked {
        return Ok(Some(Header { opcode, fin, mask: [0; 4], payload_len, len }));
    }
    let Some(mask) = bytes[len..].first_chunk::<4>() else { return Ok(None) };
    Ok(Some(Header { opcode, fin, mask: *mask, payload_len, len: len + 4 }))
}

#[inline]
fn first_byte(first: u8, message_open: bool) -> Result<(OpCode, bool), Violation> {
    if first & RESERVED != 0 {
        return Err(Violation::ReservedBits);
    }
    let opcode = OpCode::from_bits(first & 0x0f).ok_or(Violation::ReservedOpcode)?;
    let fin = first & FIN != 0;
    match opcode {
        OpCode::Close | OpCode::Ping | OpCode::Pong if fin => Ok((opcode, fin)),
        OpCode::Close | OpCode::Ping | OpCode::Pong => Err(Violation::ControlFragmented),
        OpCode::Continuation if message_open => Ok((opcode, fin)),
        OpCode::Continuation => Err(Violation::ContinuationUnexpected),
        OpCode::Text | OpCode::Binary if message_open => Err(Violation::ContinuationExpected),
        OpCode::Text | OpCode::Binary => Ok((opcode, fin)),
    }
}

/// The payload's length, and the bytes of the header so far.
#[inline]
fn length(bytes: &[u8], short: usize) -> Result<Option<(usize, usize)>, Violation> {
    match short {
        126 => {
            let Some(wide) = bytes[2..].first_chunk::<2>() else { return Ok(None) };
            let payload_len = usize::from(u16::from_be_bytes(*wide));
            if payload_len < 126 {
                return Err(Violation::LengthForm);
            }
            Ok(Some((payload_len, 4)))
        }
        127 => {
            let Some(wide) = bytes[2..].first_chunk::<8>() else { return Ok(None) };
            let payload_len = u64::from_be_bytes(*wide);
            if payload_len >> 63 != 0 {
                return Err(Violation::LengthTopBit);
            }
            if payload_len <= 0xffff {
                return Err(Violation::LengthForm);
            }
            Ok(Some((usize::try_from(payload_len).map_err(|_| Violation::FrameTooBig)?, 10)))
        }
        _ => Ok(Some((short, 2))),
    }
}
