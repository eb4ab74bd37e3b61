//! Names of things: keys of the caller, slots of the ring, buffers of the group, errnos of the kernel.

use std::fmt;

/// The caller's name for the place an op belongs to: an index and the generation of its reuse.
///
/// The ring hands it back with every completion and never looks into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A key of a place and the count of its reuses.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The place.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The count of its reuses.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// A direct (registered) descriptor: a place in one ring's table and the generation of its reuse.
///
/// A slot of a closed descriptor is never mistaken for the next one in its place: using it is a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Slot {
    /// The place in the ring's table, for logs.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }
}

/// An errno of the kernel, positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl std::error::Error for Errno {}

/// One filled buffer of the ring's group. It goes back with [`crate::Ring::recycle`]; dropping it loses it to the
/// kernel until the ring ends, which [`crate::Held::buffers`] shows.
#[must_use = "a buffer goes back by Ring::recycle"]
#[derive(Debug, PartialEq, Eq)]
pub struct Buffer {
    pub(crate) id: u16,
    pub(crate) len: u32,
}

impl Buffer {
    /// Bytes in it, never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a buffer is never empty")]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}
