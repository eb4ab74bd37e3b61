//! What is kept while a frame or a fragmented message is incomplete.

use super::super::frame::{OpCode, apply_mask};
use super::header::{HEADER_BYTES_MAX, Header};
use super::{Limits, Violation, split_front};

/// The incomplete part of a stream: at most one message, and inside it at most one control frame.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Bytes of a header that is not whole yet.
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// The frame whose payload is arriving. None while between frames or inside a header.
    current: Option<Current>,
    /// Text or binary: a message is open.
    kind: Option<OpCode>,
    /// Payload of the open message, unmasked. Never over the message limit, in length or in capacity.
    message: Vec<u8>,
    /// So many bytes of `message` are whole characters. Only used for checked text.
    checked: usize,
    /// Payload of a control frame that arrives in pieces.
    control: Vec<u8>,
    /// What has been given out and is to be forgotten at the next call.
    ready: Option<OpCode>,
}

#[derive(Debug)]
struct Current {
    opcode: OpCode,
    fin: bool,
    /// Turned so that it begins with the byte for the next byte of payload.
    mask: [u8; 4],
    /// Bytes of payload still to come.
    left: usize,
}

/// What a part of the input has made whole.
#[derive(Debug, Clone, Copy)]
pub(super) enum Taken {
    /// Nothing: its frame goes on.
    Part,
    /// A frame that is not the last of its message.
    Fragment,
    /// Text, binary or a control frame, to be read with `payload`.
    Whole(OpCode),
}

impl Held {
    /// Bytes of the open message so far; `None`: no message is open.
    pub(super) fn open(&self) -> Option<usize> {
        self.kind.map(|_| self.message.len())
    }

    /// A header has begun and is not whole.
    pub(super) fn inside_header(&self) -> bool {
        self.header_len > 0
    }

    /// A frame's payload is arriving.
    pub(super) fn inside_frame(&self) -> bool {
        self.current.is_some()
    }

    /// Keeps bytes of a header, as many as a header can have, and gives all that it has of it.
    pub(super) fn push_header(&mut self, bytes: &[u8]) -> &[u8] {
        let end = self.header_len + bytes.len();
        self.header[self.header_len..end].copy_from_slice(bytes);
        self.header_len = end;
        &self.header[..end]
    }

    pub(super) fn begin(&mut self, header: &Header) {
        self.header_len = 0;
        if let OpCode::Text | OpCode::Binary = header.opcode {
            self.kind = Some(header.opcode);
        }
        self.current = Some(Current {
            opcode: header.opcode,
            fin: header.fin,
            mask: header.mask,
            left: header.payload_len,
        });
    }

    /// Takes payload of the current frame from the front of `input`. Gives what has become whole.
    pub(super) fn take(
        &mut self,
        input: &mut &mut [u8],
        limits: &Limits,
        utf8: bool,
    ) -> Result<Taken, Violation> {
        let Some(current) = &mut self.current else { return Ok(Taken::Part) };
        let taken = current.left.min(input.len());
        let bytes = split_front(input, taken);
        apply_mask(bytes, current.mask);
        current.mask.rotate_left(taken % 4);
        let whole = if current.fin { current.left } else { usize::MAX };
        current.left -= taken;
        let (opcode, frame_ends, fin) = (current.opcode, current.left == 0, current.fin);
        if opcode.is_control() {
            append(&mut self.control, bytes, whole);
        } else {
            let most = whole.saturating_add(self.message.len()).min(limits.message_bytes_max);
            append(&mut self.message, bytes, most);
            if utf8 && self.kind == Some(OpCode::Text) {
                self.check_utf8(frame_ends && fin)?;
            }
        }
        if !frame_ends {
            return Ok(Taken::Part);
        }
        self.current = None;
        self.ready = match opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => Some(opcode),
            OpCode::Continuation | OpCode::Text | OpCode::Binary if fin => self.kind,
            OpCode::Continuation | OpCode::Text | OpCode::Binary => None,
        };
        Ok(self.ready.map_or(Taken::Fragment, Taken::Whole))
    }

    /// Looks at what came since the last look, so that text is refused at the first wrong byte, wherever it
    /// is cut.
    fn check_utf8(&mut self, message_ends: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.message[self.checked..]) {
            Ok(_) => self.checked = self.message.len(),
            Err(error) if error.error_len().is_none() && !message_ends => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        }
        Ok(())
    }

    /// The payload of what `take` called whole.
    pub(super) fn payload(&self, ready: OpCode) -> &[u8] {
        if ready.is_control() { &self.control } else { &self.message }
    }

    /// Forgets what was given out. True: nothing is left to hold.
    pub(super) fn forget_ready(&mut self) -> bool {
        if self.ready.is_some_and(OpCode::is_control) {
            self.control = Vec::new();
        }
        let empty = self.is_empty();
        // Not empty: only a control frame was given out, from inside a message. A message is given out last.
        self.ready = None;
        empty
    }

    /// Nothing is incomplete (what has been given out does not count).
    pub(super) fn is_empty(&self) -> bool {
        let message_given = self.ready.is_some_and(|opcode| !opcode.is_control());
        self.header_len == 0 && self.current.is_none() && (self.kind.is_none() || message_given)
    }

    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.message.capacity() + self.control.capacity()
    }
}

/// Appends, growing by doubling but never beyond `most`: what a peer announces and does not send takes no
/// memory.
fn append(to: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let needed = to.len() + bytes.len();
    if needed > to.capacity() {
        let wanted = needed.max(to.capacity() * 2).min(most.max(needed));
        to.reserve_exact(wanted - to.len());
    }
    to.extend_from_slice(bytes);
}
