//! Large frames: outside of the region, counted by reference, within a budget of their own.
//!
//! The slab holds a block through a slot of a side table until all readers have acknowledged its entry; entries carry
//! the block's running number and so never change. A connection that a part of a block was sent to may hold it longer,
//! and then it goes on counting: the budget bounds what blocks take in all.

use std::{fmt, ops::Deref, sync::Arc};

use sync::{AtomicUsize, Ordering, UnsafeCell};

/// A large frame. Its bytes count against the budget until the last holder lets go.
pub struct Block {
    bytes: Box<[u8]>,
    budget: Arc<Budget>,
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// A frame as a reader sees it.
#[derive(Debug, Clone, Copy)]
pub enum Frame<'a> {
    /// In the region; empty when the entry has no frame in this format.
    Region(&'a [u8]),
    /// In a block, which whoever took part of it may hold.
    Block(&'a Arc<Block>),
}

impl<'a> Frame<'a> {
    /// The frame's bytes.
    #[must_use]
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Region(bytes) => bytes,
            Self::Block(block) => block,
        }
    }
}

/// Bytes that blocks may take. Only the writer takes; anybody gives back. It is a count and orders nothing.
struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

/// Bytes of blocks, and the side table the slab holds them by.
pub(super) struct Blocks {
    budget: Arc<Budget>,
    slots: Box<[UnsafeCell<Option<Arc<Block>>>]>,
}

impl Blocks {
    /// `bytes_max` for blocks of more than `large_frame_bytes` each.
    pub(super) fn new(bytes_max: usize, large_frame_bytes: usize) -> Self {
        // As many as the budget admits, and at least the one it admits when there is no other.
        let slots = bytes_max / (large_frame_bytes + 1) + 1;
        Self {
            budget: Arc::new(Budget { used: AtomicUsize::new(0), bytes_max }),
            slots: (0..slots).map(|_| UnsafeCell::default()).collect(),
        }
    }

    /// Bytes held, by the slab or by others.
    pub(super) fn used(&self) -> usize {
        self.budget.used.load(Ordering::Relaxed)
    }

    /// Whether there would be room for `bytes` if `used` were. One frame is always admitted when there is no other,
    /// for else a frame larger than the budget would stop the log for ever.
    pub(super) fn admits(&self, used: usize, bytes: usize) -> bool {
        used == 0 || used + bytes <= self.budget.bytes_max
    }

    /// Takes `bytes` of the budget, for blocks that [`Self::put`] makes; or takes nothing and says no.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let admitted = self.admits(self.used(), bytes);
        if admitted {
            self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        }
        admitted
    }

    /// Makes a block of a frame whose bytes were taken.
    ///
    /// # Safety
    /// Only the writer may call it, with running numbers, and the block `slots` numbers before was dropped.
    pub(super) unsafe fn put(&self, number: u64, frame: &[u8]) {
        let block = Arc::new(Block { bytes: frame.into(), budget: Arc::clone(&self.budget) });
        self.slot(number).with_mut(|slot| {
            // SAFETY: the slot is vacant, so no published entry leads to it: nobody else touches it.
            let slot = unsafe { &mut *slot };
            assert!(slot.replace(block).is_none(), "the budget bounds the number of blocks");
        });
    }

    /// Lets go of a block; others may go on holding it.
    ///
    /// # Safety
    /// Only the writer may call it, and all readers have acknowledged a floor above the block's entry.
    pub(super) unsafe fn drop(&self, number: u64) {
        // SAFETY: no reader holds or asks for the reference (this function's contract).
        self.slot(number).with_mut(|slot| unsafe { *slot = None });
    }

    /// # Safety
    /// The block's entry is published to the caller, and the caller does not acknowledge a floor above it while the
    /// reference lives.
    #[inline]
    pub(super) unsafe fn block(&self, number: u64) -> &Arc<Block> {
        // SAFETY: nobody writes it meanwhile (this function's contract).
        let block = self.slot(number).with(|slot| unsafe { &*slot });
        block.as_ref().expect("held while its entry is above the floor")
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize")]
    #[inline]
    fn slot(&self, number: u64) -> &UnsafeCell<Option<Arc<Block>>> {
        &self.slots[(number % self.slots.len() as u64) as usize]
    }
}
