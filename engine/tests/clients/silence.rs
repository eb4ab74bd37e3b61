//! Clients that say nothing, and clients that are told something without asking.

use std::sync::Arc;

use engine::{
    config::Keepalive,
    inbox::{DataState, Status},
};
use proto::ws::{
    close::CloseCode,
    frame::{OpCode, put_close},
};
use serde_json::json;

use testkit::world::{Heard, PING_GRACE_MS, PING_INTERVAL_MS, Plan, World};

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
    let next = proto::position::Vector { epoch: testkit::world::epoch(), next: vec![3] }.to_string();
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

/// A topic's state reaches its channels' holders, acks say it, and what changed back meanwhile is not told.
#[test]
fn a_topics_state_is_told_of_its_channels() {
    let mut world = World::new(&Plan::default());
    let status = |topic: &str, state| Status { topic: Some(Arc::from(topic)), state };
    let mut there = world.subscriber(&["BTC.trade"]);
    let mut nothing = world.connect();
    world.bus.status(&status("t", DataState::Stale { lag_ms: 7 }));
    world.bus.status(&status("another", DataState::Stale { lag_ms: 7 }));
    world.turns(3);
    assert_eq!(
        there.object(),
        json!({"type": "status", "state": "stale", "channels": "*", "lag_ms": 7}),
        "all that it holds"
    );
    assert!(nothing.heard().is_empty());
    nothing.subscribe(1, &["ETH.trade"]);
    world.turns(4);
    let ack = nothing.object();
    assert_eq!(ack["results"]["ETH.trade"], json!({"recovered": false, "replaying": false, "stale": true}));
    // Stale and live again before it could be told.
    there.peer.set_window(0);
    world.produce(Some("BTC"), "1");
    world.turns(2);
    world.bus.status(&status("t", DataState::Live));
    world.turns(2);
    world.bus.status(&status("t", DataState::Stale { lag_ms: 9 }));
    world.turns(2);
    there.peer.set_window(1 << 20);
    world.turns(3);
    assert_eq!(there.offsets(), [0]);
    assert_eq!(nothing.objects().len(), 2);
}

/// Some of what a client holds is stale: it is told by name, as much at once as it reads.
#[test]
fn many_channels_are_told_in_parts() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    let names: Vec<String> = (0..400).map(|number| format!("c{number}.trade")).collect();
    for names in names.chunks(200) {
        client.subscribe(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
        world.turns(6);
    }
    assert_eq!(client.objects().len(), 2);
    world.bus.state(DataState::Stale { lag_ms: 1 });
    world.turns(3);
    assert_eq!(client.object()["channels"], "*");
    // All but one are stale when it hears of the next: never `*`.
    world.bus.state(DataState::Live);
    world.turns(3);
    assert_eq!(client.object(), json!({"type": "status", "state": "live", "channels": "*"}));
}

/// What is told behind a close frame breaks the protocol.
#[test]
fn nothing_is_told_behind_the_close() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade"]);
    client.peer.set_window(0);
    world.produce(Some("BTC"), "1");
    world.turns(2);
    world.tell(DataState::Stale { lag_ms: 3_000 });
    client.put(OpCode::Binary, b"x");
    world.turns(2);
    client.peer.set_window(1 << 20);
    world.turns(5);
    let bytes = client.peer.read_up_to(usize::MAX);
    let mut close = Vec::new();
    put_close(&mut close, CloseCode::UNSUPPORTED, "text frames only");
    assert!(bytes.ends_with(&close), "{:?}", String::from_utf8_lossy(&bytes));
}
