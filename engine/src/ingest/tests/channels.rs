//! Channel numbers, lookups and answers.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::inbox::{DataState, Refused, Status};

#[test]
fn a_question_is_answered_with_number_and_topics() {
    let mut world =
        World::new(&[route("t", "{key}.trade"), route("u", "{key}.trade"), route("v", "{key}")], 2);
    world.topic("t", 1);
    let answer = world.hold(0, "BTC.trade");
    assert_eq!(&*answer.name, "BTC.trade");
    let grant = answer.outcome.unwrap();
    let topics: Vec<_> = grant.topics.iter().map(|topic| &**topic).collect();
    assert_eq!(topics, ["t", "u", "v"], "also topics that are not there yet");
    let again = world.hold(1, "BTC.trade").outcome.unwrap();
    assert_eq!(grant.channel, again.channel);
    let plain = world.hold(1, "BTC").outcome.unwrap();
    assert_ne!(plain.channel, grant.channel);
    assert_eq!(plain.topics.len(), 1);
    assert_eq!(world.metrics.questions.get(), 3);
}

#[test]
fn a_name_that_no_route_makes_is_unknown() {
    let mut world = World::new(&[route("t", "{key}.trade")], 1);
    assert_eq!(world.hold(0, "BTC.price").outcome.unwrap_err(), Refused::Unknown);
    assert_eq!(world.hold(0, "").outcome.unwrap_err(), Refused::Unknown);
    world.bus.publish();
    assert_eq!(world.metrics.channels.get(), 0, "it costs nothing");
}

#[test]
fn channels_without_a_record_are_limited() {
    let limits = Limits { empty_channels: 2, ..Limits::default() };
    let mut world = World::with(&[route("t", "{key}")], 1, SMALL, &limits, 64);
    let source = world.topic("t", 1)[0];
    let a = world.hold(0, "a").outcome.unwrap().channel;
    world.hold(0, "b").outcome.unwrap();
    assert_eq!(world.hold(0, "c").outcome.unwrap_err(), Refused::TooMany);
    world.hold(0, "a").outcome.unwrap();
    // A record makes room, and so does giving back.
    world.take(source, &keyed(0, "b", "1"));
    let c = world.hold(0, "c").outcome.unwrap().channel;
    assert_eq!(world.hold(0, "d").outcome.unwrap_err(), Refused::TooMany);
    world.release(0, a);
    assert_eq!(world.bus.channel("a"), None);
    world.hold(0, "d").outcome.unwrap();
    // Records never meet the limit.
    world.take(source, &keyed(1, "e", "1"));
    assert_ne!(world.bus.channel("e"), Some(c));
    world.bus.publish();
    assert_eq!((world.metrics.channels.get(), world.metrics.empty_channels.get()), (4, 2));
}

#[test]
fn a_full_inbox_keeps_its_answers_and_stops_nobody() {
    let mut world = World::with(&[route("t", "{key}")], 2, SMALL, &Limits::default(), 2);
    for n in 0..5 {
        world.ask(0, &format!("a{n}"));
    }
    world.ask(1, "b");
    assert!(world.bus.answer_lookups());
    assert!(!world.bus.is_idle(), "three answers wait");
    assert_eq!(&*world.answer(1).name, "b", "the other shard has its answer");
    world.bus.state(DataState::Stale { lag_ms: 1 });
    for state in [DataState::Stale { lag_ms: 1 }, DataState::Live] {
        world.bus.state(state);
        world.bus.status(&Status { topic: Some(Arc::from("t")), state });
    }
    let mut names = Vec::new();
    let mut states = Vec::new();
    let mut of_the_other = 0;
    for _ in 0..10 {
        world.bus.answer_lookups();
        of_the_other += world.inboxes[1].drain().count();
        for message in world.inboxes[0].drain() {
            match message {
                ToShard::Channel(answer) => names.push(answer.name.to_string()),
                ToShard::Status(status) => states.push(status),
                other @ (ToShard::Connection(_)
                | ToShard::Explain(_)
                | ToShard::Drain { .. }
                | ToShard::Stop) => {
                    panic!("{other:?}")
                }
            }
        }
    }
    assert_eq!(names, ["a0", "a1", "a2", "a3", "a4"], "in the order of the lookups");
    let live = Status { topic: None, state: DataState::Live };
    let of_topic = Status { topic: Some(Arc::from("t")), state: DataState::Live };
    assert_eq!(states, [live, of_topic], "only the newest state of each topic counts");
    assert!(world.bus.is_idle());
    assert_eq!(of_the_other, 4);
}

#[test]
fn a_shard_that_has_ended_keeps_nothing_waiting() {
    let mut world = World::with(&[route("t", "{key}")], 2, SMALL, &Limits::default(), 1);
    world.inboxes.remove(0);
    for _ in 0..3 {
        world.ask(0, "a");
    }
    assert!(world.bus.answer_lookups());
    assert!(world.bus.is_idle());
}

#[test]
fn stop_and_the_end_of_all_senders_end_ingest() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    world.ask(0, "a");
    world.to_ingest.send(ToIngest::Stop).unwrap();
    assert!(!world.bus.answer_lookups());
    assert!(!world.bus.answer_lookups(), "for good");
    assert_eq!(&*world.answer(0).name, "a", "what came before is answered");

    let mut world = World::new(&[route("t", "{key}")], 1);
    world.to_ingest = flume::unbounded().0;
    assert!(!world.bus.answer_lookups());
}

#[test]
fn a_number_is_free_once_neither_shard_nor_entry_means_it() {
    let mut world = World::new(&[route("t", "{key}")], 2);
    let source = world.topic("t", 1)[0];
    let held = world.hold(0, "held").outcome.unwrap().channel;
    world.hold(1, "held");
    world.take(source, &keyed(0, "held", "1"));
    world.take(source, &keyed(1, "passing", "1"));
    for offset in 2..1_000 {
        world.take(source, &keyed(offset, "filler", "1"));
    }
    world.read(0);
    assert_eq!(world.bus.channel("passing"), None, "its only entry is long gone");
    assert_eq!(world.bus.channel("held"), Some(held));
    world.release(0, held);
    assert_eq!(world.bus.channel("held"), Some(held), "the other shard still holds it");
    world.release(1, held);
    assert_eq!(world.bus.channel("held"), None);
    assert!(world.bus.channel("filler").is_some());
    world.bus.publish();
    assert_eq!((world.metrics.channels.get(), world.metrics.empty_channels.get()), (1, 0));
}

/// What the property test does.
#[derive(Debug, Clone)]
enum Step {
    /// A record of a name.
    Record(u8),
    /// A shard asks for a name, unless it holds it.
    Hold(usize, u8),
    /// A shard gives back the nth number it holds.
    Release(usize, usize),
    /// A shard acknowledges the floor that is asked for.
    Acknowledge(usize),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40_u8).prop_map(Step::Record),
        2 => (0..2_usize, 0..60_u8).prop_map(|(shard, name)| Step::Hold(shard, name)),
        2 => (0..2_usize, any::<usize>()).prop_map(|(shard, nth)| Step::Release(shard, nth)),
        2 => (0..2_usize).prop_map(Step::Acknowledge),
        1 => Just(Step::Publish),
    ]
}

/// Who means which number: entries that some reader may still look at, and shards.
#[derive(Default)]
struct Meanings {
    entries: HashMap<u64, (u32, String)>,
    held: [HashMap<u32, String>; 2],
}

impl Meanings {
    /// No number may mean two names.
    fn check(&self, floor: u64) {
        let live =
            self.entries.iter().filter(|(sequence, _)| **sequence >= floor).map(|(_, meaning)| meaning);
        let held = self.held.iter().flatten().map(|(number, name)| (*number, name.clone()));
        let pairs: HashSet<_> = live.cloned().chain(held).collect();
        let mut names: HashMap<u32, &str> = HashMap::new();
        for (number, name) in &pairs {
            let other = names.insert(*number, name);
            assert!(other.is_none(), "{number} means {name} and {other:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A number never means two names at once, whatever shards hold, give back, acknowledge, and in whatever order; what
    /// a reader sees is what was appended; and numbers are not lost.
    #[test]
    fn a_number_never_means_two_names(steps in prop::collection::vec(step(), 1..1_500)) {
        let sizes = Sizes { entries: 64, checkpoint: 8, ..SMALL };
        let mut world = World::with(&[route("t", "{key}")], 2, sizes, &Limits::default(), 8);
        let source = world.topic("t", 1)[0];
        let mut offset = 0;
        // The name of the record that found the slab full.
        let mut stuck = None;
        let mut meanings = Meanings::default();
        let mut offsets: HashMap<i64, String> = HashMap::new();
        for step in steps {
            match step {
                Step::Record(name) => {
                    let name = stuck.take().unwrap_or_else(|| format!("n{name}"));
                    if world.accept(source, &keyed(offset, &name, "1")).is_ok() {
                        offsets.insert(offset, name);
                        offset += 1;
                    } else {
                        prop_assert!(world.readers.iter().any(|reader| reader.floor() < reader.asked_floor()));
                        stuck = Some(name);
                    }
                }
                Step::Hold(shard, name) => {
                    let name = format!("n{name}");
                    if !meanings.held[shard].values().any(|held| *held == name) {
                        let number = world.hold(shard, &name).outcome.unwrap().channel;
                        meanings.held[shard].insert(number, name);
                    }
                }
                Step::Release(shard, nth) => {
                    let mut numbers: Vec<_> = meanings.held[shard].keys().copied().collect();
                    numbers.sort_unstable();
                    if !numbers.is_empty() {
                        let number = numbers[nth % numbers.len()];
                        meanings.held[shard].remove(&number);
                        world.release(shard, number);
                    }
                }
                Step::Acknowledge(shard) => {
                    let floor = world.readers[shard].asked_floor();
                    world.readers[shard].acknowledge(floor);
                }
                Step::Publish => world.bus.publish(),
            }
            for reader in &world.readers {
                for sequence in reader.floor()..reader.tail() {
                    let entry = reader.entry(sequence);
                    if entry.channel != NO_CHANNEL {
                        let meaning = (entry.channel, offsets[&entry.offset].clone());
                        let known = meanings.entries.insert(sequence, meaning.clone());
                        prop_assert!(known.is_none_or(|known| known == meaning));
                    }
                }
            }
            meanings.check(world.readers.iter().map(Reader::floor).min().unwrap());
        }
        // In the end nothing is lost: without holders and with new entries of one name only that name is left.
        for shard in 0..2 {
            for number in std::mem::take(&mut meanings.held[shard]).into_keys() {
                world.release(shard, number);
            }
        }
        for _ in 0..200 {
            world.take(source, &keyed(offset, &stuck.take().unwrap_or_else(|| "last".to_owned()), "1"));
            world.bus.publish();
            offset += 1;
        }
        prop_assert_eq!(world.metrics.channels.get(), 1);
        prop_assert_eq!(world.metrics.empty_channels.get(), 0);
    }
}
