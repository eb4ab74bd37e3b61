//! The clock of a run.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

/// CLOCK_MONOTONIC, anchored once to CLOCK_REALTIME.
///
/// Stamps of one process never step, and those of several on one machine agree as well as CLOCK_REALTIME does
/// (the kernel slews both clocks alike). Between machines latencies are only as good as their clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_unix_ns: u64,
}

impl Clock {
    /// Takes the anchor.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the owner of time here: all other code asks a Clock"
    )]
    pub fn start() -> Self {
        let origin = Instant::now();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { origin, origin_unix_ns: ns(unix) }
    }

    /// Now, ns since 1970.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.origin_unix_ns + ns(self.origin.elapsed())
    }

    /// Sleeps until a time, ns since 1970; not at all if it has passed.
    #[expect(
        clippy::disallowed_methods,
        reason = "only threads of the load generator, which nobody needs to wake, sleep here"
    )]
    pub fn sleep_until(&self, at_ns: u64) {
        let left = at_ns.saturating_sub(self.now_ns());
        if left > 0 {
            thread::sleep(Duration::from_nanos(left));
        }
    }
}

/// Whole ns of a duration; enough for 584 years.
pub(crate) fn ns(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_unix_time_and_sleeps_no_less_than_asked() {
        let clock = Clock::start();
        let before = clock.now_ns();
        assert!(before > 1_700_000_000_000_000_000);
        clock.sleep_until(before + 5_000_000);
        assert!(clock.now_ns() >= before + 5_000_000);
        clock.sleep_until(before);
        assert_eq!(ns(Duration::new(2, 7)), 2_000_000_007);
    }
}
