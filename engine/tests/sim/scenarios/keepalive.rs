//! Who is taken for dead, and who is not.

use super::{client, pass_ms, produce, read};
use crate::{
    client::Reading,
    world::{Plan, World},
};

/// Pings every 25 s, grace of 10 s, a blocked socket is given 30 s.
fn calm() -> World {
    World::new(Plan::calm(), 5)
}

/// A client that reads no more, with so many messages for it that its socket is full.
fn full_client(world: &mut World, messages: usize) -> usize {
    let at = client(world, |client| {
        client.subscribe(&["beta.all"]);
        client.set_window(1_000);
    });
    world.clients[at].set_reading(Reading::Paused);
    produce(world, messages);
    at
}

#[test]
fn an_idle_client_whose_kernel_answers_is_kept() {
    let mut world = calm();
    let with = client(&mut world, |client| client.subscribe(&["beta.all"]));
    let without = client(&mut world, |_| {});
    pass_ms(&mut world, 300_000);
    assert!(world.clients[with].is_open() && world.clients[without].is_open());
    let positions = world.clients[with].checker.positions;
    assert!((8..=13).contains(&positions), "{positions} position notices in 5 minutes");
    assert_eq!(world.clients[without].checker.positions, 0, "a client without subscriptions is pinged");
    let pings = world.clients[without].pinged;
    assert!((8..=13).contains(&pings), "{pings} pings in 5 minutes");
}

/// Who speaks at every turn is asked at the next one all the same.
#[test]
fn a_client_that_speaks_is_pinged_on() {
    let mut world = calm();
    let at = client(&mut world, |_| {});
    for _ in 0..300 {
        world.clients[at].ping();
        pass_ms(&mut world, 1_000);
    }
    let pings = world.clients[at].pinged;
    assert!((8..=13).contains(&pings), "{pings} pings in 5 minutes");
}

#[test]
fn a_client_that_is_silent_and_acknowledges_nothing_is_closed_after_its_grace() {
    let mut world = calm();
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    world.clients[at].set_reading(Reading::Stalled);
    // The turn comes within 27.5 s; then 10 s of grace.
    pass_ms(&mut world, 30_000);
    assert_eq!(world.seats[0].metrics.closed_by_silence.get(), 0, "not before the grace is over");
    pass_ms(&mut world, 10_000);
    assert_eq!(world.seats[0].metrics.closed_by_silence.get(), 1);
    pass_ms(&mut world, 5_000);
    assert_eq!(world.seats[0].load(), 0);
    assert_eq!(world.ingest.bus().held(), 0);
}

#[test]
fn a_stalled_client_that_says_something_is_kept() {
    let mut world = calm();
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    world.clients[at].set_reading(Reading::Stalled);
    for _ in 0..20 {
        world.clients[at].heartbeat();
        pass_ms(&mut world, 5_000);
    }
    assert_eq!(world.seats[0].metrics.closed_by_silence.get(), 0);
    read(&mut world, at);
    assert!(world.clients[at].is_open());
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
}

#[test]
fn a_socket_that_takes_nothing_for_its_time_is_closed() {
    let mut world = calm();
    let at = full_client(&mut world, 200);
    assert_eq!(world.seats[0].metrics.blocked.get(), 1);
    pass_ms(&mut world, 29_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 0);
    pass_ms(&mut world, 2_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 1);
    // Its control output and the close frame have two more seconds.
    pass_ms(&mut world, 3_000);
    assert_eq!(world.seats[0].load(), 0);
    read(&mut world, at);
    assert!(!world.clients[at].is_open());
}

#[test]
fn a_socket_that_took_something_has_its_time_from_then_on() {
    let mut world = calm();
    let at = full_client(&mut world, 400);
    pass_ms(&mut world, 20_000);
    world.clients[at].read_up_to(400, &world.kafka.model()).unwrap();
    pass_ms(&mut world, 29_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 0);
    pass_ms(&mut world, 2_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 1);
}

/// What a client took while the shard had no time is found out together with its time being over.
#[test]
fn a_client_is_not_blamed_for_the_time_its_shard_did_not_get() {
    let mut world = calm();
    let at = full_client(&mut world, 400);
    assert_eq!(world.seats[0].metrics.blocked.get(), 1);
    world.seats[0].held_until_ns = u64::MAX;
    world.clients[at].read_up_to(400, &world.kafka.model()).unwrap();
    world.advance_ms(31_000);
    world.seats[0].held_until_ns = 0;
    pass_ms(&mut world, 1_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 0);
    // It took something then, and has its time from there.
    pass_ms(&mut world, 28_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 0);
    pass_ms(&mut world, 3_000);
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 1);
}

/// The notices of many channels are more than one flush; what is owed beside them comes behind the last.
#[test]
fn a_client_that_lags_in_many_channels_gets_every_notice_first() {
    let mut plan = Plan::calm();
    plan.limits.channels_per_connection = 1_000;
    plan.sizes.bytes = 256 << 10;
    let mut world = World::new(plan, 5);
    let names: Vec<String> = (0..800).map(|number| format!("many {number}.a")).collect();
    let at = client(&mut world, |client| {
        client.set_window(200_000);
        for names in names.chunks(200) {
            client.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        client.subscribe(&["late.a"]);
    });
    world.clients[at].set_window(1_000);
    world.clients[at].set_reading(Reading::Paused);
    for number in 0..800 {
        let key = format!("many {number}").into_bytes();
        world.kafka.get_mut().produce_one("alpha", Some(key));
    }
    for _ in 0..40 {
        produce(&mut world, 50);
    }
    let lagged = world.seats[0].metrics.lagged.get();
    assert!(lagged >= 700, "{lagged} lagged: {}", world.state());
    world.kafka.get_mut().produce_one("alpha", Some(b"late".to_vec()));
    pass_ms(&mut world, 0);
    world.clients[at].set_window(200_000);
    read(&mut world, at);
    pass_ms(&mut world, 1_000);
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    assert!(world.clients[at].checker.slow_gaps >= 700);
}

#[test]
fn a_blocked_client_that_reads_when_it_is_told_learns_why() {
    let mut world = calm();
    let at = full_client(&mut world, 200);
    pass_ms(&mut world, 31_000);
    read(&mut world, at);
    pass_ms(&mut world, 1_000);
    assert_eq!(world.clients[at].last_close, Some(1008));
}

#[test]
fn a_slow_client_that_takes_a_little_is_kept_and_told_of_its_gaps() {
    let mut world = calm();
    let at = client(&mut world, |client| {
        client.subscribe(&["beta.all"]);
        client.set_window(1_000);
    });
    world.clients[at].set_reading(Reading::Paused);
    for _ in 0..12 {
        produce(&mut world, 500);
        pass_ms(&mut world, 20_000);
        world.clients[at].read_up_to(400, &world.kafka.model()).unwrap();
    }
    assert_eq!(world.seats[0].metrics.closed_by_blocked.get(), 0);
    assert!(world.clients[at].is_open());
    read(&mut world, at);
    pass_ms(&mut world, 1_000);
    assert!(world.clients[at].checker.slow_gaps > 0, "the slab has been overwritten more than once");
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
}
