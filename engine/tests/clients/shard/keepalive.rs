//! Who is alive: judged by what the peer's kernel has acknowledged since the connection's turn.

use super::world::{Plan, World};

const INTERVAL_MS: u64 = 5_000;
const GRACE_MS: u64 = 2_000;
const TURN_MS: u64 = 100;

fn world() -> World {
    World::new(&Plan { ping_interval_ms: INTERVAL_MS, ping_grace_ms: GRACE_MS, ..Plan::default() })
}

/// Turns of [`TURN_MS`] in which every connection has had its turn and its grace at least twice.
const TWO_ROUNDS: u64 = (INTERVAL_MS + INTERVAL_MS / 10 + GRACE_MS) * 2 / TURN_MS + 10;

#[test]
fn a_silent_peer_that_acknowledges_nothing_is_closed() {
    let mut world = world();
    let mut peer = world.connect();
    peer.stall();
    for _ in 0..TWO_ROUNDS {
        world.turn_after(TURN_MS);
    }
    assert_eq!(world.seats[0].metrics.closed_by_silence.get(), 1);
    peer.resume();
    let said = peer.read();
    assert!(said.windows(2).any(|bytes| bytes == 1008_u16.to_be_bytes()), "closed with 1008: {said:?}");
}

#[test]
fn a_silent_peer_that_acknowledges_is_kept() {
    let mut world = world();
    let mut peers = [world.connect(), world.subscriber(0)];
    for _ in 0..TWO_ROUNDS {
        world.turn_after(TURN_MS);
        peers.iter_mut().for_each(|peer| drop(peer.read()));
    }
    assert_eq!(world.seats[0].metrics.closed_by_silence.get(), 0);
    assert_eq!(world.seats[0].shard.report().connections, 2);
}

/// Found by the capacity test: under a steady stream a healthy peer's send queue is hardly ever empty.
#[test]
fn a_peer_in_a_steady_stream_is_kept_though_something_is_always_unacknowledged() {
    let mut world = world();
    let mut peers: Vec<_> = (0..5).map(|_| world.subscriber(0)).collect();
    for turn in 0..TWO_ROUNDS {
        world.publish(4).unwrap();
        world.turn_after(TURN_MS);
        if turn % 10 == 0 {
            // What came so far is acknowledged, what comes next is not yet.
            for peer in &mut peers {
                peer.resume();
                peer.stall();
            }
        }
    }
    assert_eq!(world.seats[0].metrics.closed_by_silence.get(), 0);
    assert_eq!(world.seats[0].shard.report().connections, 5);
}
