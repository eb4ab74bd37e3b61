//! How large the parts of a slab are.

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
