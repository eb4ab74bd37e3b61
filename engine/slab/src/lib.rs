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
mod entry;
mod index;
mod log;
mod memory;
mod pressure;
mod reader;
mod region;
mod segments;
mod sizes;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
mod writer;

use std::sync::Arc;

use thiserror::Error;

use self::log::Log;
pub use self::{
    blocks::{Block, Frame},
    entry::{Entry, FORMATS, Gap, Meta, NATIVE, NO_CHANNEL, Place},
    pressure::Relief,
    reader::Reader,
    sizes::Sizes,
    writer::Writer,
};

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

/// Nothing can be appended before the readers have acknowledged the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the slab is full up to the acknowledged floor")]
pub struct Full;
