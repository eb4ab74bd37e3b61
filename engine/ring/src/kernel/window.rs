//! A second look at the submission queue, to take back what the kernel did not consume.
//!
//! The io-uring crate can push entries but not withdraw them, and a send may leave nothing in the queue that points at
//! borrowed memory. The entries can be mapped as often as one likes, so this maps them once more. Ruled out: leaving
//! such entries and never submitting again (one refused allocation in the kernel would end a shard with all its
//! clients), and a ring of our own making (a thousand lines instead of fifty).

use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use io_uring::squeue::Entry;

use super::errno_of;
use crate::Errno;

/// The submission queue's entries.
#[derive(Debug)]
pub(super) struct Window {
    base: NonNull<Entry>,
    entries: u32,
}

/// IORING_OFF_SQES, io_uring_setup(2).
const OFFSET: libc::off_t = 0x1000_0000;

impl Window {
    /// `entries` as the kernel reported them for `ring`, a power of two.
    pub(super) fn new(ring: &impl AsRawFd, entries: u32) -> Result<Self, Errno> {
        let base = map(ring.as_raw_fd(), entries)?;
        Ok(Self { base, entries })
    }

    pub(super) fn user_data(&self, position: u32) -> u64 {
        // SAFETY: the place is mapped, and holds an entry once pushed (zeroes, which are a no-op, before). Volatile:
        // the crate wrote it by another address.
        let entry = unsafe { self.place(position).as_ptr().read_volatile() };
        entry.get_user_data()
    }

    /// Replaces the entry pushed as the `position`-th, counted from 0, modulo 2^32.
    ///
    /// It must not have been consumed; the caller reads that from the queue's head.
    pub(super) fn replace(&self, position: u32, entry: Entry) {
        // SAFETY: the place is mapped. The kernel reads entries between head and tail only within io_uring_enter, which
        // this thread alone calls (SINGLE_ISSUER, no SQPOLL), so it does not read now.
        unsafe { self.place(position).as_ptr().write_volatile(entry) }
    }

    fn place(&self, position: u32) -> NonNull<Entry> {
        let index = position & (self.entries - 1);
        // SAFETY: `index` is below `entries`, and so many are mapped. With NO_SQARRAY the place of an entry is its
        // position modulo the size (Linux 6.6), without it the crate fills the array with the identity.
        unsafe { self.base.add(index as usize) }
    }
}

fn map(ring: RawFd, entries: u32) -> Result<NonNull<Entry>, Errno> {
    let bytes = entries as usize * size_of::<Entry>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: a new mapping at a place of the kernel's choice disturbs nothing.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, ring, OFFSET) };
    if base == libc::MAP_FAILED {
        return Err(errno_of(&std::io::Error::last_os_error()));
    }
    NonNull::new(base.cast()).ok_or(Errno(libc::ENOMEM))
}

impl Drop for Window {
    fn drop(&mut self) {
        let bytes = self.entries as usize * size_of::<Entry>();
        // SAFETY: mapped in `new` with this length, and no reference into it exists outside of the methods above.
        unsafe { libc::munmap(self.base.as_ptr().cast(), bytes) };
    }
}
