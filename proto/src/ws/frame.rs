//! Writing frames.

use super::close::CloseCode;

/// What a frame is (RFC 6455 5.2).
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

/// Bytes of an unmasked header before a payload of this length: 2, 4 or 10.
pub fn header_len(payload_len: usize) -> usize {
    let _ = payload_len;
    todo!()
}
/// Appends the header of a whole (FIN) unmasked frame, as a server sends it.
pub fn put_header(out: &mut Vec<u8>, opcode: OpCode, payload_len: usize) {
    let _ = (out, opcode, payload_len);
    todo!()
}
/// Appends a whole unmasked frame.
pub fn put_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let _ = (out, opcode, payload);
    todo!()
}
/// Appends a whole masked frame, as a client sends it.
pub fn put_masked(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: [u8; 4]) {
    let _ = (out, opcode, payload, mask);
    todo!()
}
/// Appends a close frame of a server; the reason is cut to what a control frame holds (123 bytes).
pub fn put_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let _ = (out, code, reason);
    todo!()
}
