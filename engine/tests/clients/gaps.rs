//! Gaps of a whole topic: everybody who holds a channel of it when its shard reads of it is told, in order, and nobody else.

use proto::native::reply::GapReason;
use serde_json::{Value, json};

use testkit::world::{Plan, World, pos};

/// Retention takes so many records that were not read.
fn lose(world: &mut World, count: i64) -> (i64, i64) {
    let (from, to) = (world.next, world.next + count - 1);
    world.bus.gap(0, GapReason::Retention, from, to);
    world.next = to + 1;
    (from, to)
}

fn gap(channel: &str, (from, to): (i64, i64), reason: &str) -> Value {
    json!({"type": "gap", "channel": channel, "from": pos(from), "to": pos(to), "reason": reason})
}

#[test]
fn a_gap_comes_between_the_messages_it_lies_between() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade", "ETH.trade"]);
    world.produce(Some("BTC"), "1");
    let lost = lose(&mut world, 9);
    world.produce(Some("BTC"), "2");
    world.turns(3);
    let objects = client.objects();
    assert_eq!(objects.len(), 4, "{objects:?}");
    assert_eq!((&objects[0]["pos"], &objects[3]["pos"]), (&json!(pos(0)), &json!(pos(10))));
    for channel in ["BTC.trade", "ETH.trade"] {
        assert!(objects[1..3].contains(&gap(channel, lost, "retention")), "{objects:?}");
    }
    // A heartbeat's position is behind it.
    client.heartbeat(1);
    world.turns(3);
    assert_eq!(client.objects().len(), 2);
}

/// Ingest announces the gap, then answers the lookup; the shard subscribes before it reads of the gap, and acks
/// positions in front of it.
#[test]
fn who_subscribes_around_a_gap_gets_its_notice() {
    let mut world = World::new(&Plan::default());
    world.produce(Some("BTC"), "1");
    world.turns(2);
    let mut client = world.connect();
    client.subscribe(1, &["late.trade"]);
    world.shard_turn();
    let lost = lose(&mut world, 5);
    world.turns(3);
    let objects = client.objects();
    assert_eq!(objects[0]["subscribed"], json!(["late.trade"]));
    assert_eq!(objects[1..], [gap("late.trade", lost, "retention")], "{objects:?}");
    // And who comes later is not told of what lies before its ack.
    let mut later = world.subscriber(&["later.trade"]);
    world.turns(3);
    assert!(later.heard().is_empty());
}

/// A client whose socket is full is told when it takes bytes again, behind what it was owed before, and its requests wait.
#[test]
fn a_blocked_client_is_told_in_order_and_its_requests_wait() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade", "ETH.trade"]);
    client.peer.set_window(0);
    world.produce(Some("BTC"), "1");
    world.turns(2);
    let lost = lose(&mut world, 5);
    world.turns(2);
    world.produce(Some("ETH"), "2");
    client.text(r#"{"type":"unsubscribe","id":3,"data":{"channels":["ETH.trade"]}}"#);
    client.subscribe(4, &["ETH.trade"]);
    world.turns(5);
    client.peer.set_window(1 << 20);
    world.turns(10);
    let objects = client.objects();
    let kinds: Vec<_> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    let expected = ["message", "gap", "gap", "message", "unsubscription_ack", "subscription_ack"];
    assert_eq!(kinds, expected, "{objects:?}");
    assert!(objects[1..3].contains(&gap("ETH.trade", lost, "retention")));
}

/// The slab goes round while the notice waits: the lag tells it, from where the gap began.
#[test]
fn who_lags_with_a_gap_untold_misses_none_of_it() {
    let mut world = World::new(&Plan::default());
    let mut quiet = world.subscriber(&["quiet.trade"]);
    let mut client = world.subscriber(&["BTC.trade", "quiet.trade"]);
    client.peer.set_window(0);
    world.produce(Some("BTC"), "1");
    world.turns(2);
    let lost = lose(&mut world, 5);
    world.turns(2);
    let value = format!("\"{}\"", "x".repeat(1_000));
    for _ in 0..3_000 {
        world.produce(Some("BTC"), &value);
    }
    world.turns(3);
    assert_eq!(quiet.object(), gap("quiet.trade", lost, "retention"));
    client.peer.set_window(1 << 20);
    world.turns(10);
    let last = world.next - 1;
    let objects = client.objects();
    assert!(objects.contains(&gap("BTC.trade", (0, last), "slow")), "{objects:?}");
    assert!(objects.contains(&gap("quiet.trade", (lost.0, last), "slow")), "{objects:?}");
    assert_eq!(objects.len(), 2);
}

/// Many channels of many connections: nobody is written more than its limit at once, and all are told.
#[test]
fn a_gap_is_told_in_parts() {
    let mut world = World::new(&Plan::default());
    let mut crowd = world.crowd_that_reads_nothing(8);
    let tail = world.ingest.retention_gaps.get();
    lose(&mut world, 5);
    lose(&mut world, 5);
    world.turns(5);
    assert_eq!(world.ingest.retention_gaps.get() - tail, 2);
    assert!(world.shard.report().output_bytes < 8 * 5_000, "{:?}", world.shard.report());
    for client in &mut crowd {
        client.peer.set_window(1 << 20);
    }
    let mut gaps = 0;
    for _ in 0..400 {
        world.turn();
        assert!(world.shard.report().output_bytes < 8 * 5_000, "{:?}", world.shard.report());
        gaps += crowd.iter_mut().map(|client| client.objects().len()).sum::<usize>();
    }
    assert_eq!(gaps, 8 * 500 * 2);
}

/// Of each of these clients one channel lags. A gap makes the others lag as well: not all at once.
#[test]
fn a_gap_makes_few_subscriptions_lag_in_one_turn() {
    let mut world = World::new(&Plan::default());
    let names: Vec<String> = (0..250).map(|number| format!("c{number}.trade")).collect();
    let mut crowd: Vec<_> = (0..16).map(|_| world.connect()).collect();
    for client in &mut crowd {
        client.subscribe(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    world.turns(20);
    for client in &mut crowd {
        assert_eq!(client.objects().len(), 1);
        client.peer.set_window(0);
    }
    let value = format!("\"{}\"", "x".repeat(1_000));
    for _ in 0..3_000 {
        world.produce(Some("c7"), &value);
    }
    world.turns(3);
    assert_eq!(world.metrics.lagged.get(), 16);
    let lost = lose(&mut world, 5);
    world.turns(3);
    world.produce(Some("c8"), "1");
    world.turns(3);
    for client in &mut crowd {
        client.peer.set_window(1 << 20);
    }
    let mut heard: Vec<Vec<Value>> = vec![Vec::new(); 16];
    for _ in 0..400 {
        world.turn();
        for (heard, client) in heard.iter_mut().zip(&mut crowd) {
            heard.extend(client.objects());
        }
    }
    assert!(world.lagged_in_a_turn <= 1_024 + 250, "{} at once", world.lagged_in_a_turn);
    for heard in heard {
        assert_eq!(heard.len(), 250);
        let last = world.next - 1;
        assert!(heard.contains(&gap("c7.trade", (0, last), "slow")), "{heard:?}");
        assert!(heard.contains(&gap("c9.trade", (lost.0, last), "slow")));
    }
}
