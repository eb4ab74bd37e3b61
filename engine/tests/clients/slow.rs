//! Clients that read too slowly, or not at all: what they cost is bounded, and only they pay.

use serde_json::json;

use testkit::world::{Client, Heard, Plan, World, offset, pos};

/// Produces `count` records of a value of so many bytes; `reader` reads all the while.
fn produce_to(world: &mut World, reader: &mut Client, count: usize, bytes: usize) -> Vec<i64> {
    let value = format!("\"{}\"", "x".repeat(bytes));
    let mut got = Vec::new();
    for _ in 0..count {
        world.produce(Some("BTC"), &value);
        world.turn();
        got.extend(reader.offsets());
    }
    world.turns(3);
    got.extend(reader.offsets());
    got
}

/// The slab goes round several times: who could not keep up is told exactly what it missed, and goes on at the present.
#[test]
fn a_lagged_client_gets_one_gap_with_exact_bounds_and_goes_on() {
    let mut world = World::new(&Plan::default());
    let mut reader = world.subscriber(&["BTC.trade"]);
    let mut slow = world.subscriber(&["BTC.trade"]);
    slow.peer.set_window(5_000);
    // 4 MB through a slab of 1 MiB.
    assert_eq!(produce_to(&mut world, &mut reader, 4_000, 1_000), (0..4_000).collect::<Vec<_>>());
    assert!(world.metrics.lagged.get() > 0);

    slow.peer.set_window(1 << 20);
    let mut objects = Vec::new();
    for _ in 0..20 {
        objects.extend(slow.objects());
        world.turns(2);
    }
    let before: Vec<i64> =
        objects.iter().take_while(|object| object["type"] == "message").map(offset).collect();
    assert_eq!(
        before,
        (0..i64::try_from(before.len()).unwrap()).collect::<Vec<_>>(),
        "in order up to the gap"
    );
    assert!((4..10).contains(&before.len()), "what its socket took: {before:?}");
    let gap = &objects[before.len()];
    let first = i64::try_from(before.len()).unwrap();
    let expected = json!({"type": "gap", "channel": "BTC.trade", "from": pos(first), "to": pos(3_999), "reason": "slow"});
    assert_eq!((gap, objects.len()), (&expected, before.len() + 1));
    assert_eq!(world.metrics.gaps.get(), 1);
    world.produce(Some("BTC"), "1");
    world.turns(3);
    assert_eq!(slow.offsets(), [4_000]);
    assert_eq!(world.metrics.closed_by_blocked.get(), 0, "who is merely slow is never closed");
}

#[test]
fn a_socket_that_takes_nothing_is_closed_after_its_time() {
    let mut world = World::new(&Plan::default());
    let mut reader = world.subscriber(&["BTC.trade"]);
    let mut stuck = world.subscriber(&["BTC.trade"]);
    let mut moving = world.subscriber(&["BTC.trade"]);
    stuck.peer.set_window(3_000);
    moving.peer.set_window(3_000);
    produce_to(&mut world, &mut reader, 100, 1_000);
    world.pass(29_000, |world| {
        // A little now and then, much less than there is.
        if world.metrics.ticks.get().is_multiple_of(100) {
            moving.heard_of(500);
        }
        reader.heard();
    });
    assert_eq!(world.metrics.closed_by_blocked.get(), 0);
    world.pass(1_500, |_| drop(moving.heard_of(100)));
    assert_eq!(world.metrics.closed_by_blocked.get(), 1);
    // Its close frame cannot leave either: a moment later it is cut off.
    world.pass(2_500, |_| drop(moving.heard_of(100)));
    assert!(stuck.peer.was_reset() && !moving.peer.is_closed());
    assert_eq!((world.metrics.connections.get(), world.shard.report().partial_bytes < 4_000), (2, true));
}

/// A client that asks and asks and reads no answer is not read either, until it reads.
#[test]
fn who_does_not_read_its_answers_is_not_read() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    client.peer.set_window(1_000);
    for _ in 0..500 {
        for _ in 0..10 {
            client.put(proto::ws::frame::OpCode::Ping, &[b'p'; 100]);
        }
        world.turn();
    }
    let heard_bytes = world.metrics.received_bytes.get();
    assert!(heard_bytes < 64 << 10, "{heard_bytes} of 530,000 bytes were read");
    // Each of its pings is answered in the end.
    client.peer.set_window(64 << 10);
    let mut pongs = 0;
    // 200 a second are read.
    for _ in 0..30_000 {
        world.turn();
        pongs += client
            .heard()
            .iter()
            .filter(|heard| matches!(heard, Heard::Pong(p) if p == &[b'p'; 100]))
            .count();
    }
    assert_eq!(pongs, 5_000);
}

/// The rests of half-sent frames are copied out of the slab. When there are too many, who holds most pays.
#[test]
fn above_the_limit_of_torn_bytes_the_largest_holder_is_reset() {
    let mut world = World::new(&Plan::with(|limits| limits.partial_frame_bytes_per_shard = 15_000));
    let mut reader = world.subscriber(&["BTC.trade"]);
    let mut slow: Vec<Client> = (0..4).map(|_| world.subscriber(&["BTC.trade"])).collect();
    // Of a frame of a little over 6,000 bytes they leave about 5,100, 4,100, 5,600 and 3,100.
    for (client, window) in slow.iter_mut().zip([1_000, 2_000, 500, 3_000]) {
        client.peer.set_window(window);
    }
    assert_eq!(produce_to(&mut world, &mut reader, 1, 6_000), [0]);
    let reset: Vec<bool> = slow.iter().map(|client| client.peer.was_reset()).collect();
    assert_eq!(reset, [false, false, true, false]);
    let partial_bytes = world.shard.report().partial_bytes;
    assert!((12_000..=15_000).contains(&partial_bytes), "{partial_bytes}");
    assert_eq!(
        (world.metrics.closed_by_blocked.get(), world.metrics.torn_bytes.get()),
        (1, partial_bytes as u64)
    );
    // The others get theirs whole.
    for client in &mut slow {
        client.peer.set_window(64 << 10);
    }
    world.turns(3);
    slow.remove(2);
    assert!(slow.iter_mut().all(|client| client.offsets() == [0]));
    assert_eq!(world.shard.report().partial_bytes, 0);
}
