//! The ring's end of a [`RingWaker`]: a read of an eventfd that is always in flight while the ring sleeps.
//!
//! A read and not a multishot poll, because it also sets the counter back; either costs one completion a wake. The
//! eventfd is without EFD_NONBLOCK, else the read would not wait.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use super::errno_of;
use super::token::{Kind, Token};
use crate::{Errno, RingWaker};

#[derive(Debug)]
pub(super) struct Wake {
    waker: RingWaker,
    /// The waker's, which keeps it open.
    event: RawFd,
    /// What the kernel reads the counter into; from a `Box`, and not a `Box`, as that would claim to be the only way to
    /// its content.
    word: NonNull<[u8; 8]>,
    armed: bool,
    /// A wake was read that no `enter` has returned for.
    pending: bool,
}

impl Wake {
    pub(super) fn new() -> Result<Self, Errno> {
        // SAFETY: no pointers involved.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(errno_of(&std::io::Error::last_os_error()));
        }
        // SAFETY: just made, and nobody else's.
        let owned = unsafe { OwnedFd::from_raw_fd(event) };
        let file = File::from(owned);
        let event = file.as_raw_fd();
        let word = NonNull::from(Box::leak(Box::new([0; 8])));
        Ok(Self { waker: RingWaker::event(file), event, word, armed: false, pending: false })
    }

    pub(super) fn waker(&self) -> RingWaker {
        self.waker.clone()
    }

    pub(super) const fn is_armed(&self) -> bool {
        self.armed
    }

    /// The read; the word stays until [`Wake::completed`], as `KernelRing::drop` waits for that.
    pub(super) fn entry(&self) -> Entry {
        debug_assert!(!self.armed);
        opcode::Read::new(types::Fd(self.event), self.word.as_ptr().cast(), 8)
            .build()
            .user_data(Token::new(Kind::Wake, 0, 0).encode())
    }

    pub(super) const fn armed(&mut self) {
        self.armed = true;
    }

    /// The read is over; one that failed (EINTR, ECANCELED) counts as a wake, which costs a look and loses none.
    pub(super) const fn completed(&mut self) {
        self.armed = false;
        self.pending = true;
    }

    /// Whether there was a wake since last asked.
    pub(super) const fn take(&mut self) -> bool {
        std::mem::replace(&mut self.pending, false)
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        // SAFETY: from the Box in `new`, freed nowhere else; no read is in flight, as `KernelRing::drop` reaped it, or a
        // ring that failed in `new` never armed one.
        drop(unsafe { Box::from_raw(self.word.as_ptr()) });
    }
}
