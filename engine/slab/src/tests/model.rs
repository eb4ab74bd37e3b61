//! The slab against a naive model that keeps everything for ever and counts by adding up.

use std::{collections::HashMap, ops::Range, sync::Arc};

use proptest::prelude::*;

use super::meta;
use crate::{Block, Frame, Full, NATIVE, Reader, Sizes, Writer, slab};

#[derive(Debug, Clone)]
enum Step {
    /// Frames of this many hundredths of what the region takes; above 100 they are blocks.
    Append {
        source: u32,
        size: usize,
        times: usize,
    },
    Publish,
    /// The reader acknowledges this many 64ths of what it is asked for.
    Acknowledge {
        reader: usize,
        part: u64,
    },
    /// All acknowledge all.
    Oblige,
    /// Somebody takes hold of the oldest block the reader sees.
    Hold {
        reader: usize,
    },
    LetGo,
    /// The reader ends.
    End {
        reader: usize,
    },
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (5..8_u32, 0..4_u32, 64..1500_usize, 1..=100_usize, 1..16384_usize).prop_map(
        |(entries, checkpoint, bytes, part, blocks_bytes)| Sizes {
            bytes,
            entries: 1 << entries,
            checkpoint: 1 << checkpoint,
            large_frame_bytes: (bytes / 16 * part / 100).max(1),
            blocks_bytes,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![2 => Just(0), 25 => 1..=100_usize, 4 => 101..500_usize, 1 => 500..5000_usize];
    let reader = 0..3_usize;
    prop_oneof![
        40 => (0..5_u32, size, 1..12_usize).prop_map(|(source, size, times)| Step::Append { source, size, times }),
        10 => Just(Step::Publish),
        20 => (reader.clone(), 0..=64_u64).prop_map(|(reader, part)| Step::Acknowledge { reader, part }),
        30 => Just(Step::Oblige),
        3 => reader.clone().prop_map(|reader| Step::Hold { reader }),
        3 => Just(Step::LetGo),
        1 => reader.prop_map(|reader| Step::End { reader }),
    ]
}

struct Appended {
    source: u32,
    offset: i64,
    is_part: bool,
    frame: Vec<u8>,
    segment: usize,
    /// Bytes of the region it takes, the padding before it included.
    bytes: usize,
}

struct Model {
    sizes: Sizes,
    all: Vec<Appended>,
    segment: usize,
    region_end: usize,
    /// Blocks that somebody holds, by the sequence of their entry.
    held: HashMap<u64, Arc<Block>>,
    /// What each reader has acknowledged; none: it has ended.
    floors: Vec<Option<u64>>,
}

impl Model {
    fn is_large(&self, len: usize) -> bool {
        len > self.sizes.large_frame_bytes
    }

    fn block_bytes<'a>(&self, of: impl Iterator<Item = &'a Appended>) -> usize {
        of.map(|entry| entry.frame.len()).filter(|&len| self.is_large(len)).sum()
    }

    fn in_segment(&self, segment: usize) -> impl Iterator<Item = &Appended> {
        self.all.iter().filter(move |entry| entry.segment == segment)
    }

    /// The first sequence of a segment that has, or will have, that number.
    fn begin(&self, segment: usize) -> u64 {
        self.all.iter().position(|entry| entry.segment >= segment).unwrap_or(self.all.len()) as u64
    }

    fn reclaimed(&self, asked: u64) -> u64 {
        self.floors.iter().flatten().copied().min().unwrap_or(asked)
    }

    /// Bytes of the region that a frame takes, its padding included.
    fn region_bytes(&self, len: usize) -> usize {
        let left = self.sizes.bytes - self.region_end % self.sizes.bytes;
        if self.is_large(len) {
            0
        } else if len < left {
            len
        } else {
            left + len
        }
    }

    /// Says whether the append has to be refused; if not, appends.
    fn append(
        &mut self,
        (source, offset, is_part): (u32, i64, bool),
        frame: Vec<u8>,
        mut asked: u64,
    ) -> Result<u64, Full> {
        let bytes = self.region_bytes(frame.len());
        let block = if self.is_large(frame.len()) { frame.len() } else { 0 };
        let blocks = self.block_bytes(self.in_segment(self.segment));
        if self.in_segment(self.segment).count() + 1 > (self.sizes.entries - self.sizes.checkpoint) / 8
            || self.in_segment(self.segment).map(|entry| entry.bytes).sum::<usize>() + bytes
                > self.sizes.bytes / 8
            || block > 0 && blocks > 0 && blocks + block > self.sizes.blocks_bytes / 8
        {
            if self.segment >= 7 && self.reclaimed(asked) < self.begin(self.segment - 6) {
                return Err(Full);
            }
            self.segment += 1;
            asked = asked.max(self.begin(self.segment.saturating_sub(6)));
        }
        if block > 0 {
            let reclaimed = usize::try_from(self.reclaimed(asked)).unwrap();
            let (below, above) = self.all.split_at(reclaimed);
            let outside = (0..).zip(below).filter(|(sequence, _)| self.held.contains_key(sequence));
            let used = self.block_bytes(above.iter()) + self.block_bytes(outside.map(|(_, entry)| entry));
            if used > 0 && used + block > self.sizes.blocks_bytes {
                return Err(Full);
            }
        }
        self.region_end += bytes;
        self.all.push(Appended { source, offset, is_part, frame, segment: self.segment, bytes });
        Ok(self.all.len() as u64 - 1)
    }

    fn at(&self, sequence: u64) -> &Appended {
        &self.all[usize::try_from(sequence).unwrap()]
    }

    /// Everything that can be seen is as it was appended.
    fn check(&self, reader: &Reader) {
        for (&sequence, block) in &self.held {
            assert_eq!(block[..], self.at(sequence).frame, "block of {sequence}, held");
        }
        let tail = reader.tail();
        let (mut positions, mut naive) = (Vec::new(), Vec::new());
        for sequence in 0..=tail {
            if sequence >= reader.floor() {
                reader.positions_at(sequence, &mut positions);
                assert_eq!(positions, naive, "positions at {sequence}");
            }
            if sequence < tail {
                let Appended { source, offset, is_part, .. } = *self.at(sequence);
                naive.resize(naive.len().max(source as usize + 1), -1);
                naive[source as usize] = if is_part { offset } else { offset + 1 };
            }
        }
        for sequence in reader.floor() & !(self.sizes.checkpoint as u64 - 1)..tail {
            let (entry, expected) = (reader.entry(sequence), self.at(sequence));
            assert_eq!((entry.source, entry.offset), (expected.source, expected.offset), "entry {sequence}");
            assert_eq!(entry.is_part(), expected.is_part, "entry {sequence}");
            assert_eq!(entry.segment as usize, expected.segment, "segment of {sequence}");
        }
        for sequence in reader.floor()..tail {
            let expected = &self.at(sequence).frame;
            assert_eq!(reader.bytes(sequence, NATIVE).bytes(), expected, "frame {sequence}");
        }
        self.check_runs(reader, tail);
    }

    /// Runs are what their frames are, one after the other.
    fn check_runs(&self, reader: &Reader, tail: u64) {
        for first in (reader.floor()..tail).step_by(5) {
            let mut expected = Vec::new();
            for last in first..tail.min(first + 20) {
                let frame = &self.at(last).frame;
                if !self.is_large(frame.len()) {
                    expected.extend_from_slice(frame);
                }
                match reader.run(first, last, NATIVE) {
                    Some(run) => assert_eq!(run, expected, "run {first}..={last}"),
                    None if expected.is_empty() => {}
                    None => break,
                }
            }
        }
    }
}

/// A slab and its model in step.
struct Pair {
    writer: Writer,
    readers: Vec<Option<Reader>>,
    model: Model,
    offset: i64,
    refused: usize,
}

impl Pair {
    fn new(sizes: Sizes) -> Self {
        let (writer, readers) = slab(sizes, 3);
        let floors = vec![Some(0); 3];
        let model = Model { sizes, all: Vec::new(), segment: 0, region_end: 0, held: HashMap::new(), floors };
        Self { writer, readers: readers.into_iter().map(Some).collect(), model, offset: 0, refused: 0 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { source, size, times } => {
                let len = (self.model.sizes.large_frame_bytes * size).div_ceil(100);
                let _ = (0..times).try_for_each(|_| self.append(source, len).map(drop));
            }
            Step::Publish => self.writer.publish(),
            Step::Acknowledge { reader, part } => self.acknowledge(reader, part),
            Step::Oblige => (0..3).for_each(|reader| self.acknowledge(reader, 64)),
            Step::Hold { reader } => {
                let Some(reader) = &self.readers[reader] else { return };
                let block = (reader.floor()..reader.tail()).find_map(|sequence| {
                    match reader.bytes(sequence, NATIVE) {
                        Frame::Block(block) => Some((sequence, Arc::clone(block))),
                        Frame::Region(_) => None,
                    }
                });
                self.model.held.extend(block);
            }
            Step::LetGo => self.model.held.clear(),
            Step::End { reader } => {
                self.readers[reader] = None;
                self.model.floors[reader] = None;
            }
        }
    }

    fn append(&mut self, source: u32, len: usize) -> Result<u64, Full> {
        self.offset += 1;
        let frame: Vec<u8> = self.offset.to_le_bytes().into_iter().cycle().take(len).collect();
        let asked = self.writer.floor();
        let is_part = self.offset % 3 == 0;
        let meta = meta(source, self.offset);
        let outcome = if is_part {
            self.writer.append_part(meta, [&frame])
        } else {
            self.writer.append(meta, [&frame])
        };
        assert_eq!(outcome, self.model.append((source, self.offset, is_part), frame, asked));
        self.refused += usize::from(outcome.is_err());
        let floor = self.writer.floor();
        let is_begin = floor == 0 || floor == self.model.begin(self.model.at(floor - 1).segment + 1);
        assert!(is_begin, "floor {floor} is not the begin of a segment");
        outcome
    }

    fn acknowledge(&mut self, number: usize, part: u64) {
        let Some(reader) = &mut self.readers[number] else { return };
        self.model.check(reader);
        let (floor, asked) = (reader.floor(), reader.asked_floor());
        assert!(asked <= reader.tail());
        let floor = floor + (asked - floor) * part / 64;
        reader.acknowledge(floor);
        self.model.floors[number] = Some(floor);
    }
}

/// Miri takes a thousand times as long.
const CASES: u32 = if cfg!(miri) { 1 } else { 96 };
const STEPS: Range<usize> = if cfg!(miri) { 20..40 } else { 200..400 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn slab_agrees_with_a_naive_model(sizes in sizes(), steps in prop::collection::vec(step(), STEPS)) {
        let mut pair = Pair::new(sizes);
        for step in &steps {
            pair.step(step);
        }
        // Whatever has happened: once all have let go and acknowledged, the writer goes on, at the second try at most.
        pair.step(&Step::LetGo);
        for len in [0, 1, sizes.large_frame_bytes, sizes.large_frame_bytes + 1, 4000] {
            for _ in 0..3 {
                let first = pair.append(0, len);
                pair.step(&Step::Oblige);
                let tries = if first.is_err() { pair.append(0, len).is_ok() } else { true };
                prop_assert!(tries, "{len} bytes are refused though everything is acknowledged");
            }
        }
    }
}
