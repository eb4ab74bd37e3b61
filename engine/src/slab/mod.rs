//! The slab: a log in memory. One writer (ingest) appends encoded frames, every shard's ring reads them in place.
//!
//! Bytes lie back to back in one circular region a wire format; the index is one circular array. Publication is one
//! release store of the tail. Reclaiming is a protocol: the writer publishes a floor, every reader acknowledges it, and
//! only then is anything below it overwritten (docs/DESIGN.md, "The slab is a log").

mod bell;
mod blocks;
mod reader;
mod writer;

use thiserror::Error;

pub use self::{
    bell::Bell,
    blocks::{Block, Frame},
    reader::Reader,
    writer::Writer,
};

/// Wire formats an entry has room for.
pub const FORMATS: usize = 1;
/// The native JSON protocol's format.
pub const NATIVE: usize = 0;
/// Channel of entries without a frame: a partition moved, nothing to deliver.
pub const NO_CHANNEL: u32 = u32::MAX;

/// Sizes, checked by `Config::check`.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes of a region.
    pub bytes: usize,
    /// Entries of the index, a power of two, at least 8,192 (tests under loom and model may go lower).
    pub entries: usize,
    /// Entries between two checkpoints (1,024).
    pub checkpoint: usize,
    /// Frames above this many bytes live in blocks.
    pub large_frame_bytes: usize,
    /// Bytes of blocks at most.
    pub blocks_bytes: usize,
}

/// Where a frame lies: a range of the region's virtual bytes (never split by the end), or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    begin: u64,
    len: u32,
}

impl Place {
    /// Whether this frame lies right behind the other in the region, so that both leave as one slice.
    #[must_use]
    pub fn follows(&self, previous: &Self) -> bool {
        self.begin == previous.begin + u64::from(previous.len)
    }

    /// Bytes of the frame; 0: none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a place without bytes is no place")]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

/// What an entry says. It never changes once published.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Channel number, or [`NO_CHANNEL`].
    pub channel: u32,
    /// Source number (`catalog`).
    pub source: u32,
    /// Kafka offset; the source's next offset is one more.
    pub offset: i64,
    /// Kafka timestamp, Unix ms.
    pub ts_ms: i64,
    /// When ingest read it, ns of the monotonic clock.
    pub ingest_ns: u64,
    /// Running number of the eighth it lies in.
    pub eighth: u32,
    /// Place per format; length 0: none.
    pub frames: [Place; FORMATS],
}

/// What the writer gives for an entry.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// See [`Entry::channel`].
    pub channel: u32,
    /// See [`Entry::source`].
    pub source: u32,
    /// See [`Entry::offset`].
    pub offset: i64,
    /// See [`Entry::ts_ms`].
    pub ts_ms: i64,
    /// See [`Entry::ingest_ns`].
    pub ingest_ns: u64,
}

/// Nothing can be appended before the readers have acknowledged the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the slab is full up to the acknowledged floor")]
pub struct Full;

/// Takes and touches the memory of a slab; one writer, and a reader for each shard.
#[must_use]
pub fn slab(sizes: Sizes, readers: usize) -> (Writer, Vec<Reader>) {
    todo!("{sizes:?} {readers}")
}
