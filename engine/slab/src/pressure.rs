//! Room for large frames that only a connection can give: the writer says that it needs some, one reader answers.
//!
//! While the need stands, and while its answer is under way, the writer does not ask again: each need costs one holder.

use std::sync::Arc;

use sync::{AtomicU64, Ordering};

use super::log::Log;

/// Nothing is needed.
const NONE: u64 = 0;
/// The writer waits for somebody to answer.
const WANTED: u64 = 1;
/// A reader answers.
const ANSWERED: u64 = 2;

/// The need and its answer.
pub(super) struct Pressure(AtomicU64);

impl Pressure {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(NONE))
    }

    /// No need stands. What readers have let go of in answers by then is seen after it.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == NONE
    }

    /// A need stands, and nobody answers it yet.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Acquire) == WANTED
    }

    /// The writer's, after [`Self::is_over`].
    pub(super) fn want(&self) {
        self.0.store(WANTED, Ordering::Release);
    }

    /// The writer's: there is room, nobody has to answer any more.
    pub(super) fn withdraw(&self) {
        let _answered = self.0.compare_exchange(WANTED, NONE, Ordering::AcqRel, Ordering::Acquire);
    }

    fn answer(&self) -> bool {
        self.0.compare_exchange(WANTED, ANSWERED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// One reader's answer to the writer's need: its owner lets a block go, then drops this.
pub struct Relief(Arc<Log>);

impl Relief {
    /// None: no need stands, or somebody else answers it.
    pub(super) fn of(log: &Arc<Log>) -> Option<Self> {
        log.pressure.0.answer().then(|| Self(Arc::clone(log)))
    }
}

/// By a panic too: the writer may ask again.
impl Drop for Relief {
    fn drop(&mut self) {
        self.0.pressure.0.0.store(NONE, Ordering::Release);
    }
}

impl std::fmt::Debug for Relief {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relief").finish_non_exhaustive()
    }
}
