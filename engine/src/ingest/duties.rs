//! What comes round once a second, and what a turn has led to.

use kafka::Read;

use super::{feed::Feed, incarnations::Incarnation, thread::Ingest, watcher::TopicLookup};
use crate::inbox::PartitionState;

/// Time between two rounds of duties: positions, lag, faults, CPU time.
const DUTY_INTERVAL_NS: u64 = 1_000_000_000;

impl<R: Read, D> Ingest<R, D> {
    /// Once a second.
    pub(super) fn duties(&mut self) {
        let now_ns = self.feed.now_ns;
        if now_ns.saturating_sub(self.duty_ns) < DUTY_INTERVAL_NS {
            return;
        }
        self.duty_ns = now_ns;
        let mark = self.feed.marks.next();
        let mut lag = 0;
        for tag in self.feed.known.tags() {
            match self.feed.known.part(tag).state {
                PartitionState::Waiting => self.begin(tag),
                PartitionState::Reading => lag += self.look_after(tag, mark),
                PartitionState::Held | PartitionState::OutOfRange | PartitionState::Ended => {}
            }
            let end = self.reader.end(tag);
            let part = self.feed.known.part_mut(tag);
            // A refused fetch takes the end of the partition with it, and the first that is answered brings it back.
            if end.is_some() {
                self.feed.faults.fetched(tag);
            }
            self.feed.bus.note(part.source, part.state, end);
        }
        self.feed.metrics.lag_records.set(lag);
        self.feed.metrics.cpu_ns.set(ring::thread_cpu_ns());
        self.look_at_faults();
        self.feed.faults.look_at_brokers(now_ns);
    }

    /// Brings what cannot be read to everybody who is to know.
    pub(super) fn look_at_faults(&mut self) {
        let Feed { known, faults, now_ns, .. } = &mut self.feed;
        for incarnation in 0..known.incarnations.len() {
            let Incarnation { topic, tags, .. } = &known.incarnations[incarnation];
            if known.present(topic) == Some(incarnation) {
                faults.look_at_partitions(topic, tags, *now_ns);
            }
        }
        faults.look_at_topics(*now_ns);
    }

    /// Tells clients what is stale and what is live again.
    pub(super) fn tell_clients(&mut self) {
        for status in self.feed.faults.take_due() {
            self.feed.bus.status(&status);
        }
    }

    pub(super) fn watch_connections(&mut self) {
        for event in self.reader.news() {
            self.feed.look |= self.feed.faults.connection(&event, self.feed.now_ns);
        }
    }

    /// Where a partition that is read stands; gives how many records it is behind.
    fn look_after(&mut self, tag: u32, mark: u64) -> u64 {
        let now_ns = self.feed.now_ns;
        let source = self.feed.known.part(tag).source;
        // It passes control and aborted records, which are never delivered.
        if let Some(position) = self.reader.position(tag)
            && position > self.feed.bus.next_offset(source)
        {
            self.feed.end_hole(tag, position);
            self.feed.bus.skip(source, position);
        }
        let next = self.feed.bus.next_offset(source);
        let behind = u64::try_from(self.reader.end(tag).unwrap_or(0) - next).unwrap_or(0);
        let part = self.feed.known.part_mut(tag);
        part.mark(mark, next);
        if self.feed.faults.stands(tag, next, behind, now_ns) {
            let (topic, partition) = self.feed.name(tag);
            self.ask(TopicLookup::Standstill { topic, partition });
        }
        behind
    }

    /// What a turn has led to beside entries.
    pub(super) fn follow_up(&mut self) {
        if std::mem::take(&mut self.feed.took) {
            self.feed.faults.records_came();
            self.tell_clients();
        }
        for tag in std::mem::take(&mut self.feed.out_of_range) {
            let (topic, partition) = self.feed.name(tag);
            self.ask(TopicLookup::Ends { topic, partition });
        }
        for incarnation in std::mem::take(&mut self.feed.stopped) {
            self.end_parts(incarnation);
        }
        if std::mem::take(&mut self.feed.look) {
            self.ask(TopicLookup::Look);
        }
        // What finds no room waits for the next turn.
        let sent = self.unasked.iter().take_while(|&lookup| self.lookups.try_send(lookup.clone()).is_ok());
        let sent = sent.count();
        self.unasked.drain(..sent);
    }
}
