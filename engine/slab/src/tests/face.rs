//! Each promise, and each refusal, by itself.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sync::Waker;

use super::{SMALL, meta};
use crate::{Frame, Full, NATIVE, Reader, Sizes, Writer, slab};

fn one_reader() -> (Writer, Reader) {
    let (writer, mut readers) = slab(SMALL, 1);
    (writer, readers.pop().unwrap())
}

/// Appends frameless entries until that opens another segment.
fn open_segment(writer: &mut Writer) -> Result<(), Full> {
    let before = writer.tail().checked_sub(1).map_or(0, |last| writer.entry(last).segment);
    while {
        let sequence = writer.append(meta(0, 0), [b""])?;
        writer.entry(sequence).segment == before
    } {}
    Ok(())
}

fn fill(writer: &mut Writer) {
    while open_segment(writer).is_ok() {}
    writer.publish();
}

/// A waker whose owner sleeps, and how often it was called.
fn sleeper() -> (Arc<Waker>, Arc<AtomicUsize>) {
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let waker = Waker::new(Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    waker.about_to_sleep();
    (Arc::new(waker), woken)
}

#[test]
fn entries_are_seen_once_published() {
    let (mut writer, reader) = one_reader();
    assert_eq!(writer.append(meta(3, 41), [b"frame"]), Ok(0));
    assert_eq!((writer.tail(), reader.tail()), (1, 0));
    writer.publish();
    assert_eq!(reader.tail(), 1);
    let entry = reader.entry(0);
    assert_eq!(
        (entry.channel, entry.source, entry.offset, entry.ts_ms, entry.ingest_ns),
        (7, 3, 41, 1041, 1)
    );
    assert_eq!(reader.bytes(0, NATIVE).bytes(), b"frame");
}

#[test]
fn ends_travel_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Writer>();
    is_send::<Reader>();
}

#[test]
fn positions_are_those_before_a_sequence() {
    let (mut writer, reader) = one_reader();
    for (source, offset) in [(1, 10), (0, 5), (1, 11)] {
        writer.append(meta(source, offset), [b""]).unwrap();
    }
    writer.publish();
    assert_eq!(reader.tail(), 3);
    let mut positions = vec![99];
    for (sequence, expected) in [(0, vec![]), (1, vec![-1, 11]), (2, vec![6, 11]), (3, vec![6, 12])] {
        reader.positions_at(sequence, &mut positions);
        assert_eq!(positions, expected, "before {sequence}");
    }
}

#[test]
fn one_that_is_not_acknowledged_stops_the_writer() {
    let (mut writer, mut readers) = slab(SMALL, 2);
    fill(&mut writer);
    assert_eq!(writer.tail(), 56, "eight segments of seven");
    assert_eq!((writer.floor(), writer.reclaimed(), writer.behind()), (7, 0, Some(0)));
    assert_eq!(writer.append(meta(0, 1), [b"x"]), Err(Full));
    assert_eq!(writer.tail(), 56, "nothing was appended");

    readers[0].acknowledge(7);
    assert_eq!((writer.reclaimed(), writer.behind()), (0, Some(1)));
    assert_eq!(writer.append(meta(0, 1), [b"x"]), Err(Full));
    readers[1].acknowledge(7);
    assert_eq!((writer.reclaimed(), writer.behind()), (7, None));
    assert_eq!(writer.append(meta(0, 1), [b"x"]), Ok(56));
    assert_eq!((writer.floor(), writer.reclaimed()), (14, 7), "the next segment is asked for at once");
}

#[test]
fn a_reader_that_ends_gives_everything_back() {
    let (mut writer, mut readers) = slab(SMALL, 2);
    drop(readers.remove(0));
    fill(&mut writer);
    assert_eq!((writer.tail(), writer.behind()), (56, Some(1)));
    readers.clear();
    assert_eq!((writer.floor(), writer.reclaimed(), writer.behind()), (7, 7, None));
    for _ in 0..1000 {
        open_segment(&mut writer).unwrap();
    }
}

#[test]
fn the_index_can_be_read_from_the_checkpoint_below_the_floor() {
    let (mut writer, mut reader) = one_reader();
    fill(&mut writer);
    reader.acknowledge(7);
    fill(&mut writer);
    reader.acknowledge(14);
    assert_eq!(writer.append(meta(0, 0), [b""]), Ok(63));
    // The checkpoint at or before 14 is at 8.
    assert_eq!(reader.entry(8).channel, 7);
    let mut positions = Vec::new();
    reader.positions_at(14, &mut positions);
    assert_eq!(positions, [1]);
}

#[test]
fn the_writer_looks_back_below_the_floor() {
    let (mut writer, mut reader) = one_reader();
    writer.append(meta(0, 77), [b""]).unwrap();
    fill(&mut writer);
    reader.acknowledge(writer.floor());
    assert_eq!(writer.entry(0).offset, 77);
}

#[test]
fn runs_are_frames_back_to_back() {
    let (mut writer, reader) = one_reader();
    let large = [9; 65];
    let frames: [&[u8]; 7] = [b"one", b"two", b"", b"three", &large, b"four", b""];
    for frame in frames {
        writer.append(meta(0, 0), [frame]).unwrap();
    }
    writer.publish();
    assert_eq!(reader.tail(), 7);
    assert_eq!(reader.run(0, 0, NATIVE), Some(&b"one"[..]));
    assert_eq!(reader.run(1, 3, NATIVE), Some(&b"twothree"[..]), "no frame, nothing in between");
    assert_eq!(reader.run(0, 3, NATIVE), Some(&b"onetwothree"[..]));
    assert_eq!(reader.run(3, 5, NATIVE), Some(&b"threefour"[..]), "a block in between lies elsewhere");
    assert_eq!(reader.run(4, 4, NATIVE), None, "a block is no part of the region");
    assert_eq!(reader.run(5, 6, NATIVE), Some(&b"four"[..]));
    assert_eq!(reader.run(6, 6, NATIVE), None, "no frame");
}

#[test]
fn a_lap_ends_a_run() {
    let (mut writer, mut reader) = one_reader();
    // 17 frames of 60 bytes fill a lap of 1,024 but for 4 bytes.
    for sequence in 0..18 {
        if writer.append(meta(0, 0), [&[sequence; 60]]) == Err(Full) {
            reader.acknowledge(reader.asked_floor());
            writer.append(meta(0, 0), [&[sequence; 60]]).unwrap();
        }
    }
    writer.publish();
    assert_eq!(reader.tail(), 18);
    assert_eq!(reader.run(15, 16, NATIVE), Some(&[[15; 60], [16; 60]].concat()[..]));
    assert_eq!(reader.run(16, 17, NATIVE), None);
    assert!(!reader.entry(17).frames[NATIVE].follows(&reader.entry(16).frames[NATIVE]));
}

#[test]
fn blocks_count_until_the_last_holder_lets_go() {
    let (mut writer, mut reader) = one_reader();
    writer.append(meta(0, 0), [&[1; 4000]]).unwrap();
    writer.publish();
    assert_eq!((reader.tail(), writer.blocks_bytes()), (1, 4000));
    let Frame::Block(block) = reader.bytes(0, NATIVE) else { panic!("a block") };
    let held = Arc::clone(block);

    assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Err(Full));
    assert_eq!((writer.floor(), writer.behind()), (1, Some(0)), "asked: its segment has ended");
    reader.acknowledge(1);
    assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Err(Full), "a connection holds it");
    assert_eq!((writer.floor(), writer.behind(), writer.blocks_bytes()), (1, None, 4000));
    assert_eq!(writer.append(meta(0, 0), [b"small"]), Ok(1), "it stops large frames only");
    assert_eq!(held[..], [1; 4000]);
    drop(held);
    assert_eq!(writer.blocks_bytes(), 0);
    assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Ok(2));
}

#[test]
fn what_connections_hold_does_not_move_the_floor_in_vain() {
    let (mut writer, mut reader) = one_reader();
    writer.append(meta(0, 0), [&[1; 4000]]).unwrap();
    writer.publish();
    let _ = reader.tail();
    let Frame::Block(block) = reader.bytes(0, NATIVE) else { panic!("a block") };
    let held = Arc::clone(block);
    assert_eq!(writer.append(meta(0, 0), [&[2; 90]]), Ok(1));
    assert_eq!(writer.append(meta(0, 0), [&[2; 90]]), Err(Full));
    assert_eq!(
        (writer.floor(), reader.is_pressed()),
        (1, false),
        "the first block would make room if nobody held it"
    );
    reader.acknowledge(1);
    for _ in 0..10 {
        assert_eq!(writer.append(meta(0, 0), [&[2; 97]]), Err(Full));
        assert_eq!((writer.floor(), reader.is_pressed()), (1, true), "nothing below the tail would");
    }
    drop(held);
    assert_eq!(writer.append(meta(0, 0), [&[2; 97]]), Ok(2));
    assert!(!reader.is_pressed() && reader.relief().is_none(), "nothing is needed any more");
}

#[test]
fn a_need_is_answered_once_and_stands_until_there_is_room() {
    let (mut writer, mut readers) = slab(SMALL, 2);
    writer.append(meta(0, 0), [&[1; 4000]]).unwrap();
    writer.publish();
    let held: Vec<_> = readers
        .iter_mut()
        .map(|reader| {
            let _ = reader.tail();
            let Frame::Block(block) = reader.bytes(0, NATIVE) else { panic!("a block") };
            let block = Arc::clone(block);
            let _asked = reader.asked_floor();
            block
        })
        .collect();
    assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Err(Full));
    readers.iter_mut().for_each(|reader| reader.acknowledge(1));
    for holder in held {
        assert!(readers.iter().all(|reader| !reader.is_pressed()), "not asked yet, or answered");
        assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Err(Full));
        assert!(readers.iter().all(Reader::is_pressed));
        let relief = readers[0].relief().expect("the first answers");
        assert!(readers[1].relief().is_none() && !readers[1].is_pressed(), "and nobody else");
        assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Err(Full));
        assert!(!readers[1].is_pressed(), "the answer is under way");
        drop(holder);
        drop(relief);
    }
    assert_eq!(writer.append(meta(0, 0), [&[2; 4000]]), Ok(1), "both have let go of the one block");
}

#[test]
fn the_floor_makes_room_beside_what_connections_hold() {
    let (mut writer, mut reader) = one_reader();
    for len in [2000, 500, 500, 500] {
        writer.append(meta(0, 0), [&vec![1; len]]).unwrap();
    }
    writer.publish();
    let _ = reader.tail();
    let Frame::Block(block) = reader.bytes(0, NATIVE) else { panic!("a block") };
    let held = Arc::clone(block);
    assert_eq!(writer.append(meta(0, 0), [&[2; 600]]), Err(Full));
    assert_eq!(writer.floor(), 1, "the first would do, if nobody held it");
    reader.acknowledge(1);
    assert_eq!(writer.append(meta(0, 0), [&[2; 600]]), Err(Full));
    assert_eq!((writer.floor(), reader.is_pressed()), (2, false), "the second does as well");
    reader.acknowledge(2);
    assert_eq!(writer.append(meta(0, 0), [&[2; 600]]), Ok(4));
    assert_eq!((held.len(), writer.blocks_bytes()), (2000, 3600));
}

#[test]
fn a_frame_larger_than_the_budget_passes_alone() {
    let (mut writer, mut reader) = one_reader();
    writer.append(meta(0, 0), [&[1; 100]]).unwrap();
    assert_eq!(writer.append(meta(0, 1), [&[2; 10_000]]), Err(Full));
    reader.acknowledge(reader.asked_floor());
    assert_eq!(writer.append(meta(0, 1), [&[2; 10_000]]), Ok(1));
    assert_eq!(writer.append(meta(0, 2), [&[3; 100]]), Err(Full));
    assert_eq!(reader.tail(), 2, "asking for a floor has published what was appended");
    assert_eq!(reader.bytes(1, NATIVE).bytes(), [2; 10_000]);
    reader.acknowledge(reader.asked_floor());
    assert_eq!(writer.append(meta(0, 2), [&[3; 100]]), Ok(2));
    assert_eq!(writer.blocks_bytes(), 100);
}

#[test]
fn bells_wake_sleepers_once() {
    let (waker, woken) = sleeper();
    waker.wake();
    waker.wake();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    waker.about_to_sleep();
    waker.awake();
    waker.wake();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
}

#[test]
fn bells_without_an_owner_wake_nobody() {
    let waker = Waker::unset();
    waker.wake();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    waker.arm(Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    waker.about_to_sleep();
    waker.wake();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
}

#[test]
fn one_wake_a_batch() {
    let (mut writer, _reader) = one_reader();
    let (waker, woken) = sleeper();
    writer.set_wakers(vec![Arc::clone(&waker)]);
    writer.publish();
    assert_eq!(woken.load(Ordering::Relaxed), 0, "nothing to publish");
    for offset in 0..5 {
        writer.append(meta(0, offset), [b"x"]).unwrap();
    }
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    writer.publish();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
}

#[test]
fn a_new_floor_rings_and_shows_a_tail_above_it() {
    let (mut writer, reader) = one_reader();
    let (waker, woken) = sleeper();
    writer.set_wakers(vec![waker]);
    while writer.floor() == 0 {
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        writer.append(meta(0, 0), [b""]).unwrap();
    }
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!((reader.asked_floor(), reader.tail()), (7, 49), "one segment before it is needed");
}

#[test]
fn all_below_an_asked_floor_can_be_read() {
    let (mut writer, reader) = one_reader();
    assert_eq!(reader.tail(), 0);
    // Two frames that do not go together: the floor moves up to the tail at once.
    writer.append(meta(0, 0), [&[1; 4000]]).unwrap();
    assert_eq!(writer.append(meta(0, 1), [&[2; 4000]]), Err(Full));
    assert_eq!(reader.asked_floor(), 1);
    assert_eq!(reader.bytes(0, NATIVE).bytes(), [1; 4000]);
}

#[test]
#[should_panic(expected = "entry 0 is not within 0..0")]
fn entries_beyond_the_tail_last_looked_at_are_refused() {
    let (mut writer, reader) = one_reader();
    writer.append(meta(0, 0), [b""]).unwrap();
    writer.publish();
    let _ = reader.entry(0);
}

#[test]
#[should_panic(expected = "frame 6 is below the floor 7")]
fn frames_below_the_floor_are_refused() {
    let (mut writer, mut reader) = one_reader();
    fill(&mut writer);
    reader.acknowledge(7);
    let _ = reader.bytes(6, NATIVE);
}

#[test]
#[should_panic(expected = "entry 7 is not within 8..")]
fn entries_below_the_checkpoint_are_refused() {
    let (mut writer, mut reader) = one_reader();
    fill(&mut writer);
    reader.acknowledge(7);
    fill(&mut writer);
    reader.acknowledge(14);
    let _ = reader.entry(7);
}

#[test]
#[should_panic(expected = "sequence 6 is not within 7..=56")]
fn positions_below_the_floor_are_refused() {
    let (mut writer, mut reader) = one_reader();
    fill(&mut writer);
    reader.acknowledge(7);
    reader.positions_at(6, &mut Vec::new());
}

#[test]
#[should_panic(expected = "floor 6 is not within 7..=7")]
fn floors_do_not_move_back() {
    let (mut writer, mut reader) = one_reader();
    fill(&mut writer);
    reader.acknowledge(7);
    reader.acknowledge(6);
}

#[test]
#[should_panic(expected = "floor 8 is not within 0..=7")]
fn floors_beyond_the_asked_one_are_refused() {
    let (mut writer, mut reader) = one_reader();
    fill(&mut writer);
    reader.acknowledge(8);
}

#[test]
#[should_panic(expected = "entry 0 is not within")]
fn the_writer_sees_no_overwritten_entry() {
    let (mut writer, readers) = slab(SMALL, 1);
    drop(readers);
    for _ in 0..12 {
        open_segment(&mut writer).unwrap();
    }
    let _ = writer.entry(0);
}

#[test]
#[should_panic(expected = "entries for eight segments and a checkpoint")]
fn an_index_without_room_is_refused() {
    let _ = slab(Sizes { entries: 8, ..SMALL }, 1);
}
