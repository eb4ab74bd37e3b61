//! Writing frames (RFC 6455 5.2). All functions append to `out` and never fail.

use super::close::CloseCode;

/// Largest payload of a control frame (RFC 6455 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Bit of the first byte: this frame ends its message.
pub(super) const FIN: u8 = 0x80;
/// Bit of the second byte: the payload is masked.
pub(super) const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of a message.
    Continuation = 0,
    /// A text message or its first fragment.
    Text = 1,
    /// A binary message or its first fragment.
    Binary = 2,
    /// The last frame of a peer.
    Close = 8,
    /// Asks for a pong with the same payload.
    Ping = 9,
    /// Answers a ping, or keeps alive.
    Pong = 10,
}

impl OpCode {
    /// From the low four bits of a frame's first byte; `None`: reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// The low four bits of a frame's first byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Close, ping or pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.bits() >= 8
    }
}

/// Bytes of an unmasked header before a payload of this length: 2, 4 or 10.
#[must_use]
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The header of a whole frame, and how many bytes of the array it has.
fn header(opcode: OpCode, payload_len: usize, masked: u8) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    bytes[0] = FIN | opcode.bits();
    let [.., b1, b0] = payload_len.to_be_bytes();
    let len = header_len(payload_len);
    match len {
        2 => bytes[1] = b0,
        4 => bytes[1..4].copy_from_slice(&[126, b1, b0]),
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
    bytes[1] |= masked;
    (bytes, len)
}

/// Appends the header of a whole (FIN) unmasked frame, as a server sends it. The caller appends `payload_len`
/// bytes of payload.
pub fn put_header(out: &mut Vec<u8>, opcode: OpCode, payload_len: usize) {
    let (bytes, len) = header(opcode, payload_len, 0);
    out.extend_from_slice(&bytes[..len]);
}

/// Appends a whole unmasked frame, as a server sends it.
pub fn put_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    out.reserve(header_len(payload.len()) + payload.len());
    put_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a whole masked frame, as a client sends it.
pub fn put_masked(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: [u8; 4]) {
    let (bytes, len) = header(opcode, payload.len(), MASKED);
    out.reserve(len + mask.len() + payload.len());
    out.extend_from_slice(&bytes[..len]);
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// Appends a close frame of a server. The reason is cut, between characters, to the 123 bytes that fit.
pub fn put_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let (payload, len) = close_payload(code, reason);
    put_frame(out, OpCode::Close, &payload[..len]);
}

/// Appends a close frame of a client, else as [`put_close`].
pub fn put_close_masked(out: &mut Vec<u8>, code: CloseCode, reason: &str, mask: [u8; 4]) {
    let (payload, len) = close_payload(code, reason);
    put_masked(out, OpCode::Close, &payload[..len], mask);
}

fn close_payload(code: CloseCode, reason: &str) -> ([u8; CONTROL_BYTES_MAX], usize) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    let len = 2 + reason.len();
    payload[..2].copy_from_slice(&code.get().to_be_bytes());
    payload[2..len].copy_from_slice(reason);
    (payload, len)
}

/// Appends a whole unmasked frame whose payload is written by `build`.
///
/// The header is laid down for a payload of `payload_len_guess` bytes and written at the end; a guess that is
/// off by enough to change the header's length costs one move of the payload.
pub(crate) fn put_built<T>(
    out: &mut Vec<u8>,
    opcode: OpCode,
    payload_len_guess: usize,
    build: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    let start = out.len();
    let guessed = header_len(payload_len_guess);
    out.reserve(guessed + payload_len_guess);
    out.extend_from_slice(&[0; 10][..guessed]);
    let built = build(out);
    let payload_len = out.len() - start - guessed;
    let (bytes, len) = header(opcode, payload_len, 0);
    if len != guessed {
        if len > guessed {
            out.resize(out.len() + len - guessed, 0);
        }
        out.copy_within(start + guessed..start + guessed + payload_len, start + len);
        out.truncate(start + len + payload_len);
    }
    out[start..start + len].copy_from_slice(&bytes[..len]);
    built
}

/// Masks or unmasks in place (RFC 6455 5.3). Eight bytes at a time, which the compiler turns into vector
/// instructions.
#[inline]
pub(super) fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = b"before".to_vec();
        put(&mut out);
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }

    /// The examples of RFC 6455 5.7 that are whole frames.
    #[test]
    fn rfc_vectors() {
        let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(written(|out| put_frame(out, OpCode::Text, b"Hello")), hello);
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(written(|out| put_masked(out, OpCode::Text, b"Hello", mask)), masked);
        let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(written(|out| put_frame(out, OpCode::Ping, b"Hello")), ping);
        let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(written(|out| put_masked(out, OpCode::Pong, b"Hello", mask)), pong);
        assert_eq!(written(|out| put_header(out, OpCode::Binary, 256)), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(
            written(|out| put_header(out, OpCode::Binary, 65536)),
            [0x82, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00]
        );
    }

    #[test]
    fn header_lengths_at_their_bounds() {
        for (payload_len, len) in [(0, 2), (125, 2), (126, 4), (0xffff, 4), (0x10000, 10), (usize::MAX, 10)] {
            assert_eq!(header_len(payload_len), len);
            assert_eq!(written(|out| put_header(out, OpCode::Text, payload_len)).len(), len);
        }
    }

    #[test]
    fn close_reason_is_cut_between_characters() {
        let reason = "é".repeat(100);
        let frame = written(|out| put_close(out, CloseCode::GOING_AWAY, &reason));
        assert_eq!(frame[..4], [0x88, 2 + 122, 0x03, 0xe9]);
        assert_eq!(std::str::from_utf8(&frame[4..]).unwrap(), "é".repeat(61));
        assert_eq!(written(|out| put_close(out, CloseCode::NORMAL, "")), [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn built_frames_equal_plain_ones_whatever_the_guess() {
        for payload_len in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
            let payload: Vec<u8> = (0..payload_len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let plain = written(|out| put_frame(out, OpCode::Binary, &payload));
            for guess in [0, 125, 126, 65535, 65536] {
                let built = written(|out| {
                    put_built(out, OpCode::Binary, guess, |out| out.extend_from_slice(&payload));
                });
                assert!(built == plain, "{payload_len} bytes, guess {guess}");
            }
        }
    }

    #[test]
    fn mask_of_every_length_is_the_rfc_rule() {
        let mask = [1, 2, 4, 8];
        for len in 0..40 {
            let mut bytes = vec![0x55; len];
            apply_mask(&mut bytes, mask);
            let expected: Vec<u8> = (0..len).map(|i| 0x55 ^ mask[i % 4]).collect();
            assert_eq!(bytes, expected);
        }
    }
}
