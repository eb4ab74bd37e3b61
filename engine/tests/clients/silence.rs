//! Clients that say nothing, and clients that are told something without asking.

use engine::{config::Keepalive, mail::DataState};
use proto::ws::frame::OpCode;
use serde_json::json;

use crate::world::{Heard, PING_GRACE_MS, PING_INTERVAL_MS, Plan, World};

/// Ten turns of the keep-alive and more.
const LONG_MS: u64 = 12 * PING_INTERVAL_MS;
/// The longest interval, with its jitter, and the grace.
const DEAD_MS: u64 = PING_INTERVAL_MS * 11 / 10 + PING_GRACE_MS + 1_000;

#[test]
fn who_holds_nothing_is_pinged_and_lives_while_its_kernel_acknowledges() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    let mut heard = Vec::new();
    // It answers nothing: that all is acknowledged is enough.
    world.pass(LONG_MS, |_| heard.extend(client.heard()));
    assert!((7..=13).contains(&heard.len()), "{heard:?}");
    assert!(heard.iter().all(|heard| *heard == Heard::Ping), "{heard:?}");
    assert_eq!(world.metrics.connections.get(), 1);
}

#[test]
fn who_holds_something_gets_its_position_instead() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade"]);
    for _ in 0..3 {
        world.produce(Some("ETH"), "1");
    }
    let mut heard = Vec::new();
    world.pass(DEAD_MS, |_| heard.extend(client.heard()));
    let next = proto::position::Vector { epoch: crate::world::epoch(), next: vec![3] }.to_string();
    assert_eq!(heard, [Heard::Json(json!({"type": "position", "pos": [next]}))]);
}

#[test]
fn who_is_silent_and_acknowledges_nothing_is_closed() {
    let mut world = World::new(&Plan::default());
    let mut silent = world.connect();
    let mut talking = world.connect();
    silent.peer.stall();
    talking.peer.stall();
    world.pass(DEAD_MS, |world| {
        // Anything it says will do.
        talking.put(OpCode::Pong, b"");
        if silent.peer.is_closed() {
            assert_eq!(world.metrics.closed_by_silence.get(), 1);
        }
    });
    world.pass(3_000, |_| talking.put(OpCode::Pong, b""));
    assert!(silent.peer.is_closed());
    assert_eq!((world.metrics.closed_by_silence.get(), world.metrics.connections.get()), (1, 1));
    silent.peer.resume();
    assert_eq!(silent.heard().last(), Some(&Heard::Close(1008)));
}

/// `--keepalive tcp`: the kernel's business, and no byte of ours.
#[test]
fn the_kernels_keepalive_costs_no_turn_here() {
    let mut world = World::new(&Plan { keepalive: Keepalive::Tcp, ..Plan::default() });
    let mut client = world.subscriber(&["BTC.trade"]);
    let sent = world.metrics.sends.get();
    world.pass(LONG_MS, |_| {});
    assert_eq!(world.metrics.sends.get(), sent);
    assert!(client.heard().is_empty());
    assert_eq!(world.metrics.connections.get(), 1);
}

#[test]
fn everybody_is_told_that_data_is_stale_and_newcomers_too() {
    let mut world = World::new(&Plan::default());
    let mut there = world.subscriber(&["BTC.trade"]);
    world.tell(DataState::Stale { lag_ms: 3_000 });
    let mut newcomer = world.connect();
    world.turn();
    let stale = json!({"type": "status", "state": "stale", "channels": "*", "lag_ms": 3_000});
    assert_eq!(there.object(), stale);
    assert_eq!(newcomer.object(), stale);
    world.tell(DataState::Live);
    let live = json!({"type": "status", "state": "live", "channels": "*"});
    assert_eq!(there.object(), live);
    assert_eq!(newcomer.object(), live);
    let mut late = world.connect();
    world.turn();
    assert!(late.heard().is_empty());
}
