//! A shard with its bus, and clients of which every byte is read as a client reads it.

use std::sync::{Arc, atomic::AtomicUsize};

use engine::{
    catalog::{SharedCatalog, Start},
    clock::Now,
    config::{Keepalive, Limits, Route, Service},
    inbox::{DataState, ExplainChannels, Handover, Reservation, ShardFacts, ToShard},
    ingest::{Bus, Record, Taken},
    metrics::{IngestMetrics, ShardMetrics},
    shard::{IngestLink, Settings, Setup, Shard},
};
use proto::{
    channel::Template,
    position::Epoch,
    ws::{
        decoder::{self, Decoder, Event},
        frame::{OpCode, put_masked},
    },
};
use ring::{
    Wait,
    fake::{Disturbances, FakeDescriptor, FakeNet, FakePeer, FakeRing},
};
use serde_json::Value;
use slab::{Sizes, slab};
use sync::Waker;

/// What a world differs in.
pub struct Plan {
    pub limits: Limits,
    pub keepalive: Keepalive,
    pub sizes: Sizes,
    /// Messages that ingest's inbox holds.
    pub ingest_inbox: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let sizes = Sizes {
            bytes: 1 << 20,
            entries: 8_192,
            checkpoint: 1_024,
            large_frame_bytes: 64 << 10,
            blocks_bytes: 1 << 20,
        };
        Self { limits: Limits::default(), keepalive: Keepalive::WebSocket, sizes, ingest_inbox: 64 }
    }
}

impl Plan {
    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut plan = Self::default();
        change(&mut plan.limits);
        plan
    }
}

pub const PING_INTERVAL_MS: u64 = 25_000;
pub const PING_GRACE_MS: u64 = 10_000;

/// One topic, `t`, of one partition, whose records go to `KEY.trade`.
pub struct World {
    pub shard: Shard<FakeRing>,
    pub bus: Bus<FakeDescriptor>,
    pub metrics: Arc<ShardMetrics>,
    pub ingest: Arc<IngestMetrics>,
    pub load: Arc<AtomicUsize>,
    /// Ingest looks at its inbox.
    pub answers: bool,
    net: FakeNet,
    inbox: flume::Sender<ToShard<FakeDescriptor>>,
    now: Now,
    /// Offset of the next record.
    pub next: i64,
    /// Subscriptions that came to lag in one turn, at most.
    pub lagged_in_a_turn: u64,
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        let (mut writer, mut readers) = slab(plan.sizes, 1);
        let (inbox, receiver) = flume::bounded(64);
        let (to_ingest, lookups) = flume::bounded(plan.ingest_inbox);
        let waker = Arc::new(Waker::unset());
        writer.set_wakers(vec![Arc::clone(&waker)]);
        let catalog = SharedCatalog::default();
        let net = FakeNet::new(1, Disturbances::NONE);
        let now = Now { mono_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 };
        let settings = Settings {
            service: Service::Channels,
            limits: plan.limits.clone(),
            keepalive: plan.keepalive,
            ping_interval_ms: PING_INTERVAL_MS,
            ping_grace_ms: PING_GRACE_MS,
            index_entries: plan.sizes.entries,
            capacity: 64,
        };
        let setup = Setup {
            index: 0,
            reader: readers.pop().unwrap(),
            inbox: receiver,
            waker: Arc::clone(&waker),
            load: Arc::default(),
            ingest: IngestLink { inbox: to_ingest, wake: Box::new(|| {}) },
            catalog: Arc::clone(&catalog),
            settings,
            metrics: Arc::default(),
            seed: 7,
        };
        let (load, metrics) = (Arc::clone(&setup.load), Arc::clone(&setup.metrics));
        let shard = Shard::new(setup, net.ring(&ring::Setup::default()), now);
        let route = Route::new("t", Template::parse("{key}.trade").unwrap());
        let ingest = Arc::<IngestMetrics>::default();
        let links = vec![(inbox.clone(), waker)];
        let mut bus = Bus::new(writer, &[route], &plan.limits, links, lookups, catalog, Arc::clone(&ingest));
        let topic = bus.add_topic("t", epoch());
        assert_eq!(bus.add_partition(topic, Start::At(0)), 0);
        Self {
            shard,
            bus,
            metrics,
            ingest,
            load,
            answers: true,
            net,
            inbox,
            now,
            next: 0,
            lagged_in_a_turn: 0,
        }
    }

    /// A millisecond passes, and everybody has a turn.
    pub fn turn(&mut self) {
        self.turn_after(1);
    }

    pub fn turns(&mut self, turns: usize) {
        (0..turns).for_each(|_| self.turn());
    }

    fn turn_after(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        self.now.unix_ms += ms;
        if self.answers {
            assert!(self.bus.answer_lookups());
        }
        let _full = self.bus.turn(self.now.mono_ns);
        self.bus.publish();
        self.shard_turn();
    }

    /// The shard alone has a turn, in no time.
    pub fn shard_turn(&mut self) {
        let (now, before) = (self.now, self.metrics.lagged.get());
        self.shard.tick(|| now, Wait::No).unwrap();
        self.lagged_in_a_turn = self.lagged_in_a_turn.max(self.metrics.lagged.get() - before);
    }

    /// So much time passes, a tenth of a second at a time; `each` is what the clients do meanwhile.
    pub fn pass(&mut self, ms: u64, mut each: impl FnMut(&mut Self)) {
        for _ in 0..ms.div_ceil(100) {
            self.turn_after(100);
            self.turn();
            each(self);
        }
    }

    /// Ingest reads a record. It is taken, sooner or later.
    pub fn produce(&mut self, key: Option<&str>, value: &str) {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        let record = Record { offset: self.next, ts_ms: 5, key, value, headers: &[] };
        for _ in 0..10_000 {
            match self.bus.accept(0, &record, self.now.mono_ns) {
                Ok(taken) => {
                    assert_eq!(taken, Taken::Done);
                    self.next += 1;
                    return;
                }
                Err(_full) => self.turn(),
            }
        }
        panic!("ingest waits for a client: {:?}", self.shard.report());
    }

    /// So many clients, each subscribed to `c0.trade` to `c499.trade` and told so, that read nothing from now on.
    pub fn crowd_that_reads_nothing(&mut self, clients: usize) -> Vec<Client> {
        let names: Vec<String> = (0..500).map(|number| format!("c{number}.trade")).collect();
        let mut crowd: Vec<Client> = (0..clients).map(|_| self.connect()).collect();
        for client in &mut crowd {
            for names in names.chunks(250) {
                client.subscribe(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        self.turns(20);
        for client in &mut crowd {
            assert_eq!(client.objects().len(), 2);
            client.peer.set_window(0);
        }
        crowd
    }

    /// A client that holds nothing, without a welcome.
    pub fn connect(&mut self) -> Client {
        let (descriptor, peer) = self.net.connect();
        let reservation = Reservation::take(&self.load, 64).unwrap();
        let handover =
            Handover { descriptor, leftover: Vec::new(), welcome: false, id: 1, peer: None, reservation };
        self.inbox.send(ToShard::Connection(handover)).unwrap();
        self.turn();
        Client { peer, close_text: String::new(), decoder: Decoder::client() }
    }

    /// A client that holds these channels.
    pub fn subscriber(&mut self, channels: &[&str]) -> Client {
        let mut client = self.connect();
        client.subscribe(1, channels);
        self.turns(3);
        let heard = client.heard();
        assert!(matches!(&heard[..], [Heard::Json(ack)] if ack["count"] == channels.len()), "{heard:?}");
        client
    }

    /// What the shard answers when it is asked about channels.
    pub fn explain(&mut self, channels: &[&str]) -> ShardFacts {
        let (reply, answer) = flume::bounded(1);
        let channels = channels.iter().map(|name| Arc::from(*name)).collect();
        self.inbox.send(ToShard::Explain(ExplainChannels { channels, reply })).unwrap();
        self.turn();
        answer.try_recv().unwrap()
    }

    pub fn tell(&mut self, state: DataState) {
        self.bus.state(state);
        self.turns(2);
    }
}

pub fn epoch() -> Epoch {
    Epoch::of("cluster", b"t")
}

/// A client's position in the one partition.
pub fn pos(offset: i64) -> String {
    format!("{}.0.{offset}", epoch())
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Json(Value),
    Ping,
    Pong(Vec<u8>),
    Close(u16),
}

pub struct Client {
    pub peer: FakePeer,
    /// The text of the close frame that came.
    pub close_text: String,
    decoder: Decoder,
}

impl Client {
    pub fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let mut frame = Vec::new();
        put_masked(&mut frame, opcode, payload, [9, 8, 7, 6]);
        self.peer.write(&frame);
    }

    pub fn text(&mut self, text: &str) {
        self.put(OpCode::Text, text.as_bytes());
    }

    pub fn subscribe(&mut self, id: i64, channels: &[&str]) {
        let request = serde_json::json!({"type": "subscribe", "id": id, "data": {"channels": channels}});
        self.text(&request.to_string());
    }

    pub fn heartbeat(&mut self, id: i64) {
        self.text(&format!(r#"{{"type":"heartbeat","id":{id}}}"#));
    }

    /// Everything that has come since the last look.
    pub fn heard(&mut self) -> Vec<Heard> {
        self.heard_of(usize::MAX)
    }

    /// The same, of so many bytes of it.
    pub fn heard_of(&mut self, bytes: usize) -> Vec<Heard> {
        let mut bytes = self.peer.read_up_to(bytes);
        let mut input = &mut bytes[..];
        let mut heard = Vec::new();
        let limits = decoder::Limits { frame_bytes_max: 1 << 22, message_bytes_max: 1 << 22 };
        while let Some(event) = self.decoder.next(&mut input, &limits).unwrap() {
            match event {
                Event::Text(text) => {
                    assert!(!text.contains('\n'), "{text}");
                    heard.push(Heard::Json(serde_json::from_str(text).unwrap()));
                }
                Event::Ping(_) => heard.push(Heard::Ping),
                Event::Pong(payload) => heard.push(Heard::Pong(payload.to_vec())),
                Event::Fragment => unreachable!("told to servers only"),
                Event::Close(close) => {
                    let (code, text) = close.unwrap();
                    text.clone_into(&mut self.close_text);
                    heard.push(Heard::Close(code));
                }
                Event::Binary(_) => panic!("nobody asked for binary"),
            }
        }
        heard
    }

    /// Only JSON has come.
    pub fn objects(&mut self) -> Vec<Value> {
        let object = |heard| match heard {
            Heard::Json(object) => object,
            Heard::Ping | Heard::Pong(_) | Heard::Close(_) => panic!("{heard:?}"),
        };
        self.heard().into_iter().map(object).collect()
    }

    /// Only this has come.
    pub fn object(&mut self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{objects:?}");
        objects.remove(0)
    }

    /// Offsets of the messages that have come, and nothing else has.
    pub fn offsets(&mut self) -> Vec<i64> {
        self.objects().iter().map(offset).collect()
    }
}

/// Offset of a message.
pub fn offset(message: &Value) -> i64 {
    assert_eq!(message["type"], "message", "{message}");
    message["pos"].as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap()
}
