//! What the numbers in index entries stand for: sources (a partition of one incarnation of a topic) and topics.
//!
//! Ingest stores a new catalog before it publishes the first entry that needs it; shards load it when they build acks
//! and notices. A topic that is re-created gets a new [`Topic`] with new sources, so a position never mixes two
//! incarnations.

use std::sync::Arc;

use arc_swap::ArcSwap;
use proto::position::{Epoch, Position, Vector};

/// Number of a [`Source`] in the catalog; what entries carry.
pub type SourceNumber = u32;
/// Number of a [`Topic`] in the catalog.
pub type TopicNumber = u32;

/// Where a partition is first read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this offset.
    At(i64),
    /// At its beginning; the offset is told later.
    Beginning,
    /// Not known yet; told later.
    Unresolved,
}

/// One partition of one incarnation of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its topic.
    pub topic: TopicNumber,
    /// Its partition number in Kafka.
    pub partition: u32,
    /// It is read from its beginning.
    pub from_start: bool,
    /// The source whose place it took, where the partition's log was truncated.
    pub replaces: Option<SourceNumber>,
    /// The end it came to, if its log was truncated.
    pub truncation: Option<Truncation>,
}

/// A partition's log was truncated (an unclean election): what came from there on is void, and other records take the
/// offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// The first void offset.
    pub at: i64,
    /// The last one, included.
    pub to: i64,
    /// The source that goes on, at `at`.
    pub by: SourceNumber,
}

/// One incarnation of a topic, from its creation to its deletion.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Name in Kafka.
    pub name: Arc<str>,
    /// Identity of this incarnation.
    pub epoch: Epoch,
    /// Its sources, by partition.
    pub sources: Vec<SourceNumber>,
    /// A later incarnation has taken its place.
    pub retired: bool,
}

/// All sources and topics this process has read.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By [`SourceNumber`].
    pub sources: Vec<Source>,
    /// By [`TopicNumber`].
    pub topics: Vec<Topic>,
}

/// The catalog as it is shared: ingest stores, everybody loads.
pub type SharedCatalog = Arc<ArcSwap<Catalog>>;

impl Catalog {
    /// The present incarnation of the topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<(TopicNumber, &Topic)> {
        (0..).zip(&self.topics).filter(|(_, topic)| !topic.retired && &*topic.name == name).last()
    }

    /// A client's position for an offset of a source.
    #[must_use]
    pub fn position(&self, source: SourceNumber, offset: i64) -> Position {
        let Source { topic, partition, .. } = self.sources[source as usize];
        Position { epoch: self.topics[topic as usize].epoch, partition, offset }
    }

    /// The topic-wide position of a topic: the next offset of every partition, from next offsets by source
    /// (as `positions_at` gives them; what is absent or negative is unknown). A partition that is read from its beginning
    /// stands there with 0 until more is known, any other as unresolved (-1): never is one left out.
    #[must_use]
    pub fn vector(&self, topic: TopicNumber, next_offsets: &[i64]) -> Vector {
        let topic = &self.topics[topic as usize];
        let next = topic.sources.iter().map(|&source| self.next_offset(source, next_offsets));
        Vector { epoch: topic.epoch, next: next.collect() }
    }

    /// The source is of an incarnation that another one has taken the place of.
    #[must_use]
    pub fn is_retired(&self, source: SourceNumber) -> bool {
        self.topics[self.sources[source as usize].topic as usize].retired
    }

    /// The end of a source that came to one before these next offsets: whoever is there has been told of it.
    #[must_use]
    pub fn truncation_before(&self, source: SourceNumber, next_offsets: &[i64]) -> Option<Truncation> {
        self.sources[source as usize].truncation.filter(|truncation| known(truncation.by, next_offsets) >= 0)
    }

    /// The next offset of a source; before it began, that of the source whose place it took.
    fn next_offset(&self, source: SourceNumber, next_offsets: &[i64]) -> i64 {
        let mut source = source;
        loop {
            match (known(source, next_offsets), self.sources[source as usize].replaces) {
                (..0, Some(earlier)) => source = earlier,
                (..0, None) if self.sources[source as usize].from_start => return 0,
                (next, _) => return next,
            }
        }
    }
}

/// The next offset of a source among these; negative: unknown.
fn known(source: SourceNumber, next_offsets: &[i64]) -> i64 {
    next_offsets.get(source as usize).copied().unwrap_or(-1)
}
