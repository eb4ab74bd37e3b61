//! One record and its routes: the channels' names, and the frame of each, encoded once for everybody.

use proto::{
    channel::{Fields, Miss},
    native::{
        message::{self, Message, Payload, ValueForm},
        reply::{self, GapReason},
    },
    position::{Epoch, Position},
};

use super::routes::TopicRoutes;

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
pub(crate) struct Encoder {
    /// Names of one record's channels by route, or why there is none; the text is kept for its memory.
    names: Vec<(String, Result<(), NoName>)>,
    /// One complete frame.
    pub(crate) frame: Vec<u8>,
}

/// Why a route makes no channel of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoName {
    /// The record lacks what the template needs.
    Miss(Miss),
    /// An earlier route has made the same channel of it: a channel gets a record once.
    Repeated,
}

/// What is wrong with a record, as metrics have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Odd {
    /// It lacks the key.
    NoKey,
    /// Its key is not text.
    BadKey,
    /// It lacks the header, or that is not text.
    NoHeader,
    /// Its name would be empty or too long.
    BadName,
    /// Its value is not the JSON its route promises.
    NotJson,
    /// Its value is not the text its route promises.
    NotText,
    /// Its value is above the limit.
    Oversized,
}

impl Odd {
    /// As its metric is named.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::BadKey => "bad_key",
            Self::NoHeader => "no_header",
            Self::BadName => "bad_name",
            Self::NotJson => "not_json",
            Self::NotText => "not_text",
            Self::Oversized => "oversized",
        }
    }
}

impl From<Miss> for Odd {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::NoKey => Self::NoKey,
            Miss::KeyNotUtf8 | Miss::KeyBinary => Self::BadKey,
            Miss::NoHeader | Miss::HeaderNotUtf8 | Miss::HeaderBinary => Self::NoHeader,
            Miss::NameTooLong(_) | Miss::Empty => Self::BadName,
        }
    }
}

impl Encoder {
    /// Renders the names of the record's channels by all routes of its topic.
    pub(crate) fn name(&mut self, routes: &TopicRoutes, partition: u32, record: &Record<'_>) {
        let fields = Fields { topic: routes.topic(), partition, key: record.key, headers: record.headers };
        if self.names.len() < routes.len() {
            self.names.resize(routes.len(), (String::new(), Ok(())));
        }
        for (index, route) in routes.all().iter().enumerate() {
            let (earlier, rest) = self.names.split_at_mut(index);
            let (name, outcome) = &mut rest[0];
            *outcome = route.template.render(name, &fields).map_err(NoName::Miss);
            if outcome.is_ok() && earlier.iter().any(|(other, outcome)| outcome.is_ok() && other == name) {
                *outcome = Err(NoName::Repeated);
            }
        }
    }

    /// The name made by the route of this index.
    pub(crate) fn named(&self, route: usize) -> Result<&str, NoName> {
        let (name, outcome) = &self.names[route];
        outcome.map(|()| name.as_str())
    }

    /// Encodes the record as a message of the channel that the route of this index names. Tells if the value is not what
    /// its route promises.
    pub(crate) fn message(
        &mut self,
        route: usize,
        routes: &TopicRoutes,
        epoch: &Epoch,
        partition: u32,
        record: &Record<'_>,
    ) -> Option<Odd> {
        let channel = &self.names[route].0;
        let route = &routes.all()[route];
        let mut inline = [("", &[][..]); HEADERS_INLINE];
        let mut many = Vec::new();
        let headers = wanted(&route.headers, record.headers, &mut inline, &mut many);
        let message = Message {
            channel,
            epoch,
            partition,
            offset: record.offset,
            ts_ms: record.ts_ms,
            value: record.value,
            headers,
        };
        self.frame.clear();
        let form = message::message(&mut self.frame, &message, route.payload);
        match (route.payload, form) {
            (Payload::Json, ValueForm::String | ValueForm::Base64) => Some(Odd::NotJson),
            (Payload::Text, ValueForm::Base64) => Some(Odd::NotText),
            _ => None,
        }
    }

    /// Encodes a gap notice for the channel that the route of this index names.
    pub(crate) fn oversized(&mut self, route: usize, at: &Position) {
        self.frame.clear();
        reply::gap(&mut self.frame, &self.names[route].0, at, at, GapReason::Oversized);
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
