//! Messages: the bytes that all subscribers share.

use crate::position::Epoch;

/// How a route's record values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Payload {
    /// JSON passed through; what is not JSON becomes a string, what is not UTF-8 base64.
    #[default]
    Json,
    /// Always a string; what is not UTF-8 becomes base64.
    Text,
    /// Always base64.
    Binary,
}

/// A record as a message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Name of the channel.
    pub channel: &'a str,
    /// Of the topic.
    pub epoch: &'a Epoch,
    /// Of the record.
    pub partition: u32,
    /// Of the record.
    pub offset: i64,
    /// Kafka's timestamp, Unix ms.
    pub ts_ms: i64,
    /// Of the record; none: a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record headers that the route shows; of several with one name the last counts.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// How the value was written, so that callers can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueForm {
    /// As it was.
    Json,
    /// As a JSON string.
    String,
    /// As base64.
    Base64,
    /// A tombstone.
    Deleted,
}

/// Appends one complete server text frame.
pub fn message(out: &mut Vec<u8>, m: &Message<'_>, payload: Payload) -> ValueForm {
    let _ = (out, m, payload);
    todo!()
}
