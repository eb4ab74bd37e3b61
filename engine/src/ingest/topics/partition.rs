//! A partition of one incarnation of a topic: where reading of it stands, and what is done with it.

use std::collections::VecDeque;

use crate::{
    catalog::{SourceNumber, TopicNumber},
    inbox::{PartitionFacts, PartitionState},
};

/// Not known yet.
pub(in crate::ingest) const UNKNOWN: i64 = -1;

/// Marks kept with the next offset there was at each: more than there are between two looks.
const MARKS_KEPT: usize = 16;

/// Its state.
#[derive(Debug)]
pub(in crate::ingest) struct Partition {
    topic: TopicNumber,
    /// Its number in Kafka.
    number: u32,
    /// What entries call it; another one where its log was truncated.
    source: SourceNumber,
    state: PartitionState,
    /// The offset it began at.
    first: i64,
    /// The offset expected next.
    next: i64,
    /// As far as the slab's entries tell; behind `next` where records matched nothing.
    placed: i64,
    /// Its end as the broker last told it.
    end: i64,
    /// It is held since this mark: only what the cluster says afterwards lets it go on.
    held_since: u64,
    /// The log was truncated; known while the partition is held.
    truncated: Option<TruncatedAt>,
    /// The consumer left records out in front of the next one: from here on, as far as it said.
    hole: Option<i64>,
    /// All before this offset is of this incarnation: where reading began, or what a look has confirmed since.
    confirmed: i64,
    /// Marks and the next offset at each.
    marked: VecDeque<(u64, i64)>,
}

/// Where a partition's log was truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum TruncatedAt {
    /// What came from this offset on is void.
    Offset(i64),
    /// Not told: all that was read may be void.
    Unknown,
}

impl Partition {
    pub(super) fn new(topic: TopicNumber, number: u32, source: SourceNumber) -> Self {
        Self {
            topic,
            number,
            source,
            state: PartitionState::Waiting,
            first: UNKNOWN,
            next: UNKNOWN,
            placed: UNKNOWN,
            end: UNKNOWN,
            held_since: 0,
            truncated: None,
            hole: None,
            confirmed: UNKNOWN,
            marked: VecDeque::new(),
        }
    }

    /// Its incarnation of a topic.
    pub(in crate::ingest) fn topic(&self) -> TopicNumber {
        self.topic
    }

    /// Its number in Kafka.
    pub(in crate::ingest) fn number(&self) -> u32 {
        self.number
    }

    /// What entries call it now.
    pub(in crate::ingest) fn source(&self) -> SourceNumber {
        self.source
    }

    /// What is done with it.
    pub(in crate::ingest) fn state(&self) -> PartitionState {
        self.state
    }

    /// The offset expected next; negative: not known yet.
    pub(in crate::ingest) fn next(&self) -> i64 {
        self.next
    }

    /// For those who ask.
    pub(in crate::ingest) fn facts(&self) -> PartitionFacts {
        // What was read since the broker told the end is not beyond it.
        let end = if self.end == UNKNOWN { UNKNOWN } else { self.end.max(self.next) };
        PartitionFacts { state: self.state, first: self.first, next: self.next, end }
    }

    /// What is done with it from now on.
    pub(in crate::ingest) fn set_state(&mut self, state: PartitionState) {
        self.state = state;
    }

    /// The broker has told its end, or not.
    pub(in crate::ingest) fn note_end(&mut self, end: Option<i64>) {
        self.end = end.unwrap_or(self.end);
    }

    /// The consumer has taken it: reading begins.
    pub(in crate::ingest) fn begin(&mut self) {
        self.confirmed = self.next;
        self.state = PartitionState::Reading;
    }

    /// Holds it back: its records are not taken until the cluster has said that the topic is the same.
    pub(super) fn hold(&mut self, mark: u64) {
        self.state = PartitionState::Held;
        self.held_since = mark;
        self.hole = None;
    }

    /// It is held, and was when the cluster answered a lookup made after this mark.
    pub(in crate::ingest) fn is_held_since(&self, mark: u64) -> bool {
        self.state == PartitionState::Held && self.held_since <= mark
    }

    /// Its log was truncated: kept while it is held.
    pub(in crate::ingest) fn set_truncated(&mut self, at: TruncatedAt) {
        self.truncated = Some(at);
    }

    /// Where its log was truncated; forgotten with this.
    pub(in crate::ingest) fn take_truncated(&mut self) -> Option<TruncatedAt> {
        self.truncated.take()
    }

    /// The consumer left records out from this offset on, as far as it says: the next record ends the hole.
    pub(in crate::ingest) fn open_hole(&mut self, offset: i64) {
        self.hole = self.hole.max(Some(offset.max(self.next)));
    }

    /// The consumer, which stands at this offset, has yet to pass what it left out: between here and there are control and
    /// aborted records.
    pub(in crate::ingest) fn is_before_hole(&self, position: i64) -> bool {
        self.hole.is_some_and(|offset| position <= offset)
    }

    /// True if the consumer left records out in front of the one that comes; there is no hole afterwards.
    pub(in crate::ingest) fn take_hole(&mut self) -> bool {
        self.hole.take().is_some()
    }

    /// Notes where it stands at a mark.
    pub(in crate::ingest) fn mark(&mut self, mark: u64) {
        if self.marked.len() == MARKS_KEPT {
            self.marked.pop_front();
        }
        self.marked.push_back((mark, self.next));
    }

    /// A look that began after `mark` has seen that the topic is the same.
    pub(in crate::ingest) fn confirm(&mut self, mark: u64) {
        while let Some(&(at, next)) = self.marked.front()
            && at <= mark
        {
            self.confirmed = next;
            self.marked.pop_front();
        }
    }

    /// From where on what was read may be of another incarnation, if nothing showed when that began.
    pub(in crate::ingest) fn confirmed(&self) -> i64 {
        self.confirmed
    }

    /// A record was taken. `has_entries`: the slab's entries tell where it stands behind it.
    #[inline]
    pub(super) fn took(&mut self, offset: i64, has_entries: bool) {
        self.next = offset + 1;
        if has_entries {
            self.placed = self.next;
        }
    }

    /// It stands at this offset at least. True if it was not known where it begins: there it does.
    pub(super) fn skip(&mut self, next: i64) -> bool {
        let is_first = self.next == UNKNOWN && next >= 0;
        self.next = self.next.max(next);
        if is_first {
            self.first = next;
        }
        is_first
    }

    /// Clients hold 0 for it, although it begins at `start`.
    pub(super) fn begins_late(&mut self, start: i64) {
        self.first = start;
    }

    /// It goes on behind a gap.
    pub(super) fn pass(&mut self, to: i64) {
        self.next = self.next.max(to + 1);
    }

    /// The slab's entries of `source` tell that it stands at `next`.
    pub(super) fn placed(&mut self, source: SourceNumber, next: i64) {
        if self.source == source {
            self.placed = self.placed.max(next);
        }
    }

    /// The slab's entries of `source` need not tell that it stands at `next`: they do, or the source is over.
    pub(super) fn is_placed(&self, source: SourceNumber, next: i64) -> bool {
        self.source != source || self.placed >= next
    }

    /// It stands further than the slab's entries tell.
    pub(super) fn has_moved(&self) -> bool {
        self.next > self.placed
    }

    /// Its log was truncated: it goes on at `at` as another source. What comes from there on is yet to be confirmed, and
    /// where it ends now is yet to be told.
    pub(super) fn truncate(&mut self, at: i64, by: SourceNumber) {
        self.source = by;
        (self.first, self.next, self.placed, self.end) = (at, at, UNKNOWN, UNKNOWN);
        self.hole = None;
        self.confirmed = self.confirmed.min(at);
        self.marked.iter_mut().for_each(|(_, next)| *next = at.min(*next));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::watcher::Marks, *};

    #[test]
    fn a_look_confirms_what_was_noted_before_it_and_no_more() {
        let (marks, mut partition) = (Marks::default(), Partition::new(0, 0, 0));
        let note = |partition: &mut Partition, next| {
            partition.skip(next);
            partition.mark(marks.next());
        };
        assert_eq!(partition.confirmed(), -1);
        note(&mut partition, 100);
        note(&mut partition, 150);
        let asked = marks.newest();
        note(&mut partition, 200);
        partition.confirm(asked);
        assert_eq!(partition.confirmed(), 150);
        partition.confirm(asked);
        assert_eq!(partition.confirmed(), 150);
        (0..100).for_each(|n| note(&mut partition, 300 + n));
        partition.confirm(marks.newest());
        assert_eq!(partition.confirmed(), 399);
    }
}
