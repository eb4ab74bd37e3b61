//! What the consumer is to read: partitions that begin, go on and end, and how each that is read comes on.

use kafka::Read;
use tracing::error;

use super::{
    bus::Bus,
    faults::Faults,
    records::end_hole,
    watcher::{Asks, TopicLookup},
};
use crate::{catalog::TopicNumber, inbox::PartitionState};

/// The ingest thread's parts that reading concerns, for the time of one step.
#[derive(Debug)]
pub(super) struct Reading<'a, R, D> {
    pub(super) reader: &'a mut R,
    pub(super) bus: &'a mut Bus<D>,
    pub(super) faults: &'a mut Faults,
    pub(super) asks: &'a mut Asks,
    pub(super) now_ns: u64,
}

impl<R: Read, D> Reading<'_, R, D> {
    /// Has the consumer read a partition whose start is known.
    pub(super) fn begin(&mut self, tag: u32) {
        let (incarnation, partition) = (self.bus.topics().of(tag), self.bus.topics().partition(tag));
        let next = partition.next();
        if next < 0 || incarnation.is_stopped() || partition.state() != PartitionState::Waiting {
            return;
        }
        match self.reader.assign(incarnation.topic(), partition.number(), next, tag) {
            Ok(()) => {
                self.bus.topics_mut().partition_mut(tag).begin();
                self.compare_incarnations(tag);
            }
            Err(error) => {
                let (topic, partition) = self.bus.topics().name(tag);
                error!(topic = &*topic, partition, %error, "failed to assign partition, retrying");
            }
        }
    }

    /// Holds back what the consumer reads by another id than that of the incarnation: it is yet to hear of this one, or
    /// knows of the next already. It tells when that changes.
    fn compare_incarnations(&mut self, tag: u32) {
        let (reads, is) = (self.reader.reads(tag), self.bus.topics().of(tag).id());
        if reads.is_some() && is.is_some() && reads != is {
            let number = self.bus.topics().partition(tag).topic();
            self.bus.topics_mut().set_replaced(number, true);
            self.hold(tag);
        }
    }

    /// Holds a partition back until a look that begins from now on has seen its topic.
    pub(super) fn hold(&mut self, tag: u32) {
        if self.bus.topics_mut().hold(tag) {
            self.asks.look();
        }
    }

    /// Reads on from the partition's next offset; what was fetched before is forgotten.
    pub(super) fn go_on(&mut self, tag: u32) {
        match self.reader.seek(tag, self.bus.next_offset(tag)) {
            Ok(()) => self.set_state(tag, PartitionState::Reading),
            Err(error) => {
                let (topic, partition) = self.bus.topics().name(tag);
                error!(topic = &*topic, partition, %error, "failed to seek partition, retrying");
                self.ask_ends(tag);
            }
        }
    }

    /// Where a partition's log begins and ends is asked: reading goes on with the answer.
    pub(super) fn ask_ends(&mut self, tag: u32) {
        self.set_state(tag, PartitionState::OutOfRange);
        let (topic, partition) = self.bus.topics().name(tag);
        self.asks.ask(TopicLookup::Ends { topic, partition });
    }

    /// Has the consumer read no more of an incarnation.
    pub(super) fn end(&mut self, number: TopicNumber) {
        for tag in self.bus.topics().incarnation(number).tags().to_vec() {
            let state = self.bus.topics().partition(tag).state();
            if !matches!(state, PartitionState::Waiting | PartitionState::Ended)
                && let Err(error) = self.reader.unassign(tag)
            {
                error!(tag, %error, "failed to unassign partition");
            }
            self.set_state(tag, PartitionState::Ended);
        }
    }

    /// Once a second: looks after all partitions of present incarnations. Gives how many records they are behind.
    pub(super) fn look_after_all(&mut self) -> u64 {
        let mark = self.bus.topics().marks().next();
        let mut lag = 0;
        for tag in self.bus.topics().live().to_vec() {
            match self.bus.topics().partition(tag).state() {
                PartitionState::Waiting => self.begin(tag),
                PartitionState::Reading => lag += self.look_after(tag, mark),
                PartitionState::Held | PartitionState::OutOfRange | PartitionState::Ended => {}
            }
            let end = self.reader.end(tag);
            // A refused fetch takes the end of the partition with it, and the first that is answered brings it back.
            if end.is_some() {
                self.faults.fetched(tag);
            }
            self.bus.topics_mut().partition_mut(tag).note_end(end);
        }
        lag
    }

    /// Where a partition that is read stands; gives how many records it is behind.
    fn look_after(&mut self, tag: u32, mark: u64) -> u64 {
        // It passes control and aborted records, which are never delivered.
        if let Some(position) = self.reader.position(tag)
            && position > self.bus.next_offset(tag)
        {
            if !self.bus.topics().partition(tag).is_before_hole(position) {
                end_hole(self.bus, tag, position);
            }
            self.bus.skip(tag, position);
        }
        let next = self.bus.next_offset(tag);
        let behind = u64::try_from(self.reader.end(tag).unwrap_or(0) - next).unwrap_or(0);
        self.bus.topics_mut().partition_mut(tag).mark(mark);
        if self.faults.stands(tag, next, behind, self.now_ns) {
            let (topic, partition) = self.bus.topics().name(tag);
            self.asks.ask(TopicLookup::Standstill { topic, partition });
        }
        behind
    }

    /// Brings what cannot be read to everybody who is to know.
    pub(super) fn look_at_faults(&mut self) {
        for incarnation in self.bus.topics().present() {
            self.faults.look_at_partitions(incarnation.topic(), incarnation.tags(), self.now_ns);
        }
        self.faults.look_at_topics(self.now_ns);
    }

    pub(super) fn set_state(&mut self, tag: u32, state: PartitionState) {
        self.bus.topics_mut().partition_mut(tag).set_state(state);
    }
}
