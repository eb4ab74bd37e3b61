//! The slab's protocols in all interleavings. Loom also refuses any write of memory that another thread could be reading.

#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{mem::ManuallyDrop, sync::Arc};

use loom::{
    model::Builder,
    sync::{
        Notify,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use slab::{Frame, Full, Meta, NATIVE, Reader, Sizes, Writer, slab};
use sync::Waker;

/// Each segment takes three entries, two bytes or three bytes of blocks; a lap takes 15 frames of one byte.
const SIZES: Sizes = Sizes { bytes: 16, entries: 32, checkpoint: 8, large_frame_bytes: 1, blocks_bytes: 24 };

/// Runs `body` in all interleavings with at most so many preemptions; two or three, says loom's manual, find most bugs.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn one_reader(sizes: Sizes) -> (Writer, Reader) {
    let (writer, mut readers) = slab(sizes, 1);
    (writer, readers.pop().unwrap())
}

fn append(writer: &mut Writer, frame: &[u8]) -> Result<u64, Full> {
    let offset = writer.tail().cast_signed();
    // The first of another source, so that who skips a checkpoint has not seen it.
    let source = u32::from(offset == 0);
    writer.append(Meta { channel: 0, source, offset, ts_ms: 0, ingest_ns: 0 }, [frame])
}

/// Appends frames of one byte, each with its sequence, until the tail is there.
fn append_to(writer: &mut Writer, tail: u64) {
    for sequence in writer.tail()..tail {
        append(writer, &[u8::try_from(sequence).unwrap()]).unwrap();
    }
}

/// Appends as ingest does that looks now and then.
fn append_patiently(writer: &mut Writer, frame: &[u8]) -> u64 {
    loop {
        match append(writer, frame) {
            Ok(sequence) => return sequence,
            Err(Full) => thread::yield_now(),
        }
    }
}

/// Acknowledges as a shard does that looks now and then.
fn acknowledge_patiently(reader: &mut Reader, floor: u64) {
    while reader.asked_floor() < floor {
        thread::yield_now();
    }
    reader.acknowledge(floor);
}

#[test]
fn what_is_published_is_whole() {
    model(3, || {
        let (mut writer, reader) = one_reader(SIZES);
        append_to(&mut writer, 6);
        writer.publish();
        let shard = thread::spawn(move || {
            let tail = reader.tail();
            assert!(tail == 6 || tail == 7 || tail == 9);
            let mut positions = Vec::new();
            // With the tail at 9 that rests on the checkpoint at 8.
            reader.positions_at(tail, &mut positions);
            assert_eq!(positions, [tail.cast_signed(), 1]);
            for sequence in 6..tail {
                assert_eq!(reader.entry(sequence).offset.cast_unsigned(), sequence);
                let expected: &[u8] =
                    if sequence == 7 { b"block" } else { &[u8::try_from(sequence).unwrap()] };
                assert_eq!(reader.bytes(sequence, NATIVE).bytes(), expected);
            }
        });
        append_to(&mut writer, 7);
        writer.publish();
        append(&mut writer, b"block").unwrap();
        append_to(&mut writer, 9);
        writer.publish();
        shard.join().unwrap();
    });
}

#[test]
fn a_floor_is_never_seen_above_the_tail() {
    model(3, || {
        let (mut writer, mut reader) = one_reader(SIZES);
        append_to(&mut writer, 14);
        let shard = thread::spawn(move || {
            // Panics if it is.
            let floor = reader.asked_floor();
            assert!(floor == 0 || floor == 2);
            for sequence in 0..floor {
                assert_eq!(reader.bytes(sequence, NATIVE).bytes(), [u8::try_from(sequence).unwrap()]);
            }
            reader.acknowledge(floor);
        });
        // Asks.
        append_to(&mut writer, 15);
        shard.join().unwrap();
    });
}

#[test]
fn bytes_are_overwritten_once_acknowledged() {
    model(3, || {
        let (mut writer, mut reader) = one_reader(SIZES);
        append_to(&mut writer, 15);
        writer.publish();
        assert_eq!((reader.tail(), reader.asked_floor()), (15, 2));
        let shard = thread::spawn(move || {
            assert_eq!(reader.bytes(0, NATIVE).bytes(), [0]);
            assert_eq!(reader.run(0, 2, NATIVE), Some(&[0, 1, 2][..]));
            acknowledge_patiently(&mut reader, 2);
            assert_eq!(reader.bytes(2, NATIVE).bytes(), [2]);
        });
        // Where frame 0 was.
        assert_eq!(append_patiently(&mut writer, &[15]), 15);
        shard.join().unwrap();
    });
}

#[test]
fn entries_are_overwritten_once_acknowledged() {
    // A segment is one entry, so what is acknowledged is overwritten at once.
    const ENTRIES: Sizes = Sizes { entries: 16, bytes: 1024, ..SIZES };
    model(3, || {
        let (mut writer, mut reader) = one_reader(ENTRIES);
        for floor in 0..=7 {
            while append(&mut writer, b"").is_ok() {}
            reader.acknowledge(floor);
        }
        append(&mut writer, b"").unwrap();
        writer.publish();
        assert_eq!((writer.tail(), writer.floor()), (15, 8));
        let shard = thread::spawn(move || {
            assert_eq!(reader.tail(), 15);
            // From the checkpoint at 0.
            let mut positions = Vec::new();
            reader.positions_at(7, &mut positions);
            assert_eq!(positions, [7, 1]);
            assert_eq!(reader.entry(0).offset, 0);
            acknowledge_patiently(&mut reader, 8);
            acknowledge_patiently(&mut reader, 9);
            // From the checkpoint at 8.
            reader.positions_at(9, &mut positions);
            assert_eq!(positions, [9, 1]);
        });
        assert_eq!(append_patiently(&mut writer, b""), 15);
        // Where entry 0 was.
        assert_eq!(append_patiently(&mut writer, b""), 16);
        shard.join().unwrap();
    });
}

#[test]
fn blocks_are_let_go_once_acknowledged() {
    model(3, || {
        let (mut writer, mut reader) = one_reader(Sizes { blocks_bytes: 8, ..SIZES });
        append(&mut writer, b"block").unwrap();
        writer.publish();
        assert_eq!(reader.tail(), 1);
        let shard = thread::spawn(move || {
            let Frame::Block(block) = reader.bytes(0, NATIVE) else { panic!("a block") };
            let held = Arc::clone(block);
            acknowledge_patiently(&mut reader, 1);
            assert_eq!(held[..], *b"block");
        });
        assert_eq!(append_patiently(&mut writer, b"other"), 1);
        shard.join().unwrap();
        assert_eq!(writer.blocks_bytes(), 5);
    });
}

#[test]
fn a_reader_that_ends_has_read() {
    model(3, || {
        let (mut writer, reader) = one_reader(SIZES);
        append_to(&mut writer, 15);
        writer.publish();
        let shard = thread::spawn(move || {
            let _ = reader.tail();
            assert_eq!(reader.bytes(0, NATIVE).bytes(), [0]);
        });
        assert_eq!(append_patiently(&mut writer, &[15]), 15);
        shard.join().unwrap();
    });
}

/// A thread that sleeps for good unless it is woken.
fn waker() -> (Arc<Waker>, Arc<Notify>) {
    let notify = Arc::new(Notify::new());
    let wake = Arc::clone(&notify);
    (Arc::new(Waker::new(Box::new(move || wake.notify()))), notify)
}

/// Sleeps unless something has happened, as seen after the flag was set.
fn sleep_unless(waker: &Waker, notify: &Notify, happened: impl FnOnce() -> bool) {
    waker.about_to_sleep();
    if !happened() {
        notify.wait();
    }
    waker.awake();
}

/// Ingest and a shard that only sleep and wake each other: the shard for tail, floor and inbox, ingest for the
/// acknowledgement. `looks_at_floor` is what the shard must not forget before it sleeps.
fn ingest_and_shard(looks_at_floor: bool) {
    let (mut writer, reader) = one_reader(SIZES);
    // Loom's own end of a deadlock cannot bear a destructor that stores.
    let mut reader = ManuallyDrop::new(reader);
    append_to(&mut writer, 14);
    writer.publish();
    assert_eq!(
        (reader.tail(), reader.asked_floor()),
        (14, 0),
        "the next append asks, the one after needs it"
    );
    let (shard_waker, shard_sleep) = waker();
    let (ingest_waker, ingest_sleep) = waker();
    writer.set_wakers(vec![Arc::clone(&shard_waker)]);
    let inbox = Arc::new(AtomicBool::new(false));

    let shard = thread::spawn({
        let (waker, ingest_waker, inbox) =
            (Arc::clone(&shard_waker), Arc::clone(&ingest_waker), Arc::clone(&inbox));
        move || {
            let (mut read, mut message) = (14, false);
            while read < 16 || !message {
                sleep_unless(&waker, &shard_sleep, || {
                    let is_asked = looks_at_floor && reader.asked_floor() > reader.floor();
                    reader.tail() > read || is_asked || inbox.load(Ordering::Relaxed)
                });
                message |= inbox.swap(false, Ordering::Acquire);
                read = reader.tail();
                let asked = reader.asked_floor();
                if asked > reader.floor() {
                    reader.acknowledge(asked);
                    ingest_waker.wake();
                }
            }
        }
    });

    inbox.store(true, Ordering::Release);
    shard_waker.wake();
    append(&mut writer, &[14]).unwrap();
    while append(&mut writer, &[15]) == Err(Full) {
        sleep_unless(&ingest_waker, &ingest_sleep, || writer.behind().is_none());
    }
    writer.publish();
    shard.join().unwrap();
}

#[test]
fn nobody_sleeps_on() {
    model(2, || ingest_and_shard(true));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_a_look_at_the_floor_somebody_does() {
    model(2, || ingest_and_shard(false));
}
