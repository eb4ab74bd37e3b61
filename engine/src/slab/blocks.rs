//! Large frames, outside of the region.

use std::{ops::Deref, sync::Arc};

/// A large frame. Its bytes count against the budget until the last holder lets go.
#[derive(Debug)]
pub struct Block {
    bytes: Box<[u8]>,
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
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
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Region(bytes) => bytes,
            Self::Block(block) => block,
        }
    }
}
