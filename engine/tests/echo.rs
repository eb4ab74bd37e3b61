//! A shard that echoes: large messages leave in bounded sends, and a client that does not read is not read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, atomic::AtomicUsize};

use engine::{
    catalog::SharedCatalog,
    clock::Now,
    config::{Keepalive, Limits, Service},
    mail::{Handover, Reservation, ToShard},
    metrics::ShardMetrics,
    shard::{IngestLink, Settings, Setup, Shard},
    slab::{Bell, Sizes, slab},
};
use proto::ws::frame::{OpCode, put_close, put_frame, put_masked};
use ring::{
    Wait,
    fake::{Disturbances, FakeDescriptor, FakeNet, FakePeer, FakeRing},
};

const MESSAGE_MAX: usize = 1 << 20;

struct World {
    net: FakeNet,
    shard: Shard<FakeRing>,
    inbox: flume::Sender<ToShard<FakeDescriptor>>,
    load: Arc<AtomicUsize>,
    metrics: Arc<ShardMetrics>,
    now: Now,
}

impl World {
    fn new(disturbances: Disturbances) -> Self {
        let sizes = Sizes {
            bytes: 1 << 20,
            entries: 8_192,
            checkpoint: 1_024,
            large_frame_bytes: 1 << 10,
            blocks_bytes: 1 << 20,
        };
        let (_, mut readers) = slab(sizes, 1);
        let (inbox, letters) = flume::bounded(16);
        let (to_ingest, _) = flume::bounded(1);
        let (load, metrics) = (Arc::<AtomicUsize>::default(), Arc::<ShardMetrics>::default());
        let net = FakeNet::new(1, disturbances);
        let now = Now { mono_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 };
        let setup = Setup {
            index: 0,
            reader: readers.pop().unwrap(),
            inbox: letters,
            bell: Arc::new(Bell::unset()),
            load: Arc::clone(&load),
            ingest: IngestLink { inbox: to_ingest, wake: Box::new(|| {}) },
            catalog: SharedCatalog::default(),
            settings: Settings {
                service: Service::Echo,
                limits: Limits { client_message_bytes: MESSAGE_MAX, ..Limits::default() },
                keepalive: Keepalive::WebSocket,
                ping_interval_ms: 25_000,
                ping_grace_ms: 10_000,
                index_entries: sizes.entries,
                capacity: 10,
            },
            metrics: Arc::clone(&metrics),
            seed: 1,
        };
        let shard = Shard::new(setup, net.ring(&ring::Setup::default()), now);
        Self { net, shard, inbox, load, metrics, now }
    }

    fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            self.now.mono_ns += 1_000_000;
            let now = self.now;
            self.shard.tick(|| now, Wait::No).unwrap();
        }
    }

    fn connect(&mut self) -> FakePeer {
        let (descriptor, peer) = self.net.connect();
        let reservation = Reservation::take(&self.load, 10).unwrap();
        let handover =
            Handover { descriptor, leftover: Vec::new(), welcome: true, id: 1, peer: None, reservation };
        self.inbox.send(ToShard::Connection(handover)).unwrap();
        self.turns(3);
        peer
    }

    /// Turns until the peer has read as much as is expected.
    fn read(&mut self, peer: &mut FakePeer, bytes: usize) -> Vec<u8> {
        let mut got = Vec::new();
        for _ in 0..20_000 {
            if got.len() >= bytes {
                break;
            }
            self.turns(1);
            got.extend(peer.read());
        }
        got
    }
}

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|n| b"0123456789abcdefghijklm"[n % 23]).collect()
}

fn sent(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_masked(&mut frame, opcode, payload, [9, 8, 7, 6]);
    frame
}

fn expected(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(&mut frame, opcode, payload);
    frame
}

#[test]
fn text_binary_and_pings_come_back_and_nothing_before_them() {
    let mut world = World::new(Disturbances::NONE);
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
    assert!(world.read(&mut peer, wanted.len()) == wanted);
    let mut close = Vec::new();
    put_close(&mut close, proto::ws::close::CloseCode::NORMAL, "");
    peer.write(&sent(OpCode::Close, &1000_u16.to_be_bytes()));
    assert_eq!(world.read(&mut peer, close.len()), close);
}

#[test]
fn a_large_message_leaves_in_bounded_sends() {
    for disturbances in [Disturbances::NONE, Disturbances::SOME] {
        let mut world = World::new(disturbances);
        let mut peer = world.connect();
        peer.set_window(10 * MESSAGE_MAX);
        let payload = message(MESSAGE_MAX);
        peer.write(&sent(OpCode::Binary, &payload));
        let wanted = expected(OpCode::Binary, &payload);
        assert!(world.read(&mut peer, wanted.len()) == wanted);
        assert!(world.metrics.sends.get() >= 16, "{} sends", world.metrics.sends.get());
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let mut world = World::new(Disturbances::NONE);
    let mut peer = world.connect();
    peer.stall();
    let payload = message(MESSAGE_MAX);
    peer.write(&sent(OpCode::Text, &payload));
    world.turns(1_000);
    let heard = world.metrics.received_bytes.get();
    // The buffers that had been filled before the pause took hold are the most that is read on.
    for _ in 0..3 {
        peer.write(&sent(OpCode::Text, &payload));
    }
    world.turns(1_000);
    let more = world.metrics.received_bytes.get() - heard;
    assert!(more < MESSAGE_MAX as u64, "read {more} bytes of a client that does not read");
    peer.resume();
    let wanted = expected(OpCode::Text, &payload).repeat(4);
    assert!(world.read(&mut peer, wanted.len()) == wanted);
}

#[test]
fn a_message_above_the_limit_is_refused() {
    let mut world = World::new(Disturbances::NONE);
    let mut peer = world.connect();
    peer.write(&sent(OpCode::Binary, &message(MESSAGE_MAX + 1)));
    let close = world.read(&mut peer, 4);
    assert_eq!((close[0], &close[2..4]), (0x88, &1009_u16.to_be_bytes()[..]));
}
