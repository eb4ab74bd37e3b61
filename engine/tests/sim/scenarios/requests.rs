//! What clients ask, and what they are answered. The oracle knows the right answers; these see to it that they are asked.

use proto::ws::frame::OpCode;

use super::{client, pass_ms, produce};
use crate::{
    client::{Client, End},
    oracle::Asked,
    world::{Plan, World},
};

fn calm() -> World {
    World::new(Plan::calm(), 1)
}

#[test]
fn subscribing_twice_delivers_once() {
    let mut world = calm();
    let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
    world.clients[at].subscribe(&["beta.all", "k2.a"]);
    produce(&mut world, 200);
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    assert!(world.clients[at].checker.messages > 20);
    assert_eq!(world.seats[0].shard.as_ref().unwrap().report().subscriptions, 2);
    assert_eq!(world.ingest.bus().held(), 2);
}

#[test]
fn an_ended_subscription_is_silent_and_gives_its_number_back() {
    let mut world = calm();
    let at = client(&mut world, |client| client.subscribe(&["beta.all", "k2.a"]));
    produce(&mut world, 20);
    let before = world.clients[at].checker.messages;
    assert!(before > 0);
    world.clients[at].unsubscribe(&["beta.all", "k2.a", "k3.a"]);
    pass_ms(&mut world, 0);
    produce(&mut world, 100);
    assert_eq!(world.clients[at].checker.messages, before);
    assert_eq!(world.ingest.bus().held(), 0);
    world.clients[at].subscribe(&["beta.all"]);
    pass_ms(&mut world, 0);
    produce(&mut world, 100);
    assert!(world.clients[at].checker.messages > before);
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
}

#[test]
fn names_that_do_not_hold_are_refused_one_by_one() {
    let mut world = calm();
    let long = "x".repeat(300);
    let many: Vec<String> = (0..20).map(|number| format!("k{number}.a")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let at = client(&mut world, |client| {
        client.subscribe(&["unknown", &long, "beta.all"]);
        client.subscribe(&many);
        client.subscribe(&[]);
    });
    // 12 are allowed, and which are refused is the oracle's business.
    let held: Vec<_> = world.clients[at].checker.held().collect();
    assert_eq!(held.len(), 12, "{held:?}");
    assert!(held.contains(&&"beta.all".to_owned()), "{held:?}");
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    assert_eq!(world.ingest.bus().held(), 12, "numbers of refused names go back");
}

#[test]
fn more_channels_in_one_request_than_allowed_is_a_bad_request() {
    let mut world = calm();
    let names: Vec<String> = (0..251).map(|number| format!("k{number}.a")).collect();
    let data = serde_json::json!({"channels": names});
    let at = client(&mut world, |client| {
        client.request("subscribe", Some(&data), Asked::Error("BAD_REQUEST"));
        client.text("{", Asked::Error("BAD_JSON"));
        client.heartbeat();
    });
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    assert_eq!(world.clients[at].checker.held().count(), 0);
}

#[test]
fn an_unheard_of_name_holds_and_gets_its_first_record() {
    let mut world = calm();
    let at = client(&mut world, |client| client.subscribe(&["k2.a", "shared.k1"]));
    assert_eq!(world.clients[at].checker.messages, 0);
    produce(&mut world, 400);
    assert!(world.clients[at].checker.messages > 0);
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
}

/// No error and no close: the client is read no faster than it may ask, and in the end all of it is answered.
#[test]
fn a_flood_is_slowed_down_and_answered() {
    let mut world = calm();
    let at = client(&mut world, |client| (0..700).for_each(|_| client.heartbeat()));
    // Some of them come in fragments, and with pings: these cost as well.
    let at_once = 700 - world.clients[at].checker.unanswered();
    assert!((120..=200).contains(&at_once), "{at_once}: a burst of 200 frames");
    pass_ms(&mut world, 1_000);
    let next = 700 - world.clients[at].checker.unanswered() - at_once;
    assert!((100..=230).contains(&next), "{next}: 200 frames a second");
    pass_ms(&mut world, 4_000);
    world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
    assert!(world.clients[at].is_open());
}

/// A client that comes back subscribes to all it had, one channel a frame, back to back; and again after a reset.
#[test]
fn a_thousand_subscribes_back_to_back_end_subscribed() {
    let mut plan = Plan::calm();
    plan.limits.channels_per_connection = 1_000;
    let mut world = World::new(plan, 1);
    for _ in 0..2 {
        let at = client(&mut world, |client| {
            (0..1_000).for_each(|number| client.subscribe(&[&format!("k{number}.a")]));
        });
        pass_ms(&mut world, 10_000);
        let client = &mut world.clients[at];
        assert_eq!((client.checker.held().count(), client.checker.unanswered()), (1_000, 0));
        assert!(client.checker.errors.is_empty() && client.is_open());
        client.peer.as_mut().unwrap().reset();
        client.leave();
        pass_ms(&mut world, 100);
        assert_eq!(world.seats[0].load(), 0);
    }
}

/// Only who keeps failing is closed.
#[test]
fn who_keeps_failing_is_closed() {
    let mut world = calm();
    let at = client(&mut world, |client| (0..100).for_each(|_| client.text("{", Asked::Error("BAD_JSON"))));
    assert!(world.clients[at].is_open());
    world.clients[at].text("{", Asked::Error("BAD_JSON"));
    world.clients[at].end = End::Deserved(1008);
    pass_ms(&mut world, 1_000);
    assert_eq!(world.clients[at].last_close, Some(1008), "the 101st is too much");
    pass_ms(&mut world, 3_000);
    assert_eq!(world.seats[0].shard.as_ref().unwrap().report(), engine::shard::Report::default());
}

#[test]
fn violations_are_closed_with_their_codes() {
    let oversized: Vec<u8> = [0x81, 0xff, 0, 0, 0, 0, 0, 4, 0, 1, 1, 2, 3, 4].to_vec();
    let masked = |opcode, payload: &[u8]| {
        let mut out = Vec::new();
        proto::ws::frame::put_masked(&mut out, opcode, payload, [1, 2, 3, 4]);
        out
    };
    let cases = [
        ("binary", masked(OpCode::Binary, b"{}"), 1003),
        ("bad UTF-8", masked(OpCode::Text, b"\xff"), 1007),
        ("unmasked", b"\x81\x02{}".to_vec(), 1002),
        ("reserved bits", vec![0xf1, 0x80, 1, 2, 3, 4], 1002),
        ("a lonely continuation", masked(OpCode::Continuation, b"{}"), 1002),
        ("a close of one byte", masked(OpCode::Close, b"x"), 1002),
        ("too big", oversized, 1009),
    ];
    for (name, bytes, code) in cases {
        let mut world = calm();
        let at = client(&mut world, |client| client.subscribe(&["beta.all"]));
        world.clients[at].raw(&bytes);
        world.clients[at].end = End::Deserved(code);
        produce(&mut world, 10);
        assert_eq!(world.clients[at].last_close, Some(code), "{name}");
        pass_ms(&mut world, 3_000);
        assert_eq!(world.seats[0].shard.as_ref().unwrap().report(), engine::shard::Report::default());
        assert_eq!((world.seats[0].load(), world.ingest.bus().held()), (0, 0), "{name}");
    }
}

/// What waits behind a lookup is not done once the connection is closing, and its place begins with nothing.
#[test]
fn requests_that_wait_are_void_once_the_connection_is_closed() {
    let mut plan = Plan::calm();
    plan.limits.failed_requests_per_minute = 3;
    let mut world = World::new(plan, 1);
    let holder = client(&mut world, |client| client.subscribe(&["beta.all"]));
    let at = client(&mut world, |client| {
        client.subscribe(&["never heard of.a"]);
        (0..4).for_each(|_| client.text("{", Asked::Error("BAD_JSON")));
        client.subscribe(&["beta.all"]);
        client.end = End::Deserved(1008);
    });
    assert_eq!(world.clients[at].last_close, Some(1008));
    pass_ms(&mut world, 3_000);
    assert_eq!(world.seats[0].shard.as_ref().unwrap().report().subscriptions, 1);
    // It gets the place, and is to hear nothing.
    let next = client(&mut world, Client::heartbeat);
    produce(&mut world, 100);
    assert_eq!(world.clients[next].checker.messages, 0);
    world.clients[holder].checker.caught_up(&world.kafka.model()).unwrap();
}
