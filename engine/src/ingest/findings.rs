//! What the watcher found, applied.

use std::sync::Arc;

use kafka::{Read, TopicId};
use proto::{native::reply::GapReason, position::Epoch};
use tracing::{error, info, warn};

use super::{
    faults::{Kind, Witness},
    incarnations::TruncatedAt,
    notices::Bounds,
    thread::{Ingest, Ready},
    watcher::{Begin, Finding, TopicLookup},
};
use crate::{catalog::Start, inbox::PartitionState};

impl<R: Read, D> Ingest<R, D> {
    pub(super) fn apply(&mut self, finding: Finding) {
        match finding {
            Finding::Incarnation { topic, id, epoch, partitions, begin } => {
                self.feed.faults.present(&topic);
                self.begin_incarnation(&topic, id, epoch, partitions, begin);
            }
            Finding::Grown { topic, epoch, partitions } => self.grow(&topic, epoch, partitions),
            Finding::Same { topic, epoch, mark, leaderless } => {
                self.feed.faults.present(&topic);
                self.same(&topic, epoch, mark, &leaderless);
            }
            Finding::Starts { topic, epoch, starts } => self.starts(&topic, epoch, &starts),
            Finding::Ends { topic, epoch, partition, low, high } => {
                self.ends(&topic, epoch, partition, low, high);
            }
            Finding::Standstill { topic, epoch, partition, stable, end } => {
                self.standstill(&topic, epoch, partition, stable, end);
            }
            Finding::Missing(topic) => {
                self.hold_topic(&topic);
                let text = "the topic does not exist";
                self.feed.faults.set(&topic, Kind::Unknown, text, self.feed.now_ns);
            }
            Finding::Refused(topic, text) => {
                self.feed.faults.set(&topic, Kind::Refused, &text, self.feed.now_ns);
            }
            Finding::Heard => self.feed.faults.heard(Witness::Watcher),
            Finding::Silent(text) => self.feed.faults.silent(Witness::Watcher, &text, self.feed.now_ns),
            Finding::Refusal(event) => self.feed.faults.refused(&event),
            Finding::Ready => self.ready = Ready::Found,
        }
    }

    /// Holds all partitions of a topic that may be another by now.
    fn hold_topic(&mut self, topic: &str) {
        let Some(incarnation) = self.feed.known.present(topic) else { return };
        for tag in self.feed.known.incarnations[incarnation].tags.clone() {
            // (To hold anew what is held would ask for a look, which finds it missing again, and so on without a pause.)
            if self.feed.known.part(tag).state != PartitionState::Held {
                self.feed.hold(tag);
            }
        }
    }

    fn begin_incarnation(
        &mut self,
        topic: &Arc<str>,
        id: Option<TopicId>,
        epoch: Epoch,
        partitions: u32,
        begin: Begin,
    ) {
        let before = self.feed.known.present(topic);
        let mut goes_on = Vec::new();
        if let Some(old) = before {
            if begin == Begin::GoesOn {
                warn!(topic = &**topic, %epoch, "topic id became known: clients get a gap notice, reading continues");
                goes_on = self.next_offsets(old);
            } else {
                warn!(topic = &**topic, %epoch, "topic was re-created: clients get a gap notice, reading from the beginning");
            }
            self.end_incarnation(old, begin);
        }
        info!(topic = &**topic, %epoch, partitions, "reading topic");
        let incarnation = self.feed.begin_incarnation(topic, id, epoch);
        for partition in 0..partitions as usize {
            let start = match (begin, goes_on.get(partition)) {
                (Begin::GoesOn, Some(&next)) if next >= 0 => Start::At(next),
                // One that the incarnation before did not have was added meanwhile.
                (Begin::AtStart, _) | (Begin::GoesOn, None) => Start::Beginning,
                (Begin::GoesOn | Begin::Elsewhere, _) => Start::Unresolved,
            };
            let tag = self.feed.add_part(incarnation, start);
            self.begin(tag);
        }
    }

    fn next_offsets(&self, incarnation: usize) -> Vec<i64> {
        let tags = &self.feed.known.incarnations[incarnation].tags;
        tags.iter().map(|&tag| self.feed.bus.next_offset(self.feed.known.part(tag).source)).collect()
    }

    /// An incarnation is over. Where it was not seen when it ended, what was read since the last look may be of the
    /// next one, and is void.
    fn end_incarnation(&mut self, incarnation: usize, next: Begin) {
        let seen = self.feed.known.incarnations[incarnation].is_replaced || next == Begin::GoesOn;
        let tags = self.feed.known.incarnations[incarnation].tags.clone();
        let bounds = |&tag: &u32| {
            let part = self.feed.known.part(tag);
            let next = self.feed.bus.next_offset(part.source);
            let from = if seen { next } else { part.confirmed().min(next) };
            (from, self.reader.end(tag).unwrap_or(-1))
        };
        let bounds: Vec<(i64, i64)> = tags.iter().map(bounds).collect();
        self.end_parts(incarnation);
        self.feed.bus.retire(self.feed.known.incarnations[incarnation].number, &bounds);
        let topic = Arc::clone(&self.feed.known.incarnations[incarnation].topic);
        self.feed.faults.ended(&topic, &tags);
    }

    pub(super) fn end_parts(&mut self, incarnation: usize) {
        for tag in self.feed.known.incarnations[incarnation].tags.clone() {
            let state = self.feed.known.part(tag).state;
            if !matches!(state, PartitionState::Waiting | PartitionState::Ended)
                && let Err(error) = self.reader.unassign(tag)
            {
                error!(tag, %error, "failed to unassign partition");
            }
            self.feed.set_state(tag, PartitionState::Ended);
        }
    }

    fn grow(&mut self, topic: &Arc<str>, epoch: Epoch, partitions: u32) {
        let Some(incarnation) = self.feed.known.with_epoch(topic, epoch) else { return };
        while self.feed.known.incarnations[incarnation].tags.len() < partitions as usize {
            let tag = self.feed.add_part(incarnation, Start::Beginning);
            info!(topic = &**topic, partition = self.feed.known.part(tag).partition, "new partition found");
        }
    }

    /// The topic is as known: what was held for doubt goes on, and what was read until the lookup was made is confirmed.
    fn same(&mut self, topic: &str, epoch: Epoch, mark: u64, leaderless: &[u32]) {
        let Some(incarnation) = self.feed.known.with_epoch(topic, epoch) else { return };
        // Its successor is known to be there: whoever answered has not heard of it yet.
        let is_replaced = self.feed.known.incarnations[incarnation].is_replaced;
        for tag in self.feed.known.incarnations[incarnation].tags.clone() {
            let part = self.feed.known.part_mut(tag);
            let (has_one, waits) =
                (!leaderless.contains(&part.partition), part.state == PartitionState::Waiting);
            self.feed.faults.leader(tag, has_one, waits);
            if is_replaced {
                continue;
            }
            part.confirm(mark);
            if part.state == PartitionState::Held && part.held_since <= mark {
                self.release(tag);
            }
        }
    }

    /// A partition that was held is of the topic we know: reading goes on, where its log was truncated if it was.
    fn release(&mut self, tag: u32) {
        let truncated = self.feed.known.part_mut(tag).truncated.take();
        let next = self.feed.bus.next_offset(self.feed.known.part(tag).source);
        match truncated {
            Some(TruncatedAt::Offset(at)) if at < next => self.feed.truncate(tag, at),
            // All that was read may be void: asks where the log begins.
            Some(TruncatedAt::Unknown) => {
                self.feed.known.part_mut(tag).truncated = truncated;
                self.feed.set_state(tag, PartitionState::OutOfRange);
                return self.feed.out_of_range.push(tag);
            }
            Some(TruncatedAt::Offset(_)) | None => {}
        }
        self.go_on(tag);
    }

    /// Reads on from the partition's next offset; what was fetched before is forgotten.
    fn go_on(&mut self, tag: u32) {
        let next = self.feed.bus.next_offset(self.feed.known.part(tag).source);
        match self.reader.seek(tag, next) {
            Ok(()) => self.feed.set_state(tag, PartitionState::Reading),
            Err(error) => {
                let (topic, partition) = self.feed.name(tag);
                error!(topic = &*topic, partition, %error, "failed to seek partition, retrying");
                self.feed.set_state(tag, PartitionState::OutOfRange);
                self.feed.out_of_range.push(tag);
            }
        }
    }

    fn starts(&mut self, topic: &str, epoch: Epoch, starts: &[(u32, Option<i64>)]) {
        let Some(incarnation) = self.feed.known.with_epoch(topic, epoch) else { return };
        for &(partition, start) in starts {
            let Some(tag) = self.feed.known.tag(incarnation, partition) else { continue };
            self.feed.faults.start(tag, start.is_some());
            if let Some(start) = start {
                info!(topic, partition, start, "reading partition");
                self.feed.bus.begin(self.feed.known.part(tag).source, start);
                self.begin(tag);
            }
        }
    }

    /// An offset was out of range, in the same incarnation: goes on at the end of the log that is nearest.
    fn ends(&mut self, topic: &str, epoch: Epoch, partition: u32, low: i64, high: i64) {
        let Some(incarnation) = self.feed.known.with_epoch(topic, epoch) else { return };
        let Some(tag) = self.feed.known.tag(incarnation, partition) else { return };
        if self.feed.known.part(tag).state != PartitionState::OutOfRange {
            return;
        }
        let truncated = self.feed.known.part_mut(tag).truncated.take();
        let source = self.feed.known.part(tag).source;
        let next = self.feed.bus.next_offset(source);
        if truncated == Some(TruncatedAt::Unknown) && low < next {
            self.feed.truncate(tag, low);
        } else if next < low {
            warn!(
                topic,
                partition,
                from = next,
                to = low - 1,
                "retention was faster: clients get a gap notice"
            );
            let bounds = Bounds { source, from: next, to: low - 1 };
            self.feed.bus.gap(GapReason::Retention, vec![bounds]);
        } else if next > high {
            self.feed.truncate(tag, high);
        }
        self.go_on(tag);
    }

    /// Why a partition stands still: an open transaction holds it back, or nothing does any more.
    fn standstill(&mut self, topic: &str, epoch: Epoch, partition: u32, stable: i64, end: i64) {
        let Some(incarnation) = self.feed.known.with_epoch(topic, epoch) else { return };
        let Some(tag) = self.feed.known.tag(incarnation, partition) else { return };
        self.feed.faults.standstill(tag, stable, end);
    }

    /// Has the consumer read a partition whose start is known.
    pub(super) fn begin(&mut self, tag: u32) {
        let part = self.feed.known.part(tag);
        let incarnation = &self.feed.known.incarnations[part.incarnation];
        let next = self.feed.bus.next_offset(part.source);
        if next < 0 || incarnation.stopped || part.state != PartitionState::Waiting {
            return;
        }
        match self.reader.assign(&incarnation.topic, part.partition, next, tag) {
            Ok(()) => {
                self.feed.known.part_mut(tag).begin(next);
                self.feed.set_state(tag, PartitionState::Reading);
                self.compare_incarnations(tag);
            }
            Err(error) => {
                let (topic, partition) = self.feed.name(tag);
                error!(topic = &*topic, partition, %error, "failed to assign partition, retrying");
            }
        }
    }

    /// Holds back what the consumer reads by another id than that of the incarnation: it is yet to hear of this one, or
    /// knows of the next already. It tells when that changes.
    fn compare_incarnations(&mut self, tag: u32) {
        let incarnation = self.feed.known.part(tag).incarnation;
        let (reads, is) = (self.reader.reads(tag), self.feed.known.incarnations[incarnation].id);
        if reads.is_some() && is.is_some() && reads != is {
            self.feed.known.incarnations[incarnation].is_replaced = true;
            self.feed.hold(tag);
        }
    }

    /// Asks the watcher; what finds no room waits for the next turn.
    pub(super) fn ask(&mut self, lookup: TopicLookup) {
        if !self.unasked.contains(&lookup) {
            self.unasked.push(lookup);
        }
    }
}
