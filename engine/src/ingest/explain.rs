//! What ingest knows of a topic and of channels, for the admin thread's /explain. It only looks: nothing is held, made or
//! given back, and nothing below the reclaimed floor is read.

use super::{bus::Bus, sources::UNKNOWN};
use crate::inbox::{ExplainTopic, Newest, PartitionFacts, TopicFacts};

impl<D> Bus<D> {
    /// Answers with what is known now, if the asker still waits.
    pub(super) fn explain(&self, asked: &ExplainTopic) {
        let topic = self.sources.find(&asked.topic);
        let sources = topic.map_or(&[][..], |topic| self.sources.of_topic(topic));
        let partition = |&source| {
            let source = self.sources.source(source);
            // What was read since the broker told the end is not beyond it.
            let end = if source.end == UNKNOWN { UNKNOWN } else { source.end.max(source.next) };
            PartitionFacts { state: source.state, first: source.first, next: source.next, end }
        };
        let facts = TopicFacts {
            partitions: sources.iter().map(partition).collect(),
            newest: asked.channels.iter().map(|name| self.newest(name)).collect(),
            keys: topic.map(|topic| self.keys[topic as usize].sample()).unwrap_or_default(),
        };
        let _ = asked.reply.try_send(facts);
    }

    /// The newest entry of a channel. What all readers have acknowledged away is gone, swept or not.
    fn newest(&self, name: &str) -> Option<Newest> {
        let sequence = self.channels.newest(self.channels.find(name)?)?;
        if sequence < self.slab.reclaimed() {
            return None;
        }
        let entry = self.slab.entry(sequence);
        let topic = self.sources.source(entry.source).topic;
        Some(Newest {
            topic: self.sources.topic(topic).name.clone(),
            position: self.sources.position(entry.source, entry.offset),
            ts_ms: entry.ts_ms,
            ingest_ns: entry.ingest_ns,
        })
    }
}
