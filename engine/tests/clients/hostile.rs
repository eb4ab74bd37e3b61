//! Clients that flood, and clients that ask and do not read: each is slowed down, holds a bounded part of the shard, and
//! is nobody else's business.

use proto::ws::frame::{OpCode, put_masked};

use testkit::world::{Client, Heard, PING_INTERVAL_MS, Plan, World};

/// So many masked frames with this first byte and no payload.
fn empty_frames(first: u8, count: usize) -> Vec<u8> {
    [first, 0x80, 1, 2, 3, 4].repeat(count)
}

/// A message of so many requests, each for 250 names that no route can make.
fn refused(lines: usize) -> String {
    let names: Vec<String> = (0..250).map(|name| format!("{name:x}")).collect();
    let line = serde_json::json!({"type": "subscribe", "data": {"channels": names}}).to_string();
    vec![line; lines].join("\n")
}

/// Whatever a frame is, it costs its sender a token: one second of a flood is no more than the burst and a second's worth.
#[test]
fn floods_of_any_frame_are_read_no_faster_than_the_rate() {
    let first_of_fragments = [0x01, 0x80, 1, 2, 3, 4];
    let floods = [
        ("pings", empty_frames(0x89, 100_000)),
        ("pongs", empty_frames(0x8a, 100_000)),
        ("empty texts", empty_frames(0x81, 100_000)),
        ("empty fragments", [&first_of_fragments[..], &empty_frames(0x00, 100_000)].concat()),
    ];
    for (name, flood) in floods {
        let mut world = World::new(&Plan::default());
        let mut other = world.subscriber(&["BTC.trade"]);
        let mut client = world.connect();
        client.peer.write(&flood);
        world.turns(3);
        let at_once = world.metrics.received_bytes.get();
        // What the ring had taken in before it was stopped is all that is read in a while.
        for n in 0..10 {
            world.produce(Some("BTC"), "1");
            world.pass(100, |_| {});
            assert_eq!(other.offsets(), [n], "{name}");
        }
        assert_eq!(world.metrics.received_bytes.get(), at_once, "{name}");
        let pongs = client.heard().len();
        assert_eq!(pongs > 0, name == "pings");
        assert!(pongs <= 200 + 200 * 11 / 10, "{name}: {pongs}");
        assert_eq!(world.metrics.connections.get(), 2, "{name}");
        // It goes, and that is seen at the next sign of life at the latest.
        client.peer.reset();
        world.pass(PING_INTERVAL_MS * 11 / 10 + 1_000, |_| {});
        assert_eq!(world.metrics.connections.get(), 1, "{name}");
        assert_eq!(world.shard.report().client_bytes, 0, "{name}");
    }
}

/// One turn works off a bounded part of what one client sent, whatever its tokens.
#[test]
fn a_turn_is_shared() {
    let mut world = World::new(&Plan::with(|limits| limits.request_burst = 10_000));
    let mut client = world.connect();
    client.peer.write(&empty_frames(0x89, 1_000));
    world.turn();
    assert!(client.heard().len() <= 32);
    for _ in 0..40 {
        world.turn();
        assert!(client.heard().len() <= 64);
    }
    world.pass(500, |_| {});
    assert!(client.heard().is_empty(), "all are answered");
}

/// 99 refusals of 250 names are 1.7 MB of answers: one of them waits for the client to read, not all.
#[test]
fn answers_that_are_not_read_are_not_made() {
    let mut world = World::new(&Plan::with(|limits| limits.failed_requests_per_minute = 1_000));
    let mut client = world.connect();
    client.peer.set_window(1_000);
    client.peer.stall();
    client.text(&refused(99));
    world.pass(2_000, |_| {});
    let report = world.shard.report();
    assert!(report.output_bytes < 40_000, "{report:?}");
    assert!(report.client_bytes < 500_000, "{report:?}");
    // It reads after all, and is answered to the end.
    client.peer.resume();
    client.peer.set_window(1 << 20);
    let mut answers = 0;
    world.pass(60_000, |_| {
        answers += client.heard().iter().filter(|heard| matches!(heard, Heard::Json(_))).count();
    });
    assert_eq!(answers, 99);
    assert_eq!(world.shard.report().client_bytes, 0);
}

/// Many of those come up against the shard's limit: the largest holders go, the others stay, and it is never passed.
#[test]
fn what_clients_make_a_shard_hold_is_bounded() {
    let limit = 1 << 20;
    let mut world = World::new(&Plan::with(|limits| {
        limits.client_bytes_per_shard = limit;
        limits.failed_requests_per_minute = 1_000;
    }));
    let mut other = world.subscriber(&["BTC.trade"]);
    let text = refused(99);
    let mut hostile: Vec<Client> = Vec::new();
    for _ in 0..30 {
        let mut client = world.connect();
        client.peer.set_window(1_000);
        client.peer.stall();
        client.text(&text);
        world.turns(2);
        assert!(world.shard.report().client_bytes <= limit);
        hostile.push(client);
    }
    world.pass(3_000, |world| assert!(world.shard.report().client_bytes <= limit));
    assert!(world.metrics.closed_by_policy.get() >= 20, "{:?}", world.metrics);
    world.produce(Some("BTC"), "1");
    world.turns(2);
    assert_eq!(other.offsets(), [0]);
    other.heartbeat(5);
    world.turns(2);
    assert_eq!(other.objects()[0]["id"], 5);
}

/// A client that is not read says nothing, but its kernel does.
#[test]
fn who_is_not_read_is_not_taken_for_dead() {
    let mut world = World::new(&Plan::with(|limits| {
        limits.request_burst = 2;
        limits.requests_per_second = 1;
    }));
    let mut client = world.connect();
    (0..200).for_each(|id| client.heartbeat(id));
    let mut pongs = 0;
    world.pass(150_000, |_| {
        pongs += client.heard().iter().filter(|heard| matches!(heard, Heard::Json(_))).count();
    });
    assert_eq!(world.metrics.connections.get(), 1);
    assert!((140..=160).contains(&pongs), "{pongs}");
}

/// Its end is seen all the same, and what it sent before it is done with at once: nothing more can come.
#[test]
fn the_end_of_a_client_that_is_not_read_is_seen() {
    let mut world = World::new(&Plan::with(|limits| {
        limits.request_burst = 2;
        limits.requests_per_second = 1;
    }));
    let mut client = world.connect();
    (0..100).for_each(|id| client.heartbeat(id));
    let mut close = Vec::new();
    put_masked(&mut close, OpCode::Close, &1000_u16.to_be_bytes(), [1, 2, 3, 4]);
    client.peer.write(&close);
    client.peer.half_close();
    world.pass(5_000, |_| {});
    let heard = client.heard();
    assert!(client.peer.is_closed(), "{heard:?}");
    assert_eq!(world.metrics.connections.get(), 0);
}

/// What blocked connections owe below a floor is dealt with in bounded parts, however it is spread over them; and coming
/// back, each is told in parts as well.
#[test]
fn a_crowd_that_lags_is_dealt_with_in_parts() {
    let mut world = World::new(&Plan::with(|limits| limits.channels_per_connection = 500));
    let mut crowd = world.crowd_that_reads_nothing(12);
    let value = "1".repeat(300);
    for round in 0..20 {
        for number in 0..500 {
            world.produce(Some(&format!("c{number}")), &value);
        }
        world.turns(2);
        assert!(world.metrics.connections.get() == 12, "round {round}");
    }
    assert_eq!(world.metrics.lagged.get(), 12 * 500);
    assert!(world.lagged_in_a_turn <= 1_024, "{} in one turn", world.lagged_in_a_turn);

    for client in &mut crowd {
        client.peer.set_window(1 << 20);
    }
    let mut gaps = 0;
    for _ in 0..400 {
        world.turn();
        assert!(world.shard.report().output_bytes <= 12 * 5_000, "{:?}", world.shard.report());
        let objects = crowd.iter_mut().flat_map(Client::objects);
        gaps += objects.filter(|object| object["type"] == "gap").count();
    }
    assert_eq!(gaps, 12 * 500);
}
