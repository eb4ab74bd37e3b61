//! The one clock of this crate.

use std::time::Instant;

/// The time, for deadlines of calls that wait for a broker.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate; never read for a record")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
