//! Many clients that never read, and what that means for the others: nothing.

use super::{client, pass_ms};
use crate::{
    client::Reading,
    kafka::cluster::key,
    workload::round,
    world::{Plan, World},
};

/// More than are made to lag between two batches of sends.
const STUCK: usize = 2_500;
const READERS: usize = 20;
const BATCHES: usize = 120;

/// A world in which `stuck` clients have read nothing for long, and `READERS` read.
fn crowd(stuck: usize) -> World {
    let mut plan = Plan::calm();
    plan.capacity = STUCK + READERS;
    plan.sizes.bytes = 256 << 10;
    plan.sizes.large_frame_bytes = 16 << 10;
    plan.limits.blocked_timeout = std::time::Duration::from_secs(3_600);
    let mut world = World::new(plan, 6);
    for _ in 0..stuck {
        world.connect(0, false, false, |client| {
            client.set_window(2_000);
            client.set_reading(Reading::Never);
            client.subscribe(&["beta.all", "k2.a"]);
        });
    }
    pass_ms(&mut world, 1_000);
    for _ in 0..READERS {
        client(&mut world, |client| client.subscribe(&["beta.all"]));
    }
    for _ in 0..10 {
        world.kafka.get_mut().produce(40);
        pass_ms(&mut world, 10);
    }
    world
}

/// Turns of the shard until every reader has everything, batch by batch, with the slab overwritten several times.
fn turns(world: &mut World) -> Vec<usize> {
    let mut turns = Vec::new();
    for _ in 0..BATCHES {
        world.kafka.get_mut().produce(40);
        let mut count = 0;
        loop {
            world.turn_ingest();
            world.tick(0).expect("nothing is wrong");
            count += 1;
            let mut all = world.is_read();
            let kafka = world.kafka.model();
            let (clients, model) = (&mut world.clients, &*kafka);
            for client in clients.iter_mut().filter(|client| client.reading == Reading::All) {
                client.read(model).expect("nothing is wrong");
                all &= client.checker.caught_up(model).is_ok();
            }
            if all {
                break;
            }
            assert!(count < 100, "the readers wait for those that do not read");
        }
        turns.push(count);
        world.advance_ms(1);
    }
    turns
}

#[test]
fn clients_that_never_read_change_nothing_for_the_others() {
    let mut alone = crowd(0);
    let mut crowded = crowd(STUCK);
    let held = |world: &World| world.seats[0].shard.as_ref().expect("it runs").report();
    let before = held(&crowded);
    assert_eq!(before.connections, STUCK + READERS);
    let (alone, crowded_turns) = (turns(&mut alone), turns(&mut crowded));
    let after = held(&crowded);
    let sum = |turns: &[usize]| turns.iter().sum::<usize>();
    // A floor has to pass the cursors of those who are stuck, which takes a turn or two more.
    assert!(
        sum(&crowded_turns) <= sum(&alone) + BATCHES / 4,
        "{} turns alone, {} in the crowd: {crowded_turns:?}",
        sum(&alone),
        sum(&crowded_turns)
    );
    assert!(crowded.seats[0].metrics.lagged.get() >= 2 * STUCK as u64, "the slab was overwritten");
    // What a stuck client holds is the rest of one frame.
    assert_eq!(after.partial_bytes, before.partial_bytes, "it grows");
    assert_eq!(after.output_bytes, before.output_bytes, "it grows");
    let per_client = after.output_bytes / STUCK;
    assert!(per_client < 2_000, "{per_client} bytes a client");
    while round(&mut crowded).expect("nothing is wrong") {}
    assert_eq!(crowded.seats[0].metrics.connections.get(), (STUCK + READERS) as u64);
}

/// A floor that makes more connections lag than one turn may, while others that stand below it can still take bytes.
#[test]
fn a_floor_below_many_flushes_those_who_can_take_bytes() {
    let mut plan = Plan::calm();
    plan.capacity = 1_400;
    plan.buffers = 128;
    let mut world = World::new(plan, 8);
    world.kafka.get_mut().have(1_500, 2);
    for _ in 0..1_200 {
        world.connect(0, false, false, |client| {
            client.set_window(200);
            client.set_reading(Reading::Never);
            client.subscribe(&["beta.all"]);
        });
    }
    let mut reader = |channels: &[&str]| {
        client(&mut world, |client| {
            client.set_window(16 << 20);
            client.subscribe(channels);
        })
    };
    // A segment of the slab is more than one flush of theirs.
    let nearly_all: Vec<String> = [0, 1]
        .map(key)
        .iter()
        .flat_map(|key| [format!("{key}.a"), format!("{key}.b"), format!("shared.{key}")])
        .collect();
    let nearly_all: Vec<&str> = nearly_all.iter().map(String::as_str).chain(["beta.all"]).collect();
    let readers: Vec<_> = (0..20).map(|_| reader(&nearly_all)).collect();
    for _ in 0..85 {
        reader(&["late.a"]);
    }
    world.kafka.get_mut().produce(20);
    pass_ms(&mut world, 10);
    assert_eq!(world.seats[0].metrics.blocked.get(), 1_200);
    // The shard gets no time until the slab is full. Then the readers stand in line, and behind them those whose message
    // is above the floor, more than one batch of sends together.
    for batch in 0.. {
        world.kafka.get_mut().produce(50);
        if batch == 6 {
            world.kafka.get_mut().produce_one("alpha", Some(b"late".to_vec()));
        }
        world.turn_ingest();
        if world.full {
            assert!(batch > 6);
            break;
        }
    }
    for _ in 0..200 {
        world.tick(0).expect("nothing is wrong");
    }
    pass_ms(&mut world, 10);
    assert!(world.seats[0].metrics.lagged.get() >= 1_200);
    for reader in readers {
        let client = &world.clients[reader];
        client.checker.caught_up(&world.kafka.model()).expect("everything");
        assert_eq!(client.checker.slow_gaps, 0, "nobody who takes bytes lags");
    }
}

/// Who has much to get does not keep the others waiting: it gets a part a turn.
#[test]
fn one_flush_is_bounded() {
    let mut world = World::new(Plan::calm(), 9);
    world.kafka.get_mut().have(1_500, 2);
    let at = client(&mut world, |client| {
        client.set_window(16 << 20);
        client.subscribe(&["beta.all"]);
    });
    world.kafka.get_mut().produce(600);
    while !world.is_read() {
        world.turn_ingest();
    }
    let mut most = 0;
    for _ in 0..100 {
        let before = world.seats[0].metrics.sent_bytes.get();
        let sends = world.seats[0].metrics.sends.get();
        world.tick(0).expect("nothing is wrong");
        let sends = world.seats[0].metrics.sends.get() - sends;
        most = most.max((world.seats[0].metrics.sent_bytes.get() - before).checked_div(sends).unwrap_or(0));
    }
    pass_ms(&mut world, 10);
    world.clients[at].checker.caught_up(&world.kafka.model()).expect("everything");
    assert!((60_000..=64 << 10).contains(&most), "{most} bytes in one send");
}

/// More clients stand in line than one turn flushes, and the floor comes before their turn.
#[test]
fn a_floor_does_not_pass_those_who_stand_in_line() {
    let mut plan = Plan::calm();
    plan.capacity = 600;
    plan.sizes.bytes = 256 << 10;
    let mut world = World::new(plan, 10);
    for _ in 0..600 {
        world.connect(0, false, false, |client| {
            client.set_window(1 << 20);
            client.subscribe(&["beta.all"]);
        });
    }
    pass_ms(&mut world, 1_000);
    for _ in 0..2 {
        // The shard gets no time until the slab is full.
        world.turn_ingest();
        while !world.full {
            world.kafka.get_mut().produce(50);
            world.turn_ingest();
        }
        pass_ms(&mut world, 10);
    }
    assert_eq!(world.seats[0].metrics.lagged.get(), 0, "nobody who takes bytes lags");
    for client in &world.clients {
        client.checker.caught_up(&world.kafka.model()).expect("everything");
    }
}
