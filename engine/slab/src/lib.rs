//! The slab: a log in memory. One writer (ingest) appends encoded frames, every shard's ring reads them in place.
//!
//! ```text
//!              overwritten   given back   readable by all                        not yet published
//!             ............. ------------ ====================================== ..................
//!   sequence              ^            ^                                      ^                  ^
//!                     reclaimed      floor                                   tail       Writer::tail
//! ```
//!
//! Bytes lie back to back in one circular region a wire format (`region.rs`); the index is one circular array of
//! entries with checkpoints (`index.rs`); large frames are blocks of their own (`blocks.rs`). Publication is one
//! release store of the tail. Reclaiming is a protocol (`segments.rs`): the writer asks for a floor, every reader
//! acknowledges it when it no longer needs what lies below, and only then is that overwritten. A reader that does not
//! acknowledge stops the writer; nothing is ever read after it was overwritten (docs/DESIGN.md, "The slab is a log").
//!
//! This is one of the homes of unsafe code. What makes its face safe is written down once, at the `Sync` in `log.rs`, and
//! checked three ways: against a naive model (`src/tests/model.rs`), by threads that run into each other
//! (`src/tests/threads.rs`), and in all interleavings and memory orders that the language allows (`tests/loom.rs`):
//!
//! ```text
//! ./scripts/test loom
//! ```
//!
//! Miri watches the first two for undefined behaviour (it needs a nightly toolchain with the `miri` component):
//!
//! ```text
//! MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p uringcast-slab --lib --target-dir target/miri
//! ```
//!
//! ```
//! # use slab::{Frame, Full, Meta, NATIVE, Sizes, slab};
//! let sizes = Sizes { bytes: 1 << 20, entries: 8192, checkpoint: 1024, large_frame_bytes: 64 << 10, blocks_bytes: 1 << 20 };
//! let (mut writer, mut readers) = slab(sizes, 1);
//! let reader = &mut readers[0];
//!
//! let meta = Meta { channel: 0, source: 0, offset: 41, ts_ms: 0, ingest_ns: 0 };
//! let sequence = writer.append(meta, [b"\x81\x02{}"])?;
//! writer.publish();
//!
//! assert_eq!(reader.tail(), sequence + 1);
//! assert_eq!(reader.bytes(sequence, NATIVE).bytes(), b"\x81\x02{}");
//! let mut positions = Vec::new();
//! reader.positions_at(reader.tail(), &mut positions);
//! assert_eq!(positions, [42]);
//!
//! // Between two batches of sends, once nothing below it is needed:
//! reader.acknowledge(reader.asked_floor());
//! # Ok::<(), Full>(())
//! ```

mod blocks;
mod index;
mod log;
mod memory;
mod pressure;
mod reader;
mod region;
mod segments;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
mod writer;

use std::sync::Arc;

use thiserror::Error;

use self::log::Log;
pub use self::{
    blocks::{Block, Frame},
    pressure::Relief,
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
    /// Entries of the index, a power of two, more than `checkpoint` by at least 8.
    pub entries: usize,
    /// Entries between two checkpoints, a power of two (1,024).
    pub checkpoint: usize,
    /// Frames above this many bytes live in blocks. At most a sixteenth of `bytes`.
    pub large_frame_bytes: usize,
    /// Bytes of blocks at most; a single frame may exceed them while there is no other block.
    pub blocks_bytes: usize,
}

/// Takes and touches the memory of a slab; one writer, and a reader for each shard, by its number.
///
/// # Panics
/// On sizes at odds with each other, see [`Sizes`].
#[must_use]
pub fn slab(sizes: Sizes, readers: usize) -> (Writer, Vec<Reader>) {
    let writer = |log| Writer::new(log, &sizes);
    let log = Arc::new(Log::new(&sizes, readers));
    let readers = (0..readers).map(|number| Reader::new(Arc::clone(&log), number)).collect();
    (writer(log), readers)
}

/// Where a frame lies: a range of the region's virtual bytes, or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The virtual byte it begins at; or, with [`Place::BLOCK`], the block's running number.
    begin: u64,
    len: u32,
}

impl Place {
    /// No frame.
    const NONE: Self = Self { begin: 0, len: 0 };
    const BLOCK: u64 = 1 << 63;

    fn region(begin: u64, len: u32) -> Self {
        Self { begin, len }
    }

    fn block(number: u64, len: u32) -> Self {
        Self { begin: number | Self::BLOCK, len }
    }

    fn block_number(&self) -> Option<u64> {
        (self.begin & Self::BLOCK != 0).then_some(self.begin & !Self::BLOCK)
    }

    /// Whether this frame lies right behind the other in the region, so that both leave as one slice.
    #[must_use]
    pub fn follows(&self, previous: &Self) -> bool {
        previous.len > 0
            && previous.block_number().is_none()
            && self.begin == previous.begin + u64::from(previous.len)
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
    /// Kafka offset.
    pub offset: i64,
    /// The source's next offset behind this entry: one more, or the same where this is a part ([`Self::is_part`]).
    pub next_offset: i64,
    /// Kafka timestamp, Unix ms; of a gap ([`Self::gap`]), the last offset missing.
    pub ts_ms: i64,
    /// When ingest read it, ns of the monotonic clock.
    pub ingest_ns: u64,
    /// Of a gap, why; 0: it is none.
    gap_reason: u8,
    /// Running number of the segment it lies in; floors are begins of segments. Wraps.
    pub segment: u32,
    /// Place per format; length 0: none.
    pub frames: [Place; FORMATS],
}

impl Entry {
    /// What the index is filled with at start.
    const VACANT: Self = Self {
        channel: NO_CHANNEL,
        source: 0,
        offset: 0,
        next_offset: 0,
        ts_ms: 0,
        ingest_ns: 0,
        gap_reason: 0,
        segment: 0,
        frames: [Place::NONE; FORMATS],
    };

    fn new(meta: Meta, behind: Behind, segment: u32, frames: [Place; FORMATS]) -> Self {
        let Meta { channel, source, offset, ts_ms, ingest_ns } = meta;
        let Behind { next_offset, gap_reason } = behind;
        Self { channel, source, offset, next_offset, ts_ms, ingest_ns, gap_reason, segment, frames }
    }

    /// The gap of a whole topic that this entry stands for.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        let Self { source, offset: from, ts_ms: to, gap_reason: reason, .. } = *self;
        (reason != 0).then_some(Gap { source, from, to, reason })
    }

    /// More entries of the same offsets follow, see [`Writer::append_part`].
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.next_offset == self.offset
    }
}

const _: () = assert!(size_of::<Entry>() == 64);

/// What an entry says beside its [`Meta`].
#[derive(Debug, Clone, Copy)]
struct Behind {
    next_offset: i64,
    gap_reason: u8,
}

/// A gap in one partition, for every channel that its topic feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Source number (`catalog`).
    pub source: u32,
    /// First offset that is missing.
    pub from: i64,
    /// Last one, included.
    pub to: i64,
    /// Why, as a number of the wire format's; never 0.
    pub reason: u8,
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
