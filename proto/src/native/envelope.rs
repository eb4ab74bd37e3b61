//! Everything that a server sends, as a client reads it: for the load generator and tests. Relies on names
//! only, not on order.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::{self, Scanned};

/// One object of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// `message`.
    Message(Scanned<'a>),
    /// `welcome`.
    Welcome(Welcome),
    /// `subscription_ack`.
    SubscriptionAck(SubscriptionAck),
    /// `unsubscription_ack`.
    UnsubscriptionAck(UnsubscriptionAck),
    /// `pong`.
    Pong(Pong),
    /// `position`: the topic-wide positions up to which all has been sent.
    Position(Vec<String>),
    /// `gap`.
    Gap(Gap),
    /// `status`.
    Status(Status),
    /// `error`.
    Error(Error),
    /// Of a type that this version does not know: to be ignored.
    Other(String),
}

/// See [`reply::Welcome`](super::reply::Welcome).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Welcome {
    /// Identifies the connection in the server's logs.
    pub connection: String,
    /// Version of the native protocol.
    pub protocol: u64,
    /// How often the server makes sure that the client is there.
    pub ping_interval_ms: u64,
    /// Limits by name.
    pub limits: BTreeMap<String, u64>,
}

/// See [`reply::subscription_ack`](super::reply::subscription_ack).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SubscriptionAck {
    /// Of the request.
    pub id: Option<i64>,
    /// Names that now hold.
    pub subscribed: Vec<String>,
    /// Channels that the connection holds in all.
    pub count: usize,
    /// Where the subscriptions begin, one topic-wide position a topic.
    pub pos: Vec<String>,
    /// How each channel fared.
    pub results: BTreeMap<String, Outcome>,
}

/// See [`reply::Outcome`](super::reply::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// What was missed follows, or nothing was missed.
    pub recovered: bool,
    /// Missed messages follow before live ones.
    pub replaying: bool,
    /// The code with which the channel is refused or not recovered.
    pub error: Option<String>,
    /// Where it begins, if that differs from the ack's.
    #[serde(default)]
    pub pos: Vec<String>,
    /// It is known to be behind.
    #[serde(default)]
    pub stale: bool,
}

/// See [`reply::unsubscription_ack`](super::reply::unsubscription_ack).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UnsubscriptionAck {
    /// Of the request.
    pub id: Option<i64>,
    /// Names that were held.
    pub unsubscribed: Vec<String>,
    /// Channels that the connection still holds.
    pub count: usize,
}

/// See [`reply::pong`](super::reply::pong).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pong {
    /// Of the request.
    pub id: Option<i64>,
    /// The server's Unix time.
    #[serde(rename = "ts")]
    pub ts_ms: u64,
}

/// See [`reply::gap`](super::reply::gap).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// Name of the channel.
    pub channel: String,
    /// First position that was skipped.
    pub from: String,
    /// Last position that was skipped.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// See [`reply::status`](super::reply::status).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// `stale` or `live`.
    pub state: String,
    /// Which channels.
    pub channels: Channels,
    /// How far behind.
    pub lag_ms: Option<u64>,
}

/// The channels that a status speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Channels {
    /// These.
    Named(Vec<String>),
    /// All that the client holds; the text is `*`.
    All(String),
}

/// See [`reply::error`](super::reply::error).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Error {
    /// Of the request.
    pub id: Option<i64>,
    /// The code, as [`ErrorCode::as_str`](super::request::ErrorCode::as_str) has it.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A text that is no object of the native protocol.
#[derive(Debug, thiserror::Error)]
#[error("not an object of the native protocol: {0}")]
pub struct EnvelopeError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Message<'a> {
    channel: String,
    #[serde(borrow)]
    pos: &'a str,
    #[serde(rename = "ts")]
    ts_ms: i64,
    encoding: Option<String>,
    /// `null` is a value too, so this is no `Option`, which would take it for none.
    #[serde(borrow, default)]
    data: Data<'a>,
}

#[derive(Default)]
struct Data<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(from).map(|raw| Self(Some(raw)))
    }
}

#[derive(Deserialize)]
struct Position {
    pos: Vec<String>,
}

impl<'a> Envelope<'a> {
    /// Reads one object. Messages take the quick way of [`scan::message`] where it serves.
    ///
    /// # Errors
    /// Not JSON, or a field of a known type is missing or wrong.
    pub fn parse(text: &'a [u8]) -> Result<Self, EnvelopeError> {
        if let Some(message) = scan::message(text) {
            return Ok(Self::Message(message));
        }
        let Kind { kind } = serde_json::from_slice(text)?;
        Ok(match kind.as_str() {
            "message" => {
                let message: Message<'a> = serde_json::from_slice(text)?;
                Self::Message(Scanned {
                    channel: message.channel.into(),
                    pos: message.pos,
                    ts_ms: message.ts_ms,
                    base64: message.encoding.as_deref() == Some("base64"),
                    data: message.data.0.map(|raw| raw.get().as_bytes()),
                })
            }
            "welcome" => Self::Welcome(serde_json::from_slice(text)?),
            "subscription_ack" => Self::SubscriptionAck(serde_json::from_slice(text)?),
            "unsubscription_ack" => Self::UnsubscriptionAck(serde_json::from_slice(text)?),
            "pong" => Self::Pong(serde_json::from_slice(text)?),
            "position" => Self::Position(serde_json::from_slice::<Position>(text)?.pos),
            "gap" => Self::Gap(serde_json::from_slice(text)?),
            "status" => Self::Status(serde_json::from_slice(text)?),
            "error" => Self::Error(serde_json::from_slice(text)?),
            _ => Self::Other(kind),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::reply;
    use crate::native::request::ErrorCode;
    use crate::position::{Epoch, Position};
    use crate::ws::decoder::{Decoder, Event, Limits};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Writes a reply, takes it out of its frame and reads it.
    fn there_and_back(put: impl FnOnce(&mut Vec<u8>), check: impl FnOnce(Envelope<'_>)) {
        let mut out = Vec::new();
        put(&mut out);
        let mut decoder = Decoder::client_unchecked();
        let Ok(Some(Event::Binary(text))) = decoder.next(&mut &mut out[..], &Limits::default()) else {
            panic!("no frame")
        };
        check(Envelope::parse(text).unwrap());
    }

    #[test]
    fn replies_come_back() {
        let limits = [("channels_max", 7)];
        let welcome = reply::Welcome { connection: "c", ping_interval_ms: 5, limits: &limits };
        there_and_back(
            |out| reply::welcome(out, &welcome),
            |read| {
                let limits = BTreeMap::from([("channels_max".to_owned(), 7)]);
                let expected =
                    Welcome { connection: "c".to_owned(), protocol: 1, ping_interval_ms: 5, limits };
                assert_eq!(read, Envelope::Welcome(expected));
            },
        );
        let pos = names(&["abcDEF-_.*.AQ"]);
        let refused = reply::Outcome { error: Some(ErrorCode::NotAvailable), ..reply::Outcome::default() };
        there_and_back(
            |out| reply::subscription_ack(out, Some(3), &["a\n"], 4, &pos, &[("b", refused)]),
            |read| {
                let error = Some("NOT_AVAILABLE".to_owned());
                let outcome =
                    Outcome { recovered: false, replaying: false, error, pos: vec![], stale: false };
                let expected = SubscriptionAck {
                    id: Some(3),
                    subscribed: names(&["a\n"]),
                    count: 4,
                    pos: names(&["abcDEF-_.*.AQ"]),
                    results: BTreeMap::from([("b".to_owned(), outcome)]),
                };
                assert_eq!(read, Envelope::SubscriptionAck(expected));
            },
        );
        there_and_back(
            |out| reply::unsubscription_ack(out, None, &["a"], 0),
            |read| {
                let expected = UnsubscriptionAck { id: None, unsubscribed: names(&["a"]), count: 0 };
                assert_eq!(read, Envelope::UnsubscriptionAck(expected));
            },
        );
        there_and_back(
            |out| reply::pong(out, Some(1), 2),
            |read| assert_eq!(read, Envelope::Pong(Pong { id: Some(1), ts_ms: 2 })),
        );
        there_and_back(
            |out| reply::position(out, &pos),
            |read| assert_eq!(read, Envelope::Position(pos.clone())),
        );
    }

    #[test]
    fn notices_come_back() {
        let from = Position { epoch: Epoch::parse("abcDEF-_").unwrap(), partition: 2, offset: 10 };
        there_and_back(
            |out| reply::gap(out, "c", &from, &Position { offset: 11, ..from }, reply::GapReason::Reset),
            |read| {
                let expected = Gap {
                    channel: "c".to_owned(),
                    from: "abcDEF-_.2.10".to_owned(),
                    to: "abcDEF-_.2.11".to_owned(),
                    reason: "reset".to_owned(),
                };
                assert_eq!(read, Envelope::Gap(expected));
            },
        );
        let status =
            |channels, lag_ms| Envelope::Status(Status { state: "stale".to_owned(), channels, lag_ms });
        there_and_back(
            |out| reply::status(out, reply::State::Stale, None, Some(9)),
            |read| assert_eq!(read, status(Channels::All("*".to_owned()), Some(9))),
        );
        there_and_back(
            |out| reply::status(out, reply::State::Stale, Some(&["a"]), None),
            |read| assert_eq!(read, status(Channels::Named(names(&["a"])), None)),
        );
        there_and_back(
            |out| reply::error(out, None, ErrorCode::BadJson, "m"),
            |read| {
                let expected = Error { id: None, code: "BAD_JSON".to_owned(), message: "m".to_owned() };
                assert_eq!(read, Envelope::Error(expected));
            },
        );
    }

    #[test]
    fn messages_of_any_order() {
        let text = br#"{"data": null, "ts":5,"pos":"abcDEF-_.0.1","type":"message","channel":"a\n"}"#;
        let Envelope::Message(message) = Envelope::parse(text).unwrap() else { panic!("no message") };
        assert_eq!((message.channel.as_ref(), message.pos, message.ts_ms), ("a\n", "abcDEF-_.0.1", 5));
        assert_eq!(message.data, Some(&b"null"[..]));
        let text = br#"{"type":"message","deleted":true,"channel":"a","pos":"p","ts":5}"#;
        let Envelope::Message(message) = Envelope::parse(text).unwrap() else { panic!("no message") };
        assert_eq!(message.data, None);
    }

    #[test]
    fn unknown_types_are_told_from_nonsense() {
        let caught_up = br#"{"type":"caught_up","channel":"a","pos":"p"}"#;
        assert_eq!(Envelope::parse(caught_up).unwrap(), Envelope::Other("caught_up".to_owned()));
        for text in ["", "[]", "{}", r#"{"type":"pong"}"#, r#"{"type":"gap","channel":1}"#] {
            assert!(Envelope::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
