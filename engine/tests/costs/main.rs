//! What things cost, measured in this process: what it allocates, what it holds, how late its clients are served. A program of
//! its own, since the memory of other tests would count, and their work would make clients wait; for the same reason the
//! tests take turns. The allocator that counts would do no harm elsewhere, for it counts by thread.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod allocations;
mod stuck_clients;

#[global_allocator]
static COUNTING: ring::counting::Counting = ring::counting::Counting;

/// Held by the test that runs.
#[expect(clippy::disallowed_types, reason = "tests wait for each other")]
fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // One that failed is over as well.
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
