//! What ingest knows of a topic and of channels, for the admin thread's /explain. It only looks: nothing is held, made or
//! given back, and nothing below the reclaimed floor is read.

use std::sync::Arc;

use super::{channels::Channels, publisher::Publisher, topics::Topics};
use crate::inbox::{Newest, TopicFacts};

/// What is known now.
pub(super) fn facts(
    topics: &Topics,
    channels: &Channels,
    publisher: &Publisher,
    topic: &str,
    names: &[Arc<str>],
) -> TopicFacts {
    let topic = topics.find(topic).map(|number| topics.incarnation(number));
    let tags = topic.map_or(&[][..], |topic| topic.tags());
    // The newest entry of a channel. What all readers have acknowledged away is gone, swept or not.
    let newest = |name: &Arc<str>| {
        let entry = publisher.entry(channels.newest(channels.find(name)?)?)?;
        let (topic, position) = topics.place_of(entry.source, entry.offset);
        Some(Newest { topic: Arc::clone(topic), position, ts_ms: entry.ts_ms, ingest_ns: entry.ingest_ns })
    };
    TopicFacts {
        partitions: tags.iter().map(|&tag| topics.partition(tag).facts()).collect(),
        newest: names.iter().map(newest).collect(),
        keys: topic.map(|topic| topic.keys()).unwrap_or_default(),
    }
}
