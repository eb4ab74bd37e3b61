//! The bus: records in, entries of the slab out, answers to the shards' lookups. Who drives it brings records and time.

use std::{sync::Arc, time::Duration};

use kafka::TopicId;
use proto::{native::reply::GapReason, position::Epoch};
use slab::{Full, Writer};
use sync::Waker;
use tracing::warn;

use super::{
    channels::Channels,
    explain,
    notices::{Bounds, Notice},
    outbox::Outbox,
    publisher::{Appended, Publisher},
    tally::Tally,
    topics::{Topics, UNKNOWN},
};
use crate::{
    catalog::{SharedCatalog, Start, TopicNumber},
    config::{Limits, Route},
    inbox::{
        Answer, ChannelLookup, DataState, ExplainTopic, Grant, PartitionState, Refused, Status, ToIngest,
        ToShard,
    },
    messages::{Record, Routes},
    metrics::IngestMetrics,
};

/// Messages of the inbox handled in one call of [`Bus::answer_lookups`]: about a millisecond of work at most.
const INBOX_MESSAGES_MAX: usize = 1_024;
/// Time between two frameless entries of a partition that moves without entries.
const PLACE_INTERVAL_NS: u64 = 1_000_000_000;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// Its entries are appended, or it matched nothing and was counted.
    Done,
    /// Its offset is below the one expected: the log was truncated (an unclean election). Nothing was appended; see
    /// [`Bus::truncate`].
    Behind,
    /// Its value is above the limit and its route says to stop. Nothing was appended, and the partition did not move.
    Stop,
}

/// Records in, entries and answers out. `D` is the ring's kind of descriptor.
#[derive(Debug)]
pub struct Bus<D> {
    publisher: Publisher,
    topics: Topics,
    channels: Channels,
    routes: Routes,
    outbox: Outbox<D>,
    lookups: flume::Receiver<ToIngest>,
    stopped: bool,
    placed_ns: u64,
    metrics: Arc<IngestMetrics>,
}

impl<D> Bus<D> {
    /// A bus for these routes. `links` are the shards' inboxes and wakers, by shard; the slab's writer wakes them
    /// too.
    #[must_use]
    pub fn new(
        mut slab: Writer,
        routes: &[Route],
        limits: &Limits,
        links: Vec<(flume::Sender<ToShard<D>>, Arc<Waker>)>,
        lookups: flume::Receiver<ToIngest>,
        catalog: SharedCatalog,
        metrics: Arc<IngestMetrics>,
    ) -> Self {
        assert!(links.len() <= 64, "holders of a channel are a word of bits, one a shard");
        slab.set_wakers(links.iter().map(|(_, waker)| Arc::clone(waker)).collect());
        let routes = Routes::new(routes, limits.channel_name_bytes);
        let channels = Channels::new(limits.empty_channels, slab.tail());
        let tally = Tally::new(Arc::clone(&metrics), routes.topics());
        Self {
            publisher: Publisher::new(slab, tally, limits.record_value_bytes, Arc::clone(&metrics)),
            topics: Topics::new(catalog),
            channels,
            routes,
            outbox: Outbox::new(links),
            lookups,
            stopped: false,
            placed_ns: 0,
            metrics,
        }
    }

    /// What is read.
    pub(super) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// What is read, to change what is done with it. (What entries must tell goes through the bus.)
    pub(super) fn topics_mut(&mut self) -> &mut Topics {
        &mut self.topics
    }

    /// The offset expected next of a partition; negative: not known yet.
    #[must_use]
    pub fn next_offset(&self, tag: u32) -> i64 {
        self.topics.partition(tag).next()
    }

    /// The same of all partitions of a topic, by their numbers.
    pub fn next_offsets(&self, topic: TopicNumber) -> impl Iterator<Item = i64> {
        self.topics.incarnation(topic).tags().iter().map(|&tag| self.next_offset(tag))
    }

    /// A part of a record is in the slab: the rest comes before anything else.
    #[must_use]
    pub fn is_mid_record(&self) -> bool {
        self.publisher.is_mid_record()
    }

    /// Nothing waits: no inbox message, no answer, no gap notice. What the driver looks at again before it sleeps.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lookups.is_empty() && !self.outbox.is_waiting() && !self.publisher.has_notices()
    }

    /// The shard that keeps the slab full: the one farthest behind the floor asked for.
    #[must_use]
    pub fn behind(&self) -> Option<usize> {
        self.publisher.behind()
    }

    /// Channels that some shard holds; for tests and the oracle of the simulation.
    #[must_use]
    pub fn held(&self) -> usize {
        self.channels.held().count()
    }

    /// The number of a channel's name, if it has one; for tests and the oracle of the simulation.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<u32> {
        self.channels.find(name)
    }
}

/// Records, and what becomes of partitions.
impl<D> Bus<D> {
    /// Takes the next record of a partition; `now_ns` is the monotonic clock.
    ///
    /// # Errors
    /// [`Full`]: a shard has yet to acknowledge the floor. The caller keeps the record, goes on answering lookups, and
    /// comes again with the same record.
    pub fn accept(&mut self, tag: u32, record: &Record<'_>, now_ns: u64) -> Result<Taken, Full> {
        self.append_notices(now_ns)?;
        let Self { publisher, topics, channels, .. } = self;
        if record.offset < topics.partition(tag).next() {
            return Ok(Taken::Behind);
        }
        let appended = publisher.append(topics, channels, tag, record, now_ns)?;
        if appended == Appended::Stop {
            return Ok(Taken::Stop);
        }
        topics.took(tag, record, appended == Appended::Entries);
        Ok(Taken::Done)
    }

    /// Appends what is due without a record: gap notices, and once a second the partitions that moved without entries.
    ///
    /// # Errors
    /// [`Full`], as [`Self::accept`].
    pub fn turn(&mut self, now_ns: u64) -> Result<(), Full> {
        if !self.publisher.has_notices() && now_ns.saturating_sub(self.placed_ns) >= PLACE_INTERVAL_NS {
            self.placed_ns = now_ns;
            for (tag, source, next) in self.topics.moved() {
                self.publisher.notify(Notice::Place(tag, source, next));
            }
        }
        self.append_notices(now_ns)
    }

    /// Shows the shards what was appended and wakes those that sleep.
    pub fn publish(&mut self) {
        self.topics.show();
        self.publisher.publish(&mut self.channels);
        self.metrics.channels.set(self.channels.len() as u64);
        self.metrics.empty_channels.set(self.channels.empty() as u64);
    }

    /// Begins an incarnation of a topic. Its earlier incarnation, if any, is to be retired first.
    pub fn add_topic(&mut self, name: &str, epoch: Epoch) -> TopicNumber {
        self.begin_incarnation(name, epoch, None)
    }

    /// The same, where the topic may have an id.
    pub(super) fn begin_incarnation(&mut self, name: &str, epoch: Epoch, id: Option<TopicId>) -> TopicNumber {
        self.topics.begin(epoch, id, self.routes.of_topic(name))
    }

    /// Adds a topic's next partition; gives its tag. Where its start is not known yet, [`Self::skip`] tells it later.
    pub fn add_partition(&mut self, topic: TopicNumber, start: Start) -> u32 {
        let tag = self.topics.add(topic, start == Start::Beginning);
        if let Start::At(offset) = start {
            self.skip(tag, offset);
        }
        self.metrics.partitions.set(self.topics.live().len() as u64);
        tag
    }

    /// The partition has moved to this next offset without records for us (control and aborted records, compaction).
    pub fn skip(&mut self, tag: u32, next_offset: i64) {
        if self.topics.skip(tag, next_offset) {
            self.place(tag);
        }
    }

    /// The start of a partition is found that was not known. Clients hold 0 for one that is read from its beginning: they
    /// are told what of it is gone.
    pub fn begin(&mut self, tag: u32, start: i64) {
        if self.topics.begins_late(tag, start) {
            return self.gap(tag, GapReason::Retention, 0, start - 1);
        }
        self.skip(tag, start);
    }

    /// What whoever drives the bus does with a partition, and its end where known: for those who ask.
    pub fn note(&mut self, tag: u32, state: PartitionState, end: Option<i64>) {
        let partition = self.topics.partition_mut(tag);
        partition.set_state(state);
        partition.note_end(end);
    }

    /// Announces a gap, from one offset to the last that is missing, to all channels of its topic: one entry, whoever is
    /// subscribed. It comes before any record accepted later. The partition goes on behind it.
    pub fn gap(&mut self, tag: u32, reason: GapReason, from: i64, to: i64) {
        debug_assert!(from <= to, "a gap has at least one offset: {from} to {to} of {tag}");
        let source = self.topics.partition(tag).source();
        self.publisher.notify(Notice::Gap(Bounds { tag, source, from, to }, reason));
        self.topics.pass(tag, to);
    }

    /// The topic's present incarnation is over: announces `reset` for all its partitions, and retires it. `bounds`, by
    /// partition, are the first offset that is void, at most the next one, and the end that was known last (exclusive).
    pub fn retire(&mut self, topic: TopicNumber, bounds: &[(i64, i64)]) {
        let tags = self.topics.incarnation(topic).tags().to_vec();
        for (partition, tag) in tags.into_iter().enumerate() {
            // Clients hold 0 for one that was to be read from its beginning, even if nothing was ever read of it.
            let next = match self.next_offset(tag) {
                UNKNOWN if self.topics.is_from_start(tag) => 0,
                next => next,
            };
            let (from, end) = bounds.get(partition).copied().unwrap_or((next, UNKNOWN));
            if next != UNKNOWN {
                self.gap(tag, GapReason::Reset, from.max(0), next.max(end - 1).max(from));
            }
        }
        self.topics.retire(topic);
        self.metrics.partitions.set(self.topics.live().len() as u64);
    }

    /// The partition's log was truncated at `offset` (an unclean election), or goes on there: what came from there on is
    /// void. Announces it and goes on at `offset` as another source, so that positions never mix the two histories.
    pub fn truncate(&mut self, tag: u32, offset: i64) {
        let expected = self.next_offset(tag);
        let (topic, partition) = self.topics.name(tag);
        warn!(topic = &*topic, partition, offset, expected, "log truncated: clients get a gap notice");
        let to = offset.max(expected - 1);
        let source = self.topics.truncate(tag, offset, to);
        self.publisher.notify(Notice::Truncation(Bounds { tag, source, from: offset, to }));
        self.place(tag);
    }

    /// Tells the slab where a partition is.
    fn place(&mut self, tag: u32) {
        let partition = self.topics.partition(tag);
        if partition.next() >= 0 {
            self.publisher.notify(Notice::Place(tag, partition.source(), partition.next()));
        }
    }

    fn append_notices(&mut self, now_ns: u64) -> Result<(), Full> {
        // Before any entry that needs it: what is appended may be published at once, by a new floor.
        self.topics.show();
        self.publisher.append_notices(&mut self.topics, &mut self.channels, now_ns)
    }
}

/// Shards, and the admin thread.
impl<D> Bus<D> {
    /// Handles messages from shards and tries again what found an inbox full; never waits. False once ingest is to end.
    pub fn answer_lookups(&mut self) -> bool {
        for _ in 0..INBOX_MESSAGES_MAX {
            match self.lookups.try_recv() {
                Ok(message) => self.handle(message),
                Err(flume::TryRecvError::Disconnected) => self.stopped = true,
                Err(flume::TryRecvError::Empty) => break,
            }
            if self.stopped {
                break;
            }
        }
        self.outbox.deliver();
        !self.stopped
    }

    /// Waits up to `timeout` for a message of the inbox: what the ingest thread does while the slab is full.
    pub fn await_message(&mut self, timeout: Duration) {
        if let Ok(message) = self.lookups.recv_timeout(timeout) {
            self.handle(message);
        }
    }

    /// Tells all shards about the state of all data.
    pub fn state(&mut self, state: DataState) {
        self.status(&Status { topic: None, state });
    }

    /// Tells all shards about the state of a topic's data, or of all.
    pub fn status(&mut self, status: &Status) {
        self.outbox.status(status);
        self.outbox.deliver();
    }

    fn handle(&mut self, message: ToIngest) {
        match message {
            ToIngest::Lookup(lookup) => self.answer(lookup),
            ToIngest::Release { shard, channel } => self.channels.release(channel, shard),
            ToIngest::Explain(ExplainTopic { topic, channels, reply }) => {
                let facts = explain::facts(&self.topics, &self.channels, &self.publisher, &topic, &channels);
                // If the asker still waits.
                let _ = reply.try_send(facts);
            }
            ToIngest::Stop => self.stopped = true,
        }
    }

    fn answer(&mut self, lookup: ChannelLookup) {
        let ChannelLookup { shard, name, modest } = lookup;
        let outcome = self.grant(shard, &name, modest);
        self.metrics.questions.add(1);
        self.outbox.answer(shard, Answer { name, outcome });
    }

    fn grant(&mut self, shard: usize, name: &Arc<str>, modest: bool) -> Result<Grant, Refused> {
        let known = self.channels.find(name).and_then(|channel| self.channels.topics(channel));
        let set = known.or_else(|| self.routes.topics_of(name)).ok_or(Refused::Unknown)?;
        let channel = self.channels.hold(name, shard, modest).map_err(|_| Refused::TooMany)?;
        self.channels.set_topics(channel, set);
        Ok(Grant { channel, topics: Arc::clone(self.routes.set(set)) })
    }
}
