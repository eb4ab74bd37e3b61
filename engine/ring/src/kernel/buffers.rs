//! The group of buffers that multishot receives fill.
//!
//! One group a ring (io_uring "buffer ring", Linux 5.19): an idle connection holds none. Buffers are the kernel's until
//! a completion names one; then it is the caller's until recycled.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::slots::Custody;
use crate::{Buffer, Errno};

/// The only group.
pub(super) const GROUP: u16 = 0;

/// Memory and bookkeeping of the group.
#[derive(Debug)]
pub(super) struct BufferGroup {
    entries: Pages,
    memory: Pages,
    count: u16,
    buffer_bytes: u32,
    /// Entries published so far, modulo 2^16.
    tail: u16,
    custody: Custody,
}

impl BufferGroup {
    /// `count` is a power of two up to 32,768.
    pub(super) fn new(count: u16, buffer_bytes: u32) -> Self {
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>());
        let memory = Pages::new(usize::from(count) * buffer_bytes as usize);
        let mut group = Self { entries, memory, count, buffer_bytes, tail: 0, custody: Custody::new(count) };
        for id in 0..count {
            group.provide(id);
        }
        group
    }

    pub(super) fn register(&self, submitter: &Submitter<'_>) -> Result<(), Errno> {
        let address = self.entries.base.as_ptr() as u64;
        // SAFETY: `entries` holds `count` entries on a page boundary, and both it and the buffers it names stay where
        // they are until `KernelRing::drop` has reaped every op, or for ever if it could not.
        let registered = unsafe { submitter.register_buf_ring_with_flags(address, self.count, GROUP, 0) };
        registered.map_err(|error| super::errno_of(&error))
    }

    /// Buffers with the caller.
    pub(super) const fn held(&self) -> usize {
        self.custody.count()
    }

    /// Takes over a buffer that a completion names, with `len` bytes in it.
    pub(super) fn received(&mut self, id: u16, len: u32) -> Buffer {
        assert!(0 < len && len <= self.buffer_bytes, "the kernel wrote {len} bytes into buffer {id}");
        self.custody.hand_out(id);
        Buffer { id, len }
    }

    /// Gives back a buffer that a completion names but that has nothing in it.
    pub(super) fn received_nothing(&mut self, id: u16) {
        self.custody.hand_out(id);
        self.recycle(id);
    }

    pub(super) fn recycle(&mut self, id: u16) {
        self.custody.take_back(id);
        self.provide(id);
    }

    #[expect(clippy::needless_pass_by_ref_mut, reason = "what it returns must be the only reference")]
    pub(super) fn bytes<'r>(&'r mut self, buffer: &'r Buffer) -> &'r mut [u8] {
        self.custody.check(buffer.id);
        assert!(buffer.len <= self.buffer_bytes, "a buffer of another ring");
        let base = self.buffer(buffer.id);
        // SAFETY: the buffer lies within `memory`, which is zeroed at first, and is in the caller's custody, so the
        // kernel does not write to it; `&mut self` keeps anybody else from a second reference.
        unsafe { std::slice::from_raw_parts_mut(base.as_ptr(), buffer.len as usize) }
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        debug_assert!(id < self.count);
        // SAFETY: `id` is below `count` (custody has no other), and `memory` holds `count` buffers.
        unsafe { self.memory.base.add(usize::from(id) * self.buffer_bytes as usize) }
    }

    /// Lets the kernel fill a buffer.
    fn provide(&mut self, id: u16) {
        let address = self.buffer(id).as_ptr() as u64;
        let base = self.entries.base.cast::<BufRingEntry>();
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below `count`, and `entries` holds `count` entries.
        let entry = unsafe { base.add(index) };
        // SAFETY: the place lies beyond the published tail, so the kernel does not read it (of entry 0 it reads the
        // field that is the tail, which nobody writes meanwhile); all zeroes is a valid entry. At most `count` buffers
        // are provided at a time, as each id is provided once until a completion names it.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `base` is the first entry of the group.
        let tail = unsafe { BufRingEntry::tail(base.as_ptr()) };
        // SAFETY: the tail lies inside `entries`, is aligned to 2 (offset 14 of an entry), and is only accessed as an
        // atomic, here and in the kernel.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // The kernel reads the tail with acquire, then the entries.
        tail.store(self.tail, Ordering::Release);
    }
}

/// The kernel wants the ring of entries on a boundary of its pages, which are 4 KiB, 16 KiB or 64 KiB on arm64.
fn page_bytes() -> usize {
    // SAFETY: no pointers involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(PAGE_BYTES_MAX)
}

/// Of any Linux on 64 bits.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// Zeroed memory on a page boundary.
#[derive(Debug)]
struct Pages {
    base: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        assert!(bytes > 0, "no pages");
        let layout =
            Layout::from_size_align(bytes, page_bytes()).unwrap_or_else(|e| panic!("{bytes} bytes: {e}"));
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        Self { base, layout }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the group is dropped only when the kernel is done with it.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}
