//! The arithmetic of reclaiming: what may be overwritten, and when to ask for more.
//!
//! The log is reclaimed by segments. A segment ends when one part in eight of anything the log can run out of is used, so
//! the neediest decides; at most eight are alive, and so nothing runs out that is not foreseen. When segment *n* opens, all
//! readers must have given back *n* - 8; that was asked for when *n* - 1 opened, one segment before. So between six and
//! seven segments of the log can always be read.
//!
//! Why nothing is overwritten that a reader may touch: all readers have acknowledged the begin of *n* - 7 (or more)
//! while *n* is filled, and from there to the end of *n* are eight segments at most.
//!
//! - Bytes: eight times `bytes / 8` are no more than a lap.
//! - Entries: a segment is `(entries - checkpoint) / 8`, so the entry overwritten last is older than the floor by more
//!   than a checkpoint's distance: older than the last checkpoint at or before it, where walks begin. The checkpoint that
//!   may be overwritten with it is one entry younger, so it is older than that one too.

use super::{FORMATS, Sizes};

/// How far the log has come in everything it can run out of. Running numbers: none ever goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Entries; as a number, the next one's sequence.
    pub(super) entries: u64,
    /// Bytes of each region, padding included; as a number, the virtual byte behind the last frame.
    pub(super) bytes: [u64; FORMATS],
    /// Bytes of blocks.
    pub(super) blocks: u64,
}

/// The last eight segments.
#[derive(Debug)]
pub(super) struct Segments {
    /// Where each began, by its number modulo eight; those before the first began with it.
    begins: [Extent; 8],
    /// The running number of the one that is being filled. Wraps.
    number: u32,
    /// What one takes.
    capacity: Extent,
}

impl Segments {
    pub(super) fn new(sizes: &Sizes) -> Self {
        let capacity = Extent {
            entries: (sizes.entries.saturating_sub(sizes.checkpoint) / 8) as u64,
            bytes: [(sizes.bytes / 8) as u64; FORMATS],
            blocks: (sizes.blocks_bytes / 8) as u64,
        };
        assert!(capacity.entries > 0, "entries for eight segments and a checkpoint");
        // With the padding before it a frame takes less than twice its size; so an empty segment takes any frame.
        assert!(
            sizes.large_frame_bytes <= sizes.bytes / 16,
            "frames in the region are at most a sixteenth of it"
        );
        Self { begins: [Extent::default(); 8], number: 0, capacity }
    }

    /// The running number of the segment that is being filled.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether the log may grow from `end` to `next` without another segment.
    ///
    /// An empty segment takes anything: frames are small against it, and a block too large for a segment is the only one
    /// in it (what blocks take in all is the budget's to bound).
    pub(super) fn takes(&self, end: &Extent, next: &Extent) -> bool {
        let begin = self.begin(0);
        let adds_blocks = begin.blocks < end.blocks && end.blocks < next.blocks;
        next.entries - begin.entries <= self.capacity.entries
            && (0..FORMATS)
                .all(|format| next.bytes[format] - begin.bytes[format] <= self.capacity.bytes[format])
            && (next.blocks - begin.blocks <= self.capacity.blocks || !adds_blocks)
    }

    /// Opens the next segment at the log's present end. All readers have acknowledged [`Self::floor_to_open`].
    pub(super) fn open(&mut self, end: Extent) {
        self.number = self.number.wrapping_add(1);
        self.begins[self.number as usize % 8] = end;
    }

    /// The floor that readers have to acknowledge before the next segment may open.
    pub(super) fn floor_to_open(&self) -> u64 {
        self.begin(6).entries
    }

    /// Begins of the segments that can be alive, oldest first: where a floor can lie.
    pub(super) fn begins(&self) -> impl Iterator<Item = &Extent> {
        (0..8).rev().map(|back| self.begin(back))
    }

    fn begin(&self, back: u32) -> &Extent {
        &self.begins[self.number.wrapping_sub(back) as usize % 8]
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const SIZES: Sizes =
        Sizes { bytes: 1600, entries: 128, checkpoint: 8, large_frame_bytes: 100, blocks_bytes: 8000 };

    fn extent(entries: u64, bytes: u64, blocks: u64) -> Extent {
        Extent { entries, bytes: [bytes; FORMATS], blocks }
    }

    #[test]
    fn an_eighth_ends_with_the_neediest() {
        let segments = Segments::new(&SIZES);
        let takes = |end, next| segments.takes(&end, &next);
        assert!(takes(extent(14, 100, 0), extent(15, 200, 1000)));
        assert!(!takes(extent(15, 0, 0), extent(16, 0, 0)), "(128 - 8) / 8 entries");
        assert!(!takes(extent(1, 200, 0), extent(2, 201, 0)), "1600 / 8 bytes");
        assert!(!takes(extent(1, 0, 1000), extent(2, 0, 1001)), "8000 / 8 bytes of blocks");
        assert!(
            takes(extent(1, 0, 0), extent(2, 0, 5000)),
            "a huge block is taken by a segment without blocks"
        );
        assert!(takes(extent(2, 0, 5000), extent(3, 10, 5000)), "and what is no block does not end it");
    }

    #[test]
    fn the_floor_is_asked_one_eighth_before_it_is_needed() {
        let mut segments = Segments::new(&SIZES);
        for number in 1..=20 {
            segments.open(extent(number * 10, 0, 0));
            // Segment n + 1 may open when n - 7 is gone, that is, when the floor is where n - 6 began.
            assert_eq!(segments.floor_to_open(), number.saturating_sub(6) * 10);
        }
    }

    #[test]
    fn numbers_wrap() {
        let mut segments = Segments::new(&SIZES);
        segments.number = u32::MAX - 3;
        for entries in (10..=100).step_by(10) {
            segments.open(extent(entries, 0, 0));
        }
        assert_eq!(segments.number(), 6);
        let begins: Vec<_> = segments.begins().map(|begin| begin.entries).collect();
        assert_eq!(begins, [30, 40, 50, 60, 70, 80, 90, 100]);
    }

    #[test]
    #[should_panic(expected = "a sixteenth")]
    fn frames_larger_than_half_an_eighth_are_refused() {
        let _ = Segments::new(&Sizes { large_frame_bytes: 101, ..SIZES });
    }
}
