//! The sleeping flag: wakes a thread that sleeps, and is one load when it does not.
//!
//! The owner sets the flag and then looks again at everything that could have been published for it (tail, floor,
//! inbox); a publisher publishes and then looks at the flag. Each stores and then loads what the other stores, so each
//! needs a sequentially consistent fence in between: with them at least one of the two sees the other's store, and no
//! message lies in front of a thread that sleeps. (Acquire and release alone let both miss. Loom proves it with the
//! fences, and finds the deadlock when the owner does not look at the floor: `engine/slab/tests/loom.rs`.)

use std::{fmt, sync::OnceLock};

use crate::{AtomicBool, Ordering, fence};

/// How a thread is woken; called from any thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Wakes its owner, if it sleeps.
///
/// ```no_run
/// # use sync::{AtomicU64, Ordering, Waker};
/// # fn wait(waker: &Waker, tail: &AtomicU64, read: u64, sleep: impl Fn()) {
/// waker.about_to_sleep();
/// if tail.load(Ordering::Acquire) == read {
///     sleep();
/// }
/// waker.awake();
/// # }
/// ```
pub struct Waker {
    sleeping: AtomicBool,
    wake: OnceLock<Wake>,
}

impl Waker {
    /// A waker that calls `wake` for an owner that sleeps.
    #[must_use]
    pub fn new(wake: Wake) -> Self {
        let waker = Self::unset();
        waker.arm(wake);
        waker
    }

    /// A waker whose owner does not exist yet: it has nobody to wake.
    #[must_use]
    pub fn unset() -> Self {
        Self { sleeping: AtomicBool::new(false), wake: OnceLock::new() }
    }

    /// Says how the owner is woken; by the owner, before it first sleeps.
    ///
    /// # Panics
    /// The second time.
    pub fn arm(&self, wake: Wake) {
        assert!(self.wake.set(wake).is_ok(), "a waker has one owner");
    }

    /// The publisher's, behind what it has published: wakes the owner if it sleeps, once.
    #[inline]
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        // The load first: this is called often and the owner seldom asleep, and a swap would take the line each time.
        // Acquire pairs with the owner's release, so that a waker seen sleeping is also seen armed.
        if self.sleeping.load(Ordering::Relaxed)
            && self.sleeping.swap(false, Ordering::Acquire)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// The owner's: after it, it looks again at tail, floor and inbox, and only then sleeps.
    #[inline]
    pub fn about_to_sleep(&self) {
        self.set(true);
        fence(Ordering::SeqCst);
    }

    /// The owner's: it does not sleep after all, or no longer.
    #[inline]
    pub fn awake(&self) {
        self.set(false);
    }

    /// Swaps, so that every change of the flag follows on the one before. (Stores would do: a publisher's swap comes
    /// right behind the `true` it has read, and so before whatever the owner stores next. But loom does not know that,
    /// and what runs should be what was proven.)
    #[inline]
    fn set(&self, sleeping: bool) {
        self.sleeping.swap(sleeping, Ordering::Release);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("sleeping", &self.sleeping).finish_non_exhaustive()
    }
}
