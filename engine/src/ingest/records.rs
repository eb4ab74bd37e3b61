//! From deliveries to the bus. Nothing here waits: a record that finds the slab full is left with the consumer and comes
//! again.

use std::sync::Arc;

use kafka::{Delivery, Flow, TopicId};
use proto::native::reply::GapReason;
use tracing::{info, warn};

use super::{
    bus::{Bus, Taken},
    faults::{Faults, Kind},
    topics::TruncatedAt,
    watcher::{Asks, TopicLookup},
};
use crate::{
    catalog::TopicNumber,
    inbox::PartitionState,
    messages::{self, Record},
    metrics::IngestMetrics,
};

/// Records, and bytes of their values, taken in one turn: latency does not grow with what has piled up.
const RECORDS_A_TURN: usize = 128;
const BYTES_A_TURN: usize = 256 * 1024;

/// What has come of deliveries.
#[derive(Debug)]
pub(super) struct Records {
    /// Taken in this turn.
    records: usize,
    bytes: usize,
    /// The slab did not take everything in this turn.
    is_full: bool,
    /// Records came since this was last asked.
    came: bool,
    /// Incarnations that a value above the limit has ended, to be unassigned.
    stopped: Vec<TopicNumber>,
    metrics: Arc<IngestMetrics>,
}

impl Records {
    pub(super) fn new(metrics: Arc<IngestMetrics>) -> Self {
        Self { records: 0, bytes: 0, is_full: false, came: false, stopped: Vec::new(), metrics }
    }

    /// A new turn: nothing is taken yet.
    pub(super) fn begin_turn(&mut self, is_full: bool) {
        (self.records, self.bytes, self.is_full) = (0, 0, is_full);
    }

    /// The slab did not take everything in this turn.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Records came since this was last asked.
    pub(super) fn take_came(&mut self) -> bool {
        std::mem::take(&mut self.came)
    }

    /// Incarnations that a value above the limit has ended since this was last asked: their partitions are to be unassigned.
    pub(super) fn take_stopped(&mut self) -> Vec<TopicNumber> {
        std::mem::take(&mut self.stopped)
    }
}

/// The consumer left records out in front of the one at `end`, or in front of where it stands: clients are told.
pub(super) fn end_hole<D>(bus: &mut Bus<D>, tag: u32, end: i64) {
    if !bus.topics_mut().partition_mut(tag).take_hole() {
        return;
    }
    let from = bus.next_offset(tag);
    if (0..end).contains(&from) {
        bus.gap(tag, GapReason::Unreadable, from, end - 1);
    }
}

/// Where the deliveries of one turn go: everything of the ingest thread but the consumer, which lends them.
#[derive(Debug)]
pub(super) struct Intake<'a, D> {
    pub(super) records: &'a mut Records,
    pub(super) bus: &'a mut Bus<D>,
    pub(super) faults: &'a mut Faults,
    pub(super) asks: &'a mut Asks,
    pub(super) now_ns: u64,
}

impl<D> Intake<'_, D> {
    /// One delivery.
    pub(super) fn take(&mut self, delivery: Delivery<'_>) -> Flow {
        match delivery {
            Delivery::Record(record) => return self.record(&record),
            Delivery::OffsetOutOfRange { tag, text, .. } => self.out_of_range(tag, text),
            Delivery::Truncated { tag, at, text } => self.truncated(tag, at, text),
            Delivery::Skipped { tag, offset, text } => self.skipped(tag, offset, text),
            Delivery::Refused { tag, text } => self.refused(tag, text),
            Delivery::Doubt { tag, id, text } => self.doubt(tag, id, text),
            Delivery::Error { tag, text } => self.error(tag, text),
        }
        Flow::Next
    }

    fn record(&mut self, record: &kafka::Record<'_>) -> Flow {
        let tag = record.tag;
        let (incarnation, state) = (self.bus.topics().of(tag), self.state(tag));
        // What is held comes again, from where it was left. But the record that found the slab full is finished, and with
        // it the wait of all others: it was fetched before whatever holds its partition back by now.
        let is_read = state == PartitionState::Reading && !incarnation.is_stopped();
        let wants_headers = incarnation.routes().wants_headers();
        if !is_read && !self.bus.is_mid_record() {
            return Flow::Next;
        }
        self.faults.record(tag);
        self.records.came = true;
        end_hole(self.bus, tag, record.offset);
        let flow = if wants_headers {
            let mut room = messages::Room::default();
            self.accept(record, messages::present(record.headers, &mut room))
        } else {
            self.accept(record, &[])
        };
        if flow == Flow::Next {
            self.records.records += 1;
            self.records.bytes += record.value.map_or(0, <[u8]>::len);
            if self.records.records >= RECORDS_A_TURN || self.records.bytes >= BYTES_A_TURN {
                return Flow::Last;
            }
        }
        flow
    }

    /// Gives a record to the bus.
    fn accept(&mut self, record: &kafka::Record<'_>, headers: &[(&str, &[u8])]) -> Flow {
        let tag = record.tag;
        let record = Record {
            offset: record.offset,
            ts_ms: record.ts_ms,
            key: record.key,
            value: record.value,
            headers,
        };
        loop {
            match self.bus.accept(tag, &record, self.now_ns) {
                Ok(Taken::Done) => return Flow::Next,
                Ok(Taken::Behind) => self.bus.truncate(tag, record.offset),
                Ok(Taken::Stop) => {
                    self.stop_topic(tag, record.value.map_or(0, <[u8]>::len));
                    return Flow::Next;
                }
                Err(_full) => {
                    self.records.is_full = true;
                    return Flow::Again;
                }
            }
        }
    }

    fn stop_topic(&mut self, tag: u32, bytes: usize) {
        let number = self.bus.topics().partition(tag).topic();
        self.bus.topics_mut().stop(number);
        let text = format!("a value of {bytes} bytes exceeds the limit");
        self.faults.set(self.bus.topics().of(tag).topic(), Kind::Stopped, &text, self.now_ns);
        self.records.stopped.push(number);
    }

    fn state(&self, tag: u32) -> PartitionState {
        self.bus.topics().partition(tag).state()
    }

    fn name(&self, tag: u32) -> (Arc<str>, u32) {
        self.bus.topics().name(tag)
    }
}

/// What is no record.
impl<D> Intake<'_, D> {
    fn out_of_range(&mut self, tag: u32, text: &str) {
        if self.state(tag) != PartitionState::Reading {
            return;
        }
        self.bus.topics_mut().partition_mut(tag).set_state(PartitionState::OutOfRange);
        let (topic, partition) = self.name(tag);
        let next = self.bus.next_offset(tag);
        info!(topic = &*topic, partition, next, reason = text, "offset out of range");
        self.asks.ask(TopicLookup::Ends { topic, partition });
    }

    /// The leader's log parts from what was read. Whether the topic is still the same is asked first: another
    /// incarnation may look like this, too.
    fn truncated(&mut self, tag: u32, at: Option<i64>, text: &str) {
        let truncated = at.map_or(TruncatedAt::Unknown, TruncatedAt::Offset);
        if self.hold(tag) {
            let (topic, partition) = self.name(tag);
            info!(topic = &*topic, partition, reason = text, "leader's log diverges from what was read");
            self.bus.topics_mut().partition_mut(tag).set_truncated(truncated);
        }
    }

    fn skipped(&mut self, tag: u32, offset: i64, text: &str) {
        // While it is held it comes again, like its records.
        if self.state(tag) != PartitionState::Reading {
            return;
        }
        self.bus.topics_mut().partition_mut(tag).open_hole(offset);
        self.records.metrics.unreadable.add(1);
        let (topic, partition) = self.name(tag);
        warn!(
            topic = &*topic,
            partition,
            next = self.bus.next_offset(tag),
            reason = text,
            "unreadable records skipped: clients get a gap notice"
        );
    }

    fn refused(&mut self, tag: u32, text: &str) {
        self.faults.read_refused(tag, text);
        self.asks.look();
    }

    fn doubt(&mut self, tag: u32, id: Option<TopicId>, text: &str) {
        if id.is_some() {
            let (number, is_same) =
                (self.bus.topics().partition(tag).topic(), self.bus.topics().of(tag).id() == id);
            self.bus.topics_mut().set_replaced(number, !is_same);
            // The consumer may be the last to hear of an incarnation: what was held for that goes on with the next look.
            if is_same {
                return self.asks.look();
            }
        }
        if self.hold(tag) {
            let (topic, partition) = self.name(tag);
            info!(
                topic = &*topic,
                partition,
                reason = text,
                "partition paused until the cluster confirms that the topic is the same"
            );
        }
    }

    fn error(&mut self, tag: u32, text: &str) {
        let (topic, partition) = self.name(tag);
        if self.faults.error(tag) {
            warn!(topic = &*topic, partition, reason = text, "cannot read partition, retrying");
        }
        self.asks.look();
    }

    /// Holds a partition back until a look that begins from now on has seen its topic. False: nothing of it is read.
    fn hold(&mut self, tag: u32) -> bool {
        let is_read = self.bus.topics_mut().hold(tag);
        if is_read {
            self.asks.look();
        }
        is_read
    }
}
