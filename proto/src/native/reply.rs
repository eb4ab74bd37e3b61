//! What we answer. Each function appends one complete server text frame to `out`.

use super::request::ErrorCode;
use crate::position::Position;

/// The first thing a client gets.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// Identifies the connection in logs.
    pub connection: &'a str,
    /// How often the server makes sure that the client is there.
    pub ping_interval_ms: u64,
    /// Limits by name.
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
    /// Where it begins, if that differs from the ack's.
    pub pos: &'a [String],
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
}

/// Whether what a client holds is known to be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Behind.
    Stale,
    /// Live (again).
    Live,
}

/// `welcome`.
pub fn welcome(out: &mut Vec<u8>, w: &Welcome<'_>) {
    let _ = (out, w);
    todo!()
}
/// `subscription_ack`; `pos` has one topic-wide position a topic.
pub fn subscription_ack(
    out: &mut Vec<u8>,
    id: Option<i64>,
    subscribed: &[&str],
    count: usize,
    pos: &[String],
    results: &[(&str, Outcome<'_>)],
) {
    let _ = (out, id, subscribed, count, pos, results);
    todo!()
}
/// `unsubscription_ack`.
pub fn unsubscription_ack(out: &mut Vec<u8>, id: Option<i64>, unsubscribed: &[&str], count: usize) {
    let _ = (out, id, unsubscribed, count);
    todo!()
}
/// `pong`; `ts_ms` is the server's Unix time.
pub fn pong(out: &mut Vec<u8>, id: Option<i64>, ts_ms: u64) {
    let _ = (out, id, ts_ms);
    todo!()
}
/// `position`: everything up to there has been sent.
pub fn position(out: &mut Vec<u8>, pos: &[String]) {
    let _ = (out, pos);
    todo!()
}
/// `gap`, both bounds inclusive.
pub fn gap(out: &mut Vec<u8>, channel: &str, from: &Position, to: &Position, reason: GapReason) {
    let _ = (out, channel, from, to, reason);
    todo!()
}
/// `status`; no channels: all of them.
pub fn status(out: &mut Vec<u8>, state: State, channels: Option<&[&str]>, lag_ms: Option<u64>) {
    let _ = (out, state, channels, lag_ms);
    todo!()
}
/// `error`.
pub fn error(out: &mut Vec<u8>, id: Option<i64>, code: ErrorCode, message: &str) {
    let _ = (out, id, code, message);
    todo!()
}
