//! How connections and shards end.

use engine::{inbox::ToShard, shard::Report};
use proto::ws::close::CloseCode;

use super::{client, pass_ms, produce};
use crate::{
    client::Reading,
    world::{Plan, World},
};

fn is_empty(world: &World) -> bool {
    let report = world.seats[0]
        .shard
        .as_ref()
        .map_or_else(|| world.seats[0].report.expect("it has ended"), engine::shard::Shard::report);
    report == Report::default() && world.seats[0].load() == 0 && world.ingest.bus().held() == 0
}

#[test]
fn a_close_is_answered_with_its_code() {
    let mut world = World::new(Plan::calm(), 2);
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    produce(&mut world, 10);
    world.clients[at].close(CloseCode::GOING_AWAY);
    pass_ms(&mut world, 0);
    assert_eq!(world.clients[at].last_close, Some(1001));
    pass_ms(&mut world, 50);
    assert!(is_empty(&world), "{}", world.state());
}

/// The FIN right behind the close frame must not cut the answer off.
#[test]
fn a_close_with_a_fin_is_answered() {
    let mut world = World::new(Plan::calm(), 2);
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    world.clients[at].close_and_finish(CloseCode::NORMAL);
    pass_ms(&mut world, 0);
    assert_eq!(world.clients[at].last_close, Some(1000));
    pass_ms(&mut world, 50);
    assert!(is_empty(&world), "{}", world.state());
}

#[test]
fn a_client_that_goes_without_a_word_leaves_nothing() {
    for how in 0..3 {
        let mut world = World::new(Plan::calm(), 2);
        let at = client(&mut world, |client| client.subscribe(&["beta.all", "k2.a"]));
        produce(&mut world, 10);
        match how {
            0 => world.clients[at].leave(),
            1 => world.clients[at].half_close(),
            _ => {
                if let Some(peer) = &mut world.clients[at].peer {
                    peer.reset();
                }
                world.clients[at].leave();
            }
        }
        pass_ms(&mut world, 100);
        assert!(is_empty(&world), "{how}: {}", world.state());
    }
}

/// What a client that leaves costs is its own: no op that the kernel would have to look for among those of all others.
#[test]
fn a_client_that_goes_needs_no_cancel() {
    let mut world = World::new(Plan::calm(), 2);
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    world.clients[at].leave();
    // Its end is reaped and the close pushed; the close is reaped.
    for _ in 0..2 {
        world.tick_alone(0).expect("nothing is wrong");
    }
    assert_eq!(world.seats[0].load(), 0, "{}", world.state());
}

#[test]
fn a_drain_tells_everybody_within_its_time() {
    let mut world = World::new(Plan::calm(), 3);
    let clients: Vec<_> =
        (0..20).map(|_| client(&mut world, |client| client.subscribe(&["beta.all"]))).collect();
    produce(&mut world, 10);
    world.write_to(0, ToShard::Drain { jitter_ms: 1_000 });
    pass_ms(&mut world, 500);
    let told = clients.iter().filter(|at| world.clients[**at].last_close == Some(1001)).count();
    assert!((8..=12).contains(&told), "{told} of 20 after half of the time");
    pass_ms(&mut world, 600);
    assert!(clients.iter().all(|at| world.clients[*at].last_close == Some(1001)));
    assert!(world.seats[0].report.is_some(), "{}", world.state());
    assert!(is_empty(&world), "{}", world.state());
}

#[test]
fn a_stop_ends_at_once() {
    let mut world = World::new(Plan::calm(), 4);
    for _ in 0..5 {
        let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
        world.clients[at].may_be_given_up = true;
    }
    produce(&mut world, 10);
    world.write_to(0, ToShard::Stop);
    pass_ms(&mut world, 20);
    assert!(world.seats[0].report.is_some(), "{}", world.state());
    assert!(is_empty(&world), "{}", world.state());
}

/// A client whose answers are not taken is not read; when it is closed it is read again, or its end would not be seen.
#[test]
fn a_paused_client_is_told_of_the_drain_and_seen_to_go() {
    let mut plan = Plan::calm();
    plan.limits.control_output_bytes = 256;
    let mut world = World::new(plan, 5);
    let at = client(&mut world, |client| client.set_window(1_000));
    world.clients[at].set_reading(Reading::Paused);
    for _ in 0..60 {
        world.clients[at].ping();
    }
    pass_ms(&mut world, 100);
    world.write_to(0, ToShard::Drain { jitter_ms: 0 });
    pass_ms(&mut world, 100);
    assert_eq!(world.seats[0].load(), 1, "it has not taken its close");
    world.clients[at].set_reading(Reading::All);
    pass_ms(&mut world, 300);
    assert_eq!(world.clients[at].last_close, Some(1001));
    assert!(world.seats[0].report.is_some(), "{}", world.state());
    assert!(is_empty(&world), "{}", world.state());
}

/// A number that is on its way to a shard is given back before the shard ends.
#[test]
fn a_shard_with_an_open_question_ends_when_it_is_answered() {
    let mut world = World::new(Plan::calm(), 6);
    let at = world.connect(0, true, true, |client| client.subscribe(&["k2.a"])).expect("room");
    world.clients[at].write_all();
    let turns = |world: &mut World| {
        for _ in 0..50 {
            world.tick_alone(0).expect("nothing is wrong");
            world.advance_ms(1);
        }
    };
    turns(&mut world);
    world.clients[at].leave();
    world.write_to(0, ToShard::Drain { jitter_ms: 0 });
    turns(&mut world);
    assert_eq!(world.seats[0].load(), 0, "the client has gone");
    assert!(world.seats[0].report.is_none(), "ingest has not answered");
    pass_ms(&mut world, 100);
    assert!(is_empty(&world) && world.seats[0].report.is_some(), "{}", world.state());
}
