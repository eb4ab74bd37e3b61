//! Threads that run into each other: frames carry sums, and one reader is held still again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use sync::Waker;

use super::{SMALL, meta};
use crate::{Frame, Full, NATIVE, Reader, Sizes, Writer, slab};

const SIZES: Sizes = if cfg!(miri) {
    SMALL
} else {
    Sizes { bytes: 1 << 18, entries: 8192, checkpoint: 1024, large_frame_bytes: 2000, blocks_bytes: 1 << 18 }
};
const ENTRIES: u64 = if cfg!(miri) { 600 } else { 100_000 };

/// A frame of pseudo-random length and content, behind a sum of them. Those of one lap are never those of the next.
fn frame(sequence: u64) -> Vec<u8> {
    let mut state = sequence.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let len = match state >> 56 {
        0 => SIZES.large_frame_bytes + 1 + (state >> 40) as usize % 300,
        _ => 8 + (state >> 40) as usize % (SIZES.large_frame_bytes / 8),
    };
    let mut frame = vec![0; 8];
    while frame.len() < len {
        state = state.rotate_left(17).wrapping_mul(0xD129_0D3A_7B1C_9F75);
        frame.extend_from_slice(&state.to_le_bytes());
    }
    frame.truncate(len);
    let sum = sum(sequence, &frame[8..]);
    frame[..8].copy_from_slice(&sum.to_le_bytes());
    frame
}

fn sum(sequence: u64, content: &[u8]) -> u64 {
    content.iter().fold(sequence, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn check(sequence: u64, frame: Frame<'_>) {
    let (expected, content) = frame.bytes().split_at(8);
    assert_eq!(sum(sequence, content).to_le_bytes(), expected, "frame {sequence}");
}

/// What all threads know.
#[derive(Default)]
struct Shared {
    refusals: AtomicU64,
    done: AtomicBool,
}

fn write(mut writer: Writer, held: usize, shared: &Shared) {
    for sequence in 0..ENTRIES {
        let frame = frame(sequence);
        loop {
            match writer.append(meta(0, sequence.cast_signed()), [&frame]) {
                Ok(appended) => break assert_eq!(appended, sequence),
                Err(Full) => {
                    writer.publish();
                    if writer.behind() == Some(held) {
                        shared.refusals.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::yield_now();
                }
            }
        }
        if sequence % 13 == 0 {
            writer.publish();
        }
    }
    writer.publish();
    shared.done.store(true, Ordering::Release);
}

/// Reads as a shard does: sleeps when there is nothing new, and looks a second time at what it is to give back.
fn follow(mut reader: Reader, waker: &Waker) {
    let owner: Thread = thread::current();
    waker.arm(Box::new(move || owner.unpark()));
    let mut read = 0;
    let mut positions = Vec::new();
    while read < ENTRIES {
        waker.about_to_sleep();
        if reader.tail() == read && reader.asked_floor() == reader.floor() {
            thread::park_timeout(Duration::from_secs(60));
        }
        waker.awake();
        for sequence in read..reader.tail() {
            check(sequence, reader.bytes(sequence, NATIVE));
        }
        read = reader.tail();
        reader.positions_at(read, &mut positions);
        assert_eq!(positions.first().copied().unwrap_or(0).cast_unsigned(), read);
        let floor = reader.asked_floor();
        for sequence in reader.floor()..floor {
            check(sequence, reader.bytes(sequence, NATIVE));
        }
        reader.acknowledge(floor);
    }
}

/// Holds frames until the writer has been refused many times because of it, and only then looks at them.
fn hold_still(mut reader: Reader, shared: &Shared) -> u64 {
    let mut rounds = 0;
    while !shared.done.load(Ordering::Acquire) {
        let tail = reader.tail();
        let frames: Vec<_> =
            (reader.floor()..tail).map(|sequence| (sequence, reader.bytes(sequence, NATIVE))).collect();
        let refused = shared.refusals.load(Ordering::Relaxed);
        while shared.refusals.load(Ordering::Relaxed) < refused + 5 && !shared.done.load(Ordering::Acquire) {
            thread::yield_now();
        }
        for (sequence, frame) in frames {
            check(sequence, frame);
        }
        rounds += 1;
        reader.acknowledge(reader.asked_floor());
    }
    rounds
}

#[test]
fn nothing_is_read_after_it_was_overwritten() {
    let (mut writer, mut readers) = slab(SIZES, 3);
    let held = readers.pop().unwrap();
    let wakers: Vec<_> = readers.iter().map(|_| Arc::new(Waker::unset())).collect();
    writer.set_wakers(wakers.clone());
    let shared = Shared::default();
    let rounds = thread::scope(|scope| {
        for (reader, waker) in readers.into_iter().zip(&wakers) {
            scope.spawn(|| follow(reader, waker));
        }
        scope.spawn(|| write(writer, 2, &shared));
        hold_still(held, &shared)
    });
    assert!(rounds > 50, "held still {rounds} times");
}
