//! For tests that look at the real binary from outside: the server as a process, its clients, and what was found.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod client;
pub(crate) mod findings;
pub(crate) mod server;

use std::time::Duration;

/// Waits until it holds; how long that took, ms. `None`: it did not in time.
pub(crate) fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> Option<u64> {
    let clock = perf::Clock::start();
    let begun_ns = clock.now_ns();
    loop {
        let waited = Duration::from_nanos(clock.now_ns() - begun_ns);
        if holds() {
            return Some(u64::try_from(waited.as_millis()).unwrap());
        }
        if waited >= patience {
            return None;
        }
        pause(Duration::from_millis(20));
    }
}

/// Waits for nothing but the time.
pub(crate) fn pause(time: Duration) {
    let clock = perf::Clock::start();
    clock.sleep_until(clock.now_ns() + u64::try_from(time.as_nanos()).unwrap());
}
