//! What ingest knows of the topics and partitions it reads, and the catalog it shows to everybody else.

use std::sync::Arc;

use proto::position::{Epoch, Position};

use crate::{
    catalog::{Catalog, SharedCatalog, Source, SourceNumber, Topic, TopicNumber, Truncation},
    inbox::PartitionState,
    messages::TopicRoutes,
};

/// Not known yet.
pub(super) const UNKNOWN: i64 = -1;

/// One incarnation of a topic.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: Arc<str>,
    pub(super) epoch: Epoch,
    pub(super) routes: TopicRoutes,
}

/// One partition of one incarnation of a topic.
#[derive(Debug)]
pub(super) struct SourceState {
    pub(super) topic: TopicNumber,
    pub(super) partition: u32,
    /// The offset expected next.
    pub(super) next: i64,
    /// As far as the slab's entries tell; behind `next` where records matched nothing.
    pub(super) placed: i64,
    /// The offset it began at.
    pub(super) first: i64,
    /// Its end as the broker last told it.
    pub(super) end: i64,
    /// What whoever drives the bus does with it.
    pub(super) state: PartitionState,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Sources {
    shared: SharedCatalog,
    catalog: Catalog,
    /// `shared` is behind `catalog`.
    changed: bool,
    topics: Vec<TopicState>,
    sources: Vec<SourceState>,
}

impl Sources {
    pub(super) fn new(shared: SharedCatalog) -> Self {
        Self { shared, catalog: Catalog::default(), changed: false, topics: Vec::new(), sources: Vec::new() }
    }

    /// Partitions of the topics' present incarnations.
    pub(super) fn live(&self) -> usize {
        self.catalog.topics.iter().filter(|topic| !topic.retired).map(|topic| topic.sources.len()).sum()
    }

    pub(super) fn source(&self, source: SourceNumber) -> &SourceState {
        &self.sources[source as usize]
    }

    pub(super) fn source_mut(&mut self, source: SourceNumber) -> &mut SourceState {
        &mut self.sources[source as usize]
    }

    /// It is read from its beginning.
    pub(super) fn is_from_start(&self, source: SourceNumber) -> bool {
        self.catalog.sources[source as usize].from_start
    }

    pub(super) fn topic(&self, topic: TopicNumber) -> &TopicState {
        &self.topics[topic as usize]
    }

    /// The present incarnation of the topic of this name.
    pub(super) fn find(&self, name: &str) -> Option<TopicNumber> {
        self.catalog.topic(name).map(|(number, _)| number)
    }

    /// Sources of the topic, by partition.
    pub(super) fn of_topic(&self, topic: TopicNumber) -> &[SourceNumber] {
        &self.catalog.topics[topic as usize].sources
    }

    /// Sources whose partition moved further than the slab's entries tell.
    pub(super) fn moved(&self) -> impl Iterator<Item = (SourceNumber, i64)> {
        let all = (0..).zip(&self.sources);
        all.filter(|(_, source)| source.next > source.placed).map(|(number, source)| (number, source.next))
    }

    pub(super) fn position(&self, source: SourceNumber, offset: i64) -> Position {
        self.catalog.position(source, offset)
    }

    pub(super) fn add_topic(&mut self, epoch: Epoch, routes: TopicRoutes) -> TopicNumber {
        let name = Arc::clone(routes.topic());
        let number = number(self.topics.len());
        self.topics.push(TopicState { name: Arc::clone(&name), epoch, routes });
        self.catalog.topics.push(Topic { name, epoch, sources: Vec::new(), retired: false });
        self.changed = true;
        number
    }

    pub(super) fn add_source(
        &mut self,
        topic: TopicNumber,
        partition: u32,
        from_start: bool,
    ) -> SourceNumber {
        let number = number(self.sources.len());
        let state = PartitionState::Waiting;
        self.sources.push(SourceState {
            topic,
            partition,
            next: UNKNOWN,
            placed: UNKNOWN,
            first: UNKNOWN,
            end: UNKNOWN,
            state,
        });
        self.catalog.sources.push(Source { topic, partition, from_start, replaces: None, truncation: None });
        let by_partition = &mut self.catalog.topics[topic as usize].sources;
        if let Some(present) = by_partition.get_mut(partition as usize) {
            *present = number;
        } else {
            assert_eq!(by_partition.len(), partition as usize, "partitions are added in their order");
            by_partition.push(number);
        }
        self.changed = true;
        number
    }

    /// Another source takes the place of one whose log was truncated at `at`; what it had up to `to` is void.
    pub(super) fn truncate(&mut self, source: SourceNumber, at: i64, to: i64) -> SourceNumber {
        let SourceState { topic, partition, next, state, .. } = *self.source(source);
        // It moves no more.
        self.source_mut(source).placed = next;
        let by = self.add_source(topic, partition, false);
        // The consumer does with the partition what it did before; where it ends now is yet to be told.
        self.source_mut(by).state = state;
        self.catalog.sources[source as usize].truncation = Some(Truncation { at, to, by });
        self.catalog.sources[by as usize].replaces = Some(source);
        by
    }

    pub(super) fn retire(&mut self, topic: TopicNumber) {
        self.catalog.topics[topic as usize].retired = true;
        self.changed = true;
    }

    /// Shows the catalog to everybody; before any entry that needs it is appended.
    pub(super) fn show(&mut self) {
        if self.changed {
            self.changed = false;
            self.shared.store(Arc::new(self.catalog.clone()));
        }
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("topics and partitions are few")
}
