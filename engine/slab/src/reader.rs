//! The reading end: a shard's.
//!
//! Shards are of another crate and call most of this for each entry or each delivery: what they call, and what that calls,
//! is marked `inline`, for without it a call across crates stays one wherever link-time optimisation does not look.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::{Entry, Frame, Place, log::Log, pressure::Relief};

/// The reading end, one for each shard. What it hands out borrows it, and [`Self::acknowledge`] takes it mutably: no
/// slice outlives the acknowledgement that gives its bytes back to the writer.
///
/// ```compile_fail,E0502
/// # fn f(reader: &mut slab::Reader) {
/// let frame = reader.bytes(7, slab::NATIVE);
/// reader.acknowledge(8);
/// println!("{frame:?}"); // may be overwritten by now: does not compile
/// # }
/// ```
pub struct Reader {
    log: Arc<Log>,
    number: usize,
    /// The floor it has acknowledged. Never above `seen`.
    floor: u64,
    /// The tail it has last looked at.
    seen: Cell<u64>,
}

impl Reader {
    pub(super) fn new(log: Arc<Log>, number: usize) -> Self {
        Self { log, number, floor: 0, seen: Cell::new(0) }
    }

    /// One past the newest published entry.
    #[must_use]
    #[inline]
    pub fn tail(&self) -> u64 {
        // Acquire: what is below it can be read from now on.
        self.seen.set(self.log.tail.0.load(Ordering::Acquire));
        self.seen.get()
    }

    /// The floor the writer asks for. Never above the tail; looks at that too, so that all below the floor can be read.
    #[must_use]
    #[inline]
    pub fn asked_floor(&self) -> u64 {
        // In this order: the tail that is seen after a floor is not below it.
        let floor = self.log.floor.0.load(Ordering::Acquire);
        assert!(floor <= self.tail(), "a floor is never above the tail");
        floor
    }

    /// The writer has found the blocks' budget used up by connections that hold blocks, no floor that would make room,
    /// and nobody answers it yet: who has a holder takes the [`Self::relief`].
    #[must_use]
    #[inline]
    pub fn is_pressed(&self) -> bool {
        self.log.pressure.0.is_wanted()
    }

    /// Takes it upon this reader to have one holder let go of its block, before the relief is dropped; none: nobody has
    /// to, or another reader does.
    #[must_use]
    pub fn relief(&self) -> Option<Relief> {
        Relief::of(&self.log)
    }

    /// The floor this reader has acknowledged.
    #[must_use]
    #[inline]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// An entry, from the last checkpoint at or before the floor up to the tail this reader has last looked at.
    ///
    /// # Panics
    /// Outside of that range.
    #[must_use]
    #[inline]
    pub fn entry(&self, sequence: u64) -> &Entry {
        let (from, to) = (self.log.index.checkpoint_before(self.floor), self.seen.get());
        assert!((from..to).contains(&sequence), "entry {sequence} is not within {from}..{to}");
        // SAFETY: below a tail loaded with acquire, and not below the checkpoint of the acknowledged floor, which the
        // borrow keeps where it is.
        unsafe { self.log.index.entry(sequence) }
    }

    /// An entry's frame; an empty slice when it has none in this format.
    ///
    /// # Panics
    /// Below the floor, and at or above the tail this reader has last looked at.
    #[must_use]
    #[inline]
    pub fn bytes(&self, sequence: u64, format: usize) -> Frame<'_> {
        let place = self.place(sequence, format);
        match place.block_number() {
            // SAFETY: its entry is published, and at or above the acknowledged floor, which the borrow keeps.
            Some(number) => Frame::Block(unsafe { self.log.blocks.block(number) }),
            None => Frame::Region(self.slice(place.begin, place.len(), format)),
        }
    }

    /// All frames in the region from entry `first` to entry `last`, both included, whatever their channel, as one slice if
    /// they lie back to back. Entries in between that have no frame there, or a block, do not matter; if there are no
    /// others: none.
    ///
    /// # Panics
    /// As [`Self::bytes`] does.
    #[must_use]
    #[inline]
    pub fn run(&self, first: u64, last: u64, format: usize) -> Option<&[u8]> {
        let mut places = (first..=last)
            .map(|sequence| self.place(sequence, format))
            .filter(|place| place.len() > 0 && place.block_number().is_none());
        let first = places.next()?;
        let mut previous = first;
        for place in places {
            if !place.follows(&previous) {
                return None;
            }
            previous = place;
        }
        let len = previous.begin - first.begin + previous.len() as u64;
        Some(self.slice(first.begin, usize::try_from(len).ok()?, format))
    }

    /// Gives everything below `floor` back to the writer.
    ///
    /// # Panics
    /// When it moves back, or goes beyond the floor asked for.
    #[inline]
    pub fn acknowledge(&mut self, floor: u64) {
        let asked = self.asked_floor();
        assert!(
            (self.floor..=asked).contains(&floor),
            "floor {floor} is not within {}..={asked}",
            self.floor
        );
        self.floor = floor;
        // Release: behind all that was read below.
        self.log.acknowledged[self.number].0.store(floor, Ordering::Release);
    }

    /// The next offset of every source as of the entries before `sequence`, by source number; -1: unknown.
    ///
    /// # Panics
    /// When `sequence` is below the floor or above the tail this reader has last looked at.
    pub fn positions_at(&self, sequence: u64, out: &mut Vec<i64>) {
        let (from, to) = (self.floor, self.seen.get());
        assert!((from..=to).contains(&sequence), "sequence {sequence} is not within {from}..={to}");
        // SAFETY: below a tail loaded with acquire, and not below the checkpoint of the acknowledged floor, which the
        // borrow keeps where it is.
        unsafe { self.log.index.positions_at(sequence, out) }
    }

    /// A place whose bytes may be read.
    #[inline]
    fn place(&self, sequence: u64, format: usize) -> Place {
        assert!(sequence >= self.floor, "frame {sequence} is below the floor {}", self.floor);
        self.entry(sequence).frames[format]
    }

    /// Bytes of frames that [`Self::place`] has given.
    #[inline]
    fn slice(&self, begin: u64, len: usize, format: usize) -> &[u8] {
        // SAFETY: frames of entries below a tail loaded with acquire, and not below the acknowledged floor, which the
        // borrow keeps where it is.
        unsafe { self.log.regions[format].read(begin, len) }
    }
}

/// A shard that ends, by a panic too, gives everything back: it must not stop ingest for the others.
impl Drop for Reader {
    fn drop(&mut self) {
        self.log.acknowledged[self.number].0.store(u64::MAX, Ordering::Release);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("number", &self.number)
            .field("floor", &self.floor)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
