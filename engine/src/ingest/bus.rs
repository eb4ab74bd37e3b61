//! The bus: records in, entries of the slab out, and the answers to the shards' lookups. No Kafka in it, and no clock:
//! whoever drives it (the ingest thread, the simulation) brings records and the time.

use std::{sync::Arc, time::Duration};

use proto::{native::reply::GapReason, position::Epoch};

use super::{
    channels::Channels,
    notices::{Bounds, Notice, Notices},
    outbox::Outbox,
    sources::{Sources, UNKNOWN},
    tally::Tally,
};
use crate::{
    catalog::{SharedCatalog, SourceNumber, Start, TopicNumber},
    config::{Limits, Oversized, Route},
    inbox::{Answer, ChannelLookup, DataState, Grant, PartitionState, Refused, Status, ToIngest, ToShard},
    messages::{Encoder, Keys, NoName, Odd, Record, Routes},
    metrics::IngestMetrics,
    slab::{Full, Gap, Meta, NO_CHANNEL, Waker, Writer},
};

/// Messages of the inbox handled in one call of [`Bus::answer_lookups`]: about a millisecond of work at most.
const INBOX_MESSAGES_MAX: usize = 1_024;
/// Time between two frameless entries of a partition that moves without entries.
const PLACE_INTERVAL_NS: u64 = 1_000_000_000;
/// Kafka timestamp of entries that stand for no record.
const NO_TIMESTAMP: i64 = -1;

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

/// The single writer of the slab. `D` is the ring's kind of descriptor.
#[derive(Debug)]
pub struct Bus<D> {
    pub(super) slab: Writer,
    routes: Routes,
    pub(super) sources: Sources,
    pub(super) channels: Channels,
    notices: Notices,
    encoder: Encoder,
    pending: Option<Pending>,
    outbox: Outbox<D>,
    lookups: flume::Receiver<ToIngest>,
    stopped: bool,
    value_bytes_max: usize,
    now_ns: u64,
    placed_ns: u64,
    /// Of each incarnation of a topic, some keys lately read.
    pub(super) keys: Vec<Keys>,
    tally: Tally,
    metrics: Arc<IngestMetrics>,
}

/// A record in the middle of which the slab was full.
#[derive(Debug, Clone, Copy)]
struct Pending {
    source: SourceNumber,
    offset: i64,
    /// Index among the topic's routes: those before are done.
    route: usize,
    /// The record already has an entry.
    matched: bool,
    /// Its frame for the route waits in the encoder.
    encoded: bool,
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
        Self {
            tally: Tally::new(Arc::clone(&metrics), routes.topics()),
            keys: Vec::new(),
            routes,
            sources: Sources::new(catalog),
            channels: Channels::new(limits.empty_channels, slab.tail()),
            slab,
            notices: Notices::new(),
            encoder: Encoder::default(),
            pending: None,
            outbox: Outbox::new(links),
            lookups,
            stopped: false,
            value_bytes_max: limits.record_value_bytes,
            now_ns: 0,
            placed_ns: 0,
            metrics,
        }
    }

    /// Begins an incarnation of a topic. Its earlier incarnation, if any, is to be retired first.
    pub fn add_topic(&mut self, name: &str, epoch: Epoch) -> TopicNumber {
        self.keys.push(Keys::default());
        self.sources.add_topic(epoch, self.routes.of_topic(name))
    }

    /// Adds a partition of a topic, in the order of their numbers. Where its start is not known yet, [`Self::skip`] tells it
    /// later.
    pub fn add_source(&mut self, topic: TopicNumber, partition: u32, start: Start) -> SourceNumber {
        let source = self.sources.add_source(topic, partition, start == Start::Beginning);
        if let Start::At(offset) = start {
            self.skip(source, offset);
        }
        self.metrics.partitions.set(self.sources.live() as u64);
        source
    }

    /// The offset expected next of a source; negative: not known yet.
    #[must_use]
    pub fn next_offset(&self, source: SourceNumber) -> i64 {
        self.sources.source(source).next
    }

    /// Sources of a topic, by partition.
    #[must_use]
    pub fn sources(&self, topic: TopicNumber) -> &[SourceNumber] {
        self.sources.of_topic(topic)
    }

    /// Some route of the topic reads record headers; else a record may come without them.
    #[must_use]
    pub fn wants_headers(&self, topic: TopicNumber) -> bool {
        self.sources.topic(topic).routes.wants_headers()
    }

    /// Takes the next record of a source; `now_ns` is the monotonic clock.
    ///
    /// # Errors
    /// [`Full`]: a shard has yet to acknowledge the floor. The caller keeps the record, goes on answering lookups, and
    /// comes again with the same record.
    pub fn accept(&mut self, source: SourceNumber, record: &Record<'_>, now_ns: u64) -> Result<Taken, Full> {
        self.now_ns = now_ns;
        self.work()?;
        if record.offset < self.sources.source(source).next {
            return Ok(Taken::Behind);
        }
        let state = self.sources.source(source);
        let topic = self.sources.topic(state.topic);
        self.encoder.name(&topic.routes, state.partition, record);
        let oversized = record.value.is_some_and(|value| value.len() > self.value_bytes_max);
        if oversized && topic.routes.stops() && self.would_stop(source) {
            return Ok(Taken::Stop);
        }
        let matched = self.append_routes(source, record, oversized)?;
        self.metrics.records.add(1);
        self.metrics.value_bytes.add(record.value.map_or(0, <[u8]>::len) as u64);
        let state = self.sources.source_mut(source);
        self.keys[state.topic as usize].see(state.partition, record);
        state.next = record.offset + 1;
        if matched {
            state.placed = state.next;
        }
        Ok(Taken::Done)
    }

    /// The partition has moved to this next offset without records for us (control and aborted records, compaction).
    pub fn skip(&mut self, source: SourceNumber, next_offset: i64) {
        let state = self.sources.source_mut(source);
        let first = state.next == UNKNOWN && next_offset >= 0;
        state.next = state.next.max(next_offset);
        if first {
            state.first = next_offset;
            self.place(source);
        }
    }

    /// The start of a source is found that was not known. Clients hold 0 for one that is read from its beginning: they are
    /// told what of it is gone.
    pub fn begin(&mut self, source: SourceNumber, start: i64) {
        let state = self.sources.source(source);
        if state.next == UNKNOWN && start > 0 && self.sources.is_from_start(source) {
            self.sources.source_mut(source).first = start;
            let bounds = Bounds { source, from: 0, to: start - 1 };
            return self.gap(GapReason::Retention, vec![bounds]);
        }
        self.skip(source, start);
    }

    /// What whoever drives the bus does with a partition, and its end where known: for those who ask.
    pub fn note(&mut self, source: SourceNumber, state: PartitionState, end: Option<i64>) {
        let noted = self.sources.source_mut(source);
        noted.state = state;
        noted.end = end.unwrap_or(noted.end);
    }

    /// Announces gaps of one topic to all its channels, one entry each, whoever is subscribed. They come before any record
    /// accepted later. A source goes on behind its gap.
    pub fn gap(&mut self, reason: GapReason, bounds: Vec<Bounds>) {
        for bounds in bounds {
            debug_assert!(bounds.from <= bounds.to, "a gap has at least one offset: {bounds:?}");
            self.notices.push_back(Notice::Gap(bounds, reason));
            let state = self.sources.source_mut(bounds.source);
            state.next = state.next.max(bounds.to + 1);
        }
    }

    /// The topic's present incarnation is over: announces `reset` for all its partitions, and retires it. `bounds`, by
    /// partition, are the first offset that is void, at most the next one, and the end that was known last (exclusive).
    pub fn retire(&mut self, topic: TopicNumber, bounds: &[(i64, i64)]) {
        let sources = self.sources.of_topic(topic).to_vec();
        let reset = |(partition, source): (usize, SourceNumber)| {
            // Clients hold 0 for one that was to be read from its beginning, even if nothing was ever read of it.
            let next = match self.next_offset(source) {
                UNKNOWN if self.sources.is_from_start(source) => 0,
                next => next,
            };
            let (from, end) = bounds.get(partition).copied().unwrap_or((next, UNKNOWN));
            (next != UNKNOWN).then(|| Bounds { source, from: from.max(0), to: next.max(end - 1).max(from) })
        };
        let bounds = sources.into_iter().enumerate().filter_map(reset).collect();
        self.gap(GapReason::Reset, bounds);
        self.sources.retire(topic);
        self.metrics.partitions.set(self.sources.live() as u64);
    }

    /// The partition's log was truncated at `offset` (an unclean election): what came from there on is void. Announces
    /// it and goes on at `offset` as a new source, so that positions never mix the two histories.
    pub fn truncate(&mut self, source: SourceNumber, offset: i64) -> SourceNumber {
        let state = self.sources.source(source);
        let to = offset.max(state.next - 1);
        self.notices.push_back(Notice::Truncation(Bounds { source, from: offset, to }));
        let by = self.sources.truncate(source, offset, to);
        self.skip(by, offset);
        by
    }

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

    /// A part of a record is in the slab: the rest comes before anything else.
    #[must_use]
    pub fn is_mid_record(&self) -> bool {
        self.pending.is_some()
    }

    /// Nothing waits: no inbox message, no answer, no gap notice. What the driver looks at again before it sleeps.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lookups.is_empty() && !self.outbox.is_waiting() && self.notices.is_empty()
    }

    /// Tells all shards about the state of all data.
    pub fn state(&mut self, state: DataState) {
        self.status(&Status { topic: None, state });
    }

    /// Tells all shards about the state of a topic's data.
    pub fn status(&mut self, status: &Status) {
        self.outbox.status(status);
        self.outbox.deliver();
    }

    /// Appends what is due without a record: gap notices, and once a second the partitions that moved without entries.
    ///
    /// # Errors
    /// [`Full`], as [`Self::accept`].
    pub fn turn(&mut self, now_ns: u64) -> Result<(), Full> {
        self.now_ns = now_ns;
        if self.notices.is_empty() && now_ns.saturating_sub(self.placed_ns) >= PLACE_INTERVAL_NS {
            self.placed_ns = now_ns;
            self.notices.extend(self.sources.moved().map(|(source, next)| Notice::Place(source, next)));
        }
        self.work()
    }

    /// Shows the shards what was appended and wakes those that sleep.
    pub fn publish(&mut self) {
        self.sources.show();
        self.slab.publish();
        self.channels.sweep(self.slab.tail(), self.slab.reclaimed());
        self.metrics.channels.set(self.channels.len() as u64);
        self.metrics.empty_channels.set(self.channels.empty() as u64);
    }

    /// The shard that keeps the slab full: the one farthest behind the floor asked for.
    #[must_use]
    pub fn behind(&self) -> Option<usize> {
        self.slab.behind()
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

/// Records.
impl<D> Bus<D> {
    /// One entry for each channel that routes make of the record. True if there was one.
    fn append_routes(
        &mut self,
        source: SourceNumber,
        record: &Record<'_>,
        oversized: bool,
    ) -> Result<bool, Full> {
        let offset = record.offset;
        let begin = Pending { source, offset, route: 0, matched: false, encoded: false };
        let resumed = self.pending.take().filter(|at| (at.source, at.offset) == (source, offset));
        let mut at = resumed.unwrap_or(begin);
        let mut miss = None;
        let routes = self.sources.topic(self.sources.source(source).topic).routes.len();
        while at.route < routes {
            match self.encoder.named(at.route) {
                Ok(_) => {
                    if !at.encoded {
                        self.encode(source, at.route, record, oversized);
                    }
                    self.append_encoded(source, record, at, routes)?;
                    at.matched = true;
                }
                Err(NoName::Repeated) => self.metrics.repeated.add(1),
                Err(NoName::Miss(reason)) => miss = miss.or(Some((at.route, reason))),
            }
            at.route += 1;
            at.encoded = false;
        }
        if !at.matched {
            let state = self.sources.source(source);
            self.tally.missed(&self.sources.topic(state.topic).routes, state.partition, record, miss);
        }
        Ok(at.matched)
    }

    /// The frame of a record by one route, into the encoder.
    fn encode(&mut self, source: SourceNumber, route: usize, record: &Record<'_>, oversized: bool) {
        let state = self.sources.source(source);
        let topic = self.sources.topic(state.topic);
        let odd = if oversized {
            self.encoder.oversized(route, &self.sources.position(source, record.offset));
            Some(Odd::Oversized)
        } else {
            self.encoder.message(route, &topic.routes, &topic.epoch, state.partition, record)
        };
        if let Some(odd) = odd {
            self.tally.odd(&topic.routes, state.partition, record, odd);
        }
    }

    /// Appends the frame in the encoder, or remembers that it is there.
    fn append_encoded(
        &mut self,
        source: SourceNumber,
        record: &Record<'_>,
        at: Pending,
        routes: usize,
    ) -> Result<(), Full> {
        let Ok(name) = self.encoder.named(at.route) else { return Ok(()) };
        let channel = self.channels.for_record(name);
        let meta =
            Meta { channel, source, offset: record.offset, ts_ms: record.ts_ms, ingest_ns: self.now_ns };
        // Only the last entry of a record moves its partition: what still follows must not be taken for delivered.
        let is_part = (at.route + 1..routes).any(|later| self.encoder.named(later).is_ok());
        if let Err(full) = self.append_frame(meta, is_part) {
            self.channels.unused(channel);
            self.pending = Some(Pending { encoded: true, ..at });
            return Err(full);
        }
        Ok(())
    }

    /// Whether a route that stops at values above the limit takes the record whose names the encoder has.
    fn would_stop(&self, source: SourceNumber) -> bool {
        let routes = self.sources.topic(self.sources.source(source).topic).routes.all().iter().enumerate();
        let mut stops = routes.filter(|(_, route)| route.oversized == Oversized::Stop);
        stops.any(|(index, _)| self.encoder.named(index).is_ok())
    }

    fn append_frame(&mut self, meta: Meta, is_part: bool) -> Result<(), Full> {
        self.sources.show();
        let frames = [&self.encoder.frame[..]];
        let sequence =
            if is_part { self.slab.append_part(meta, frames)? } else { self.slab.append(meta, frames)? };
        self.channels.appended(meta.channel, sequence);
        self.metrics.entries.add(1);
        Ok(())
    }
}

/// What comes before records.
impl<D> Bus<D> {
    /// Tells the slab where a partition is.
    fn place(&mut self, source: SourceNumber) {
        let next = self.sources.source(source).next;
        if next >= 0 {
            self.notices.push_back(Notice::Place(source, next));
        }
    }

    /// Works off the notices, but not in the middle of a record: its entries stand together.
    fn work(&mut self) -> Result<(), Full> {
        if self.is_mid_record() {
            return Ok(());
        }
        while let Some(&notice) = self.notices.front() {
            match notice {
                Notice::Place(source, next) => self.append_place(source, next)?,
                Notice::Gap(bounds, reason) => self.append_gap(bounds, reason, false)?,
                Notice::Truncation(bounds) => self.append_gap(bounds, GapReason::Reset, true)?,
            }
            self.notices.pop_front();
        }
        Ok(())
    }

    fn append_place(&mut self, source: SourceNumber, next: i64) -> Result<(), Full> {
        if self.sources.source(source).placed >= next {
            return Ok(());
        }
        self.sources.show();
        let ingest_ns = self.now_ns;
        let meta = Meta { channel: NO_CHANNEL, source, offset: next - 1, ts_ms: NO_TIMESTAMP, ingest_ns };
        self.slab.append(meta, [&[]])?;
        self.channels.appended_to_none();
        self.sources.source_mut(source).placed = next;
        Ok(())
    }

    fn append_gap(&mut self, bounds: Bounds, reason: GapReason, is_part: bool) -> Result<(), Full> {
        self.sources.show();
        let Bounds { source, from, to } = bounds;
        let gap = Gap { source, from, to, reason: reason.code() };
        self.slab.append_gap(gap, if is_part { from } else { to + 1 }, self.now_ns)?;
        self.channels.appended_to_none();
        if !is_part {
            let state = self.sources.source_mut(source);
            state.placed = state.placed.max(to + 1);
        }
        match reason {
            GapReason::Reset => self.metrics.reset_gaps.add(1),
            GapReason::Retention => self.metrics.retention_gaps.add(1),
            GapReason::Unreadable => self.metrics.unreadable_gaps.add(1),
            GapReason::Slow | GapReason::Conflated | GapReason::Oversized => {}
        }
        Ok(())
    }
}

/// Channels.
impl<D> Bus<D> {
    fn handle(&mut self, message: ToIngest) {
        match message {
            ToIngest::Lookup(lookup) => self.answer(lookup),
            ToIngest::Release { shard, channel } => self.channels.release(channel, shard),
            ToIngest::Explain(asked) => self.explain(&asked),
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
