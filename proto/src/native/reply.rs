//! What we answer and tell (docs/PROTOCOL.md). Each function appends one complete server text frame to `out`.
//!
//! An `id` is echoed where the request had one and left out where not. Names are written as JSON strings, so
//! any UTF-8 will do.

use super::json::{put_i64, put_list, put_string, put_u64};
use super::request::ErrorCode;
use crate::position::Position;
use crate::ws::frame::{OpCode, put_built};

/// Version of the native protocol, as `welcome` has it.
pub const PROTOCOL: u64 = 1;

/// The first thing a client gets.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// Identifies the connection in logs.
    pub connection: &'a str,
    /// How often the server makes sure that the client is there.
    pub ping_interval_ms: u64,
    /// Limits by name, units last.
    pub limits: &'a [(&'a str, u64)],
}

/// How a subscribe ended for one channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome<'a> {
    /// What was missed follows, or nothing was missed.
    pub recovered: bool,
    /// Missed messages follow before live ones.
    pub replaying: bool,
    /// Why the channel is refused, or why it is not recovered.
    pub error: Option<ErrorCode>,
    /// Where it begins, if that differs from the ack's; else empty.
    pub pos: &'a [String],
    /// It is known to be behind; a `status` tells when it is live.
    pub stale: bool,
}

/// Why something was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The client did not keep up.
    Slow,
    /// Kafka has deleted it.
    Retention,
    /// Only the newest of each key was asked for.
    Conflated,
    /// The topic's history began anew.
    Reset,
    /// A record over the limit.
    Oversized,
    /// Records that cannot be read.
    Unreadable,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Slow, Self::Retention, Self::Conflated, Self::Reset, Self::Oversized, Self::Unreadable];

    /// A number for it, of this process only; never 0.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The reason of this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Retention => "retention",
            Self::Conflated => "conflated",
            Self::Reset => "reset",
            Self::Oversized => "oversized",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Whether what a client holds is known to be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Behind.
    Stale,
    /// Live (again).
    Live,
}

impl State {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Live => "live",
        }
    }
}

/// `welcome`.
pub fn welcome(out: &mut Vec<u8>, w: &Welcome<'_>) {
    reply(out, "welcome", None, |out| {
        out.extend_from_slice(br#","connection":"#);
        put_string(out, w.connection);
        put_field(out, "protocol", PROTOCOL);
        put_field(out, "ping_interval_ms", w.ping_interval_ms);
        out.extend_from_slice(br#","limits":"#);
        put_list(out, *b"{}", w.limits, |out, (name, limit)| {
            put_string(out, name);
            out.push(b':');
            put_u64(out, *limit);
        });
    });
}

/// `subscription_ack`: the names that now hold, how many the connection holds in all, one topic-wide position
/// a topic (`EPOCH.*.VECTOR`), and how it went for each channel asked for. Names in `results` must differ.
pub fn subscription_ack(
    out: &mut Vec<u8>,
    id: Option<i64>,
    subscribed: &[&str],
    count: usize,
    pos: &[String],
    results: &[(&str, Outcome<'_>)],
) {
    reply(out, "subscription_ack", id, |out| {
        out.extend_from_slice(br#","subscribed":"#);
        put_strings(out, subscribed);
        put_field(out, "count", count as u64);
        out.extend_from_slice(br#","pos":"#);
        put_strings(out, pos);
        out.extend_from_slice(br#","results":"#);
        put_list(out, *b"{}", results, |out, (name, outcome)| {
            put_string(out, name);
            out.push(b':');
            put_outcome(out, outcome);
        });
    });
}

/// `unsubscription_ack`: the names that were held, and how many the connection still holds.
pub fn unsubscription_ack(out: &mut Vec<u8>, id: Option<i64>, unsubscribed: &[&str], count: usize) {
    reply(out, "unsubscription_ack", id, |out| {
        out.extend_from_slice(br#","unsubscribed":"#);
        put_strings(out, unsubscribed);
        put_field(out, "count", count as u64);
    });
}

/// `pong`; `ts_ms` is the server's Unix time.
pub fn pong(out: &mut Vec<u8>, id: Option<i64>, ts_ms: u64) {
    reply(out, "pong", id, |out| put_field(out, "ts", ts_ms));
}

/// `position`: everything up to these topic-wide positions has been sent, for the channels acked and still
/// held.
pub fn position(out: &mut Vec<u8>, pos: &[String]) {
    reply(out, "position", None, |out| {
        out.extend_from_slice(br#","pos":"#);
        put_strings(out, pos);
    });
}

/// `gap`: from `from` to `to`, both inclusive and of one partition, was skipped.
pub fn gap(out: &mut Vec<u8>, channel: &str, from: &Position, to: &Position, reason: GapReason) {
    reply(out, "gap", None, |out| {
        out.extend_from_slice(br#","channel":"#);
        put_string(out, channel);
        out.extend_from_slice(br#","from":"#);
        put_position(out, from);
        out.extend_from_slice(br#","to":"#);
        put_position(out, to);
        out.extend_from_slice(br#","reason":"#);
        put_string(out, reason.as_str());
    });
}

/// `status` for these channels; `None`: for all that the client holds (`"*"`). `lag_ms` where it is known.
pub fn status(out: &mut Vec<u8>, state: State, channels: Option<&[&str]>, lag_ms: Option<u64>) {
    reply(out, "status", None, |out| {
        out.extend_from_slice(br#","state":"#);
        put_string(out, state.as_str());
        out.extend_from_slice(br#","channels":"#);
        match channels {
            Some(channels) => put_strings(out, channels),
            None => put_string(out, "*"),
        }
        if let Some(lag_ms) = lag_ms {
            put_field(out, "lag_ms", lag_ms);
        }
    });
}

/// `error`: a request that failed as a whole. `message` is for people.
pub fn error(out: &mut Vec<u8>, id: Option<i64>, code: ErrorCode, message: &str) {
    reply(out, "error", id, |out| {
        out.extend_from_slice(br#","code":"#);
        put_string(out, code.as_str());
        out.extend_from_slice(br#","message":"#);
        put_string(out, message);
    });
}

/// A frame with an object of this type; `rest` writes its further fields, each with its comma.
fn reply(out: &mut Vec<u8>, kind: &str, id: Option<i64>, rest: impl FnOnce(&mut Vec<u8>)) {
    // Most replies are short; the header of a longer one costs a move.
    const GUESS: usize = 100;
    put_built(out, OpCode::Text, GUESS, |out| {
        out.extend_from_slice(br#"{"type":"#);
        put_string(out, kind);
        if let Some(id) = id {
            out.extend_from_slice(br#","id":"#);
            put_i64(out, id);
        }
        rest(out);
        out.push(b'}');
    });
}

fn put_field(out: &mut Vec<u8>, name: &str, number: u64) {
    out.push(b',');
    put_string(out, name);
    out.push(b':');
    put_u64(out, number);
}

fn put_strings(out: &mut Vec<u8>, strings: &[impl AsRef<str>]) {
    put_list(out, *b"[]", strings, |out, text| put_string(out, text.as_ref()));
}

fn put_position(out: &mut Vec<u8>, position: &Position) {
    out.push(b'"');
    out.extend_from_slice(position.epoch.as_str().as_bytes());
    out.push(b'.');
    put_u64(out, u64::from(position.partition));
    out.push(b'.');
    put_i64(out, position.offset);
    out.push(b'"');
}

fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let flags: &[u8] = match (outcome.recovered, outcome.replaying) {
        (false, false) => br#"{"recovered":false,"replaying":false"#,
        (false, true) => br#"{"recovered":false,"replaying":true"#,
        (true, false) => br#"{"recovered":true,"replaying":false"#,
        (true, true) => br#"{"recovered":true,"replaying":true"#,
    };
    out.extend_from_slice(flags);
    if let Some(code) = outcome.error {
        out.extend_from_slice(br#","error":"#);
        put_string(out, code.as_str());
    }
    if !outcome.pos.is_empty() {
        out.extend_from_slice(br#","pos":"#);
        put_strings(out, outcome.pos);
    }
    if outcome.stale {
        out.extend_from_slice(br#","stale":true"#);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;
    use crate::ws::decoder::{Decoder, Event, Limits};

    /// The text of the one frame that `put` writes, behind what was there before.
    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        put(&mut out);
        assert_eq!(out[0], b'x');
        let mut input = &mut out[1..];
        let mut decoder = Decoder::client();
        let Ok(Some(Event::Text(text))) = decoder.next(&mut input, &Limits::default()) else {
            panic!("no text frame")
        };
        let text = text.to_owned();
        assert!(input.is_empty(), "more than one frame");
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap().is_object());
        text
    }

    #[test]
    fn texts_are_those_of_the_protocol() {
        let limits = [("channels_max", 1000), ("channel_name_bytes_max", 255)];
        let w = Welcome { connection: "0-1a", ping_interval_ms: 25_000, limits: &limits };
        assert_eq!(
            text(|out| welcome(out, &w)),
            r#"{"type":"welcome","connection":"0-1a","protocol":1,"ping_interval_ms":25000,"limits":{"channels_max":1000,"channel_name_bytes_max":255}}"#
        );
        assert_eq!(text(|out| pong(out, Some(-7), 12)), r#"{"type":"pong","id":-7,"ts":12}"#);
        assert_eq!(text(|out| pong(out, None, 12)), r#"{"type":"pong","ts":12}"#);
        assert_eq!(
            text(|out| unsubscription_ack(out, Some(2), &["a", "b"], 3)),
            r#"{"type":"unsubscription_ack","id":2,"unsubscribed":["a","b"],"count":3}"#
        );
        assert_eq!(
            text(|out| position(out, &["abcDEF-_.*.AQ".to_owned()])),
            r#"{"type":"position","pos":["abcDEF-_.*.AQ"]}"#
        );
        assert_eq!(
            text(|out| status(out, State::Stale, None, Some(1500))),
            r#"{"type":"status","state":"stale","channels":"*","lag_ms":1500}"#
        );
        assert_eq!(
            text(|out| status(out, State::Live, Some(&["a"]), None)),
            r#"{"type":"status","state":"live","channels":["a"]}"#
        );
        assert_eq!(
            text(|out| error(out, Some(1), ErrorCode::BadJson, "no \"JSON\"")),
            r#"{"type":"error","id":1,"code":"BAD_JSON","message":"no \"JSON\""}"#
        );
    }

    #[test]
    fn an_ack_says_how_each_channel_went() {
        let elsewhere = ["abcDEF-_.*.AA".to_owned()];
        let results = [
            ("a", Outcome::default()),
            ("b\n", Outcome { error: Some(ErrorCode::NameTooLong), ..Outcome::default() }),
            ("c", Outcome { recovered: true, replaying: true, error: None, pos: &elsewhere, stale: true }),
        ];
        assert_eq!(
            text(|out| subscription_ack(
                out,
                Some(9),
                &["a", "c"],
                4,
                &["abcDEF-_.*.AQ".to_owned()],
                &results
            )),
            r#"{"type":"subscription_ack","id":9,"subscribed":["a","c"],"count":4,"pos":["abcDEF-_.*.AQ"],"results":{"a":{"recovered":false,"replaying":false},"b\n":{"recovered":false,"replaying":false,"error":"NAME_TOO_LONG"},"c":{"recovered":true,"replaying":true,"pos":["abcDEF-_.*.AA"],"stale":true}}}"#
        );
        assert_eq!(
            text(|out| subscription_ack(out, None, &[], 0, &[], &[])),
            r#"{"type":"subscription_ack","subscribed":[],"count":0,"pos":[],"results":{}}"#
        );
    }

    #[test]
    fn a_gap_has_both_bounds() {
        let from = Position { epoch: Epoch::parse("abcDEF-_").unwrap(), partition: 2, offset: 10 };
        let to = Position { offset: 19, ..from };
        let reasons = [
            (GapReason::Slow, "slow"),
            (GapReason::Retention, "retention"),
            (GapReason::Conflated, "conflated"),
            (GapReason::Reset, "reset"),
            (GapReason::Oversized, "oversized"),
            (GapReason::Unreadable, "unreadable"),
        ];
        for (reason, word) in reasons {
            assert_eq!(
                text(|out| gap(out, "c", &from, &to, reason)),
                format!(
                    r#"{{"type":"gap","channel":"c","from":"abcDEF-_.2.10","to":"abcDEF-_.2.19","reason":"{word}"}}"#
                )
            );
        }
    }

    #[test]
    fn long_replies_are_whole_frames_too() {
        let names: Vec<String> = (0..9_000).map(|i| format!("channel number {i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for some in [&names[..9], &names[..90], &names[..]] {
            assert!(text(|out| unsubscription_ack(out, None, some, 0)).ends_with(r#"],"count":0}"#));
        }
    }
}
