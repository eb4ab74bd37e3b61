//! The index: a circle of entries, and every so many of them a *checkpoint*, the next offset of every source.
//!
//! Checkpoint `k` says what holds before entry `k * spacing`. It is written together with the entry before that one, so
//! that it is there as soon as a published tail can name it. Storage is reused: it grows with the number of sources and
//! with nothing else.

use sync::UnsafeCell;

use super::{Entry, memory};

/// Entries and checkpoints.
pub(super) struct Index {
    entries: Box<[UnsafeCell<Entry>]>,
    checkpoints: Box<[UnsafeCell<Vec<i64>>]>,
    spacing: u64,
}

impl Index {
    pub(super) fn new(entries: usize, spacing: usize) -> Self {
        assert!(entries.is_power_of_two() && spacing.is_power_of_two(), "powers of two");
        Self {
            entries: memory::taken(entries, || UnsafeCell::new(Entry::VACANT)),
            checkpoints: (0..entries / spacing).map(|_| UnsafeCell::default()).collect(),
            spacing: spacing as u64,
        }
    }

    /// The first entry that the positions at `sequence` rest on: that of the last checkpoint at or before it.
    #[inline]
    pub(super) fn checkpoint_before(&self, sequence: u64) -> u64 {
        sequence & !(self.spacing - 1)
    }

    /// The oldest sequence whose entry is not overwritten when the next one is `tail`.
    pub(super) fn oldest(&self, tail: u64) -> u64 {
        tail.saturating_sub(self.entries.len() as u64)
    }

    /// # Safety
    /// The entry is published to the caller, and not overwritten while the reference lives.
    #[inline]
    pub(super) unsafe fn entry(&self, sequence: u64) -> &Entry {
        // SAFETY: nobody writes it meanwhile (this function's contract).
        self.slot(sequence).with(|entry| unsafe { &*entry })
    }

    /// Writes an entry, and a checkpoint of `next_offsets`, which are those behind it, where one is due.
    ///
    /// # Safety
    /// Only the writer may call it, and no reader may hold or ask for entry `sequence - entries`, nor for positions that
    /// rest on a checkpoint at or before `sequence + 1 - entries`.
    pub(super) unsafe fn write(&self, sequence: u64, entry: Entry, next_offsets: &[i64]) {
        // SAFETY: nobody else touches the slot (this function's contract).
        self.slot(sequence).with_mut(|slot| unsafe { *slot = entry });
        let next = sequence + 1;
        if self.checkpoint_before(next) == next {
            self.checkpoint(next).with_mut(|checkpoint| {
                // SAFETY: what lies here is the checkpoint at `next - entries`: nobody else touches it (this function's
                // contract).
                let checkpoint = unsafe { &mut *checkpoint };
                checkpoint.clear();
                checkpoint.extend_from_slice(next_offsets);
            });
        }
    }

    /// The next offset of every source as of the entries before `sequence`.
    ///
    /// # Safety
    /// The entries up to `sequence` are published to the caller, and the checkpoint at or before it and the entries from
    /// there on are not overwritten meanwhile.
    pub(super) unsafe fn positions_at(&self, sequence: u64, out: &mut Vec<i64>) {
        let from = self.checkpoint_before(sequence);
        out.clear();
        // SAFETY: published with the entry before it; not overwritten meanwhile (this function's contract).
        self.checkpoint(from).with(|checkpoint| out.extend_from_slice(unsafe { &*checkpoint }));
        for walked in from..sequence {
            // SAFETY: this function's contract.
            let entry = unsafe { self.entry(walked) };
            note(out, entry.source, entry.next_offset);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked by the number of entries")]
    #[inline]
    fn slot(&self, sequence: u64) -> &UnsafeCell<Entry> {
        &self.entries[sequence as usize & (self.entries.len() - 1)]
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked by the number of checkpoints")]
    fn checkpoint(&self, sequence: u64) -> &UnsafeCell<Vec<i64>> {
        &self.checkpoints[(sequence / self.spacing) as usize & (self.checkpoints.len() - 1)]
    }
}

/// Notes in a list of next offsets by source that `next_offset` is the source's.
pub(super) fn note(next_offsets: &mut Vec<i64>, source: u32, next_offset: i64) {
    let source = source as usize;
    if next_offsets.len() <= source {
        next_offsets.resize(source + 1, -1);
    }
    next_offsets[source] = next_offset;
}
