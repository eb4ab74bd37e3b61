//! The incarnations of topics and their partitions as ingest reads them. The consumer knows a partition by its *tag*,
//! which is its index here.

use std::{collections::VecDeque, sync::Arc};

use kafka::TopicId;
use proto::position::Epoch;

use crate::{
    catalog::{SourceNumber, TopicNumber},
    inbox::PartitionState,
};

/// Marks kept with the next offset there was at each: more than there are between two looks.
const MARKS_KEPT: usize = 16;

/// A partition of one incarnation of a topic.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) incarnation: usize,
    pub(super) partition: u32,
    pub(super) source: SourceNumber,
    pub(super) state: PartitionState,
    /// It is held since this mark: only what the cluster says afterwards lets it go on.
    pub(super) held_since: u64,
    /// The log was truncated; known while the partition is held.
    pub(super) truncated: Option<TruncatedAt>,
    /// The consumer left records out from this offset on: the next record ends the hole.
    pub(super) hole: Option<i64>,
    /// All before this offset is of this incarnation: where reading began, or what a look has confirmed since.
    confirmed: i64,
    /// Marks and the next offset at each.
    marked: VecDeque<(u64, i64)>,
}

/// Where a partition's log was truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TruncatedAt {
    /// What came from this offset on is void.
    Offset(i64),
    /// Not told: all that was read may be void.
    Unknown,
}

impl Part {
    /// Reading begins.
    pub(super) fn begin(&mut self, next: i64) {
        self.confirmed = next;
    }

    /// Notes the next offset at a mark.
    pub(super) fn mark(&mut self, mark: u64, next: i64) {
        if self.marked.len() == MARKS_KEPT {
            self.marked.pop_front();
        }
        self.marked.push_back((mark, next));
    }

    /// A look that began after `mark` has seen that the topic is the same.
    pub(super) fn confirm(&mut self, mark: u64) {
        while let Some(&(at, next)) = self.marked.front()
            && at <= mark
        {
            self.confirmed = next;
            self.marked.pop_front();
        }
    }

    /// Its log was truncated: what comes from `at` on is yet to be confirmed.
    pub(super) fn truncated_at(&mut self, at: i64) {
        self.hole = None;
        self.confirmed = self.confirmed.min(at);
        self.marked.iter_mut().for_each(|(_, next)| *next = at.min(*next));
    }

    /// From where on what was read may be of another incarnation, if nothing showed when that began.
    pub(super) fn confirmed(&self) -> i64 {
        self.confirmed
    }

    /// Holds it back: its records are not taken until the cluster has said that the topic is the same.
    pub(super) fn hold(&mut self, mark: u64) {
        self.state = PartitionState::Held;
        self.held_since = mark;
    }
}

/// An incarnation of a topic, from its creation to its deletion.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub(super) topic: Arc<str>,
    pub(super) id: Option<TopicId>,
    pub(super) epoch: Epoch,
    pub(super) number: TopicNumber,
    /// By partition.
    pub(super) tags: Vec<u32>,
    pub(super) wants_headers: bool,
    /// A value above the limit ended it.
    pub(super) stopped: bool,
    /// The consumer has told when the topic's id became another: all that was taken before is of this incarnation.
    pub(super) is_replaced: bool,
}

/// All of them, past incarnations included.
#[derive(Debug, Default)]
pub(super) struct Incarnations {
    pub(super) incarnations: Vec<Incarnation>,
    pub(super) parts: Vec<Part>,
}

impl Incarnations {
    /// The present incarnation of a topic.
    pub(super) fn present(&self, topic: &str) -> Option<usize> {
        self.incarnations.iter().rposition(|incarnation| *incarnation.topic == *topic)
    }

    /// The present incarnation of a topic, if it has this epoch.
    pub(super) fn with_epoch(&self, topic: &str, epoch: Epoch) -> Option<usize> {
        self.present(topic).filter(|&incarnation| self.incarnations[incarnation].epoch == epoch)
    }

    /// The tag of a partition of an incarnation.
    pub(super) fn tag(&self, incarnation: usize, partition: u32) -> Option<u32> {
        self.incarnations[incarnation].tags.get(partition as usize).copied()
    }

    pub(super) fn begin(&mut self, incarnation: Incarnation) -> usize {
        self.incarnations.push(incarnation);
        self.incarnations.len() - 1
    }

    /// Adds an incarnation's next partition.
    pub(super) fn add(&mut self, incarnation: usize, source: SourceNumber) -> u32 {
        let tag = u32::try_from(self.parts.len()).expect("partitions are few");
        let tags = &mut self.incarnations[incarnation].tags;
        let partition = u32::try_from(tags.len()).expect("partitions are few");
        tags.push(tag);
        self.parts.push(Part {
            incarnation,
            partition,
            source,
            state: PartitionState::Waiting,
            held_since: 0,
            truncated: None,
            hole: None,
            confirmed: -1,
            marked: VecDeque::new(),
        });
        tag
    }

    pub(super) fn part(&self, tag: u32) -> &Part {
        &self.parts[tag as usize]
    }

    pub(super) fn part_mut(&mut self, tag: u32) -> &mut Part {
        &mut self.parts[tag as usize]
    }

    /// The incarnation a tag is of.
    pub(super) fn incarnation_of(&self, tag: u32) -> &Incarnation {
        &self.incarnations[self.part(tag).incarnation]
    }

    /// All tags.
    pub(super) fn tags(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.parts.len()).expect("partitions are few")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::watcher::Marks, *};

    #[test]
    fn a_look_confirms_what_was_noted_before_it_and_no_more() {
        let mut incarnations = Incarnations::default();
        let incarnation = Incarnation {
            topic: "t".into(),
            id: None,
            epoch: Epoch::of("", b"t"),
            number: 0,
            tags: Vec::new(),
            wants_headers: false,
            stopped: false,
            is_replaced: false,
        };
        let incarnation = incarnations.begin(incarnation);
        let tag = incarnations.add(incarnation, 0);
        let (marks, part) = (Marks::default(), incarnations.part_mut(tag));
        assert_eq!(part.confirmed(), -1);
        part.mark(marks.next(), 100);
        part.mark(marks.next(), 150);
        let asked = marks.newest();
        part.mark(marks.next(), 200);
        part.confirm(asked);
        assert_eq!(part.confirmed(), 150);
        part.confirm(asked);
        assert_eq!(part.confirmed(), 150);
        (0..100).for_each(|n| part.mark(marks.next(), 300 + n));
        part.confirm(marks.newest());
        assert_eq!(part.confirmed(), 399);
    }
}
