//! A shard that echoes: large messages leave in bounded sends, and a client that does not read is not read.

use engine::config::{Limits, Service};
use proto::ws::frame::{OpCode, put_close};
use ring::fake::{Disturbances, FakePeer};
use slab::Sizes;

use super::world::{Plan, World, expected, sent};

const MESSAGE_MAX: usize = 1 << 20;

fn world(disturbances: Disturbances) -> World {
    let plan = Plan::default();
    World::new(&Plan {
        service: Service::Echo,
        limits: Limits { client_message_bytes: MESSAGE_MAX, ..Limits::default() },
        sizes: Sizes { large_frame_bytes: 1 << 10, ..plan.sizes },
        disturbances,
        ..plan
    })
}

/// Turns until the peer has read as much as is expected.
fn read(world: &mut World, peer: &mut FakePeer, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    for _ in 0..20_000 {
        if got.len() >= bytes {
            break;
        }
        world.turns(1);
        got.extend(peer.read());
    }
    got
}

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|n| b"0123456789abcdefghijklm"[n % 23]).collect()
}

#[test]
fn text_binary_and_pings_come_back_and_nothing_before_them() {
    let mut world = world(Disturbances::NONE);
    let mut peer = world.connect();
    // Far more messages than the native protocol lets a client send, some of them no requests at all.
    let mut wanted = Vec::new();
    for n in 0..500_usize {
        let payload = message(n);
        let (opcode, back) = match n % 3 {
            0 => (OpCode::Text, OpCode::Text),
            1 => (OpCode::Binary, OpCode::Binary),
            _ => (OpCode::Ping, OpCode::Pong),
        };
        let payload = if opcode == OpCode::Ping { &payload[..n.min(125)] } else { &payload[..] };
        peer.write(&sent(opcode, payload));
        wanted.extend(expected(back, payload));
    }
    assert!(read(&mut world, &mut peer, wanted.len()) == wanted);
    let mut close = Vec::new();
    put_close(&mut close, proto::ws::close::CloseCode::NORMAL, "");
    peer.write(&sent(OpCode::Close, &1000_u16.to_be_bytes()));
    assert_eq!(read(&mut world, &mut peer, close.len()), close);
}

#[test]
fn a_large_message_leaves_in_bounded_sends() {
    for disturbances in [Disturbances::NONE, Disturbances::SOME] {
        let mut world = world(disturbances);
        let mut peer = world.connect();
        peer.set_window(10 * MESSAGE_MAX);
        let payload = message(MESSAGE_MAX);
        peer.write(&sent(OpCode::Binary, &payload));
        let wanted = expected(OpCode::Binary, &payload);
        assert!(read(&mut world, &mut peer, wanted.len()) == wanted);
        assert!(world.seats[0].metrics.sends.get() >= 16, "{} sends", world.seats[0].metrics.sends.get());
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let mut world = world(Disturbances::NONE);
    let mut peer = world.connect();
    peer.stall();
    let payload = message(MESSAGE_MAX);
    peer.write(&sent(OpCode::Text, &payload));
    world.turns(1_000);
    let heard = world.seats[0].metrics.received_bytes.get();
    // The buffers that had been filled before the pause took hold are the most that is read on.
    for _ in 0..3 {
        peer.write(&sent(OpCode::Text, &payload));
    }
    world.turns(1_000);
    let more = world.seats[0].metrics.received_bytes.get() - heard;
    assert!(more < MESSAGE_MAX as u64, "read {more} bytes of a client that does not read");
    peer.resume();
    let wanted = expected(OpCode::Text, &payload).repeat(4);
    assert!(read(&mut world, &mut peer, wanted.len()) == wanted);
}

#[test]
fn a_message_above_the_limit_is_refused() {
    let mut world = world(Disturbances::NONE);
    let mut peer = world.connect();
    peer.write(&sent(OpCode::Binary, &message(MESSAGE_MAX + 1)));
    let close = read(&mut world, &mut peer, 4);
    assert_eq!((close[0], &close[2..4]), (0x88, &1009_u16.to_be_bytes()[..]));
}
