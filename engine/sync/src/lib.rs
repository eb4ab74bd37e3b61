//! What lock-free code is built from, in a form that loom can watch, and the [`Waker`] that is built from it.
//!
//! Atomics and cells are the standard library's, and loom's under `--cfg loom`: so the code that uses them, the slab's
//! above all, is run in all interleavings as it stands (`engine/slab/tests/loom.rs`). What is not to be watched (counters,
//! flags of tests) takes the standard library's directly.

#![forbid(unsafe_code)]

mod cell;
mod waker;

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub use {
    cell::UnsafeCell,
    std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

pub use self::{
    cell::Watch,
    waker::{Wake, Waker},
};
