//! Waking a ring from another thread.

/// Makes a present or the next [`crate::Ring::enter`] return; any thread may hold it, also beyond the ring's life.
#[derive(Clone, Debug)]
pub struct Waker(());

impl Waker {
    /// Wakes.
    pub fn wake(&self) {
        todo!()
    }
}
