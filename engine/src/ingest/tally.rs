//! Records that reach nobody, or not as their route promises: counted in all and by topic, and said once a topic and
//! reason, with where the first stands and what is wrong with it.

use std::sync::Arc;

use proto::{
    channel::{Miss, looks::Looks},
    native::message,
};
use tracing::warn;

use crate::{
    messages::{Odd, Record, TopicRoutes},
    metrics::{Counter, IngestMetrics, OddRecords},
};

/// What was counted and said.
#[derive(Debug)]
pub(super) struct Tally {
    metrics: Arc<IngestMetrics>,
    /// What has been said of each topic: a bit a reason.
    said: Vec<u8>,
}

impl Tally {
    /// For topics of these names.
    pub(super) fn new(metrics: Arc<IngestMetrics>, topics: &[Arc<str>]) -> Self {
        metrics.topics.begin(topics);
        Self { metrics, said: vec![0; topics.len()] }
    }

    /// No route takes the record; `miss` has the first route that might and why it does not.
    #[cold]
    pub(super) fn missed(
        &mut self,
        routes: &TopicRoutes,
        partition: u32,
        record: &Record<'_>,
        miss: Option<(usize, Miss)>,
    ) {
        let Some((route, miss)) = miss else {
            self.metrics.unrouted.add(1);
            return;
        };
        let odd = Odd::from(miss);
        if self.count(routes.topic(), odd) {
            let template = routes.all()[route].template.to_string();
            let look = record.key.map(|key| format!("; it looks like {}", Looks::of(key)));
            let look = look.filter(|_| odd == Odd::BadKey).unwrap_or_default();
            warn!(
                topic = &**routes.topic(),
                partition,
                offset = record.offset,
                reason = odd.as_str(),
                template,
                text = format!("{miss}{look}"),
                "record maps to no channel; further ones of this topic are only counted"
            );
        }
    }

    /// A route takes the record, but its value is not as the route promises.
    #[cold]
    pub(super) fn odd(&mut self, routes: &TopicRoutes, partition: u32, record: &Record<'_>, odd: Odd) {
        if self.count(routes.topic(), odd) {
            let value = record.value.unwrap_or_default();
            let text = odd.of_value(value);
            warn!(
                topic = &**routes.topic(),
                partition,
                offset = record.offset,
                reason = odd.as_str(),
                text,
                "value does not match its route's payload; further ones of this topic are only counted"
            );
        }
    }

    /// True if it is to be said: it is the first of its topic.
    fn count(&mut self, topic: &str, odd: Odd) -> bool {
        odd.counter(&self.metrics.odd).add(1);
        let topics = self.metrics.topics.all();
        let Some(at) = topics.iter().position(|(name, _)| **name == *topic) else { return false };
        odd.counter(&topics[at].1).add(1);
        let Some(said) = self.said.get_mut(at) else { return false };
        let bit = 1 << odd as u8;
        let first = *said & bit == 0;
        *said |= bit;
        first
    }
}

impl Odd {
    const fn counter(self, odd: &OddRecords) -> &Counter {
        match self {
            Self::NoKey => &odd.no_key,
            Self::BadKey => &odd.bad_key,
            Self::NoHeader => &odd.no_header,
            Self::BadName => &odd.bad_name,
            Self::NotJson => &odd.not_json,
            Self::NotText => &odd.not_text,
            Self::Oversized => &odd.oversized,
        }
    }

    /// What is wrong with a value and what is done about it, in the parser's words where it has some.
    fn of_value(self, value: &[u8]) -> String {
        if self == Self::Oversized {
            return format!("{} bytes exceed the limit: clients get a gap notice", value.len());
        }
        let form = if message::as_text(value).is_some() { "a string" } else { "base64" };
        let why = message::not_json(value).unwrap_or_default();
        let promised = if self == Self::NotText { "text" } else { "JSON" };
        format!("not {promised}: {why}; it is sent as {form}")
    }
}
