//! Who is alive: judged by what the peer's kernel has acknowledged since the connection's turn.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, atomic::AtomicUsize};

use engine::{
    catalog::SharedCatalog,
    clock::Now,
    config::{Keepalive, Limits, Service},
    mail::{Answer, Grant, Handover, Reservation, ToIngest, ToShard},
    metrics::ShardMetrics,
    shard::{IngestLink, Settings, Setup, Shard},
    slab::{Bell, Meta, Sizes, Writer, slab},
};
use proto::ws::frame::{OpCode, put_frame, put_masked};
use ring::{
    Wait,
    fake::{Disturbances, FakeDescriptor, FakeNet, FakePeer, FakeRing},
};

const CHANNEL: u32 = 3;
const INTERVAL_MS: u64 = 5_000;
const GRACE_MS: u64 = 2_000;

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
    fn new() -> Self {
        let sizes = Sizes {
            bytes: 4 << 20,
            entries: 8_192,
            checkpoint: 1_024,
            large_frame_bytes: 64 << 10,
            blocks_bytes: 1 << 20,
        };
        let (writer, mut readers) = slab(sizes, 1);
        let (inbox, letters) = flume::bounded(16);
        let (to_ingest, asked) = flume::bounded(16);
        let (load, metrics) = (Arc::<AtomicUsize>::default(), Arc::<ShardMetrics>::default());
        let net = FakeNet::new(1, Disturbances::NONE);
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
                service: Service::Channels,
                limits: Limits::default(),
                keepalive: Keepalive::WebSocket,
                ping_interval_ms: INTERVAL_MS,
                ping_grace_ms: GRACE_MS,
                index_entries: sizes.entries,
                capacity: 10,
            },
            metrics: Arc::clone(&metrics),
            seed: 1,
        };
        let shard = Shard::new(setup, net.ring(&ring::Setup::default()), now);
        Self { net, shard, writer, inbox, asked, load, metrics, now, offset: 0 }
    }

    /// A turn, 100 ms after the last.
    fn turn(&mut self) {
        self.now.mono_ns += 100_000_000;
        let now = self.now;
        self.shard.tick(|| now, Wait::No).unwrap();
    }

    fn connect(&mut self, channel: Option<&str>) -> FakePeer {
        let (descriptor, mut peer) = self.net.connect();
        let reservation = Reservation::take(&self.load, 10).unwrap();
        let handover =
            Handover { descriptor, leftover: Vec::new(), welcome: false, id: 1, peer: None, reservation };
        self.inbox.send(ToShard::Connection(handover)).unwrap();
        if let Some(channel) = channel {
            let text = format!(r#"{{"type":"subscribe","data":{{"channels":["{channel}"]}}}}"#);
            let mut request = Vec::new();
            put_masked(&mut request, OpCode::Text, text.as_bytes(), [1, 2, 3, 4]);
            peer.write(&request);
        }
        self.turn();
        self.turn();
        for question in self.asked.drain() {
            let ToIngest::Question(question) = question else { continue };
            let outcome = Ok(Grant { channel: CHANNEL, topics: Arc::new([]) });
            self.inbox.send(ToShard::Channel(Answer { name: question.name, outcome })).unwrap();
        }
        self.turn();
        self.turn();
        peer
    }

    fn publish(&mut self) {
        let mut frame = Vec::new();
        put_frame(&mut frame, OpCode::Text, b"tick");
        let meta = Meta { channel: CHANNEL, source: 0, offset: self.offset, ts_ms: 0, ingest_ns: 0 };
        self.writer.append(meta, [&frame]).unwrap();
        self.offset += 1;
        self.writer.publish();
    }
}

/// Turns of [`World::turn`] in which every connection has had its turn and its grace at least twice.
const TWO_ROUNDS: u64 = (INTERVAL_MS + INTERVAL_MS / 10 + GRACE_MS) * 2 / 100 + 10;

#[test]
fn a_silent_peer_that_acknowledges_nothing_is_closed() {
    let mut world = World::new();
    let mut peer = world.connect(None);
    peer.stall();
    for _ in 0..TWO_ROUNDS {
        world.turn();
    }
    assert_eq!(world.metrics.closed_by_silence.get(), 1);
    peer.resume();
    let said = peer.read();
    assert!(said.windows(2).any(|bytes| bytes == 1008_u16.to_be_bytes()), "closed with 1008: {said:?}");
}

#[test]
fn a_silent_peer_that_acknowledges_is_kept() {
    let mut world = World::new();
    let mut peers = [world.connect(None), world.connect(Some("ticks"))];
    for _ in 0..TWO_ROUNDS {
        world.turn();
        peers.iter_mut().for_each(|peer| drop(peer.read()));
    }
    assert_eq!(world.metrics.closed_by_silence.get(), 0);
    assert_eq!(world.shard.report().connections, 2);
}

/// Found by the capacity test: under a steady stream a healthy peer's send queue is hardly ever empty.
#[test]
fn a_peer_in_a_steady_stream_is_kept_though_something_is_always_unacknowledged() {
    let mut world = World::new();
    let mut peers: Vec<_> = (0..5).map(|_| world.connect(Some("ticks"))).collect();
    for turn in 0..TWO_ROUNDS {
        world.publish();
        world.turn();
        if turn % 10 == 0 {
            // What came so far is acknowledged, what comes next is not yet.
            for peer in &mut peers {
                peer.resume();
                peer.stall();
            }
        }
    }
    assert_eq!(world.metrics.closed_by_silence.get(), 0);
    assert_eq!(world.shard.report().connections, 5);
}
