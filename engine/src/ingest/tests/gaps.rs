//! Gaps of whole topics: retention, new incarnations, truncated logs.

use proto::{native::reply::GapReason, position::Position};

use super::*;
use crate::catalog::Start;

fn position(topic: &str, partition: u32, offset: i64) -> String {
    Position { epoch: Epoch::of("cluster", topic.as_bytes()), partition, offset }.to_string()
}

/// What a reader sees: kind, channel (`*` of a topic-wide gap), and what it is about.
fn told(world: &mut World) -> Vec<(String, String, String)> {
    let catalog = Arc::clone(&world.catalog);
    let told = |(entry, frame): (Entry, Option<Value>)| {
        if let Some(gap) = entry.gap() {
            let catalog = catalog.load();
            let position = |offset| catalog.position(gap.source, offset).to_string();
            let about = format!("{}..{}", position(gap.from), position(gap.to));
            return Some(words(GapReason::from_code(gap.reason).unwrap().as_str(), "*", &about));
        }
        let frame = frame?;
        let text = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        Some(words(&text("type"), &text("channel"), &text("pos")))
    };
    world.read(0).into_iter().filter_map(told).collect()
}

fn words(kind: &str, channel: &str, about: &str) -> (String, String, String) {
    (kind.to_owned(), channel.to_owned(), about.to_owned())
}

#[test]
fn a_gap_is_one_entry_in_its_place() {
    let mut world = World::new(&[route("t", "{key}"), route("u", "{key}.u")], 2);
    let (t, u) = (world.topic("t", 2), world.topic("u", 1)[0]);
    world.hold(0, "a");
    world.hold(1, "b");
    world.hold(1, "x.u");
    world.take(t[0], &keyed(0, "a", "1"));
    world.take(t[0], &keyed(1, "nobody", "1"));
    world.take(u, &keyed(0, "x", "1"));
    world.bus.gap(t[0], GapReason::Retention, 2, 9);
    assert_eq!(world.bus.next_offset(t[0]), 10);
    world.take(t[0], &keyed(10, "a", "2"));
    let messages = told(&mut world);
    let bounds = format!("{}..{}", position("t", 0, 2), position("t", 0, 9));
    assert_eq!(
        messages,
        [
            words("message", "a", &position("t", 0, 0)),
            words("message", "nobody", &position("t", 0, 1)),
            words("message", "x.u", &position("u", 0, 0)),
            words("retention", "*", &bounds),
            words("message", "a", &position("t", 0, 10)),
        ]
    );
    assert_eq!(world.metrics.retention_gaps.get(), 1, "however many channels there are");
    assert_eq!(world.metrics.reset_gaps.get(), 0);
}

#[test]
fn positions_behind_a_gap_are_behind_it() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let t = world.topic("t", 2);
    world.bus.gap(t[1], GapReason::Retention, 0, 99);
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
    let new: Vec<_> = (0..2).map(|_| world.bus.add_partition(topic, Start::At(0))).collect();
    world.take(new[0], &keyed(0, "a", "2"));
    let messages = told(&mut world);
    let another = Position { epoch: Epoch::of("cluster", b"another"), partition: 0, offset: 0 };
    assert_eq!(
        messages,
        [
            words("message", "a", &position("t", 0, 0)),
            words("reset", "*", &format!("{}..{}", position("t", 0, 1), position("t", 0, 4))),
            // Nothing is known to be missing there, but nothing of that incarnation comes any more either.
            words("reset", "*", &format!("{}..{}", position("t", 1, 0), position("t", 1, 0))),
            words("message", "a", &another.to_string()),
        ]
    );
    assert!(new.iter().all(|source| !old.contains(source)));
    let catalog = world.catalog.load();
    assert!(catalog.topics[0].retired && !catalog.topics[1].retired);
    assert_eq!(catalog.topic("t").map(|(number, _)| number), Some(topic));
    assert_eq!(world.bus.channel("a"), Some(channel), "a channel outlives the incarnations of its topics");
    assert_eq!((world.metrics.reset_gaps.get(), world.metrics.partitions.get()), (2, 2));
}

/// However many incarnations a topic has had, only the present one costs anything once a second.
#[test]
fn what_is_over_is_looked_after_no_more_and_keeps_its_numbers() {
    let mut world = World::new(&[route("t", "{key}"), route("u", "{key}")], 1);
    let u = world.topic("u", 1);
    let mut t = Vec::new();
    for incarnation in 0..5_u32 {
        if let Some((topic, _)) = world.catalog.load().topic("t") {
            world.bus.retire(topic, &[]);
        }
        t = world.topic("t", 2);
        world.take(t[0], &keyed(0, "a", &incarnation.to_string()));
        world.read(0);
    }
    let topics = world.bus.topics();
    assert_eq!(topics.live(), [u, t].concat());
    let present: Vec<&str> = topics.present().map(|incarnation| &**incarnation.topic()).collect();
    assert_eq!(present, ["u", "t"]);
    let catalog = world.catalog.load();
    assert_eq!((catalog.topics.len(), catalog.sources.len()), (6, 11), "entries may still mean them");
    assert_eq!(world.metrics.partitions.get(), 3);
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
    let before = world.catalog.load().topics[0].sources[1];
    world.bus.truncate(source, 3);
    world.take(source, &keyed(3, "a", "2"));
    assert_ne!(world.catalog.load().topics[0].sources[1], before);
    let messages = told(&mut world);
    assert_eq!(messages.len(), 7);
    let bounds = format!("{}..{}", position("t", 1, 3), position("t", 1, 4));
    assert_eq!(messages[5], words("reset", "*", &bounds));
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
    // Its own notice does not move it; behind that a reader stands at the truncation.
    assert_eq!(known.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 3, 3, 4]);
    assert!(world.readers[0].entry(tail - 3).is_part(), "a reader goes on behind the notice at once");
}

#[test]
fn a_gap_waits_for_room() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let source = world.topic("t", 1)[0];
    let mut gaps = 0;
    let announce = |world: &mut World, offset| {
        world.bus.gap(source, GapReason::Retention, offset, offset);
        world.bus.turn(1)
    };
    while announce(&mut world, gaps).is_ok() {
        gaps += 1;
    }
    assert_eq!(world.accept(source, &keyed(gaps + 1, "a", "1")), Err(Full), "it comes before the record");
    world.bus.publish();
    world.acknowledge_all();
    world.take(source, &keyed(gaps + 1, "a", "1"));
    let told = told(&mut world);
    assert_eq!([0, 1].map(|back| told[told.len() - 2 + back].0.as_str()), ["retention", "message"]);
    assert_eq!(world.metrics.retention_gaps.get(), u64::try_from(gaps + 1).unwrap());
}
