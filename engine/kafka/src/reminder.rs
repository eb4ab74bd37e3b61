//! Reminds librdkafka of its brokers.
//!
//! A lone KRaft broker that comes back, or gets too little CPU for its heartbeats, is *fenced* for a while, and answers
//! metadata requests with an empty list of brokers. librdkafka (2.10 to 2.13 at least, confluentinc/librdkafka issue
//! 5301) takes that literally: it lets go of every broker it knows, and never connects to any again. Adding the brokers
//! of the settings again is its public way back; those it still has are left alone.

use std::ffi::CString;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafka;
use rdkafka_sys as sys;

use crate::Error;
use crate::clock::now;

/// From the loss of the last broker to the first reminder: librdkafka's own ways come first.
const FIRST: Duration = Duration::from_secs(2);
/// Longest time between two: librdkafka keeps a copy of every list it is given.
const LONGEST: Duration = Duration::from_secs(10);

/// The brokers, and when to say them again.
#[derive(Debug)]
pub(crate) struct Reminder {
    brokers: CString,
    #[expect(clippy::disallowed_types, reason = "locked when no broker is connected, never for a record")]
    next: std::sync::Mutex<Option<(Instant, Duration)>>,
}

impl Reminder {
    pub(crate) fn new(brokers: &str) -> Result<Self, Error> {
        let brokers = CString::new(brokers.trim()).map_err(|_| Error::Config {
            property: "bootstrap.servers".to_owned(),
            reason: "a NUL byte is in the list".to_owned(),
        })?;
        Ok(Self { brokers, next: Default::default() })
    }

    /// Called now and then with whether all brokers are down: says their names again when it is time.
    ///
    /// # Safety
    /// `client` is alive.
    pub(crate) unsafe fn remind(&self, client: *mut RDKafka, down: bool) {
        if self.is_due(down, now()) {
            // SAFETY: the client is alive (this function's contract), and the list is a C string that is copied.
            let added = unsafe { sys::rd_kafka_brokers_add(client, self.brokers.as_ptr()) };
            tracing::debug!(added, "added the bootstrap brokers to librdkafka again");
        }
    }

    fn is_due(&self, down: bool, now: Instant) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, gap) = match (down, *next) {
            (false, _) => {
                *next = None;
                return false;
            }
            (true, None) => (now + FIRST, FIRST),
            (true, Some((due, _))) if now < due => return false,
            (true, Some((_, gap))) => (now + gap, (gap * 2).min(LONGEST)),
        };
        let first = next.replace((due, gap)).is_none();
        !first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_at_growing_intervals_while_all_are_down() {
        let reminder = Reminder::new("a:1").unwrap();
        let began = now();
        let at = |seconds: u64, down| reminder.is_due(down, began + Duration::from_secs(seconds));
        let due: Vec<u64> = (0..50).filter(|&seconds| at(seconds, true)).collect();
        assert_eq!(due, [2, 4, 8, 16, 26, 36, 46]);
        assert!(!at(60, false));
        assert!(!at(70, true), "begins anew");
        assert!(at(72, true));
    }
}
