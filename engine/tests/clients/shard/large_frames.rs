//! Large frames and slow connections: a connection that took a part of a large frame holds its block. Ingest never waits
//! for such a peer; when the budget of blocks is used up by them, the largest holder is reset.

use proto::ws::frame::OpCode;
use ring::fake::FakePeer;
use slab::Sizes;

use super::world::{Plan, World, expected};

const LARGE: usize = 100_000;

/// Blocks for two and a half large frames.
fn world() -> World {
    let plan = Plan::default();
    World::new(&Plan { sizes: Sizes { blocks_bytes: LARGE * 5 / 2, ..plan.sizes }, ..plan })
}

#[test]
fn a_large_frame_arrives_whole_through_a_narrow_socket() {
    let mut world = world();
    let mut peer = world.subscriber(0);
    peer.set_window(7_000);
    world.publish(10).unwrap();
    world.publish(LARGE).unwrap();
    world.publish(20).unwrap();
    let expected: Vec<u8> =
        [10, LARGE, 20].into_iter().flat_map(|len| expected(OpCode::Text, &vec![b'x'; len])).collect();
    let mut got = Vec::new();
    for _ in 0..200 {
        world.turns(2);
        got.extend(peer.read());
    }
    assert!(got == expected, "{} of {} bytes, or wrong ones", got.len(), expected.len());
    assert_eq!(world.seats[0].shard.report().partial_bytes, 0);
    assert_eq!(world.seats[0].metrics.deliveries.get(), 3);
}

#[test]
fn ingest_never_waits_for_a_peer_that_holds_blocks() {
    let mut world = world();
    let mut slow = Vec::new();
    // Each slow client takes a part of a block of its own and no more.
    for _ in 0..2 {
        let mut peer = world.subscriber(0);
        peer.set_window(1_000);
        world.publish(LARGE).unwrap();
        world.turns(3);
        slow.push(peer);
    }
    let mut reader = world.subscriber(0);
    let before = world.seats[0].shard.report();
    assert_eq!((before.connections, before.partial_bytes > LARGE), (3, true));

    // More large frames than the budget holds, again and again: each is taken after a bounded number of turns.
    let mut got = 0;
    for _ in 0..20 {
        let mut tries = 0;
        while world.publish(LARGE).is_err() {
            tries += 1;
            assert!(tries < 50, "ingest waits for a peer: {:?}", world.seats[0].shard.report());
            world.turns(1);
            got += reader.read().len();
        }
        world.turns(3);
        got += reader.read().len();
    }
    world.turns(10);
    got += reader.read().len();
    let frame = expected(OpCode::Text, &vec![b'x'; LARGE]);
    assert_eq!(got, 20 * frame.len(), "the client that reads misses nothing");
    assert!(world.seats[0].metrics.closed_by_blocked.get() >= 1, "a holder was reset");
    assert!(slow.iter().any(FakePeer::was_reset));
}

/// What one needs, one gives: of two shards with a holder each, and however often ingest tries.
#[test]
fn one_need_of_ingest_costs_one_connection() {
    let plan = Plan::default();
    let sizes = Sizes { blocks_bytes: LARGE * 5 / 2, ..plan.sizes };
    let mut world = World::new(&Plan { shards: 2, sizes, ..plan });
    let mut slow = Vec::new();
    for shard in 0..2 {
        let mut peer = world.subscriber(shard);
        peer.set_window(1_000);
        world.publish(LARGE).unwrap();
        world.turns(3);
        slow.push(peer);
    }
    // The floor passes both blocks, which the connections go on holding.
    let mut tries = 0;
    while world.publish(LARGE).is_err() {
        tries += 1;
        assert!(tries < 50, "ingest waits for a peer");
        let _still_full = world.publish(LARGE);
        world.turns(1);
    }
    world.turns(10);
    assert_eq!(slow.iter().filter(|peer| peer.was_reset()).count(), 1);
}
