//! The slab's writing end: messages and notices in their order, published at once. Where the slab is full it remembers how
//! far it came, and goes on there.

use std::sync::Arc;

use proto::{native::reply::GapReason, position::Position};
use slab::{Entry, Full, Gap, Meta, NO_CHANNEL, Writer};

use super::{
    channels::Channels,
    notices::{Bounds, Notice, Notices},
    tally::Tally,
    topics::{Incarnation, Partition, Topics},
};
use crate::{
    catalog::SourceNumber,
    config::Oversized,
    messages::{Encoder, NoName, Odd, Record, TopicRoutes},
    metrics::IngestMetrics,
};

/// Kafka timestamp of entries that stand for no record.
const NO_TIMESTAMP: i64 = -1;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// It has entries.
    Entries,
    /// It matched nothing, and was counted.
    Nothing,
    /// Its value is above the limit and its route says to stop: nothing was appended.
    Stop,
}

/// The single writer of the slab.
#[derive(Debug)]
pub(super) struct Publisher {
    writer: Writer,
    encoder: Encoder,
    notices: Notices,
    /// A record in the middle of which the slab was full.
    pending: Option<Pending>,
    tally: Tally,
    value_bytes_max: usize,
    metrics: Arc<IngestMetrics>,
}

/// How far a record's entries have come.
#[derive(Debug, Clone, Copy)]
struct Pending {
    tag: u32,
    offset: i64,
    /// Index among the topic's routes: those before are done.
    route: usize,
    /// The record already has an entry.
    matched: bool,
    /// Its frame for the route waits in the encoder.
    encoded: bool,
}

/// Where a record comes from, and when it was read.
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    topic: &'a Incarnation,
    partition: &'a Partition,
    now_ns: u64,
}

impl Publisher {
    /// Tells readers what it appends from the writer's tail on; `tally` counts what reaches nobody.
    pub(super) fn new(
        writer: Writer,
        tally: Tally,
        value_bytes_max: usize,
        metrics: Arc<IngestMetrics>,
    ) -> Self {
        Self {
            writer,
            encoder: Encoder::default(),
            notices: Notices::new(),
            pending: None,
            tally,
            value_bytes_max,
            metrics,
        }
    }

    /// A part of a record is in the slab: the rest comes before anything else.
    pub(super) fn is_mid_record(&self) -> bool {
        self.pending.is_some()
    }

    /// Notices wait to be appended.
    pub(super) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// The shard that keeps the slab full: the one farthest behind the floor asked for.
    pub(super) fn behind(&self) -> Option<usize> {
        self.writer.behind()
    }

    /// An entry, unless all readers have acknowledged it away.
    pub(super) fn entry(&self, sequence: u64) -> Option<Entry> {
        (sequence >= self.writer.reclaimed()).then(|| self.writer.entry(sequence))
    }

    /// A notice is due before any record that comes later.
    pub(super) fn notify(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    /// Shows the shards what was appended and wakes those that sleep.
    pub(super) fn publish(&mut self, channels: &mut Channels) {
        self.writer.publish();
        channels.sweep(self.writer.tail(), self.writer.reclaimed());
    }
}

/// Records.
impl Publisher {
    /// Appends one entry for each channel that routes make of the next record of a partition.
    ///
    /// # Errors
    /// [`Full`]: it is to be called with the same record again, and with no other.
    pub(super) fn append(
        &mut self,
        topics: &Topics,
        channels: &mut Channels,
        tag: u32,
        record: &Record<'_>,
        now_ns: u64,
    ) -> Result<Appended, Full> {
        let origin = Origin { topic: topics.of(tag), partition: topics.partition(tag), now_ns };
        let routes = origin.topic.routes();
        self.encoder.name(routes, origin.partition.number(), record);
        let oversized = record.value.is_some_and(|value| value.len() > self.value_bytes_max);
        if oversized && routes.stops() && self.would_stop(routes) {
            return Ok(Appended::Stop);
        }
        let begin = Pending { tag, offset: record.offset, route: 0, matched: false, encoded: false };
        let resumed = self.pending.take().filter(|at| (at.tag, at.offset) == (tag, record.offset));
        let matched = self.append_routes(origin, channels, record, resumed.unwrap_or(begin), oversized)?;
        self.metrics.records.add(1);
        self.metrics.value_bytes.add(record.value.map_or(0, <[u8]>::len) as u64);
        Ok(if matched { Appended::Entries } else { Appended::Nothing })
    }

    /// The entries of a record that are left. True if it has one.
    fn append_routes(
        &mut self,
        origin: Origin<'_>,
        channels: &mut Channels,
        record: &Record<'_>,
        mut at: Pending,
        oversized: bool,
    ) -> Result<bool, Full> {
        let routes = origin.topic.routes();
        let mut miss = None;
        while at.route < routes.len() {
            match self.encoder.named(at.route) {
                Ok(_) => {
                    if !at.encoded {
                        self.encode(origin, at.route, record, oversized);
                    }
                    self.append_encoded(origin, channels, record, at)?;
                    at.matched = true;
                }
                Err(NoName::Repeated) => self.metrics.repeated.add(1),
                Err(NoName::Miss(reason)) => miss = miss.or(Some((at.route, reason))),
            }
            at.route += 1;
            at.encoded = false;
        }
        if !at.matched {
            self.tally.missed(routes, origin.partition.number(), record, miss);
        }
        Ok(at.matched)
    }

    /// The frame of a record by one route, into the encoder.
    fn encode(&mut self, origin: Origin<'_>, route: usize, record: &Record<'_>, oversized: bool) {
        let (routes, epoch, partition) =
            (origin.topic.routes(), origin.topic.epoch(), origin.partition.number());
        let odd = if oversized {
            let position = Position { epoch: *epoch, partition, offset: record.offset };
            self.encoder.oversized(route, &position);
            Some(Odd::Oversized)
        } else {
            self.encoder.message(route, routes, epoch, partition, record)
        };
        if let Some(odd) = odd {
            self.tally.odd(routes, partition, record, odd);
        }
    }

    /// Appends the frame in the encoder, or remembers that it is there.
    fn append_encoded(
        &mut self,
        origin: Origin<'_>,
        channels: &mut Channels,
        record: &Record<'_>,
        at: Pending,
    ) -> Result<(), Full> {
        let Ok(name) = self.encoder.named(at.route) else { return Ok(()) };
        let channel = channels.for_record(name);
        let meta = Meta {
            channel,
            source: origin.partition.source(),
            offset: record.offset,
            ts_ms: record.ts_ms,
            ingest_ns: origin.now_ns,
        };
        // Only the last entry of a record moves its partition: what still follows must not be taken for delivered.
        let mut later = at.route + 1..origin.topic.routes().len();
        let is_part = later.any(|later| self.encoder.named(later).is_ok());
        let frames = [&self.encoder.frame[..]];
        let appended =
            if is_part { self.writer.append_part(meta, frames) } else { self.writer.append(meta, frames) };
        match appended {
            Ok(sequence) => {
                channels.appended(channel, sequence);
                self.metrics.entries.add(1);
                Ok(())
            }
            Err(full) => {
                channels.unused(channel);
                self.pending = Some(Pending { encoded: true, ..at });
                Err(full)
            }
        }
    }

    /// Whether a route that stops at values above the limit takes the record whose names the encoder has.
    fn would_stop(&self, routes: &TopicRoutes) -> bool {
        let mut stops =
            routes.all().iter().enumerate().filter(|(_, route)| route.oversized == Oversized::Stop);
        stops.any(|(index, _)| self.encoder.named(index).is_ok())
    }
}

/// What comes before records.
impl Publisher {
    /// Appends the notices that are due, but not in the middle of a record: its entries stand together.
    ///
    /// # Errors
    /// [`Full`]: those that are left are tried again with the next call.
    pub(super) fn append_notices(
        &mut self,
        topics: &mut Topics,
        channels: &mut Channels,
        now_ns: u64,
    ) -> Result<(), Full> {
        if self.is_mid_record() {
            return Ok(());
        }
        while let Some(&notice) = self.notices.front() {
            match notice {
                Notice::Place(tag, source, next) => {
                    if !topics.is_placed(tag, source, next) {
                        self.append_place(source, next, now_ns)?;
                        channels.appended_to_none();
                        topics.placed(tag, source, next);
                    }
                }
                Notice::Gap(bounds, reason) => {
                    self.append_gap(bounds, reason, bounds.to + 1, now_ns)?;
                    channels.appended_to_none();
                    topics.placed(bounds.tag, bounds.source, bounds.to + 1);
                }
                // A part: the place of the source that goes on says how the partition does.
                Notice::Truncation(bounds) => {
                    self.append_gap(bounds, GapReason::Reset, bounds.from, now_ns)?;
                    channels.appended_to_none();
                }
            }
            self.notices.pop_front();
        }
        Ok(())
    }

    fn append_place(&mut self, source: SourceNumber, next: i64, ingest_ns: u64) -> Result<(), Full> {
        let meta = Meta { channel: NO_CHANNEL, source, offset: next - 1, ts_ms: NO_TIMESTAMP, ingest_ns };
        self.writer.append(meta, [&[]]).map(drop)
    }

    fn append_gap(
        &mut self,
        bounds: Bounds,
        reason: GapReason,
        next_offset: i64,
        now_ns: u64,
    ) -> Result<(), Full> {
        let Bounds { source, from, to, .. } = bounds;
        let gap = Gap { source, from, to, reason: reason.code() };
        self.writer.append_gap(gap, next_offset, now_ns)?;
        match reason {
            GapReason::Reset => self.metrics.reset_gaps.add(1),
            GapReason::Retention => self.metrics.retention_gaps.add(1),
            GapReason::Unreadable => self.metrics.unreadable_gaps.add(1),
            GapReason::Slow | GapReason::Conflated | GapReason::Oversized => {}
        }
        Ok(())
    }
}
