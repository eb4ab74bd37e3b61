//! Gaps of whole topics: retention, new lives, cut logs.

use proto::{native::reply::GapReason, position::Position};

use super::{super::Bounds, *};
use crate::catalog::Start;

fn position(topic: &str, partition: u32, offset: i64) -> String {
    Position { epoch: Epoch::of("cluster", topic.as_bytes()), partition, offset }.to_string()
}

/// Kind, channel, and what it is about.
fn short(message: &Value) -> (String, String, String) {
    let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
    match message["type"].as_str() {
        Some("gap") => (text("reason"), text("channel"), format!("{}..{}", text("from"), text("to"))),
        _ => (text("type"), text("channel"), text("pos")),
    }
}

fn words(kind: &str, channel: &str, about: &str) -> (String, String, String) {
    (kind.to_owned(), channel.to_owned(), about.to_owned())
}

#[test]
fn a_gap_reaches_every_held_channel_of_its_topic_in_order() {
    let mut world = World::new(&[route("t", "{key}"), route("u", "{key}.u")], 2);
    let (t, u) = (world.topic("t", 2), world.topic("u", 1)[0]);
    world.hold(0, "a");
    world.hold(1, "b");
    world.hold(1, "x.u");
    world.take(t[0], &keyed(0, "a", "1"));
    world.take(t[0], &keyed(1, "nobody", "1"));
    world.take(u, &keyed(0, "x", "1"));
    world.bus.gap(0, GapReason::Retention, vec![Bounds { source: t[0], from: 2, to: 9 }]);
    assert_eq!(world.bus.next_offset(t[0]), 10);
    world.take(t[0], &keyed(10, "a", "2"));
    let messages: Vec<_> = world.messages(0).iter().map(short).collect();
    let bounds = format!("{}..{}", position("t", 0, 2), position("t", 0, 9));
    // The name "x.u" could also come from topic t, whose template takes any key.
    assert_eq!(
        messages,
        [
            words("message", "a", &position("t", 0, 0)),
            words("message", "nobody", &position("t", 0, 1)),
            words("message", "x.u", &position("u", 0, 0)),
            words("retention", "a", &bounds),
            words("retention", "b", &bounds),
            words("retention", "x.u", &bounds),
            words("message", "a", &position("t", 0, 10)),
        ]
    );
    assert_eq!(world.metrics.retention_gaps.get(), 3);
    assert_eq!(world.metrics.reset_gaps.get(), 0);
}

#[test]
fn positions_behind_a_gap_are_behind_it() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let t = world.topic("t", 2);
    world.bus.gap(0, GapReason::Retention, vec![Bounds { source: t[1], from: 0, to: 99 }]);
    world.read(0);
    let mut next = Vec::new();
    let tail = world.readers[0].tail();
    world.readers[0].positions_at(tail, &mut next);
    assert_eq!(next, [0, 100], "also where nobody holds a channel");
}

#[test]
fn a_new_life_is_a_reset_and_has_numbers_of_its_own() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let old = world.topic("t", 2);
    let channel = world.hold(0, "a").outcome.unwrap().channel;
    world.take(old[0], &keyed(0, "a", "1"));
    world.bus.retire(0, &[(1, 5)]);
    let topic = world.bus.add_topic("t", Epoch::of("cluster", b"another"));
    let new: Vec<_> = (0..2).map(|partition| world.bus.add_source(topic, partition, Start::At(0))).collect();
    world.take(new[0], &keyed(0, "a", "2"));
    let entries = world.read(0);
    let messages: Vec<_> = entries.iter().filter_map(|(_, frame)| frame.as_ref()).map(short).collect();
    let another = Position { epoch: Epoch::of("cluster", b"another"), partition: 0, offset: 0 };
    assert_eq!(
        messages,
        [
            words("message", "a", &position("t", 0, 0)),
            words("reset", "a", &format!("{}..{}", position("t", 0, 1), position("t", 0, 4))),
            // Nothing is known to be missing there, but nothing of that life comes any more either.
            words("reset", "a", &format!("{}..{}", position("t", 1, 0), position("t", 1, 0))),
            words("message", "a", &another.to_string()),
        ]
    );
    assert!(new.iter().all(|source| !old.contains(source)));
    let catalog = world.catalog.load();
    assert!(catalog.topics[0].retired && !catalog.topics[1].retired);
    assert_eq!(catalog.topic("t").map(|(number, _)| number), Some(topic));
    assert_eq!(world.bus.channel("a"), Some(channel), "a channel outlives the lives of its topics");
    assert_eq!((world.metrics.reset_gaps.get(), world.metrics.partitions.get()), (2, 2));
}

#[test]
fn a_log_that_was_cut_goes_on_as_another_source() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let source = world.topic("t", 2)[1];
    world.hold(0, "a");
    for offset in 0..5 {
        world.take(source, &keyed(offset, "a", "1"));
    }
    assert_eq!(world.accept(source, &keyed(3, "a", "other")), Ok(Taken::Behind));
    let other = world.bus.cut(source, 3);
    assert_ne!(other, source);
    world.take(other, &keyed(3, "a", "2"));
    let messages: Vec<_> = world.messages(0).iter().map(short).collect();
    assert_eq!(messages.len(), 7);
    let bounds = format!("{}..{}", position("t", 1, 3), position("t", 1, 4));
    assert_eq!(messages[5], words("reset", "a", &bounds));
    assert_eq!(messages[6], words("message", "a", &position("t", 1, 3)));
    world.now_ns += 1_000_000_000;
    assert!(world.read(0).is_empty(), "what is over moves no more");
    let mut next = Vec::new();
    let tail = world.readers[0].tail();
    let catalog = world.catalog.load();
    let known = (2..=tail).map(|sequence| {
        world.readers[0].positions_at(sequence, &mut next);
        catalog.vector(0, &next).next[1]
    });
    // Its own notice does not move it; behind that a reader stands at the cut.
    assert_eq!(known.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 3, 3, 4]);
    assert!(world.readers[0].entry(tail - 3).is_part(), "a reader goes on behind the notice at once");
}

#[test]
fn a_gap_waits_for_room_and_then_goes_on_where_it_was() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let source = world.topic("t", 1)[0];
    // More notices than the slab has entries.
    let names: Vec<_> = (0..400).map(|n| format!("n{n}")).collect();
    for name in &names {
        world.ask(0, name);
        world.bus.answer_questions();
        world.answer(0).outcome.unwrap();
    }
    world.bus.gap(0, GapReason::Retention, vec![Bounds { source, from: 0, to: 9 }]);
    assert_eq!(world.accept(source, &keyed(10, "n0", "1")), Err(Full));
    // One of those that still wait is given back, and its number taken by another name.
    let number = world.bus.channel("n399").unwrap();
    world.release(0, number);
    assert_eq!(world.hold(0, "late").outcome.unwrap().channel, number);
    let mut seen = Vec::new();
    let mut read = 0;
    while world.accept(source, &keyed(10, "n0", "1")).is_err() {
        world.bus.publish();
        let reader = &mut world.readers[0];
        let (floor, tail) = (reader.asked_floor(), reader.tail());
        seen.extend((read..tail).filter_map(|sequence| parse(reader.bytes(sequence, NATIVE).bytes())));
        read = tail;
        reader.acknowledge(floor);
    }
    world.bus.publish();
    let reader = &world.readers[0];
    seen.extend((read..reader.tail()).filter_map(|sequence| parse(reader.bytes(sequence, NATIVE).bytes())));
    let channels: Vec<_> = seen.iter().map(|message| message["channel"].as_str().unwrap()).collect();
    let mut expected: Vec<_> = names[..399].iter().map(String::as_str).collect();
    expected.push("n0");
    assert_eq!(channels, expected, "each once, none for the name that was given back, then the record");
}
