//! The world: shards on fake rings, the bus on the real slab, a source, clients, and a clock, all in one thread.
//!
//! Who sleeps is woken as in life: a shard that said it sleeps is ticked again only when its ring has something for it,
//! when its waker was called, or when its time is up. One that sleeps although it has work has lost a wake.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use engine::{
    catalog::{SharedCatalog, TopicNumber},
    clock::Now,
    config::{Config, Keepalive, Limits, Route, Service},
    health::Health,
    inbox::{Handover, Reservation, ToShard},
    ingest::{self, Ingest, Rest, Watcher},
    metrics::{IngestMetrics, ShardMetrics},
    shard::{Idle, IngestLink, Report, Settings, Setup, Shard},
};
use proto::channel::Template;
use ring::{
    Wait,
    counting::held_bytes,
    fake::{Disturbances, FakeDescriptor, FakeNet, FakeRing},
};
use slab::{Sizes, slab};
use sync::Waker;

use crate::{
    client::Client,
    kafka::{Asker, Kafka, Options, Reader, cluster::VALUE_BYTES_MAX},
    model::{NAME_BYTES_MAX, NAMINGS, Part},
    oracle::{Checker, Wrong},
    rng::{Hash, Rng},
};

/// Everything a world is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) shards: usize,
    /// Connections a shard takes.
    pub(crate) capacity: usize,
    pub(crate) sizes: Sizes,
    pub(crate) kafka: Options,
    pub(crate) limits: Limits,
    pub(crate) ping_interval_ms: u64,
    pub(crate) ping_grace_ms: u64,
    pub(crate) inbox: usize,
    pub(crate) ingest_inbox: usize,
    pub(crate) disturbances: Disturbances,
    /// Buffers of a ring, for received bytes.
    pub(crate) buffers: u16,
    pub(crate) buffer_bytes: u32,
}

impl Plan {
    /// Small sizes and short times; nothing goes wrong by itself.
    pub(crate) fn calm() -> Self {
        Self {
            shards: 1,
            capacity: 64,
            sizes: Sizes {
                bytes: 1 << 20,
                entries: 8_192,
                checkpoint: 1_024,
                large_frame_bytes: 8 << 10,
                blocks_bytes: 1 << 20,
            },
            kafka: Options::PLAIN,
            limits: Limits {
                channels_per_connection: 12,
                channel_name_bytes: NAME_BYTES_MAX,
                record_value_bytes: VALUE_BYTES_MAX,
                ..Limits::default()
            },
            ping_interval_ms: 25_000,
            ping_grace_ms: 10_000,
            inbox: 64,
            ingest_inbox: 64,
            disturbances: Disturbances::NONE,
            buffers: 64,
            buffer_bytes: 512,
        }
    }
}

/// Control output of a connection above its limit at most: the answers to one receive buffer, and a notice for each
/// partition of each channel.
const CONTROL_BURST_BYTES: usize = 16 << 10;

/// When a shard is to be ticked again.
#[derive(Debug, Clone, Copy)]
enum Sleep {
    /// At once.
    No,
    /// When something comes, or at this time.
    Until { wait: Wait, due_ns: u64 },
}

/// A shard and what belongs to it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) shard: Option<Shard<FakeRing>>,
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) load: Arc<AtomicUsize>,
    /// What it still held when it ended.
    pub(crate) report: Option<Report>,
    /// Its thread gets no time before.
    pub(crate) held_until_ns: u64,
    /// Memory that its turns have allocated and not given back.
    pub(crate) held_bytes: i64,
    inbox: flume::Sender<ToShard<FakeDescriptor>>,
    waker: Arc<Waker>,
    /// Messages that found the inbox full.
    outgoing: VecDeque<ToShard<FakeDescriptor>>,
    rest: Sleep,
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) net: FakeNet,
    pub(crate) now_ns: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) kafka: Kafka,
    catalog: SharedCatalog,
    /// Incarnations in the catalog, as last seen.
    adopted: usize,
    pub(crate) ingest: Ingest<Reader, FakeDescriptor>,
    shown: Arc<IngestMetrics>,
    pub(crate) watcher: Watcher<Asker, Asker>,
    pub(crate) health: Arc<Health>,
    /// When the watcher looks next by itself.
    look_ns: u64,
    /// Ingest has had a turn since it looked last: what it found has been taken.
    has_turned: bool,
    pub(crate) clients: Vec<Client>,
    /// A shard has written to ingest.
    asked: Arc<AtomicBool>,
    /// The slab did not take everything.
    pub(crate) full: bool,
    next_client: u64,
    rng: Rng,
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let net = FakeNet::new(rng.next(), plan.disturbances);
        let (mut writer, readers) = slab(plan.sizes, plan.shards);
        let catalog = SharedCatalog::default();
        let (to_ingest, lookups) = flume::bounded(plan.ingest_inbox);
        let asked = Arc::new(AtomicBool::new(false));
        let wakers: Vec<_> = readers.iter().map(|_| Arc::new(Waker::unset())).collect();
        writer.set_wakers(wakers.clone());
        let mut seats = Vec::new();
        let mut links = Vec::new();
        let now = Now { mono_ns: 1_000_000_000, unix_ms: 1_700_000_000_000 };
        for (index, (reader, waker)) in readers.into_iter().zip(wakers).enumerate() {
            let (inbox, receiver) = flume::bounded(plan.inbox);
            links.push((inbox.clone(), Arc::clone(&waker)));
            let flag = Arc::clone(&asked);
            let setup = Setup {
                index,
                reader,
                inbox: receiver,
                waker: Arc::clone(&waker),
                load: Arc::default(),
                ingest: IngestLink {
                    inbox: to_ingest.clone(),
                    wake: Box::new(move || flag.store(true, Ordering::Relaxed)),
                },
                catalog: Arc::clone(&catalog),
                settings: settings(&plan),
                metrics: Arc::default(),
                seed: rng.next(),
            };
            seats.push(Seat::new(setup, net.ring(&ring_setup(&plan)), inbox, now));
        }
        let kafka = Kafka::new(plan.kafka, rng.split());
        let health = Arc::new(Health::new());
        let shown: Arc<IngestMetrics> = Arc::default();
        let mut config = Config::new(([127, 0, 0, 1], 1).into(), kafka::Settings::new("nowhere"), routes());
        config.limits = plan.limits.clone();
        let setup = ingest::Setup {
            config: &config,
            writer,
            links,
            lookups,
            waker: Arc::new(Waker::unset()),
            catalog: Arc::clone(&catalog),
            metrics: Arc::clone(&shown),
            health: Arc::clone(&health),
        };
        let (ingest, watcher) = ingest::over(setup, kafka.reader(), kafka.asker(), kafka.asker());
        let mut world = Self {
            plan,
            net,
            now_ns: now.mono_ns,
            seats,
            kafka,
            catalog,
            adopted: 0,
            ingest,
            shown,
            watcher,
            health,
            look_ns: 0,
            has_turned: true,
            clients: Vec::new(),
            asked,
            full: false,
            next_client: 0,
            rng,
        };
        world.start();
        world
    }

    /// Until clients are let in.
    fn start(&mut self) {
        for _ in 0..100 {
            self.turn_ingest();
            if self.health.is_ready() {
                return;
            }
            self.advance_ms(100);
        }
        panic!("it is never ready");
    }

    fn now(&self) -> Now {
        Now { mono_ns: self.now_ns, unix_ms: 1_700_000_000_000 + self.now_ns / 1_000_000 }
    }

    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.now_ns += ms * 1_000_000;
    }

    /// A client arrives, at this shard, and begins with `first`; `early`: some of it comes along with the upgrade
    /// request. None: the shard is full.
    pub(crate) fn connect(
        &mut self,
        shard: usize,
        welcome: bool,
        early: bool,
        first: impl FnOnce(&mut Client),
    ) -> Option<usize> {
        let reservation = Reservation::take(&self.seats[shard].load, self.plan.capacity)?;
        let (descriptor, peer) = self.net.connect();
        let id = self.next_client;
        self.next_client += 1;
        let limits = &self.plan.limits;
        let mut checker = Checker::new(limits.channels_per_connection, welcome);
        checker.names_limited = limits.empty_channels < 1_000;
        let mut client = Client::new(id, shard, peer, checker, self.rng.split());
        first(&mut client);
        let leftover = if early { client.early_bytes() } else { Vec::new() };
        self.clients.push(client);
        let handover = Handover { descriptor, leftover, welcome, id, peer: None, reservation };
        self.write_to(shard, ToShard::Connection(handover));
        Some(self.clients.len() - 1)
    }

    /// A message for a shard; it waits with its sender while the inbox is full.
    pub(crate) fn write_to(&mut self, shard: usize, message: ToShard<FakeDescriptor>) {
        self.seats[shard].outgoing.push_back(message);
        self.seats[shard].post();
    }

    /// Ticks the shard, if it would run now. True: it did.
    pub(crate) fn tick(&mut self, shard: usize) -> Result<bool, Wrong> {
        let beside = self.rng.chance(50);
        self.turn(shard, beside)
    }

    /// The same, and nobody else does anything.
    pub(crate) fn tick_alone(&mut self, shard: usize) -> Result<bool, Wrong> {
        self.turn(shard, false)
    }

    fn turn(&mut self, shard: usize, beside: bool) -> Result<bool, Wrong> {
        let now = self.now();
        let seat = &mut self.seats[shard];
        if self.rng.chance(900) {
            seat.post();
        }
        let Some(running) = &mut seat.shard else { return Ok(false) };
        if now.mono_ns < seat.held_until_ns {
            return Ok(false);
        }
        let wait = match seat.rest {
            Sleep::No => Wait::No,
            Sleep::Until { wait, due_ns } => {
                let idle = running.ring().is_idle();
                if idle && (running.has_work() || !seat.inbox.is_empty()) {
                    return Err(format!("shard {shard} sleeps and has work: a wake was lost"));
                }
                if idle && now.mono_ns < due_ns {
                    return Ok(false);
                }
                wait
            }
        };
        let before = held_bytes();
        running.tick(|| now, wait).map_err(|error| format!("shard {shard}: {error}"))?;
        seat.held_bytes += held_bytes() - before;
        if beside {
            // Something is published between the shard's turn and its sleep: its waker is called, and it is not asleep
            // yet.
            self.seats[shard].post();
            self.turn_ingest();
        }
        let seat = &mut self.seats[shard];
        let Some(running) = &mut seat.shard else { return Ok(false) };
        match running.idle() {
            Idle::No => seat.rest = Sleep::No,
            Idle::Sleep(wait) => {
                let due_ns = match wait {
                    Wait::No => now.mono_ns,
                    Wait::For(time) => now.mono_ns + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2),
                    Wait::Forever => u64::MAX,
                };
                seat.rest = Sleep::Until { wait, due_ns };
            }
            Idle::Ended => {
                seat.report = Some(running.report());
                seat.shard = None;
            }
        }
        Ok(true)
    }

    /// Lets the consumer fetch, the watcher look if it would, and ingest take a turn. True: something was done.
    pub(crate) fn turn_ingest(&mut self) -> bool {
        self.kafka.get_mut().now_ms = self.now_ns / 1_000_000;
        let fetched = self.kafka.fetch();
        let looks = self.has_turned && (self.watcher.is_asked() || self.now_ns >= self.look_ns);
        if looks {
            self.has_turned = false;
            let goes_on = self.watcher.look();
            assert!(goes_on || self.has_ended(), "nobody has stopped ingest");
            self.look_ns = self.now_ns + u64::try_from(self.watcher.interval().as_nanos()).expect("seconds");
        }
        let asked = self.asked.swap(false, Ordering::Relaxed);
        let rest = self.ingest.turn(self.now_ns);
        assert!(rest != Rest::Ended || self.has_ended(), "nobody has stopped ingest");
        let catalog = self.catalog.load();
        if catalog.topics.len() > self.adopted {
            self.adopted = catalog.topics.len();
            self.kafka.get_mut().model.adopted.extend(catalog.topics.iter().map(|topic| topic.epoch));
        }
        self.full = matches!(rest, Rest::Full(_));
        self.has_turned |= !self.full;
        fetched || looks || asked || rest == Rest::No
    }

    fn has_ended(&self) -> bool {
        self.seats.iter().all(|seat| seat.shard.is_none())
    }

    /// How far ingest is with the partitions of the incarnations it reads.
    pub(crate) fn published(&self) -> BTreeMap<Part, i64> {
        let catalog = self.catalog.load();
        let present = (0..).zip(&catalog.topics).filter(|(_, topic)| !topic.retired);
        let parts = |(number, topic): (TopicNumber, &engine::catalog::Topic)| {
            let parts = (0..).zip(self.ingest.bus().next_offsets(number));
            parts.map(|(partition, next)| ((topic.epoch, partition), next)).collect::<Vec<_>>()
        };
        present.flat_map(parts).collect()
    }

    /// Entries that ingest has appended.
    pub(crate) fn appended(&self) -> u64 {
        self.shown.entries.get()
    }

    /// Gaps of whole topics that ingest has announced.
    pub(crate) fn topic_gaps(&self) -> u64 {
        let shown = &self.shown;
        shown.retention_gaps.get() + shown.reset_gaps.get() + shown.unreadable_gaps.get()
    }

    /// Ingest has all that can be read, and holds nothing back.
    pub(crate) fn is_settled(&self) -> bool {
        let (published, model) = (self.published(), self.kafka.model());
        let is_even = |(part, next): (&Part, &i64)| {
            model.line(*part).and_then(|line| line.read).is_none_or(|read| read.next == *next)
        };
        self.is_read() && published.iter().all(is_even)
    }

    /// Ingest has all that can be read.
    pub(crate) fn is_read(&self) -> bool {
        self.kafka.get().is_read()
    }

    /// What no shard may exceed at any time.
    pub(crate) fn check_bounds(&self) -> Result<(), Wrong> {
        for (index, seat) in self.seats.iter().enumerate() {
            let Some(shard) = &seat.shard else { continue };
            if !shard.is_counted() {
                return Err(format!("shard {index} has lost count of what its connections hold"));
            }
            let report = shard.report();
            let partial_max = self.plan.limits.partial_frame_bytes_per_shard;
            // What a client asked in one buffer is answered before it is read no more.
            let output_max = self.plan.limits.control_output_bytes + CONTROL_BURST_BYTES;
            if report.left_behind > 0
                || report.partial_bytes > partial_max
                || report.client_bytes > self.plan.limits.client_bytes_per_shard
                || report.output_bytes > report.partial_bytes + report.connections * output_max
            {
                return Err(format!("shard {index} holds {report:?}"));
            }
        }
        Ok(())
    }

    /// What is going on; for people.
    pub(crate) fn state(&self) -> String {
        let seats = self.seats.iter().map(|seat| {
            let report = seat.shard.as_ref().map(Shard::report);
            format!("rest {:?}, {} messages, {report:?}", seat.rest, seat.outgoing.len())
        });
        let (full, empty, behind) = (self.full, self.is_read(), self.ingest.bus().behind());
        let seats: Vec<_> = seats.collect();
        format!(
            "full {full}, source empty {empty}, behind {behind:?}, idle {}, {seats:?}",
            self.ingest.is_idle()
        )
    }

    /// What all clients read and how they ended, as one number.
    pub(crate) fn trace(&self) -> Hash {
        let mut trace = Hash::EMPTY;
        for client in &self.clients {
            trace.add_number(client.trace.0);
            trace.add_number(client.last_close.map_or(0, u64::from));
        }
        for seat in &self.seats {
            trace.add_number(seat.metrics.ticks.get());
        }
        trace.add_number(self.now_ns);
        trace
    }
}

impl Seat {
    fn new(
        setup: Setup<FakeDescriptor>,
        ring: FakeRing,
        inbox: flume::Sender<ToShard<FakeDescriptor>>,
        now: Now,
    ) -> Self {
        let (load, metrics) = (Arc::clone(&setup.load), Arc::clone(&setup.metrics));
        let waker = Arc::clone(&setup.waker);
        let shard = Some(Shard::new(setup, ring, now));
        let outgoing = VecDeque::new();
        Self {
            shard,
            metrics,
            load,
            report: None,
            held_until_ns: 0,
            held_bytes: 0,
            inbox,
            waker,
            outgoing,
            rest: Sleep::No,
        }
    }

    fn post(&mut self) {
        while let Some(message) = self.outgoing.pop_front() {
            match self.inbox.try_send(message) {
                Ok(()) => self.waker.wake(),
                Err(flume::TrySendError::Full(message)) => return self.outgoing.push_front(message),
                // It has ended; reservations go back with their messages.
                Err(flume::TrySendError::Disconnected(_)) => {}
            }
        }
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Connections and reservations.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Acquire)
    }
}

fn settings(plan: &Plan) -> Settings {
    Settings {
        service: Service::Channels,
        limits: plan.limits.clone(),
        keepalive: Keepalive::WebSocket,
        ping_interval_ms: plan.ping_interval_ms,
        ping_grace_ms: plan.ping_grace_ms,
        index_entries: plan.sizes.entries,
        capacity: plan.capacity,
    }
}

fn ring_setup(plan: &Plan) -> ring::Setup {
    ring::Setup { buffers: plan.buffers, buffer_bytes: plan.buffer_bytes, ..ring::Setup::default() }
}

fn routes() -> Vec<Route> {
    let route = |naming: &crate::model::Naming| {
        Route::new(naming.topic, Template::parse(naming.template).expect("a valid template"))
    };
    NAMINGS.iter().map(route).collect()
}
