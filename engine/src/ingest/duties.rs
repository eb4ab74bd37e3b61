//! What comes round once a second, and what a turn has led to.

use std::sync::Arc;

use kafka::Read;
use tracing::warn;

use super::{
    faults::{Kind, partitions_text},
    incarnations::Standstill,
    thread::Ingest,
    watcher::TopicLookup,
};
use crate::inbox::{DataState, PartitionState};

/// Time between two rounds of duties: positions, lag, faults, CPU time.
const DUTY_INTERVAL_NS: u64 = 1_000_000_000;
/// A partition that stands still for so long although there is more: the watcher is asked why, and again so often.
const STANDSTILL_NS: u64 = 3_000_000_000;

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
            part.refusal = part.refusal.take().filter(|_| end.is_none());
            self.feed.bus.note(part.source, part.state, end);
        }
        self.feed.metrics.lag_records.set(lag);
        self.feed.metrics.cpu_ns.set(ring::thread_cpu_ns());
        self.tell_faults();
        if let Some(state) = self.feed.reach.due(now_ns) {
            if let DataState::Stale { lag_ms } = state {
                warn!(lag_ms, "no broker responds: clients are told that data is stale");
            }
            self.feed.bus.state(state);
        }
    }

    /// Brings what cannot be read to everybody who is to know.
    pub(super) fn tell_faults(&mut self) {
        self.show_faults();
        for status in self.feed.faults.due(self.feed.now_ns) {
            self.feed.bus.status(&status);
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
        let same = part.standstill.filter(|standstill| behind > 0 && standstill.next == next);
        let begun = Standstill { next, since_ns: now_ns, asked_ns: None, unstable: None };
        part.standstill = same.or_else(|| (behind > 0).then_some(begun));
        self.ask_about_standstill(tag);
        behind
    }

    fn ask_about_standstill(&mut self, tag: u32) {
        let now_ns = self.feed.now_ns;
        let Some(standstill) = &mut self.feed.known.part_mut(tag).standstill else { return };
        let last_ns = standstill.asked_ns.unwrap_or(standstill.since_ns);
        if now_ns.saturating_sub(last_ns) >= STANDSTILL_NS {
            standstill.asked_ns = Some(now_ns);
            let (topic, partition) = self.feed.name(tag);
            self.ask(TopicLookup::Standstill { topic, partition });
        }
    }

    /// Brings what is wrong with the partitions of each topic's present incarnation to /health, the log and clients.
    fn show_faults(&mut self) {
        for incarnation in 0..self.feed.known.incarnations.len() {
            let topic = Arc::clone(&self.feed.known.incarnations[incarnation].topic);
            if self.feed.known.present(&topic) != Some(incarnation) {
                continue;
            }
            for (kind, text) in self.faults_of(incarnation) {
                match text {
                    Some(text) => self.feed.faults.set(&topic, kind, &text, self.feed.now_ns),
                    None => self.feed.faults.clear(&topic, kind),
                }
            }
        }
    }

    /// What is wrong with an incarnation's partitions, by kind; none: nothing.
    fn faults_of(&self, incarnation: usize) -> [(Kind, Option<String>); 3] {
        let parts =
            || self.feed.known.incarnations[incarnation].tags.iter().map(|&tag| self.feed.known.part(tag));
        let seconds = |since_ns: u64| self.feed.now_ns.saturating_sub(since_ns) / 1_000_000_000;
        let leaderless = parts().filter_map(|part| Some((part.partition, part.leaderless?.to_owned())));
        let refused = parts().filter_map(|part| Some((part.partition, part.refusal.as_ref()?.to_string())));
        let open = parts().filter_map(|part| {
            let Standstill { since_ns, unstable, .. } = part.standstill?;
            let held = format!(
                "an open transaction has held back everything from offset {} on for {} s",
                unstable?,
                seconds(since_ns)
            );
            Some((part.partition, held))
        });
        [
            (Kind::Leaderless, described(leaderless)),
            (Kind::ReadRefused, described(refused)),
            (Kind::Transaction, described(open)),
        ]
    }

    /// What a turn has led to beside entries.
    pub(super) fn follow_up(&mut self) {
        if std::mem::take(&mut self.feed.took) && !self.feed.reach.is_heard() {
            let state = self.feed.reach.record();
            self.reached();
            if let Some(state) = state {
                self.feed.bus.state(state);
            }
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

/// Partitions and what is wrong with each, as one text; none: nothing is.
fn described(faults: impl Iterator<Item = (u32, String)>) -> Option<String> {
    let mut by_text: Vec<(String, Vec<u32>)> = Vec::new();
    for (partition, text) in faults {
        match by_text.iter_mut().find(|(known, _)| *known == text) {
            Some((_, partitions)) => partitions.push(partition),
            None => by_text.push((text, vec![partition])),
        }
    }
    let texts: Vec<String> =
        by_text.iter().map(|(text, partitions)| partitions_text(partitions, text)).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_with_the_same_trouble_are_named_together() {
        let faults = [(0, "no leader"), (3, "its leader does not respond"), (7, "no leader")];
        let faults = faults.map(|(partition, text)| (partition, text.to_owned()));
        let text = described(faults.into_iter());
        assert_eq!(
            text.as_deref(),
            Some("partitions 0, 7: no leader; partition 3: its leader does not respond")
        );
        assert_eq!(described([].into_iter()), None);
    }
}
