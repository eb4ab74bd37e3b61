//! What tests and fuzzing share: events that own their bytes, pieces fed one by one, tungstenite's opinion.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::{Decoder, Event, Limits, Violation};

/// An event with its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Fragment,
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Event::Fragment => Self::Fragment,
            Event::Close(close) => Self::Close(close.map(|(code, reason)| (code, reason.to_owned()))),
        }
    }
}

/// Events without those of fragments, of which tungstenite does not tell.
pub(crate) fn messages(mut events: Vec<Owned>) -> Vec<Owned> {
    events.retain(|event| *event != Owned::Fragment);
    events
}

/// Feeds pieces, and after each checks that the decoder keeps its promises about memory.
pub(crate) fn feed<'p>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<Owned>, Option<Violation>) {
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.next(&mut input, limits) {
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => break,
                Err(violation) => {
                    assert!(input.is_empty() && decoder.held_bytes() == 0, "a violation ends the stream");
                    return (events, Some(violation));
                }
            }
        }
        assert!(input.is_empty(), "`None` means that all is consumed");
        assert!(decoder.held_bytes() <= limits.message_bytes_max + 512, "{}", decoder.held_bytes());
        assert!(!decoder.is_idle() || decoder.held_bytes() == 0, "idle, and holds memory");
    }
    (events, None)
}

/// Cuts bytes into pieces of these sizes, over and over. None may be zero.
pub(crate) fn pieces<'b>(bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Gives the bytes and then would block; swallows what is written.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite reads on this side of a connection, and whether it ended in a refusal.
pub(crate) fn theirs(bytes: &[u8], role: Role, limits: &Limits) -> (Vec<Owned>, bool) {
    let config = WebSocketConfig::default()
        .max_frame_size(Some(limits.frame_bytes_max))
        .max_message_size(Some(limits.message_bytes_max));
    let mut socket = WebSocket::from_raw_socket(Stream(bytes), role, Some(config));
    let mut events = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => events.push(Owned::Text(text.to_string())),
            Ok(Message::Binary(bytes)) => events.push(Owned::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => events.push(Owned::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => events.push(Owned::Pong(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                events.push(Owned::Close(frame.map(|frame| (frame.code.into(), frame.reason.to_string()))));
                return (events, false);
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return (events, false),
            Err(_) => return (events, true),
        }
    }
}
