//! Unclean elections: a partition's newest records are void, and their offsets come again.

use super::{client, pass_ms, produce, read};
use crate::{
    client::Reading,
    world::{Plan, World},
};

/// The topic of which every record is in "beta.all".
const BETA: &str = "beta";

fn world() -> World {
    let mut plan = Plan::calm();
    plan.sizes.bytes = 256 << 10;
    plan.sizes.large_frame_bytes = 16 << 10;
    plan.limits.blocked_timeout = std::time::Duration::from_secs(3_600);
    World::new(plan, 11)
}

fn truncate(world: &mut World) {
    let mut kafka = world.kafka.get_mut();
    let ends: Vec<i64> = kafka.topics[BETA].partitions.iter().map(|log| log.end).collect();
    let (partition, end) = ends.iter().enumerate().max_by_key(|(_, end)| **end).expect("one");
    kafka.truncate(BETA, partition, end - 3);
    drop(kafka);
    pass_ms(world, 0);
}

/// Enough that the slab is overwritten.
fn produce_much(world: &mut World) {
    for _ in 0..40 {
        produce(world, 100);
    }
}

#[test]
fn everybody_who_reads_is_told_and_gets_what_comes_anew() {
    let mut world = world();
    let at = client(&mut world, |client| client.subscribe(&["beta.all", "k2.b"]));
    for _ in 0..4 {
        produce(&mut world, 40);
        truncate(&mut world);
    }
    produce(&mut world, 40);
    let late = client(&mut world, |client| client.subscribe(&["beta.all"]));
    produce(&mut world, 40);
    for at in [at, late] {
        world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    }
}

/// Who lags through a truncation is told that it was one, whenever in the meantime it began to lag.
#[test]
fn who_lags_through_a_cut_is_told_of_a_reset() {
    for (before, between) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut world = world();
        let at = client(&mut world, |client| {
            client.set_window(2_000);
            client.subscribe(&["beta.all"]);
        });
        produce(&mut world, 40);
        world.clients[at].set_reading(Reading::Paused);
        produce(&mut world, 40);
        if before {
            produce_much(&mut world);
        }
        for _ in 0..2 {
            truncate(&mut world);
            produce(&mut world, 4);
        }
        if between {
            produce_much(&mut world);
        }
        assert_eq!(world.seats[0].metrics.lagged.get() > 0, before || between);
        read(&mut world, at);
        produce(&mut world, 40);
        read(&mut world, at);
        world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    }
}

/// Who has been told of a truncation before it lags is not told again.
#[test]
fn who_lags_behind_a_cut_is_told_of_a_gap() {
    let mut world = world();
    let at = client(&mut world, |client| {
        client.set_window(2_000);
        client.subscribe(&["beta.all"]);
    });
    produce(&mut world, 40);
    truncate(&mut world);
    produce(&mut world, 10);
    world.clients[at].set_reading(Reading::Paused);
    produce_much(&mut world);
    read(&mut world, at);
    produce(&mut world, 40);
    read(&mut world, at);
    let checker = &world.clients[at].checker;
    checker.caught_up(&world.kafka.model()).unwrap();
    assert!(checker.slow_gaps > 0);
}

/// An answer that is given between the truncation and its notice still says where the partition was.
#[test]
fn an_answer_in_the_middle_of_a_cut_knows_the_partition() {
    let mut world = world();
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    produce(&mut world, 40);
    world.clients[at].subscribe(&["beta.all"]);
    world.clients[at].write_all();
    truncate(&mut world);
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
}
