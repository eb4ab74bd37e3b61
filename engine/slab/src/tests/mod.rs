//! What the slab promises, through its face.

mod face;
mod model;
mod threads;

use super::{Meta, Sizes};

/// Each segment holds 7 entries, 128 bytes, 512 bytes of blocks.
const SMALL: Sizes =
    Sizes { bytes: 1024, entries: 64, checkpoint: 8, large_frame_bytes: 64, blocks_bytes: 4096 };

fn meta(source: u32, offset: i64) -> Meta {
    Meta { channel: 7, source, offset, ts_ms: offset + 1000, ingest_ns: 1 }
}
