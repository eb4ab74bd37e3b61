//! A shard that does not acknowledge: ingest waits, answers, and goes on.

use super::*;
use crate::catalog::Start;

#[test]
fn a_full_slab_keeps_the_record_and_answers_questions() {
    let mut world = World::new(&[route("t", "{key}"), route("t", "all")], 2);
    let source = world.topic("t", 1)[0];
    let mut offset = 0;
    // Only reader 1 acknowledges.
    while world.accept(source, &keyed(offset, "a", "1")).is_ok() {
        world.bus.publish();
        let floor = world.readers[1].asked_floor();
        world.readers[1].acknowledge(floor);
        offset += 1;
        assert!(offset < 1_000, "the writer must not overwrite what reader 0 may look at");
    }
    for _ in 0..3 {
        assert_eq!(world.accept(source, &keyed(offset, "a", "1")), Err(Full));
        world.hold(1, "lookup").outcome.unwrap();
    }
    world.bus.publish();
    assert_eq!(world.bus.behind(), Some(0));
    // What the still reader has not given back is intact.
    let entries = world.read(0);
    let all: Vec<_> = entries.iter().filter_map(|(_, frame)| frame.as_ref()).collect();
    let positions: Vec<_> = all.iter().map(|message| message["pos"].as_str().unwrap()).collect();
    assert!(positions.chunks(2).take(positions.len() / 2).all(|pair| pair[0] == pair[1]));

    world.acknowledge_all();
    assert_eq!(world.bus.behind(), None);
    assert_eq!(world.accept(source, &keyed(offset, "a", "1")), Ok(Taken::Done));
    assert_eq!(world.metrics.records.get(), u64::try_from(offset).unwrap() + 1, "counted once each");
}

/// The slab is full in the middle of a record with three entries, at each of its entries in turn: every entry comes once.
#[test]
fn a_record_of_several_entries_goes_on_in_its_middle() {
    let routes = [route("t", "{key}"), route("t", "all"), route("t", "{key}.again")];
    for lead in 0..3 {
        let mut world = World::new(&routes, 1);
        let shift = world.bus.add_topic("u", Epoch::of("c", b"u"));
        for _ in 0..lead {
            // A frameless entry each, so that the slab is full at another entry of the record.
            world.bus.add_partition(shift, Start::At(0));
        }
        let source = world.topic("t", 1)[0];
        let mut seen = Vec::new();
        let mut read = 0;
        for offset in 0..300 {
            let mut tries = 0;
            while world.accept(source, &keyed(offset, "k", "1")).is_err() {
                world.bus.publish();
                let reader = &mut world.readers[0];
                let (floor, tail) = (reader.asked_floor(), reader.tail());
                seen.extend(
                    (read..tail).filter_map(|sequence| parse(reader.bytes(sequence, NATIVE).bytes())),
                );
                read = tail;
                // Not at once: the record is tried again in vain.
                if tries > 1 {
                    reader.acknowledge(floor);
                }
                tries += 1;
            }
        }
        world.bus.publish();
        let reader = &world.readers[0];
        seen.extend(
            (read..reader.tail()).filter_map(|sequence| parse(reader.bytes(sequence, NATIVE).bytes())),
        );
        let epoch = Epoch::of("cluster", b"t");
        let expected: Vec<_> = (0..300)
            .flat_map(|offset| ["k", "all", "k.again"].map(|name| (name.to_owned(), offset)))
            .map(|(name, offset)| {
                (name, proto::position::Position { epoch, partition: 0, offset }.to_string())
            })
            .collect();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let seen: Vec<_> =
            seen.iter().map(|message| (text(&message["channel"]), text(&message["pos"]))).collect();
        assert_eq!(seen, expected, "lead {lead}");
        assert_eq!(world.metrics.records.get(), 300);
        assert_eq!(world.metrics.entries.get(), 900);
    }
}

#[test]
fn a_reader_that_ends_stops_nothing() {
    let mut world = World::new(&[route("t", "{key}")], 2);
    let source = world.topic("t", 1)[0];
    world.readers.truncate(1);
    for offset in 0..2_000 {
        world.take(source, &keyed(offset, "a", "1"));
    }
    assert_eq!(world.bus.next_offset(source), 2_000);
}

#[test]
fn large_frames_wait_for_their_budget() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let source = world.topic("t", 1)[0];
    let value = format!("\"{}\"", "x".repeat(100_000));
    let mut offset = 0;
    while world.accept(source, &keyed(offset, "a", &value)).is_ok() {
        world.bus.publish();
        offset += 1;
        assert!(offset < 20, "the budget is 1 MiB");
    }
    assert!(offset >= 5);
    let seen = world.messages(0).len();
    world.acknowledge_all();
    world.take(source, &keyed(offset, "a", &value));
    assert_eq!(i64::try_from(seen).unwrap(), offset);
    assert_eq!(world.messages(0).len(), 1);
}
