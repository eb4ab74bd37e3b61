//! The writing end: ingest's.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use sync::Waker;

use super::{
    Entry, FORMATS, Full, Gap, Meta, NO_CHANNEL, Place, Sizes,
    entry::Behind,
    index,
    log::Log,
    segments::{Extent, Segments},
};

/// The writing end. One, and it belongs to ingest.
pub struct Writer {
    log: Arc<Log>,
    wakers: Vec<Arc<Waker>>,
    large_frame_bytes: usize,
    /// How far the log has come, unpublished entries included.
    end: Extent,
    /// The tail that readers see.
    published: u64,
    /// The floor that readers are asked for.
    floor: u64,
    segments: Segments,
    /// The next offset of every source, behind the last entry.
    next_offsets: Vec<i64>,
    held: Held,
}

/// The blocks that the slab itself holds, oldest first.
#[derive(Default)]
struct Held {
    /// Sequence and bytes of each.
    blocks: VecDeque<(u64, usize)>,
    /// The running number of the oldest.
    first: u64,
    /// Their bytes.
    bytes: usize,
}

impl Writer {
    pub(super) fn new(log: Arc<Log>, sizes: &Sizes) -> Self {
        Self {
            log,
            wakers: Vec::new(),
            large_frame_bytes: sizes.large_frame_bytes,
            end: Extent::default(),
            published: 0,
            floor: 0,
            segments: Segments::new(sizes),
            next_offsets: Vec::new(),
            held: Held::default(),
        }
    }

    /// Called after a publication and with a new floor.
    pub fn set_wakers(&mut self, wakers: Vec<Arc<Waker>>) {
        self.wakers = wakers;
    }

    /// Appends an entry and its frames (an empty slice: none); readers see it after [`Self::publish`].
    ///
    /// One segment before the oldest part is needed it asks the readers for a new floor. Floors are never above the
    /// tail, so with that, what was appended *before* is published.
    ///
    /// # Errors
    /// [`Full`]: nothing was appended. Readers have been asked for a floor that makes room; append again once they have
    /// acknowledged it. (Or the blocks' budget is used up by connections that hold blocks, and
    /// [`super::Reader::is_pressed`] asks that one lets go.)
    ///
    /// # Panics
    /// When a frame has 4 GiB or more.
    pub fn append(&mut self, meta: Meta, frames: [&[u8]; FORMATS]) -> Result<u64, Full> {
        self.append_entry(meta, Behind { next_offset: meta.offset + 1, gap_reason: 0 }, frames)
    }

    /// As [`Self::append`], for an entry that is only a part of what happens at its offset: more entries of the source
    /// follow with this offset, or one that moves beyond it. Positions behind a part still begin with its offset, so that
    /// what follows is never taken for delivered.
    ///
    /// # Errors
    /// As [`Self::append`] does.
    pub fn append_part(&mut self, meta: Meta, frames: [&[u8]; FORMATS]) -> Result<u64, Full> {
        self.append_entry(meta, Behind { next_offset: meta.offset, gap_reason: 0 }, frames)
    }

    /// Appends a gap of a whole topic, without a frame. Its source goes on at `next_offset`, which is behind it; or, where
    /// the log was truncated, is its first offset: then it is a part, and what follows says how the partition goes on.
    ///
    /// # Errors
    /// As [`Self::append`] does.
    pub fn append_gap(&mut self, gap: Gap, next_offset: i64, ingest_ns: u64) -> Result<u64, Full> {
        let Gap { source, from: offset, to: ts_ms, reason: gap_reason } = gap;
        assert!(gap_reason != 0 && offset <= ts_ms, "a gap has a reason and an offset at least: {gap:?}");
        let meta = Meta { channel: NO_CHANNEL, source, offset, ts_ms, ingest_ns };
        self.append_entry(meta, Behind { next_offset, gap_reason }, [&[]; FORMATS])
    }

    fn append_entry(&mut self, meta: Meta, behind: Behind, frames: [&[u8]; FORMATS]) -> Result<u64, Full> {
        let next = self.end_with(&frames);
        if !self.segments.takes(&self.end, &next) {
            self.open_segment()?;
        }
        self.take_of_budget(&next)?;

        let sequence = self.end.entries;
        let mut places = [Place::NONE; FORMATS];
        for (format, frame) in frames.into_iter().enumerate() {
            places[format] = self.put(sequence, format, frame, &next);
        }
        index::note(&mut self.next_offsets, meta.source, behind.next_offset);
        let entry = Entry::new(meta, behind, self.segments.number(), places);
        // SAFETY: the writer, and what is overwritten was given back: an open segment takes the entry.
        unsafe { self.log.index.write(sequence, entry, &self.next_offsets) };
        self.end = next;
        Ok(sequence)
    }

    /// Shows readers what was appended, and wakes them. Does nothing when nothing was.
    pub fn publish(&mut self) {
        if self.published < self.end.entries {
            self.store_tail();
            self.wake();
        }
    }

    /// The sequence the next entry gets.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.end.entries
    }

    /// The floor asked for: readers are to acknowledge it.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The floor that all readers have acknowledged.
    #[must_use]
    pub fn reclaimed(&self) -> u64 {
        let acknowledged = self.log.acknowledged.iter().map(|floor| floor.0.load(Ordering::Acquire));
        // A reader that has ended has acknowledged more than was asked for.
        acknowledged.min().unwrap_or(u64::MAX).min(self.floor)
    }

    /// The number of the reader farthest behind, if any has not yet acknowledged the floor.
    #[must_use]
    pub fn behind(&self) -> Option<usize> {
        let acknowledged = self.log.acknowledged.iter().map(|floor| floor.0.load(Ordering::Relaxed));
        let (reader, least) = acknowledged.enumerate().min_by_key(|&(_, floor)| floor)?;
        (least < self.floor).then_some(reader)
    }

    /// Bytes of blocks, held by the slab or by whoever took a part of one.
    #[must_use]
    pub fn blocks_bytes(&self) -> usize {
        self.log.blocks.used()
    }

    /// An entry that is not overwritten yet, also one below the floor, also one not yet published.
    ///
    /// # Panics
    /// When it is overwritten or not appended yet.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Entry {
        let (oldest, tail) = (self.log.index.oldest(self.tail()), self.tail());
        assert!((oldest..tail).contains(&sequence), "entry {sequence} is not within {oldest}..{tail}");
        // SAFETY: written by this writer, which alone overwrites, and does not during this borrow.
        *unsafe { self.log.index.entry(sequence) }
    }

    /// How far the log would have come with these frames.
    fn end_with(&self, frames: &[&[u8]; FORMATS]) -> Extent {
        let mut next = self.end;
        next.entries += 1;
        for (format, frame) in frames.iter().enumerate() {
            if self.is_large(frame) {
                next.blocks += frame.len() as u64;
            } else {
                next.bytes[format] = self.log.regions[format].end_with(next.bytes[format], frame.len());
            }
        }
        next
    }

    fn is_large(&self, frame: &[u8]) -> bool {
        frame.len() > self.large_frame_bytes
    }

    fn open_segment(&mut self) -> Result<(), Full> {
        let reclaimed = self.reclaimed();
        if reclaimed < self.segments.floor_to_open() {
            return Err(Full);
        }
        self.drop_blocks(reclaimed);
        self.segments.open(self.end);
        self.ask(self.segments.floor_to_open());
        Ok(())
    }

    /// Asks readers for a floor, if it is a new one.
    fn ask(&mut self, floor: u64) {
        if self.floor < floor {
            self.floor = floor;
            // In this order: who sees the floor sees a tail that is not below it.
            self.store_tail();
            self.log.floor.0.store(floor, Ordering::Release);
            self.wake();
        }
    }

    /// Asks that one reader's owner has its largest holder of a block let go: ingest must not wait for a peer.
    fn press(&self) {
        self.log.pressure.0.want();
        self.wake();
    }

    fn store_tail(&mut self) {
        self.published = self.end.entries;
        self.log.tail.0.store(self.published, Ordering::Release);
    }

    fn wake(&self) {
        self.wakers.iter().for_each(|waker| waker.wake());
    }

    /// Puts a frame where [`Self::end_with`] has placed it.
    fn put(&mut self, sequence: u64, format: usize, frame: &[u8], next: &Extent) -> Place {
        let len = u32::try_from(frame.len()).expect("frames are far below 4 GiB");
        if frame.is_empty() {
            Place::NONE
        } else if self.is_large(frame) {
            let number = self.held.first + self.held.blocks.len() as u64;
            // SAFETY: the writer, with running numbers; the budget admits no more blocks than there are slots.
            unsafe { self.log.blocks.put(number, frame) };
            self.held.blocks.push_back((sequence, frame.len()));
            self.held.bytes += frame.len();
            Place::block(number, len)
        } else {
            let begin = next.bytes[format] - frame.len() as u64;
            // SAFETY: the writer, and what is overwritten was given back: an open segment takes the frame.
            unsafe { self.log.regions[format].write(begin, frame) };
            Place::region(begin, len)
        }
    }

    /// Takes what the blocks of the next entry need of their budget; asks for a floor where it is used up.
    fn take_of_budget(&mut self, next: &Extent) -> Result<(), Full> {
        let bytes = usize::try_from(next.blocks - self.end.blocks).expect("the length of slices");
        if bytes == 0 {
            return Ok(());
        }
        // First, so that all that was let go of for the last need is seen below.
        let was_answered = self.log.pressure.0.is_over();
        let admitted = self.log.blocks.take(bytes) || {
            self.drop_blocks(self.reclaimed());
            self.log.blocks.take(bytes)
        };
        if admitted {
            self.log.pressure.0.withdraw();
            return Ok(());
        }
        match self.floor_making_room(bytes) {
            Some(floor) => {
                self.log.pressure.0.withdraw();
                self.ask(floor);
            }
            // What is in the way is held by connections that took a part of a block and no more.
            None if was_answered => self.press(),
            None => {}
        }
        Err(Full)
    }

    /// The least floor with which blocks of `bytes` would be admitted, given what connections hold, which no floor
    /// frees. If that alone is too much there is none: to move the floor would take messages from readers for nothing.
    fn floor_making_room(&self, bytes: usize) -> Option<u64> {
        let outside = (self.log.blocks.used() - self.held.bytes) as u64;
        let used_with =
            |begin: &Extent| usize::try_from(outside + self.end.blocks - begin.blocks).unwrap_or(usize::MAX);
        let mut begins = self.segments.begins();
        begins.find(|begin| self.log.blocks.admits(used_with(begin), bytes)).map(|begin| begin.entries)
    }

    /// Lets go of the blocks below a floor that all readers have acknowledged.
    fn drop_blocks(&mut self, reclaimed: u64) {
        while let Some(&(_, bytes)) = self.held.blocks.front().filter(|&&(sequence, _)| sequence < reclaimed)
        {
            // SAFETY: the writer, and all readers have acknowledged a floor above its entry.
            unsafe { self.log.blocks.drop(self.held.first) };
            self.held.blocks.pop_front();
            self.held.first += 1;
            self.held.bytes -= bytes;
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("tail", &self.tail())
            .field("floor", &self.floor)
            .field("reclaimed", &self.reclaimed())
            .finish_non_exhaustive()
    }
}
