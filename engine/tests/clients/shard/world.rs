//! Shards with the slab's writer in the test's hands.

use std::sync::{Arc, atomic::AtomicUsize};

use engine::{
    catalog::SharedCatalog,
    clock::Now,
    config::{Keepalive, Limits, Service},
    inbox::{Answer, Grant, Handover, Reservation, ToIngest, ToShard},
    metrics::ShardMetrics,
    shard::{IngestLink, Settings, Setup, Shard},
};
use proto::ws::frame::{OpCode, put_frame, put_masked};
use ring::{
    Wait,
    fake::{Disturbances, FakeDescriptor, FakeNet, FakePeer, FakeRing},
};
use slab::{Full, Meta, Reader, Sizes, Writer, slab};
use sync::Waker;

/// The only channel, whatever its name.
const CHANNEL: u32 = 3;
/// Connections a shard takes.
const CAPACITY: usize = 10;

/// What a world differs in.
pub(crate) struct Plan {
    pub(crate) shards: usize,
    pub(crate) service: Service,
    pub(crate) limits: Limits,
    pub(crate) sizes: Sizes,
    pub(crate) ping_interval_ms: u64,
    pub(crate) ping_grace_ms: u64,
    pub(crate) disturbances: Disturbances,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            shards: 1,
            service: Service::Channels,
            limits: Limits::default(),
            sizes: Sizes {
                bytes: 1 << 20,
                entries: 8_192,
                checkpoint: 1_024,
                large_frame_bytes: 64 << 10,
                blocks_bytes: 1 << 20,
            },
            ping_interval_ms: 25_000,
            ping_grace_ms: 10_000,
            disturbances: Disturbances::NONE,
        }
    }
}

/// A shard and what belongs to it.
pub(crate) struct Seat {
    pub(crate) shard: Shard<FakeRing>,
    pub(crate) metrics: Arc<ShardMetrics>,
    inbox: flume::Sender<ToShard<FakeDescriptor>>,
    load: Arc<AtomicUsize>,
}

pub(crate) struct World {
    pub(crate) seats: Vec<Seat>,
    net: FakeNet,
    writer: Writer,
    asked: flume::Receiver<ToIngest>,
    now: Now,
    offset: i64,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (mut writer, readers) = slab(plan.sizes, plan.shards);
        let (to_ingest, asked) = flume::bounded(16);
        let net = FakeNet::new(1, plan.disturbances);
        let now = Now { mono_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 };
        let wakers: Vec<_> = readers.iter().map(|_| Arc::new(Waker::unset())).collect();
        writer.set_wakers(wakers.clone());
        let seat = |(index, (reader, waker))| seat(plan, &net, index, reader, waker, to_ingest.clone(), now);
        let seats = readers.into_iter().zip(wakers).enumerate().map(seat).collect();
        Self { seats, net, writer, asked, now, offset: 0 }
    }

    /// So many turns of every shard, a millisecond apart.
    pub(crate) fn turns(&mut self, turns: usize) {
        (0..turns).for_each(|_| self.turn_after(1));
    }

    /// A turn of every shard, so long after the last.
    pub(crate) fn turn_after(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        let now = self.now;
        self.seats.iter_mut().for_each(|seat| seat.shard.tick(|| now, Wait::No).unwrap());
    }

    /// A client of the first shard, which wants a welcome.
    pub(crate) fn connect(&mut self) -> FakePeer {
        let peer = self.arrive(0, true);
        self.turns(3);
        peer
    }

    /// A client of this shard that holds the channel.
    pub(crate) fn subscriber(&mut self, shard: usize) -> FakePeer {
        let mut peer = self.arrive(shard, false);
        peer.write(&sent(OpCode::Text, br#"{"type":"subscribe","data":{"channels":["ticks"]}}"#));
        self.turns(3);
        for lookup in self.asked.drain() {
            let ToIngest::Lookup(lookup) = lookup else { continue };
            let outcome = Ok(Grant { channel: CHANNEL, topics: Arc::new([]) });
            let answer = ToShard::Channel(Answer { name: lookup.name, outcome });
            self.seats[lookup.shard].inbox.send(answer).unwrap();
        }
        self.turns(3);
        assert!(String::from_utf8_lossy(&peer.read()).contains("subscription_ack"));
        peer
    }

    fn arrive(&self, shard: usize, welcome: bool) -> FakePeer {
        let (descriptor, peer) = self.net.connect();
        let seat = &self.seats[shard];
        let reservation = Reservation::take(&seat.load, CAPACITY).unwrap();
        let handover = Handover { descriptor, leftover: Vec::new(), welcome, id: 1, peer: None, reservation };
        seat.inbox.send(ToShard::Connection(handover)).unwrap();
        peer
    }

    /// Publishes a message of so many bytes.
    pub(crate) fn publish(&mut self, bytes: usize) -> Result<(), Full> {
        let frame = expected(OpCode::Text, &vec![b'x'; bytes]);
        let meta = Meta { channel: CHANNEL, source: 0, offset: self.offset, ts_ms: 0, ingest_ns: 0 };
        self.writer.append(meta, [&frame])?;
        self.offset += 1;
        self.writer.publish();
        Ok(())
    }
}

fn seat(
    plan: &Plan,
    net: &FakeNet,
    index: usize,
    reader: Reader,
    waker: Arc<Waker>,
    to_ingest: flume::Sender<ToIngest>,
    now: Now,
) -> Seat {
    let (inbox, receiver) = flume::bounded(16);
    let setup = Setup {
        index,
        reader,
        inbox: receiver,
        waker,
        load: Arc::default(),
        ingest: IngestLink { inbox: to_ingest, wake: Box::new(|| {}) },
        catalog: SharedCatalog::default(),
        settings: Settings {
            service: plan.service,
            limits: plan.limits.clone(),
            keepalive: Keepalive::WebSocket,
            ping_interval_ms: plan.ping_interval_ms,
            ping_grace_ms: plan.ping_grace_ms,
            index_entries: plan.sizes.entries,
            capacity: CAPACITY,
        },
        metrics: Arc::default(),
        seed: 1,
    };
    let (load, metrics) = (Arc::clone(&setup.load), Arc::clone(&setup.metrics));
    Seat { shard: Shard::new(setup, net.ring(&ring::Setup::default()), now), metrics, inbox, load }
}

/// A frame as a client sends it.
pub(crate) fn sent(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_masked(&mut frame, opcode, payload, [9, 8, 7, 6]);
    frame
}

/// A frame as a client receives it.
pub(crate) fn expected(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(&mut frame, opcode, payload);
    frame
}
