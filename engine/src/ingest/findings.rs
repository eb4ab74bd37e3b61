//! What the watcher found, applied.

use std::sync::Arc;

use kafka::{Read, TopicId};
use proto::{native::reply::GapReason, position::Epoch};
use tracing::{info, warn};

use super::{
    faults::{Kind, Witness},
    reading::Reading,
    topics::TruncatedAt,
    watcher::{Begin, Finding},
};
use crate::{
    catalog::{Start, TopicNumber},
    inbox::PartitionState,
};

impl<R: Read, D> Reading<'_, R, D> {
    /// True once the state of all topics and partitions has been told.
    pub(super) fn apply(&mut self, finding: Finding) -> bool {
        match finding {
            Finding::Incarnation { topic, id, epoch, partitions, begin } => {
                self.faults.present(&topic);
                self.begin_incarnation(&topic, id, epoch, partitions, begin);
            }
            Finding::Grown { topic, epoch, partitions } => self.grow(&topic, epoch, partitions),
            Finding::Same { topic, epoch, mark, leaderless } => {
                self.faults.present(&topic);
                self.same(&topic, epoch, mark, &leaderless);
            }
            Finding::Starts { topic, epoch, starts } => self.starts(&topic, epoch, &starts),
            Finding::Ends { topic, epoch, partition, low, high } => {
                self.ends(&topic, epoch, partition, low, high);
            }
            Finding::Standstill { topic, epoch, partition, stable, end } => {
                if let Some(tag) = self.tag(&topic, epoch, partition) {
                    self.faults.standstill(tag, stable, end);
                }
            }
            Finding::Missing(topic) => {
                self.hold_topic(&topic);
                self.faults.set(&topic, Kind::Unknown, "the topic does not exist", self.now_ns);
            }
            Finding::Refused(topic, text) => self.faults.set(&topic, Kind::Refused, &text, self.now_ns),
            Finding::Heard => self.faults.heard(Witness::Watcher),
            Finding::Silent(text) => self.faults.silent(Witness::Watcher, &text, self.now_ns),
            Finding::Refusal(event) => self.faults.refused(&event),
            Finding::Ready => return true,
        }
        false
    }

    /// Holds all partitions of a topic that may be another by now.
    fn hold_topic(&mut self, topic: &str) {
        let Some(number) = self.bus.topics().find(topic) else { return };
        for tag in self.bus.topics().incarnation(number).tags().to_vec() {
            // (To hold anew what is held would ask for a look, which finds it missing again, and so on without a pause.)
            if self.bus.topics().partition(tag).state() != PartitionState::Held {
                self.hold(tag);
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
        let mut goes_on: Vec<i64> = Vec::new();
        if let Some(old) = self.bus.topics().find(topic) {
            if begin == Begin::GoesOn {
                warn!(topic = &**topic, %epoch, "topic id became known: clients get a gap notice, reading continues");
                goes_on = self.bus.next_offsets(old).collect();
            } else {
                warn!(topic = &**topic, %epoch, "topic was re-created: clients get a gap notice, reading from the beginning");
            }
            self.end_incarnation(old, begin);
        }
        info!(topic = &**topic, %epoch, partitions, "reading topic");
        let number = self.bus.begin_incarnation(topic, epoch, id);
        for partition in 0..partitions as usize {
            let start = match (begin, goes_on.get(partition)) {
                (Begin::GoesOn, Some(&next)) if next >= 0 => Start::At(next),
                // One that the incarnation before did not have was added meanwhile.
                (Begin::AtStart, _) | (Begin::GoesOn, None) => Start::Beginning,
                (Begin::GoesOn | Begin::Elsewhere, _) => Start::Unresolved,
            };
            let tag = self.bus.add_partition(number, start);
            self.begin(tag);
        }
    }

    /// An incarnation is over. Where it was not seen when it ended, what was read since the last look may be of the
    /// next one, and is void.
    fn end_incarnation(&mut self, number: TopicNumber, next: Begin) {
        let incarnation = self.bus.topics().incarnation(number);
        let (topic, tags) = (Arc::clone(incarnation.topic()), incarnation.tags().to_vec());
        let seen = incarnation.is_replaced() || next == Begin::GoesOn;
        let bounds = |&tag: &u32| {
            let partition = self.bus.topics().partition(tag);
            let next = partition.next();
            let from = if seen { next } else { partition.confirmed().min(next) };
            (from, self.reader.end(tag).unwrap_or(-1))
        };
        let bounds: Vec<(i64, i64)> = tags.iter().map(bounds).collect();
        self.end(number);
        self.bus.retire(number, &bounds);
        self.faults.ended(&topic, &tags);
    }

    fn grow(&mut self, topic: &Arc<str>, epoch: Epoch, partitions: u32) {
        let Some(number) = self.bus.topics().with_epoch(topic, epoch) else { return };
        while self.bus.topics().incarnation(number).tags().len() < partitions as usize {
            let tag = self.bus.add_partition(number, Start::Beginning);
            let partition = self.bus.topics().partition(tag).number();
            info!(topic = &**topic, partition, "new partition found");
        }
    }

    /// The topic is as known: what was held for doubt goes on, and what was read until the lookup was made is confirmed.
    fn same(&mut self, topic: &str, epoch: Epoch, mark: u64, leaderless: &[u32]) {
        let Some(number) = self.bus.topics().with_epoch(topic, epoch) else { return };
        let incarnation = self.bus.topics().incarnation(number);
        // Its successor is known to be there: whoever answered has not heard of it yet.
        let is_replaced = incarnation.is_replaced();
        for tag in incarnation.tags().to_vec() {
            let partition = self.bus.topics_mut().partition_mut(tag);
            let has_leader = !leaderless.contains(&partition.number());
            self.faults.leader(tag, has_leader, partition.state() == PartitionState::Waiting);
            if is_replaced {
                continue;
            }
            partition.confirm(mark);
            if partition.is_held_since(mark) {
                self.release(tag);
            }
        }
    }

    /// A partition that was held is of the topic we know: reading goes on, where its log was truncated if it was.
    fn release(&mut self, tag: u32) {
        let next = self.bus.next_offset(tag);
        match self.bus.topics_mut().partition_mut(tag).take_truncated() {
            Some(TruncatedAt::Offset(at)) if at < next => self.bus.truncate(tag, at),
            // All that was read may be void: asks where the log begins.
            Some(TruncatedAt::Unknown) => {
                self.bus.topics_mut().partition_mut(tag).set_truncated(TruncatedAt::Unknown);
                return self.ask_ends(tag);
            }
            Some(TruncatedAt::Offset(_)) | None => {}
        }
        self.go_on(tag);
    }

    fn starts(&mut self, topic: &str, epoch: Epoch, starts: &[(u32, Option<i64>)]) {
        let Some(number) = self.bus.topics().with_epoch(topic, epoch) else { return };
        for &(partition, start) in starts {
            let Some(tag) = self.bus.topics().tag(number, partition) else { continue };
            self.faults.start(tag, start.is_some());
            if let Some(start) = start {
                info!(topic, partition, start, "reading partition");
                self.bus.begin(tag, start);
                self.begin(tag);
            }
        }
    }

    /// An offset was out of range, in the same incarnation: goes on at the end of the log that is nearest.
    fn ends(&mut self, topic: &str, epoch: Epoch, partition: u32, low: i64, high: i64) {
        let Some(tag) = self.tag(topic, epoch, partition) else { return };
        if self.bus.topics().partition(tag).state() != PartitionState::OutOfRange {
            return;
        }
        let truncated = self.bus.topics_mut().partition_mut(tag).take_truncated();
        let next = self.bus.next_offset(tag);
        if truncated == Some(TruncatedAt::Unknown) && low < next {
            self.bus.truncate(tag, low);
        } else if next < low {
            warn!(
                topic,
                partition,
                from = next,
                to = low - 1,
                "retention was faster: clients get a gap notice"
            );
            self.bus.gap(tag, GapReason::Retention, next, low - 1);
        } else if next > high {
            self.bus.truncate(tag, high);
        }
        self.go_on(tag);
    }

    /// The tag of a partition of a topic's present incarnation, if that has this epoch.
    fn tag(&self, topic: &str, epoch: Epoch, partition: u32) -> Option<u32> {
        let topics = self.bus.topics();
        topics.tag(topics.with_epoch(topic, epoch)?, partition)
    }
}
