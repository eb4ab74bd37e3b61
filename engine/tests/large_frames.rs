//! Large frames and slow connections: a connection that took a part of a large frame holds its block. Ingest never waits
//! for such a peer; when the budget of blocks is used up by them, the largest holder is reset.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, atomic::AtomicUsize};

use engine::{
    catalog::SharedCatalog,
    clock::Now,
    config::{Keepalive, Limits, Service},
    mail::{Answer, Grant, Handover, Reservation, ToIngest, ToShard},
    metrics::ShardMetrics,
    shard::{IngestLink, Settings, Setup, Shard},
    slab::{Bell, Full, Meta, Sizes, Writer, slab},
};
use proto::ws::frame::{OpCode, put_frame, put_masked};
use ring::{
    Wait,
    fake::{Disturbances, FakeDescriptor, FakeNet, FakePeer, FakeRing},
};

const CHANNEL: u32 = 3;
const LARGE: usize = 100_000;

struct World {
    net: FakeNet,
    shard: Shard<FakeRing>,
    writer: Writer,
    inbox: flume::Sender<ToShard<FakeDescriptor>>,
    asked: flume::Receiver<ToIngest>,
    load: Arc<AtomicUsize>,
    metrics: Arc<ShardMetrics>,
    now: Now,
    offset: i64,
}

impl World {
    /// One shard; blocks for two and a half large frames.
    fn new() -> Self {
        let sizes = Sizes {
            bytes: 1 << 20,
            entries: 8_192,
            checkpoint: 1_024,
            large_frame_bytes: 64 << 10,
            blocks_bytes: LARGE * 5 / 2,
        };
        let (mut writer, mut readers) = slab(sizes, 1);
        let (inbox, letters) = flume::bounded(16);
        let (to_ingest, asked) = flume::bounded(16);
        let bell = Arc::new(Bell::unset());
        writer.set_bells(vec![Arc::clone(&bell)]);
        let (load, metrics) = (Arc::<AtomicUsize>::default(), Arc::<ShardMetrics>::default());
        let net = FakeNet::new(1, Disturbances::NONE);
        let now = Now { mono_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 };
        let setup = Setup {
            index: 0,
            reader: readers.pop().unwrap(),
            inbox: letters,
            bell,
            load: Arc::clone(&load),
            ingest: IngestLink { inbox: to_ingest, wake: Box::new(|| {}) },
            catalog: SharedCatalog::default(),
            settings: Settings {
                service: Service::Channels,
                limits: Limits::default(),
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
        Self { net, shard, writer, inbox, asked, load, metrics, now, offset: 0 }
    }

    fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            self.now.mono_ns += 1_000_000;
            let now = self.now;
            self.shard.tick(|| now, Wait::No).unwrap();
        }
    }

    fn subscribe(&mut self) -> FakePeer {
        let (descriptor, mut peer) = self.net.connect();
        let reservation = Reservation::take(&self.load, 10).unwrap();
        let handover =
            Handover { descriptor, leftover: Vec::new(), welcome: false, id: 1, peer: None, reservation };
        self.inbox.send(ToShard::Connection(handover)).unwrap();
        let mut request = Vec::new();
        let text = br#"{"type":"subscribe","data":{"channels":["big"]}}"#;
        put_masked(&mut request, OpCode::Text, text, [1, 2, 3, 4]);
        peer.write(&request);
        self.turns(3);
        for question in self.asked.drain() {
            let ToIngest::Question(question) = question else { continue };
            let topics: Arc<[Arc<str>]> = Arc::new([]);
            let outcome = Ok(Grant { channel: CHANNEL, topics });
            self.inbox.send(ToShard::Channel(Answer { name: question.name, outcome })).unwrap();
        }
        self.turns(3);
        assert!(String::from_utf8_lossy(&peer.read()).contains("subscription_ack"));
        peer
    }

    fn append(&mut self, len: usize) -> Result<(), Full> {
        let mut frame = Vec::new();
        put_frame(&mut frame, OpCode::Text, &vec![b'x'; len]);
        let meta = Meta { channel: CHANNEL, source: 0, offset: self.offset, ts_ms: 0, ingest_ns: 0 };
        self.writer.append(meta, [&frame])?;
        self.offset += 1;
        self.writer.publish();
        Ok(())
    }
}

#[test]
fn a_large_frame_arrives_whole_through_a_narrow_socket() {
    let mut world = World::new();
    let mut peer = world.subscribe();
    peer.set_window(7_000);
    world.append(10).unwrap();
    world.append(LARGE).unwrap();
    world.append(20).unwrap();
    let mut expected = Vec::new();
    for len in [10, LARGE, 20] {
        put_frame(&mut expected, OpCode::Text, &vec![b'x'; len]);
    }
    let mut got = Vec::new();
    for _ in 0..200 {
        world.turns(2);
        got.extend(peer.read());
    }
    assert!(got == expected, "{} of {} bytes, or wrong ones", got.len(), expected.len());
    assert_eq!(world.shard.report().torn_bytes, 0);
    assert_eq!(world.metrics.deliveries.get(), 3);
}

#[test]
fn ingest_never_waits_for_a_peer_that_holds_blocks() {
    let mut world = World::new();
    let mut slow = Vec::new();
    // Each slow client takes a part of a block of its own and no more.
    for _ in 0..2 {
        let mut peer = world.subscribe();
        peer.set_window(1_000);
        world.append(LARGE).unwrap();
        world.turns(3);
        slow.push(peer);
    }
    let mut reader = world.subscribe();
    let before = world.shard.report();
    assert_eq!((before.connections, before.torn_bytes > LARGE), (3, true));

    // More large frames than the budget holds, again and again: each is taken after a bounded number of turns.
    let mut got = 0;
    for _ in 0..20 {
        let mut tries = 0;
        while world.append(LARGE).is_err() {
            tries += 1;
            assert!(tries < 50, "ingest waits for a peer: {:?}", world.shard.report());
            world.turns(1);
            got += reader.read().len();
        }
        world.turns(3);
        got += reader.read().len();
    }
    world.turns(10);
    got += reader.read().len();
    let mut frame = Vec::new();
    put_frame(&mut frame, OpCode::Text, &vec![b'x'; LARGE]);
    assert_eq!(got, 20 * frame.len(), "the client that reads misses nothing");
    assert!(world.metrics.closed_by_blocked.get() >= 1, "a holder was reset");
    assert!(slow.iter().any(FakePeer::was_reset));
}
