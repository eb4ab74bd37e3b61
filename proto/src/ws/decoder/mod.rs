//! Reading frames in any chunking.
//!
//! A [`Decoder`] is sixteen bytes and holds nothing while its connection is idle. A message that lies whole
//! in the received bytes is unmasked in place and lent out of them; only what is cut by the end of the bytes,
//! or fragmented, is collected in a side buffer, which is freed when its message has been given out.

#[cfg(any(test, fuzzing))]
pub(crate) mod harness;
mod header;
mod held;
mod violation;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use violation::Violation;

use self::header::{Context, Header};
use self::held::{Held, Taken};
use super::close::CloseCode;
use super::frame::{OpCode, apply_mask};

/// Size limits of what a peer may send. Beyond them the peer is refused with 1009, before any byte is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of one data frame, in bytes.
    pub frame_bytes_max: usize,
    /// Largest message, all its fragments together, in bytes.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    /// 256 KiB each, as docs/PROTOCOL.md says.
    fn default() -> Self {
        Self { frame_bytes_max: 256 << 10, message_bytes_max: 256 << 10 }
    }
}

/// One message or control frame of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message; of a [`Decoder::client_unchecked`] text messages too.
    Binary(&'a [u8]),
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A frame that is not the last of its message, to the server's side only: every frame of a client is told,
    /// so that whoever counts them may stop behind any.
    Fragment,
    /// Close with code and reason, if the peer gave any. The last event.
    Close(Option<(u16, &'a str)>),
}

/// Turns received bytes into events, for the server's side of a connection unless made otherwise.
///
/// ```
/// use proto::ws::decoder::{Decoder, Event, Limits};
/// use proto::ws::frame::{OpCode, put_masked};
///
/// let mut stream = Vec::new();
/// put_masked(&mut stream, OpCode::Text, b"one", [1, 2, 3, 4]);
/// put_masked(&mut stream, OpCode::Ping, b"two", [5, 6, 7, 8]);
/// let (mut first, mut second) = (stream[..5].to_vec(), stream[5..].to_vec()); // cut anywhere
///
/// let mut decoder = Decoder::default();
/// let mut input = &mut first[..];
/// assert_eq!(decoder.next(&mut input, &Limits::default()), Ok(None));
/// let mut input = &mut second[..];
/// assert_eq!(decoder.next(&mut input, &Limits::default()), Ok(Some(Event::Text("one"))));
/// assert_eq!(decoder.next(&mut input, &Limits::default()), Ok(Some(Event::Ping(b"two"))));
/// assert_eq!(decoder.next(&mut input, &Limits::default()), Ok(None));
/// assert!(decoder.is_idle());
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// Exists only while something is incomplete, or has just been given out of it.
    held: Option<Box<Held>>,
    role: Role,
    /// A close or a violation has ended the stream.
    ended: bool,
}

const _: () = assert!(size_of::<Decoder>() == 16);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Server,
    Client,
    ClientUnchecked,
}

/// Where the next event lies.
enum Found<'i> {
    /// In the input.
    Input(Event<'i>),
    /// In `held`.
    Held(OpCode),
    /// A fragment has ended.
    Fragment,
    /// Nowhere: the input is used up.
    Nothing,
}

impl Decoder {
    /// For the client's side of a connection: frames must not be masked.
    #[must_use]
    pub fn client() -> Self {
        Self { role: Role::Client, ..Self::default() }
    }

    /// As [`client`](Self::client), but text is not checked for UTF-8 and comes as [`Event::Binary`]: for a
    /// load generator, which looks at a few fields of millions of messages.
    #[must_use]
    pub fn client_unchecked() -> Self {
        Self { role: Role::ClientUnchecked, ..Self::default() }
    }

    /// Takes bytes from the front of `input`, advancing it and unmasking in place, until one event is whole.
    ///
    /// `None`: all of `input` is consumed. After [`Event::Close`] or a violation the stream has ended:
    /// whatever else comes is consumed without an event. The verdict does not depend on how the stream was
    /// cut.
    ///
    /// # Errors
    /// The rule that the peer broke, at the first byte that breaks it (text within one `input`: once its
    /// frame is whole or the input ends). Answer with a close frame of its code and reason.
    #[inline]
    pub fn next<'e, 'i: 'e>(
        &'e mut self,
        input: &mut &'i mut [u8],
        limits: &Limits,
    ) -> Result<Option<Event<'e>>, Violation> {
        let found = match self.find(input, limits) {
            Ok(found) => found,
            Err(violation) => {
                self.end(input);
                return Err(violation);
            }
        };
        match found {
            Found::Nothing => Ok(None),
            Found::Input(event) => Ok(Some(event)),
            Found::Fragment => Ok(Some(Event::Fragment)),
            Found::Held(opcode) => {
                let payload = self.held.as_ref().map_or(&[][..], |held| held.payload(opcode));
                event(opcode, payload, self.role).map(Some)
            }
        }
    }

    /// No frame or message is incomplete.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.is_empty())
    }

    /// Bytes of memory held outside of `self`: none while idle, and never more than the message limit and a
    /// few hundred. What was given out last counts until the next call.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.held_bytes())
    }

    #[inline]
    fn find<'i>(&mut self, input: &mut &'i mut [u8], limits: &Limits) -> Result<Found<'i>, Violation> {
        if self.held.as_mut().is_some_and(|held| held.forget_ready()) {
            self.held = None;
        }
        if self.held.is_none() && !self.ended {
            let context = Context { masked: self.role == Role::Server, open: None, limits };
            if let Some(header) = header::parse(input, context)?
                && header.fin
                && header.payload_len <= input.len() - header.len
            {
                return self.lend(input, &header);
            }
        }
        self.find_slowly(input, limits)
    }

    /// As `find`, for what does not lie whole in the input, and for what comes while a message is open.
    fn find_slowly<'i>(&mut self, input: &mut &'i mut [u8], limits: &Limits) -> Result<Found<'i>, Violation> {
        if self.ended {
            self.end(input);
        }
        while !input.is_empty() {
            let held = self.held.get_or_insert_default();
            let context = Context { masked: self.role == Role::Server, open: held.open(), limits };
            if held.inside_header() {
                let byte = split_front(input, 1);
                let Some(header) = header::parse(held.push_header(byte), context)? else { continue };
                held.begin(&header);
            } else if !held.inside_frame() {
                let Some(header) = header::parse(input, context)? else {
                    held.push_header(split_front(input, input.len()));
                    continue;
                };
                // A control frame between fragments needs no buffer if it is whole.
                if header.opcode.is_control() && header.payload_len <= input.len() - header.len {
                    return self.lend(input, &header);
                }
                split_front(input, header.len);
                held.begin(&header);
            }
            match held.take(input, limits, self.role != Role::ClientUnchecked)? {
                Taken::Whole(opcode) => {
                    if opcode == OpCode::Close {
                        close(held.payload(opcode))?;
                        self.ended = true;
                    }
                    return Ok(Found::Held(opcode));
                }
                Taken::Fragment if self.role == Role::Server => return Ok(Found::Fragment),
                Taken::Fragment | Taken::Part => {}
            }
        }
        Ok(Found::Nothing)
    }

    /// Gives out a frame that lies whole at the front of the input and is a message by itself.
    #[inline]
    fn lend<'i>(&mut self, input: &mut &'i mut [u8], header: &Header) -> Result<Found<'i>, Violation> {
        let frame = split_front(input, header.len + header.payload_len);
        let payload = &mut frame[header.len..];
        if self.role == Role::Server {
            apply_mask(payload, header.mask);
        }
        self.ended = header.opcode == OpCode::Close;
        Ok(Found::Input(event(header.opcode, payload, self.role)?))
    }

    #[cold]
    fn end(&mut self, input: &mut &mut [u8]) {
        self.ended = true;
        self.held = None;
        *input = &mut [];
    }
}

/// Takes `len` bytes off the front of `input`, which has them.
#[inline]
fn split_front<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

#[inline]
fn event(opcode: OpCode, payload: &[u8], role: Role) -> Result<Event<'_>, Violation> {
    Ok(match opcode {
        OpCode::Text if role != Role::ClientUnchecked => {
            Event::Text(std::str::from_utf8(payload).map_err(|_| Violation::NotUtf8)?)
        }
        // A continuation never gets here: it is given out as what it continues.
        OpCode::Text | OpCode::Binary | OpCode::Continuation => Event::Binary(payload),
        OpCode::Ping => Event::Ping(payload),
        OpCode::Pong => Event::Pong(payload),
        OpCode::Close => Event::Close(close(payload)?),
    })
}

/// The body of a close frame (RFC 6455 5.5.1): nothing, or a code and a reason.
fn close(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::CloseLength) };
    };
    let code = CloseCode::received(u16::from_be_bytes(*code)).ok_or(Violation::CloseCode)?;
    Ok(Some((code.get(), std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?)))
}
