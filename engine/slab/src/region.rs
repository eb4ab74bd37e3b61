//! The bytes of one wire format: a circle that frames lie in back to back.
//!
//! Positions in it are *virtual*: they count all bytes ever passed and never wrap; where a virtual byte lies is its
//! remainder by the region's size. Two frames of different laps can therefore not be confused, and "older" is "smaller".

use std::{cell::UnsafeCell, slice};

use sync::Watch;

use super::memory;

const PAGE: usize = 4096;

#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "read and written as bytes, by pointer")] [u8; PAGE]);

/// The bytes of one wire format.
pub(super) struct Region {
    pages: Box<[UnsafeCell<Page>]>,
    bytes: usize,
    watch: Watch,
}

impl Region {
    pub(super) fn new(bytes: usize) -> Self {
        let pages = memory::taken(bytes.div_ceil(PAGE), || UnsafeCell::new(Page([0; PAGE])));
        Self { pages, bytes, watch: Watch::new(bytes) }
    }

    /// Where the frames end when one of `len` bytes is put behind those that end at `end`.
    ///
    /// A frame is never split by the region's end: one that does not fit into the rest of a lap begins the next, and the
    /// rest counts as used. Nor does one touch the last byte of a lap; so where one begins exactly at another's end,
    /// they are neighbours in memory too, and [`super::Place::follows`] is one comparison.
    pub(super) fn end_with(&self, end: u64, len: usize) -> u64 {
        let rest = self.bytes - self.offset(end);
        let begin = if len < rest { end } else { end + rest as u64 };
        begin + len as u64
    }

    /// Writes a frame that begins at the virtual byte `begin`, as [`Self::end_with`] has placed it.
    ///
    /// # Safety
    /// Only the writer may call it, and no reader may hold or ask for bytes of the lap before in this place.
    pub(super) unsafe fn write(&self, begin: u64, frame: &[u8]) {
        let at = self.offset(begin);
        assert!(frame.len() < self.bytes - at, "a frame within its lap");
        self.watch.write(at, frame.len());
        // SAFETY: `at` is within the region, by the assertion.
        let target = unsafe { self.first().add(at) };
        // SAFETY: source and target are whole and apart; nobody else touches the target (this function's contract).
        unsafe { target.copy_from_nonoverlapping(frame.as_ptr(), frame.len()) };
    }

    /// The `len` bytes from the virtual byte `begin` on.
    ///
    /// # Safety
    /// They are frames that are published to the caller, and they are not overwritten while the slice lives.
    #[inline]
    pub(super) unsafe fn read(&self, begin: u64, len: usize) -> &[u8] {
        let at = self.offset(begin);
        assert!(len < self.bytes - at, "frames within one lap");
        self.watch.read(at, len);
        // SAFETY: `at` is within the region, by the assertion.
        let first = unsafe { self.first().add(at) };
        // SAFETY: within the region, by the assertion; initialised since the start; not written meanwhile (this
        // function's contract).
        unsafe { slice::from_raw_parts(first, len) }
    }

    #[inline]
    fn first(&self) -> *mut u8 {
        UnsafeCell::raw_get(self.pages.as_ptr()).cast()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize")]
    #[inline]
    fn offset(&self, virtual_byte: u64) -> usize {
        (virtual_byte % self.bytes as u64) as usize
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_back_to_back_until_the_lap_ends() {
        let region = Region::new(100);
        assert_eq!(region.end_with(0, 40), 40);
        assert_eq!(region.end_with(40, 40), 80);
        assert_eq!(region.end_with(80, 19), 99, "up to the last byte but one");
        assert_eq!(
            region.end_with(80, 20),
            120,
            "a frame that would touch the last byte begins the next lap"
        );
        assert_eq!(region.end_with(99, 1), 101);
        assert_eq!(region.end_with(99, 0), 99, "no frame, no padding");
    }

    #[test]
    fn what_is_written_is_read_in_every_lap() {
        let region = Region::new(100);
        let mut end = 0;
        for lap in 0..50_u8 {
            let frame = [lap; 33];
            end = region.end_with(end, frame.len());
            // SAFETY: one thread, and no slice is alive.
            unsafe { region.write(end - 33, &frame) };
            // SAFETY: written just now, and not overwritten before the slice is gone.
            assert_eq!(unsafe { region.read(end - 33, 33) }, frame);
        }
    }
}
