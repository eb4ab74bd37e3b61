//! What writer and readers share, and why they may.

use std::array;

use sync::AtomicU64;

use super::{FORMATS, Sizes, blocks::Blocks, index::Index, pressure::Pressure, region::Region};

/// The log: memory that one writes and all read, and the three numbers by which they keep out of each other's way.
pub(super) struct Log {
    pub(super) regions: [Region; FORMATS],
    pub(super) index: Index,
    pub(super) blocks: Blocks,
    /// One past the newest published entry. The writer's; stored with release behind all an entry consists of.
    pub(super) tail: Padded<AtomicU64>,
    /// The floor that readers are asked to acknowledge. The writer's; never above the tail.
    pub(super) floor: Padded<AtomicU64>,
    /// Whether a connection is to let go of a block.
    pub(super) pressure: Padded<Pressure>,
    /// The floor that each reader has acknowledged. The reader's; stored with release behind its last read below.
    pub(super) acknowledged: Box<[Padded<AtomicU64>]>,
}

impl Log {
    pub(super) fn new(sizes: &Sizes, readers: usize) -> Self {
        Self {
            regions: array::from_fn(|_| Region::new(sizes.bytes)),
            index: Index::new(sizes.entries, sizes.checkpoint),
            blocks: Blocks::new(sizes.blocks_bytes, sizes.large_frame_bytes),
            tail: Padded(AtomicU64::new(0)),
            floor: Padded(AtomicU64::new(0)),
            pressure: Padded(Pressure::new()),
            acknowledged: (0..readers).map(|_| Padded(AtomicU64::new(0))).collect(),
        }
    }
}

/// A value on cache lines of its own (two, for the prefetcher fetches pairs), so that what one thread writes often does
/// not slow what others read often.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

// SAFETY: no byte, entry, checkpoint or slot is written while another thread can read it.
// - There is one writer: `slab` makes one, it is not `Clone`, and all that writes takes it by `&mut`.
// - *Publication.* What belongs to an entry is written before the tail passes it (`Writer::publish`, release), and a
//   reader touches only what is below a tail it has loaded (`Reader::tail`, acquire; checked on each access).
// - *Reclaiming.* What is published stays as it is until the segment it lies in is given back. A reader touches nothing
//   below its floor (checked on each access), nor any of the index below the last checkpoint at or before it; all it
//   hands out borrows it, and to acknowledge takes it by `&mut`, so nothing handed out outlives the release store in
//   `Reader::acknowledge`. The writer loads the acknowledged floors (`Writer::reclaimed`, acquire) before it opens the
//   segment in which it overwrites what lies below them (segments.rs has the arithmetic).
unsafe impl Sync for Log {}
