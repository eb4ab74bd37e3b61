//! Sleeping until a queue or another thread has something: eventfd(2) and ppoll(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// A counter in the kernel that is readable once somebody has added to it.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: eventfd takes two numbers and touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Error::Client(format!("eventfd: {}", io::Error::last_os_error())));
        }
        // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable. The only failure is a full counter, which is readable too.
    pub(crate) fn add(&self) {
        let one = 1_u64;
        // SAFETY: `one` is eight readable bytes, which is what an eventfd takes.
        unsafe { libc::write(self.raw(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Makes it unreadable. Fails only when it is that already.
    fn reset(&self) {
        let mut count = 0_u64;
        // SAFETY: `count` is eight writable bytes, which is what an eventfd gives.
        unsafe { libc::read(self.raw(), (&raw mut count).cast(), size_of::<u64>()) };
    }

    /// Sleeps until one of both is readable or the timeout has passed, then resets both.
    pub(crate) fn wait_for_either(&self, other: &Self, timeout: Duration) {
        let watch = |fd: &Self| libc::pollfd { fd: fd.raw(), events: libc::POLLIN, revents: 0 };
        let mut watched = [watch(self), watch(other)];
        let timeout = libc::timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // SAFETY: `watched` is an array of two that lives through the call; a null mask leaves the signals alone.
        let ready = unsafe { libc::ppoll(watched.as_mut_ptr(), 2, &raw const timeout, std::ptr::null()) };
        // A signal ends the sleep as a wake does: the caller looks around in any case.
        if ready > 0 {
            self.reset();
            other.reset();
        }
    }
}

/// Makes a present or the next [`crate::Consumer::wait`] return.
#[derive(Debug, Clone)]
pub struct Waker(pub(crate) Arc<EventFd>);

impl Waker {
    /// Wakes. Never blocks; may be called from any thread, also after the consumer is gone.
    pub fn wake(&self) {
        self.0.add();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn an_event_ends_one_wait_and_only_one() {
        let (one, two) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        two.add();
        two.add();
        let start = now();
        one.wait_for_either(&two, Duration::from_secs(5));
        assert!(start.elapsed() < Duration::from_secs(1));
        one.wait_for_either(&two, Duration::from_millis(30));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }
}
