//! Cells whose accesses loom can see.

#[cfg(not(loom))]
pub use self::plain::{UnsafeCell, Watch};
#[cfg(loom)]
pub use self::watched::Watch;

#[cfg(not(loom))]
mod plain {
    /// The standard cell with the face of loom's, which has to see each access begin and end.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell with this value.
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Reads through the pointer, which must not leave `read`.
        #[inline]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Writes through the pointer, which must not leave `write`.
        #[inline]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Shows loom which bytes of a region are touched. Here: nothing.
    #[derive(Debug)]
    pub struct Watch;

    impl Watch {
        /// A watch over so many bytes.
        #[must_use]
        pub const fn new(_bytes: usize) -> Self {
            Self
        }

        /// These bytes are read.
        #[inline]
        pub const fn read(&self, _at: usize, _len: usize) {}

        /// These bytes are written.
        #[inline]
        pub const fn write(&self, _at: usize, _len: usize) {}
    }
}

#[cfg(loom)]
mod watched {
    use loom::cell::UnsafeCell;

    /// Shows loom which bytes of a region are touched: a cell for each, for loom cannot look into a slice.
    #[derive(Debug)]
    pub struct Watch(Vec<UnsafeCell<()>>);

    impl Watch {
        /// A watch over so many bytes.
        #[must_use]
        pub fn new(bytes: usize) -> Self {
            Self((0..bytes).map(|_| UnsafeCell::new(())).collect())
        }

        /// These bytes are read.
        pub fn read(&self, at: usize, len: usize) {
            self.0[at..][..len].iter().for_each(|byte| byte.with(|_| ()));
        }

        /// These bytes are written.
        pub fn write(&self, at: usize, len: usize) {
            self.0[at..][..len].iter().for_each(|byte| byte.with_mut(|_| ()));
        }
    }
}
