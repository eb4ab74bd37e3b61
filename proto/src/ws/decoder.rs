//! Reading frames in any chunking.

use super::close::CloseCode;

/// Size limits of what a peer may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest payload of one frame, in bytes.
    pub frame_bytes_max: usize,
    /// Largest message, all its fragments together, in bytes.
    pub message_bytes_max: usize,
}

/// One message or control frame of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message; of a `Decoder::client_unchecked` text messages too.
    Binary(&'a [u8]),
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// Close with code and reason, if the peer gave any. The last event.
    Close(Option<(u16, &'a str)>),
}

/// A rule that the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A text message or close reason that is not UTF-8.
    NotUtf8,
}

impl Violation {
    /// The code to close with.
    pub fn close_code(&self) -> CloseCode {
        todo!()
    }
    /// The reason to close with: fits a close frame.
    pub fn reason(&self) -> &'static str {
        todo!()
    }
}

/// Turns received bytes into events.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// A decoder for a client's side of a connection: frames must not be masked.
    pub fn client() -> Self {
        todo!()
    }
    /// As `client`, but text is not checked and comes as `Event::Binary`.
    pub fn client_unchecked() -> Self {
        todo!()
    }
    /// Takes bytes from the front of `input` until one event is whole; `None`: all consumed.
    pub fn next<'e, 'i: 'e>(
        &'e mut self,
        input: &mut &'i mut [u8],
        limits: &Limits,
    ) -> Result<Option<Event<'e>>, Violation> {
        let _ = (input, limits);
        todo!()
    }
    /// No frame or message is incomplete.
    pub fn is_idle(&self) -> bool {
        todo!()
    }
    /// Bytes of memory held outside `self`.
    pub fn held_bytes(&self) -> usize {
        todo!()
    }
}
