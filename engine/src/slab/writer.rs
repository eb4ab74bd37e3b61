//! The writing end: ingest's.

use std::sync::Arc;

use super::{Bell, Entry, FORMATS, Full, Meta};

/// The writing end. One, and it belongs to ingest.
#[derive(Debug)]
pub struct Writer {
    bells: Vec<Arc<Bell>>,
}

impl Writer {
    /// Bells to ring after a publication and with a new floor.
    pub fn set_bells(&mut self, bells: Vec<Arc<Bell>>) {
        self.bells = bells;
    }

    /// Appends an entry and its frames (an empty slice: none); readers see it after [`Self::publish`].
    ///
    /// What was appended before may be published on the way, when a new floor is asked for.
    ///
    /// # Errors
    /// [`Full`]: nothing has happened; try again after the readers have acknowledged the floor.
    pub fn append(&mut self, meta: Meta, frames: [&[u8]; FORMATS]) -> Result<u64, Full> {
        todo!("{meta:?} {frames:?}")
    }

    /// Shows readers what was appended, and rings.
    pub fn publish(&mut self) {
        todo!()
    }

    /// The sequence the next entry gets.
    #[must_use]
    pub fn tail(&self) -> u64 {
        todo!()
    }

    /// The floor asked for: readers are to acknowledge it.
    #[must_use]
    pub fn floor(&self) -> u64 {
        todo!()
    }

    /// The floor all readers have acknowledged.
    #[must_use]
    pub fn reclaimed(&self) -> u64 {
        todo!()
    }

    /// The number of a reader that has not acknowledged the floor, the farthest behind.
    #[must_use]
    pub fn behind(&self) -> Option<usize> {
        todo!()
    }

    /// Bytes of blocks, held by the slab or by whoever took a part of one.
    #[must_use]
    pub fn blocks_bytes(&self) -> usize {
        todo!()
    }

    /// An entry that is not overwritten yet, below the floor too.
    ///
    /// # Panics
    /// When it is overwritten or not appended yet.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Entry {
        todo!("{sequence}")
    }
}
