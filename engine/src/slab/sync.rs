//! Atomics and cells, loom's under `--cfg loom`: the check crate (`engine/slab-check`) runs this very code in all
//! interleavings.

#[cfg(loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use {
    self::plain::{UnsafeCell, Watch},
    std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(loom)]
pub(super) use self::watched::Watch;

/// A value on cache lines of its own (two, for the prefetcher fetches pairs), so that what one thread writes often does
/// not slow what others read often.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

#[cfg(not(loom))]
mod plain {
    /// The standard cell with the face of loom's, which has to see each access begin and end.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub(in super::super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(in super::super) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(in super::super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline]
        pub(in super::super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Shows loom which bytes of a region are touched. Here: nothing.
    #[derive(Debug)]
    pub(in super::super) struct Watch;

    impl Watch {
        pub(in super::super) const fn new(_bytes: usize) -> Self {
            Self
        }

        #[inline]
        pub(in super::super) const fn read(&self, _at: usize, _len: usize) {}

        #[inline]
        pub(in super::super) const fn write(&self, _at: usize, _len: usize) {}
    }
}

#[cfg(loom)]
mod watched {
    use super::UnsafeCell;

    /// Shows loom which bytes of a region are touched: a cell for each, for loom cannot look into a slice.
    #[derive(Debug)]
    pub(in super::super) struct Watch(Vec<UnsafeCell<()>>);

    impl Watch {
        pub(in super::super) fn new(bytes: usize) -> Self {
            Self((0..bytes).map(|_| UnsafeCell::new(())).collect())
        }

        pub(in super::super) fn read(&self, at: usize, len: usize) {
            self.0[at..][..len].iter().for_each(|byte| byte.with(|_| ()));
        }

        pub(in super::super) fn write(&self, at: usize, len: usize) {
            self.0[at..][..len].iter().for_each(|byte| byte.with_mut(|_| ()));
        }
    }
}
