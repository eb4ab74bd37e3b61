//! From deliveries to the bus. Nothing here waits: a record that finds the slab full is left with the consumer and comes
//! again.

use std::sync::Arc;

use kafka::{Delivery, Flow};
use proto::{native::reply::GapReason, position::Epoch};
use tracing::{info, warn};

use super::{
    bus::{Bus, Taken},
    faults::{Faults, Kind},
    incarnations::{Incarnation, Incarnations, TruncatedAt},
    notices::Bounds,
    watcher::Marks,
};
use crate::{
    catalog::Start,
    health::Health,
    inbox::PartitionState,
    messages::{self, Record},
    metrics::IngestMetrics,
};

/// Records, and bytes of their values, taken in one turn: latency does not grow with what has piled up.
const RECORDS_A_TURN: usize = 128;
const BYTES_A_TURN: usize = 256 * 1024;

/// Everything of the ingest thread but the consumer, so that the consumer can hand out records that it lends.
#[derive(Debug)]
pub(super) struct Feed<D> {
    pub(super) bus: Bus<D>,
    pub(super) known: Incarnations,
    pub(super) faults: Faults,
    pub(super) metrics: Arc<IngestMetrics>,
    pub(super) marks: Marks,
    pub(super) now_ns: u64,
    /// Records came since this was last looked at.
    pub(super) took: bool,
    /// Partitions out of range that the watcher is yet to be asked about.
    pub(super) out_of_range: Vec<u32>,
    /// Incarnations that a value above the limit has ended, to be unassigned.
    pub(super) stopped: Vec<usize>,
    /// Something is odd: worth a look at the topics.
    pub(super) look: bool,
    /// The slab did not take everything in this turn.
    pub(super) full: bool,
    records: usize,
    bytes: usize,
}

impl<D> Feed<D> {
    pub(super) fn new(bus: Bus<D>, health: Arc<Health>, metrics: Arc<IngestMetrics>, marks: Marks) -> Self {
        Self {
            bus,
            known: Incarnations::default(),
            faults: Faults::new(health, Arc::clone(&metrics)),
            metrics,
            marks,
            now_ns: 0,
            took: false,
            out_of_range: Vec::new(),
            stopped: Vec::new(),
            look: false,
            full: false,
            records: 0,
            bytes: 0,
        }
    }

    /// Begins an incarnation, without partitions.
    pub(super) fn begin_incarnation(
        &mut self,
        topic: &Arc<str>,
        id: Option<kafka::TopicId>,
        epoch: Epoch,
    ) -> usize {
        let number = self.bus.add_topic(topic, epoch);
        let wants_headers = self.bus.wants_headers(number);
        let topic = Arc::clone(topic);
        self.known.begin(Incarnation {
            topic,
            id,
            epoch,
            number,
            tags: Vec::new(),
            wants_headers,
            stopped: false,
            is_replaced: false,
        })
    }

    /// Adds an incarnation's next partition.
    pub(super) fn add_part(&mut self, incarnation: usize, start: Start) -> u32 {
        let Incarnation { number, tags, .. } = &self.known.incarnations[incarnation];
        let partition = u32::try_from(tags.len()).expect("partitions are few");
        let source = self.bus.add_source(*number, partition, start);
        self.known.add(incarnation, source)
    }

    /// A new turn: nothing is taken yet.
    pub(super) fn begin_turn(&mut self) {
        (self.records, self.bytes) = (0, 0);
    }

    /// One delivery.
    pub(super) fn take(&mut self, delivery: Delivery<'_>) -> Flow {
        match delivery {
            Delivery::Record(record) => return self.take_record(&record),
            Delivery::OffsetOutOfRange { tag, text, .. } => self.out_of_range(tag, text),
            Delivery::Truncated { tag, at, text } => self.truncated(tag, at, text),
            Delivery::Skipped { tag, text, .. } => self.skipped(tag, text),
            Delivery::Refused { tag, text } => self.refused(tag, text),
            Delivery::Doubt { tag, id, text } => self.doubt(tag, id, text),
            Delivery::Error { tag, text } => self.troubled(tag, text),
        }
        Flow::Next
    }

    fn take_record(&mut self, record: &kafka::Record<'_>) -> Flow {
        let part = self.known.part_mut(record.tag);
        let incarnation = part.incarnation;
        // What is held comes again, from where it was left. But the record that found the slab full is finished, and with
        // it the wait of all others: it was fetched before whatever holds its partition back by now.
        let is_read = part.state == PartitionState::Reading && !self.known.incarnations[incarnation].stopped;
        if !is_read && !self.bus.is_mid_record() {
            return Flow::Next;
        }
        self.faults.record(record.tag);
        self.took = true;
        self.end_hole(record.tag, record.offset);
        let flow = if self.known.incarnations[incarnation].wants_headers {
            let mut room = messages::Room::default();
            self.accept(record, messages::present(record.headers, &mut room))
        } else {
            self.accept(record, &[])
        };
        if flow == Flow::Next {
            self.records += 1;
            self.bytes += record.value.map_or(0, <[u8]>::len);
            if self.records >= RECORDS_A_TURN || self.bytes >= BYTES_A_TURN {
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
            match self.bus.accept(self.known.part(tag).source, &record, self.now_ns) {
                Ok(Taken::Done) => return Flow::Next,
                Ok(Taken::Behind) => self.truncate(tag, record.offset),
                Ok(Taken::Stop) => {
                    self.stop_topic(tag, record.value.map_or(0, <[u8]>::len));
                    return Flow::Next;
                }
                Err(_full) => {
                    self.full = true;
                    return Flow::Again;
                }
            }
        }
    }

    /// The consumer left records out in front of the one at `end`, or in front of where it stands: clients are told.
    pub(super) fn end_hole(&mut self, tag: u32, end: i64) {
        let part = self.known.part_mut(tag);
        if part.hole.take().is_none() {
            return;
        }
        let source = part.source;
        let from = self.bus.next_offset(source);
        if (0..end).contains(&from) {
            let bounds = Bounds { source, from, to: end - 1 };
            self.bus.gap(GapReason::Unreadable, vec![bounds]);
        }
    }

    /// The partition's log was truncated at `offset`, or goes on there.
    pub(super) fn truncate(&mut self, tag: u32, offset: i64) {
        let source = self.known.part(tag).source;
        let (topic, partition) = self.name(tag);
        let expected = self.bus.next_offset(source);
        warn!(topic = &*topic, partition, offset, expected, "log truncated: clients get a gap notice");
        let source = self.bus.truncate(source, offset);
        let part = self.known.part_mut(tag);
        part.source = source;
        part.truncated_at(offset);
    }

    fn stop_topic(&mut self, tag: u32, bytes: usize) {
        let incarnation = self.known.part(tag).incarnation;
        self.known.incarnations[incarnation].stopped = true;
        let topic = Arc::clone(&self.known.incarnations[incarnation].topic);
        let text = format!("a value of {bytes} bytes exceeds the limit");
        self.faults.set(&topic, Kind::Stopped, &text, self.now_ns);
        self.stopped.push(incarnation);
    }

    /// Topic and partition of a tag, for the log.
    pub(super) fn name(&self, tag: u32) -> (Arc<str>, u32) {
        (Arc::clone(&self.known.incarnation_of(tag).topic), self.known.part(tag).partition)
    }

    /// Sets what is done with a partition, and shows it to those who ask.
    pub(super) fn set_state(&mut self, tag: u32, state: PartitionState) {
        let part = self.known.part_mut(tag);
        part.state = state;
        self.bus.note(part.source, state, None);
    }
}

/// What is no record.
impl<D> Feed<D> {
    fn out_of_range(&mut self, tag: u32, text: &str) {
        if self.known.part(tag).state != PartitionState::Reading {
            return;
        }
        self.set_state(tag, PartitionState::OutOfRange);
        let (topic, partition) = self.name(tag);
        let next = self.bus.next_offset(self.known.part(tag).source);
        info!(topic = &*topic, partition, next, reason = text, "offset out of range");
        self.out_of_range.push(tag);
    }

    /// The leader's log parts from what was read. Whether the topic is still the same is asked first: another
    /// incarnation may look like this, too.
    fn truncated(&mut self, tag: u32, at: Option<i64>, text: &str) {
        let truncated = at.map_or(TruncatedAt::Unknown, TruncatedAt::Offset);
        if self.hold(tag) {
            let (topic, partition) = self.name(tag);
            info!(topic = &*topic, partition, reason = text, "leader's log diverges from what was read");
            self.known.part_mut(tag).truncated = Some(truncated);
        }
    }

    fn skipped(&mut self, tag: u32, text: &str) {
        // While it is held it comes again, like its records.
        if self.known.part(tag).state != PartitionState::Reading {
            return;
        }
        let next = self.bus.next_offset(self.known.part(tag).source);
        self.known.part_mut(tag).hole = Some(next);
        self.metrics.unreadable.add(1);
        let (topic, partition) = self.name(tag);
        warn!(
            topic = &*topic,
            partition,
            next,
            reason = text,
            "unreadable records skipped: clients get a gap notice"
        );
    }

    fn refused(&mut self, tag: u32, text: &str) {
        self.faults.read_refused(tag, text);
        self.look = true;
    }

    fn doubt(&mut self, tag: u32, id: Option<kafka::TopicId>, text: &str) {
        let incarnation = self.known.part(tag).incarnation;
        if id.is_some() {
            // The consumer may be the last to hear of an incarnation: what was held for that goes on with the next look.
            if self.known.incarnations[incarnation].id == id {
                self.known.incarnations[incarnation].is_replaced = false;
                self.look = true;
                return;
            }
            self.known.incarnations[incarnation].is_replaced = true;
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

    fn troubled(&mut self, tag: u32, text: &str) {
        let (topic, partition) = self.name(tag);
        if self.faults.error(tag) {
            warn!(topic = &*topic, partition, reason = text, "cannot read partition, retrying");
        }
        self.look = true;
    }

    /// Holds a partition back until a look that begins from now on has seen its topic. False: nothing of it is read.
    pub(super) fn hold(&mut self, tag: u32) -> bool {
        let is_read = matches!(
            self.known.part(tag).state,
            PartitionState::Reading | PartitionState::OutOfRange | PartitionState::Held
        );
        if is_read {
            let mark = self.marks.next();
            self.known.part_mut(tag).hold(mark);
            self.known.part_mut(tag).hole = None;
            self.set_state(tag, PartitionState::Held);
            self.look = true;
        }
        is_read
    }
}
