//! What the bus tells of a topic and of channels.

use proto::position::Position;

use super::*;
use crate::{
    catalog::Start,
    inbox::{ExplainTopic, KeyFacts, Newest, PartitionFacts, PartitionState, TopicFacts},
};

fn ask(world: &mut World, topic: &str, channels: &[&str]) -> TopicFacts {
    let (reply, answer) = flume::bounded(1);
    let channels = channels.iter().map(|name| Arc::from(*name)).collect();
    world.to_ingest.send(ToIngest::Explain(ExplainTopic { topic: topic.into(), channels, reply })).unwrap();
    assert!(world.bus.answer_lookups());
    answer.try_recv().unwrap()
}

#[test]
fn partitions_are_told_as_they_are() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    assert_eq!(ask(&mut world, "t", &[]).partitions, [], "no such topic yet");
    let topic = world.bus.add_topic("t", Epoch::of("cluster", b"t"));
    let read = world.bus.add_partition(topic, Start::At(5));
    let late = world.bus.add_partition(topic, Start::Unresolved);
    world.take(read, &keyed(7, "a", "1"));
    world.bus.note(read, PartitionState::Reading, Some(9));
    world.bus.note(read, PartitionState::OutOfRange, None);
    let first = PartitionFacts { state: PartitionState::OutOfRange, first: 5, next: 8, end: 9 };
    let second = PartitionFacts { state: PartitionState::Waiting, first: -1, next: -1, end: -1 };
    assert_eq!(ask(&mut world, "t", &[]).partitions, [first, second]);
    world.bus.skip(late, 3);
    let second = PartitionFacts { first: 3, next: 3, ..second };
    assert_eq!(ask(&mut world, "t", &[]).partitions, [first, second]);
    assert_eq!(ask(&mut world, "u", &[]).partitions, []);
    world.bus.skip(read, 12);
    let first = PartitionFacts { next: 12, end: 12, ..first };
    assert_eq!(ask(&mut world, "t", &[]).partitions, [first, second], "the end was told earlier");

    // A log that was truncated is read as before.
    world.bus.note(read, PartitionState::Reading, Some(12));
    world.bus.truncate(read, 2);
    let first = PartitionFacts { state: PartitionState::Reading, first: 2, next: 2, end: -1 };
    assert_eq!(ask(&mut world, "t", &[]).partitions, [first, second]);

    // A later incarnation of the topic has its own.
    world.bus.retire(topic, &[]);
    let topic = world.bus.add_topic("t", Epoch::of("cluster", b"t2"));
    world.bus.add_partition(topic, Start::At(0));
    let anew = PartitionFacts { state: PartitionState::Waiting, first: 0, next: 0, end: -1 };
    assert_eq!(ask(&mut world, "t", &[]).partitions, [anew]);
}

#[test]
fn the_newest_entry_is_told_while_it_is_in_memory() {
    let mut world = World::new(&[route("t", "{key}"), route("u", "{key}")], 1);
    let (t, u) = (world.topic("t", 1)[0], world.topic("u", 2)[1]);
    world.hold(0, "silent");
    world.take(t, &keyed(0, "a", "1"));
    world.take(u, &keyed(4, "a", "1"));
    world.take(t, &keyed(1, "b", "1"));
    let read_ns = world.now_ns;
    let newest = |epoch: &str, topic: &str, partition, offset, ingest_ns| {
        let position = Position { epoch: Epoch::of("cluster", epoch.as_bytes()), partition, offset };
        Some(Newest { topic: topic.into(), position, ts_ms: offset, ingest_ns })
    };
    let expected = [newest("u", "u", 1, 4, read_ns - 1), newest("t", "t", 0, 1, read_ns), None, None];
    assert_eq!(ask(&mut world, "t", &["a", "b", "silent", "never"]).newest, expected);
    assert_eq!(world.bus.channel("never"), None, "asking makes no channel");
}

#[test]
fn what_readers_have_given_back_is_not_read() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let source = world.topic("t", 1)[0];
    let channel = world.hold(0, "old").outcome.unwrap().channel;
    world.take(source, &keyed(0, "old", "1"));
    let mut offset = 1;
    // No publication sweeps: the number keeps its last entry although that may be overwritten.
    while world.readers[0].floor() <= 2 {
        assert!(ask(&mut world, "t", &["old"]).newest[0].is_some());
        while world.accept(source, &keyed(offset, "filler", "1")).is_err() {
            world.acknowledge_all();
        }
        offset += 1;
        let floor = world.readers[0].asked_floor();
        world.readers[0].acknowledge(floor);
    }
    assert_eq!(world.bus.channel("old"), Some(channel));
    assert_eq!(ask(&mut world, "t", &["old"]).newest, [None]);
    for _ in 0..1_000 {
        world.take(source, &keyed(offset, "filler", "1"));
        offset += 1;
    }
    assert_eq!(ask(&mut world, "t", &["old"]).newest, [None]);
}

#[test]
fn who_asks_and_does_not_wait_stops_nobody() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let (reply, answer) = flume::bounded(0);
    drop(answer);
    let message = ExplainTopic { topic: "t".into(), channels: ["a".into()].into(), reply };
    world.to_ingest.send(ToIngest::Explain(message)).unwrap();
    assert!(world.bus.answer_lookups());
    assert!(world.bus.is_idle());
}

#[test]
fn keys_are_told_by_topic_and_life() {
    let mut world = World::new(&[route("t", "{key}"), route("u", "{key}")], 1);
    let (t, u) = (world.topic("t", 2), world.topic("u", 1)[0]);
    world.take(t[0], &keyed(7, "\"BTC\"", "1"));
    world.take(t[1], &Record { key: None, ..keyed(3, "", "1") });
    world.take(t[1], &keyed(4, "\"BTC\"", "1"));
    world.take(u, &keyed(0, "other", "1"));
    let fact = |key: Option<&str>, partition, offset| KeyFacts {
        key: key.map(Into::into),
        len: key.map_or(0, str::len),
        partition,
        offset,
    };
    let expected = [fact(Some("\"BTC\""), 0, 7), fact(None, 1, 3)];
    assert_eq!(ask(&mut world, "t", &["BTC"]).keys, expected);
    assert_eq!(ask(&mut world, "u", &[]).keys, [fact(Some("other"), 0, 0)]);
    assert_eq!(ask(&mut world, "v", &[]).keys, []);
    world.bus.retire(0, &[]);
    world.bus.add_topic("t", Epoch::of("cluster", b"t2"));
    assert_eq!(ask(&mut world, "t", &[]).keys, []);
}
