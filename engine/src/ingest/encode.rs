//! One record and one route: the channel's name and the frame, encoded once for everybody.

use proto::{
    channel::{Fields, Miss},
    native::{
        message::{self, Message, Payload, ValueForm},
        reply::{self, GapReason},
    },
    position::Position,
};

use super::sources::TopicState;
use crate::config::Route;

/// A record as the bus takes it: borrowed from whoever read it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Kafka timestamp, Unix ms.
    pub ts_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, those that routes want (`Bus::wants_headers`) at least; of several with one name the last counts.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Headers in a message that need no allocation.
const HEADERS_INLINE: usize = 16;

/// Scratch memory, kept from record to record.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// The channel's name.
    pub(super) name: String,
    /// One complete frame.
    pub(super) frame: Vec<u8>,
    /// The name by another route than the one at hand.
    other: String,
}

impl Encoder {
    /// Whether the route makes a name of the record. What [`Self::name`] rendered stays.
    pub(super) fn takes(
        &mut self,
        route: &Route,
        topic: &TopicState,
        partition: u32,
        record: &Record<'_>,
    ) -> bool {
        let fields = Fields { topic: &topic.name, partition, key: record.key, headers: record.headers };
        route.template.render(&mut self.other, &fields).is_ok()
    }

    /// Renders the name of the record's channel.
    pub(super) fn name(
        &mut self,
        route: &Route,
        topic: &TopicState,
        partition: u32,
        record: &Record<'_>,
    ) -> Result<(), Miss> {
        let fields = Fields { topic: &topic.name, partition, key: record.key, headers: record.headers };
        route.template.render(&mut self.name, &fields)
    }

    /// Encodes the record as a message of the channel named last. True if the value is not the JSON its route promises.
    pub(super) fn message(
        &mut self,
        route: &Route,
        topic: &TopicState,
        partition: u32,
        record: &Record<'_>,
    ) -> bool {
        let mut inline = [("", &[][..]); HEADERS_INLINE];
        let mut many = Vec::new();
        let headers = wanted(&route.headers, record.headers, &mut inline, &mut many);
        let message = Message {
            channel: &self.name,
            epoch: &topic.epoch,
            partition,
            offset: record.offset,
            ts_ms: record.ts_ms,
            value: record.value,
            headers,
        };
        self.frame.clear();
        let form = message::message(&mut self.frame, &message, route.payload);
        route.payload == Payload::Json && matches!(form, ValueForm::String | ValueForm::Base64)
    }

    /// Encodes a gap notice for the channel named last.
    pub(super) fn gap(&mut self, from: &Position, to: &Position, reason: GapReason) {
        self.frame.clear();
        reply::gap(&mut self.frame, &self.name, from, to, reason);
    }
}

/// The headers a route shows, in `inline` if they fit.
fn wanted<'b, 'a: 'b>(
    names: &[String],
    headers: &[(&'a str, &'a [u8])],
    inline: &'b mut [(&'a str, &'a [u8]); HEADERS_INLINE],
    many: &'b mut Vec<(&'a str, &'a [u8])>,
) -> &'b [(&'a str, &'a [u8])] {
    if names.is_empty() || headers.is_empty() {
        return &[];
    }
    let mut found = headers.iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name));
    let mut len = 0;
    while let Some(header) = found.next() {
        if len == HEADERS_INLINE {
            many.extend_from_slice(&inline[..]);
            many.push(*header);
            many.extend(found);
            return many;
        }
        inline[len] = *header;
        len += 1;
    }
    &inline[..len]
}
