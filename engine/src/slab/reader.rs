//! The reading end: a shard's.

use super::{Entry, Frame};

/// The reading end, one for each shard. What it hands out borrows it, and [`Self::acknowledge`] takes it mutably: no
/// slice outlives the acknowledgement that gives its bytes back to the writer.
#[derive(Debug)]
pub struct Reader {
    floor: u64,
}

impl Reader {
    /// One past the newest published entry.
    #[must_use]
    pub fn tail(&self) -> u64 {
        todo!()
    }

    /// The floor the writer asks for. Never above the tail.
    #[must_use]
    pub fn asked_floor(&self) -> u64 {
        todo!()
    }

    /// The floor this reader has acknowledged.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// An entry, from the last checkpoint at or before the floor up to the tail this reader has last looked at.
    ///
    /// # Panics
    /// Outside of that range.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> &Entry {
        todo!("{sequence}")
    }

    /// An entry's frame; an empty slice when it has none in this format.
    ///
    /// # Panics
    /// Below the floor, and at or above the tail this reader has last looked at.
    #[must_use]
    pub fn bytes(&self, sequence: u64, format: usize) -> Frame<'_> {
        todo!("{sequence} {format}")
    }

    /// All frames from entry `first` to entry `last`, both included, whatever their channel, as one slice if they lie
    /// back to back in the region. Entries without a frame in between do not matter.
    ///
    /// # Panics
    /// As [`Self::bytes`] does.
    #[must_use]
    pub fn run(&self, first: u64, last: u64, format: usize) -> Option<&[u8]> {
        todo!("{first} {last} {format}")
    }

    /// Gives everything below `floor` back to the writer.
    ///
    /// # Panics
    /// When it moves back or goes beyond the floor asked for.
    pub fn acknowledge(&mut self, floor: u64) {
        todo!("{floor}")
    }

    /// The next offset of every source as of the entries before `sequence`, by source number; -1: unknown.
    ///
    /// # Panics
    /// When `sequence` is below the floor or above the tail this reader has last looked at.
    pub fn positions_at(&self, sequence: u64, out: &mut Vec<i64>) {
        todo!("{sequence} {out:?}")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.floor = u64::MAX;
    }
}
