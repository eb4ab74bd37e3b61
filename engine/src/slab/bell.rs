//! The sleeping flag.

use std::{
    fmt,
    sync::{OnceLock, atomic::AtomicBool},
};

/// Wakes a thread that sleeps, and costs next to nothing while it does not.
pub struct Bell {
    sleeping: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Bell {
    /// A bell that calls `wake` when it is rung while its owner sleeps.
    #[must_use]
    pub fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { sleeping: AtomicBool::new(false), wake: OnceLock::from(wake) }
    }

    /// A bell whose owner does not exist yet.
    #[must_use]
    pub fn unset() -> Self {
        Self { sleeping: AtomicBool::new(false), wake: OnceLock::new() }
    }

    /// Says how the owner is woken; by the owner, before it first sleeps.
    pub fn arm(&self, wake: Box<dyn Fn() + Send + Sync>) {
        todo!("{:?} {}", self, self.wake.set(wake).is_ok())
    }

    /// After publishing: wakes the owner if it sleeps.
    pub fn ring(&self) {
        todo!("{:?}", self)
    }

    /// The owner's: call, look at everything again, and only then sleep.
    pub fn about_to_sleep(&self) {
        todo!("{:?}", self)
    }

    /// The owner's: it does not sleep after all, or no longer.
    pub fn awake(&self) {
        todo!("{:?}", self)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("sleeping", &self.sleeping).finish_non_exhaustive()
    }
}
