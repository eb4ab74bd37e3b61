//! The one clock of the process. Threads read it once a turn and pass what they read down.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The time, read once a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, ns since the process first asked; comparable between threads.
    pub mono_ns: u64,
    /// Unix, ms.
    pub unix_ms: u64,
}

impl Now {
    /// Reads the clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where time is read")]
    pub fn read() -> Self {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let mono = BEGAN.get_or_init(Instant::now).elapsed();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            mono_ns: u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Monotonic, ms.
    #[must_use]
    pub fn mono_ms(self) -> u64 {
        self.mono_ns / 1_000_000
    }
}
