//! Topics as ingest reads them, incarnation by incarnation, and the catalog that everybody else sees of them.
//!
//! The consumer knows a partition by its *tag*, which is its index here. What entries of the slab carry is the number of its
//! *source*: a partition whose log was truncated goes on as another source, so that positions never mix two histories.
//! Incarnations that are over keep their numbers, for clients and entries still mean them, but nobody looks after them
//! any more.

mod partition;

use std::sync::Arc;

use kafka::TopicId;
use proto::position::{Epoch, Position};

pub(super) use self::partition::{Partition, TruncatedAt, UNKNOWN};
use super::watcher::Marks;
use crate::{
    catalog::{Catalog, SharedCatalog, Source, SourceNumber, Topic, TopicNumber, Truncation},
    inbox::{KeyFacts, PartitionState},
    messages::{Keys, Record, TopicRoutes},
};

/// An incarnation of a topic, from its creation to its deletion.
#[derive(Debug)]
pub(super) struct Incarnation {
    routes: TopicRoutes,
    epoch: Epoch,
    id: Option<TopicId>,
    /// By partition.
    tags: Vec<u32>,
    /// Some keys lately read.
    keys: Keys,
    is_stopped: bool,
    is_replaced: bool,
    is_over: bool,
}

impl Incarnation {
    /// Its topic's name.
    pub(super) fn topic(&self) -> &Arc<str> {
        self.routes.topic()
    }

    /// Its topic's routes.
    pub(super) fn routes(&self) -> &TopicRoutes {
        &self.routes
    }

    /// Identity of this incarnation.
    pub(super) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Its id, if the cluster has ids.
    pub(super) fn id(&self) -> Option<TopicId> {
        self.id
    }

    /// The tags of its partitions, by their numbers.
    pub(super) fn tags(&self) -> &[u32] {
        &self.tags
    }

    /// A value above the limit ended it.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The consumer has told when the topic's id became another: all that was taken before is of this incarnation.
    pub(super) fn is_replaced(&self) -> bool {
        self.is_replaced
    }

    /// A sample of the keys that were read.
    pub(super) fn keys(&self) -> Vec<KeyFacts> {
        self.keys.sample()
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Topics {
    /// By [`TopicNumber`].
    incarnations: Vec<Incarnation>,
    /// Those that are not over, one a topic.
    present: Vec<TopicNumber>,
    /// By tag.
    partitions: Vec<Partition>,
    /// Tags of the partitions of those that are not over, in their order.
    live: Vec<u32>,
    /// By [`SourceNumber`].
    sources: Vec<Source>,
    marks: Marks,
    shared: SharedCatalog,
    /// `shared` is behind.
    changed: bool,
}

/// What is there.
impl Topics {
    pub(super) fn new(shared: SharedCatalog) -> Self {
        Self {
            incarnations: Vec::new(),
            present: Vec::new(),
            partitions: Vec::new(),
            live: Vec::new(),
            sources: Vec::new(),
            marks: Marks::default(),
            shared,
            changed: false,
        }
    }

    /// The count of marks.
    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The present incarnation of every topic.
    pub(super) fn present(&self) -> impl Iterator<Item = &Incarnation> {
        self.present.iter().map(|&number| self.incarnation(number))
    }

    /// The tags of their partitions.
    pub(super) fn live(&self) -> &[u32] {
        &self.live
    }

    /// The present incarnation of the topic of this name.
    pub(super) fn find(&self, name: &str) -> Option<TopicNumber> {
        self.present.iter().rev().copied().find(|&number| **self.incarnation(number).topic() == *name)
    }

    /// The present incarnation of the topic of this name, if it has this epoch.
    pub(super) fn with_epoch(&self, name: &str, epoch: Epoch) -> Option<TopicNumber> {
        self.find(name).filter(|&number| self.incarnation(number).epoch == epoch)
    }

    pub(super) fn incarnation(&self, number: TopicNumber) -> &Incarnation {
        &self.incarnations[number as usize]
    }

    /// The tag of a partition of an incarnation.
    pub(super) fn tag(&self, number: TopicNumber, partition: u32) -> Option<u32> {
        self.incarnation(number).tags.get(partition as usize).copied()
    }

    pub(in crate::ingest) fn partition(&self, tag: u32) -> &Partition {
        &self.partitions[tag as usize]
    }

    pub(super) fn partition_mut(&mut self, tag: u32) -> &mut Partition {
        &mut self.partitions[tag as usize]
    }

    /// The incarnation that a partition is of.
    pub(super) fn of(&self, tag: u32) -> &Incarnation {
        self.incarnation(self.partition(tag).topic())
    }

    /// Topic and number of a partition, for the log.
    pub(super) fn name(&self, tag: u32) -> (Arc<str>, u32) {
        (Arc::clone(self.of(tag).topic()), self.partition(tag).number())
    }

    /// It is read from its beginning.
    pub(super) fn is_from_start(&self, tag: u32) -> bool {
        self.sources[self.partition(tag).source() as usize].from_start
    }

    /// Topic and position of an entry.
    pub(super) fn place_of(&self, source: SourceNumber, offset: i64) -> (&Arc<str>, Position) {
        let Source { topic, partition, .. } = self.sources[source as usize];
        let incarnation = self.incarnation(topic);
        (incarnation.topic(), Position { epoch: incarnation.epoch, partition, offset })
    }

    /// Partitions that stand further than the slab's entries tell, as tag and number of the source, and where.
    pub(super) fn moved(&self) -> impl Iterator<Item = (u32, SourceNumber, i64)> {
        let live = self.live.iter().map(|&tag| (tag, self.partition(tag)));
        live.filter(|(_, partition)| partition.has_moved())
            .map(|(tag, partition)| (tag, partition.source(), partition.next()))
    }

    /// The slab's entries need not tell (any more) that a partition stands at `next`.
    pub(super) fn is_placed(&self, tag: u32, source: SourceNumber, next: i64) -> bool {
        self.partition(tag).is_placed(source, next)
    }
}

/// What becomes of it.
impl Topics {
    /// Begins an incarnation, without partitions.
    pub(super) fn begin(&mut self, epoch: Epoch, id: Option<TopicId>, routes: TopicRoutes) -> TopicNumber {
        let number = number(self.incarnations.len());
        self.incarnations.push(Incarnation {
            routes,
            epoch,
            id,
            tags: Vec::new(),
            keys: Keys::default(),
            is_stopped: false,
            is_replaced: false,
            is_over: false,
        });
        self.present.push(number);
        self.changed = true;
        number
    }

    /// Adds an incarnation's next partition; gives its tag.
    pub(super) fn add(&mut self, topic: TopicNumber, from_start: bool) -> u32 {
        let (tag, partition) = (number(self.partitions.len()), number(self.incarnation(topic).tags.len()));
        let source =
            self.add_source(Source { topic, partition, from_start, replaces: None, truncation: None });
        self.partitions.push(Partition::new(topic, partition, source));
        self.incarnations[topic as usize].tags.push(tag);
        self.live.push(tag);
        tag
    }

    /// A record of a partition was taken. `has_entries`: it has come into the slab.
    pub(super) fn took(&mut self, tag: u32, record: &Record<'_>, has_entries: bool) {
        let partition = &mut self.partitions[tag as usize];
        partition.took(record.offset, has_entries);
        self.incarnations[partition.topic() as usize].keys.see(partition.number(), record);
    }

    /// A partition stands at this offset at least. True if it was not known where it begins: there it does.
    pub(super) fn skip(&mut self, tag: u32, next: i64) -> bool {
        self.partition_mut(tag).skip(next)
    }

    /// The start of a partition is found. True if clients hold 0 for it and it begins later.
    pub(super) fn begins_late(&mut self, tag: u32, start: i64) -> bool {
        let is_late = self.partition(tag).next() == UNKNOWN && start > 0 && self.is_from_start(tag);
        if is_late {
            self.partition_mut(tag).begins_late(start);
        }
        is_late
    }

    /// A partition goes on behind a gap.
    pub(super) fn pass(&mut self, tag: u32, to: i64) {
        self.partition_mut(tag).pass(to);
    }

    /// The slab's entries tell that a partition stands at `next`, as this source.
    pub(super) fn placed(&mut self, tag: u32, source: SourceNumber, next: i64) {
        self.partition_mut(tag).placed(source, next);
    }

    /// Holds a partition back until a look that begins from now on has seen its topic. False: nothing of it is read.
    pub(super) fn hold(&mut self, tag: u32) -> bool {
        let partition = &mut self.partitions[tag as usize];
        let is_read = matches!(
            partition.state(),
            PartitionState::Reading | PartitionState::OutOfRange | PartitionState::Held
        );
        if is_read {
            partition.hold(self.marks.next());
        }
        is_read
    }

    /// The partition's log was truncated at `at`; what it had up to `to` is void. Another source takes its place; gives
    /// the one before.
    pub(super) fn truncate(&mut self, tag: u32, at: i64, to: i64) -> SourceNumber {
        let partition = self.partition(tag);
        let (topic, number, before) = (partition.topic(), partition.number(), partition.source());
        let by = self.add_source(Source {
            topic,
            partition: number,
            from_start: false,
            replaces: Some(before),
            truncation: None,
        });
        self.sources[before as usize].truncation = Some(Truncation { at, to, by });
        self.partition_mut(tag).truncate(at, by);
        before
    }

    /// A value above the limit ends an incarnation.
    pub(super) fn stop(&mut self, topic: TopicNumber) {
        self.incarnations[topic as usize].is_stopped = true;
    }

    /// The consumer reads, or has read, another incarnation by the name of this one; or it has heard of this one.
    pub(super) fn set_replaced(&mut self, topic: TopicNumber, is_replaced: bool) {
        self.incarnations[topic as usize].is_replaced = is_replaced;
    }

    /// An incarnation is over.
    pub(super) fn retire(&mut self, topic: TopicNumber) {
        self.incarnations[topic as usize].is_over = true;
        self.present.retain(|&present| present != topic);
        let partitions = &self.partitions;
        self.live.retain(|&tag| partitions[tag as usize].topic() != topic);
        self.changed = true;
    }

    /// Shows the catalog to everybody; before any entry that needs it is appended.
    pub(super) fn show(&mut self) {
        if std::mem::take(&mut self.changed) {
            let topic = |incarnation: &Incarnation| Topic {
                name: Arc::clone(incarnation.topic()),
                epoch: incarnation.epoch,
                sources: incarnation.tags.iter().map(|&tag| self.partition(tag).source()).collect(),
                retired: incarnation.is_over,
            };
            let topics = self.incarnations.iter().map(topic).collect();
            self.shared.store(Arc::new(Catalog { sources: self.sources.clone(), topics }));
        }
    }

    fn add_source(&mut self, source: Source) -> SourceNumber {
        self.sources.push(source);
        self.changed = true;
        number(self.sources.len() - 1)
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("topics and partitions are few")
}
