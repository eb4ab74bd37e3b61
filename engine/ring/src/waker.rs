//! Waking a ring from another thread.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes a present or the next [`crate::Ring::enter`] return; any thread may hold it, also beyond the ring's life.
///
/// What the waking thread published before [`RingWaker::wake`] is seen after that `enter`. Several wakes may become one
/// return, none is lost. A wake of a kernel ring is a system call (about half a microsecond), so whoever wakes often
/// first looks whether the ring sleeps at all.
#[derive(Clone, Debug)]
pub struct RingWaker(Arc<Signal>);

#[derive(Debug)]
enum Signal {
    /// An eventfd that the kernel's ring reads.
    Event(File),
    /// The fake's.
    Flag(AtomicBool),
}

impl RingWaker {
    /// Over an eventfd without EFD_NONBLOCK.
    pub(crate) fn event(event: File) -> Self {
        Self(Arc::new(Signal::Event(event)))
    }

    pub(crate) fn flag() -> Self {
        Self(Arc::new(Signal::Flag(AtomicBool::new(false))))
    }

    /// Wakes.
    pub fn wake(&self) {
        match &*self.0 {
            // The write can neither fail nor wait: the counter would have to reach 2^64 - 2 unread wakes.
            Signal::Event(event) => {
                let written = (&*event).write(&1_u64.to_ne_bytes());
                debug_assert!(matches!(written, Ok(8)), "writing to an eventfd: {written:?}");
            }
            Signal::Flag(flag) => flag.store(true, Ordering::Release),
        }
    }

    /// Whether the fake was woken since it last asked.
    pub(crate) fn take(&self) -> bool {
        match &*self.0 {
            Signal::Event(_) => false,
            Signal::Flag(flag) => flag.swap(false, Ordering::AcqRel),
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        match &*self.0 {
            Signal::Event(_) => false,
            Signal::Flag(flag) => flag.load(Ordering::Acquire),
        }
    }
}
