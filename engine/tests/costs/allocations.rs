//! A broadcast allocates nothing: a shard on a real ring marks, plans, sends and books for all its subscribers with what it
//! has.

use std::{
    io::Read as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Arc, atomic::AtomicUsize},
};

use engine::{
    catalog::{SharedCatalog, Start},
    clock::Now,
    config::{Keepalive, Limits, Route, Service},
    inbox::{Handover, Reservation, ToShard},
    ingest::{Bus, Record, Taken},
    metrics::{IngestMetrics, ShardMetrics},
    shard::{IngestLink, Settings, Setup, Shard},
};
use proto::{
    channel::Template,
    position::Epoch,
    ws::frame::{OpCode, put_masked},
};
use ring::{KernelRing, Wait, counting::allocations};
use slab::{Sizes, slab};
use sync::Waker;

/// More than two batches of sends.
const SUBSCRIBERS: usize = 250;
const SIZES: Sizes = Sizes {
    bytes: 1 << 20,
    entries: 8_192,
    checkpoint: 1_024,
    large_frame_bytes: 64 << 10,
    blocks_bytes: 1 << 20,
};

struct World {
    shard: Shard<KernelRing>,
    bus: Bus<OwnedFd>,
    metrics: Arc<ShardMetrics>,
    inbox: flume::Sender<ToShard<OwnedFd>>,
    load: Arc<AtomicUsize>,
    peers: Vec<UnixStream>,
    next: i64,
}

impl World {
    fn new() -> Self {
        let (writer, mut readers) = slab(SIZES, 1);
        let (inbox, receiver) = flume::bounded(SUBSCRIBERS);
        let (to_ingest, lookups) = flume::bounded(16);
        let waker = Arc::new(Waker::unset());
        let catalog = SharedCatalog::default();
        let setup = Setup {
            index: 0,
            reader: readers.pop().unwrap(),
            inbox: receiver,
            waker: Arc::clone(&waker),
            load: Arc::default(),
            ingest: IngestLink { inbox: to_ingest, wake: Box::new(|| {}) },
            catalog: Arc::clone(&catalog),
            settings: Settings {
                service: Service::Channels,
                limits: Limits::default(),
                keepalive: Keepalive::WebSocket,
                ping_interval_ms: 600_000,
                ping_grace_ms: 10_000,
                index_entries: SIZES.entries,
                capacity: SUBSCRIBERS,
            },
            metrics: Arc::default(),
            seed: 1,
        };
        let (load, metrics) = (Arc::clone(&setup.load), Arc::clone(&setup.metrics));
        let ring = KernelRing::new(&ring::Setup { descriptors: 512, ..ring::Setup::default() }).unwrap();
        let shard = Shard::new(setup, ring, Now::read());
        let route = Route::new("t", Template::parse("{key}").unwrap());
        let links = vec![(inbox.clone(), waker)];
        let shown = Arc::<IngestMetrics>::default();
        let mut bus = Bus::new(writer, &[route], &Limits::default(), links, lookups, catalog, shown);
        let topic = bus.add_topic("t", Epoch::of("cluster", b"t"));
        assert_eq!(bus.add_partition(topic, Start::At(0)), 0);
        Self { shard, bus, metrics, inbox, load, peers: Vec::new(), next: 0 }
    }

    fn subscribe_all(&mut self) {
        let mut leftover = Vec::new();
        let request = br#"{"type":"subscribe","data":{"channels":["all","other"]}}"#;
        put_masked(&mut leftover, OpCode::Text, request, [1, 2, 3, 4]);
        for id in 0..SUBSCRIBERS as u64 {
            let (ours, peer) = UnixStream::pair().unwrap();
            let reservation = Reservation::take(&self.load, SUBSCRIBERS).unwrap();
            let (descriptor, leftover) = (OwnedFd::from(ours), leftover.clone());
            let handover = Handover { descriptor, leftover, welcome: false, id, peer: None, reservation };
            self.inbox.send(ToShard::Connection(handover)).unwrap();
            self.peers.push(peer);
        }
        while self.metrics.subscriptions.get() < 2 * SUBSCRIBERS as u64 {
            self.bus.answer_lookups();
            self.shard.tick(Now::read, Wait::No).unwrap();
        }
        self.read_all();
    }

    /// Reads whatever has come.
    fn read_all(&self) {
        let mut bytes = [0; 4_096];
        for mut peer in &self.peers {
            peer.set_nonblocking(true).unwrap();
            while peer.read(&mut bytes).is_ok_and(|read| read > 0) {}
        }
    }

    /// Three messages for everybody, on two channels, so that some leave from the slab in place and others gathered. Gives
    /// what the shard allocated.
    fn round(&mut self) -> u64 {
        for key in ["all", "other", "nobody", "all"] {
            let value = Some(&br#"{"price":101.5}"#[..]);
            let record =
                Record { offset: self.next, ts_ms: 0, key: Some(key.as_bytes()), value, headers: &[] };
            assert_eq!(self.bus.accept(0, &record, Now::read().mono_ns), Ok(Taken::Done));
            self.next += 1;
        }
        self.bus.publish();
        let wanted = self.metrics.deliveries.get() + 3 * SUBSCRIBERS as u64;
        let before = allocations();
        while self.metrics.deliveries.get() < wanted {
            self.shard.tick(Now::read, Wait::No).unwrap();
        }
        let allocated = allocations() - before;
        self.read_all();
        allocated
    }
}

#[test]
fn a_broadcast_allocates_nothing() {
    let _turn = crate::turn();
    let mut world = World::new();
    world.subscribe_all();
    let warm: u64 = (0..5).map(|_| world.round()).sum();
    assert!(warm > 0, "nothing is counted");
    let sends = world.metrics.sends.get();
    let allocated: u64 = (0..200).map(|_| world.round()).sum();
    assert_eq!(allocated, 0);
    assert_eq!(
        world.metrics.sends.get() - sends,
        200 * SUBSCRIBERS as u64,
        "one send a connection and round"
    );
    assert_eq!(world.load.load(std::sync::atomic::Ordering::Relaxed), SUBSCRIBERS);
}
