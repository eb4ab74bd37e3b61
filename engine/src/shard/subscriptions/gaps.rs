//! Gaps of whole topics that were read and may still be untold to somebody.

use std::{collections::VecDeque, sync::Arc};

use slab::Gap;

use crate::catalog::Catalog;

/// A gap that was read and may still be untold to somebody.
#[derive(Debug, Clone)]
pub(in crate::shard) struct Noted {
    pub(in crate::shard) sequence: u64,
    pub(in crate::shard) gap: Gap,
    /// It is a part: where its partition goes on stands right behind it, and nobody is told in between.
    is_part: bool,
    /// Name of its topic.
    pub(in crate::shard) topic: Arc<str>,
}

impl Noted {
    /// The place where its partition goes on is still to be read, from `read` on.
    pub(in crate::shard) fn is_open(&self, read: u64) -> bool {
        self.is_part && read <= self.sequence + 1
    }
}

/// Gaps at or above the floor, in their order.
#[derive(Debug, Default)]
pub(in crate::shard) struct Gaps {
    noted: VecDeque<Noted>,
}

impl Gaps {
    /// The reading place has passed the entry of a gap.
    pub(in crate::shard) fn note(&mut self, catalog: &Catalog, sequence: u64, gap: Gap, is_part: bool) {
        let topic = catalog.sources[gap.source as usize].topic;
        let topic = Arc::clone(&catalog.topics[topic as usize].name);
        self.noted.push_back(Noted { sequence, gap, is_part, topic });
    }

    /// Those at `sequence` and behind.
    pub(in crate::shard) fn from(&self, sequence: u64) -> impl Iterator<Item = &Noted> {
        let from = self.noted.partition_point(|noted| noted.sequence < sequence);
        self.noted.range(from..)
    }

    /// The floor has passed those below it.
    pub(in crate::shard) fn forget_below(&mut self, floor: u64) {
        let passed = self.noted.partition_point(|noted| noted.sequence < floor);
        self.noted.drain(..passed);
    }

    /// The reading place lies between a gap and the place where its partition goes on: positions there are of both.
    pub(in crate::shard) fn is_within_truncation(&self, read: u64) -> bool {
        self.noted.back().is_some_and(|last| last.is_open(read))
    }
}
