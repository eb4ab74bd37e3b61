//! The ingest threads of a server, with a stand-in for its shards: readers that look at everything and acknowledge.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::OwnedFd,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use engine::{
    catalog::{Catalog, SharedCatalog},
    clock::Now,
    config::{Config, From, Limits, Route, SlabSizes},
    health::Health,
    inbox::{Answer, ChannelLookup, DataState, Status, ToIngest, ToShard},
    ingest::{self, Setup},
    metrics::IngestMetrics,
};
use flume::{Receiver, Sender};
use proto::{channel::Template, native::reply::GapReason, position};
use serde_json::Value;
use slab::{Gap, NATIVE, NO_CHANNEL, Reader, Sizes, slab};
use sync::Waker;

/// A frame as a subscriber would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `message`, or the reason of a gap.
    pub kind: String,
    pub channel: String,
    pub epoch: String,
    pub partition: u32,
    /// Of the message, or the first one missing.
    pub offset: i64,
    /// The same, or the last one missing.
    pub to: i64,
    pub data: Value,
}

pub struct Options {
    pub from: From,
    pub shards: usize,
    pub slab: SlabSizes,
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        let slab = SlabSizes { bytes: 4 << 20, entries: 8_192, large_frame_bytes: 64 << 10 };
        Self { from: From::Latest, shards: 1, slab, limits: Limits::default() }
    }
}

pub struct IngestThreads {
    pub readers: Vec<Reader>,
    /// Readers that are not looked at.
    pub still: Vec<bool>,
    /// What reader 0 saw.
    pub seen: Vec<Seen>,
    /// Of all topics together.
    pub states: Vec<DataState>,
    /// Of single topics.
    pub statuses: Vec<Status>,
    pub metrics: Arc<IngestMetrics>,
    pub health: Arc<Health>,
    pub catalog: SharedCatalog,
    read: Vec<u64>,
    answers: HashMap<(usize, String), Answer>,
    inboxes: Vec<Receiver<ToShard<OwnedFd>>>,
    to_ingest: Sender<ToIngest>,
    waker: Arc<Waker>,
    threads: Vec<JoinHandle<()>>,
}

pub fn route(topic: &str, template: &str) -> Route {
    Route::new(topic, Template::parse(template).unwrap())
}

fn config(kafka: kafka::Settings, routes: &[Route], options: &Options) -> Config {
    Config {
        shards: options.shards,
        from: options.from,
        limits: options.limits.clone(),
        drain_timeout: Duration::from_secs(10),
        slab: options.slab,
        ..Config::new(([127, 0, 0, 1], 0).into(), kafka, routes.to_vec())
    }
}

impl IngestThreads {
    /// Starts the threads; waits for nothing.
    pub fn start(kafka: kafka::Settings, routes: &[Route], options: &Options) -> Self {
        let config = config(kafka, routes, options);
        let sizes = Sizes {
            bytes: config.slab.bytes,
            entries: config.slab.entries,
            checkpoint: 1_024,
            large_frame_bytes: config.slab.large_frame_bytes,
            blocks_bytes: config.limits.large_frame_bytes,
        };
        let (writer, readers) = slab(sizes, options.shards);
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..options.shards).map(|_| flume::bounded(64)).unzip();
        let links = senders.into_iter().map(|inbox| (inbox, Arc::new(Waker::unset()))).collect();
        let (to_ingest, lookups) = flume::bounded(64);
        let waker = Arc::new(Waker::unset());
        let catalog: SharedCatalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
        let (metrics, health) = (Arc::new(IngestMetrics::default()), Arc::new(Health::new()));
        let setup = Setup {
            config: &config,
            writer,
            links,
            lookups,
            waker: Arc::clone(&waker),
            catalog: Arc::clone(&catalog),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
        };
        let (ingest, watcher) = ingest::new(setup).unwrap();
        let threads = vec![std::thread::spawn(|| ingest.run()), std::thread::spawn(|| watcher.run())];
        Self {
            still: vec![false; readers.len()],
            read: vec![0; readers.len()],
            readers,
            seen: Vec::new(),
            states: Vec::new(),
            statuses: Vec::new(),
            metrics,
            health,
            catalog,
            answers: HashMap::new(),
            inboxes,
            to_ingest,
            waker,
            threads,
        }
    }

    /// The same, and waits until it is ready.
    pub fn ready(kafka: kafka::Settings, routes: &[Route], options: &Options) -> Self {
        let mut threads = Self::start(kafka, routes, options);
        threads.until("ready", |threads| threads.health.is_ready());
        threads
    }

    /// Looks at what is there, then sleeps a little.
    pub fn look(&mut self) {
        for number in 0..self.readers.len() {
            if !self.still[number] {
                self.look_with(number);
            }
        }
        for number in 0..self.inboxes.len() {
            let pause = Duration::from_millis(if number == 0 { 2 } else { 0 });
            let mut message = self.inboxes[number].recv_timeout(pause).ok();
            while let Some(present) = message {
                match present {
                    ToShard::Channel(answer) => {
                        self.answers.insert((number, answer.name.to_string()), answer);
                    }
                    ToShard::Status(status) if number == 0 && status.topic.is_none() => {
                        self.states.push(status.state);
                    }
                    ToShard::Status(status) if number == 0 => self.statuses.push(status),
                    ToShard::Status(_) => {}
                    other @ (ToShard::Connection(_)
                    | ToShard::Explain(_)
                    | ToShard::Drain { .. }
                    | ToShard::Stop) => {
                        panic!("not ingest's: {other:?}")
                    }
                }
                message = self.inboxes[number].try_recv().ok();
            }
        }
    }

    fn look_with(&mut self, number: usize) {
        let reader = &mut self.readers[number];
        // The floor first: it is never above a tail that is read after it.
        let floor = reader.asked_floor();
        let tail = reader.tail();
        for sequence in self.read[number]..tail {
            let entry = reader.entry(sequence);
            if number != 0 {
                continue;
            }
            if let Some(gap) = entry.gap() {
                self.seen.push(seen_gap(gap, &self.catalog.load()));
            } else if entry.channel != NO_CHANNEL {
                self.seen.push(seen(reader.bytes(sequence, NATIVE).bytes()));
            }
        }
        self.read[number] = tail;
        if reader.floor() < floor {
            reader.acknowledge(floor);
        }
    }

    /// Looks until it is so; panics after a generous while.
    pub fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        self.within(Duration::from_secs(60), what, so);
    }

    /// The same with a bound of its own. How long it took.
    pub fn within(&mut self, bound: Duration, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let began_ns = Now::read().mono_ns;
        loop {
            self.look();
            let spent = Duration::from_nanos(Now::read().mono_ns - began_ns);
            if so(self) {
                return spent;
            }
            assert!(
                spent < bound,
                "{what}: not within {bound:?}; {} seen, the last {:?}, states {:?}, health {:?}, {:?}",
                self.seen.len(),
                self.seen.last(),
                self.states,
                self.health.snapshot(),
                self.metrics.list().iter().map(|(name, _, _, value)| (*name, *value)).collect::<Vec<_>>(),
            );
        }
    }

    /// Looks for a while.
    pub fn look_for(&mut self, time: Duration) {
        let began_ns = Now::read().mono_ns;
        while Duration::from_nanos(Now::read().mono_ns - began_ns) < time {
            self.look();
        }
    }

    /// Asks for a channel's number, as a shard does, and waits for the answer. How long that took.
    pub fn hold(&mut self, shard: usize, name: &str) -> (Answer, Duration) {
        self.to_ingest
            .send(ToIngest::Lookup(ChannelLookup { shard, name: name.into(), modest: true }))
            .unwrap();
        self.waker.wake();
        let key = (shard, name.to_owned());
        let spent =
            self.within(Duration::from_secs(5), "an answer", |threads| threads.answers.contains_key(&key));
        (self.answers.remove(&key).unwrap(), spent)
    }

    /// Offsets of the messages seen, by channel and partition, in their order.
    pub fn offsets(&self) -> BTreeMap<(String, u32), Vec<i64>> {
        let mut offsets: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| seen.kind == "message") {
            offsets.entry((seen.channel.clone(), seen.partition)).or_default().push(seen.offset);
        }
        offsets
    }

    pub fn messages(&self) -> usize {
        self.seen.iter().filter(|seen| seen.kind == "message").count()
    }

    pub fn gaps(&self) -> Vec<Seen> {
        self.seen.iter().filter(|seen| seen.kind != "message").cloned().collect()
    }

    /// Words of the present reasons.
    pub fn reasons(&self) -> Vec<String> {
        self.health.snapshot().reasons.iter().map(|(reason, _)| reason.to_string()).collect()
    }

    /// Ends the threads as a server does, and waits for them.
    pub fn stop(mut self) -> Self {
        self.to_ingest.send(ToIngest::Stop).unwrap();
        self.waker.wake();
        for thread in std::mem::take(&mut self.threads) {
            thread.join().unwrap();
        }
        self
    }
}

fn seen(frame: &[u8]) -> Seen {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let json: Value = serde_json::from_slice(&frame[header..]).unwrap();
    let text = |field: &str| json[field].as_str().unwrap().to_owned();
    let position = |field: &str| match position::parse(&text(field)) {
        Ok(position::AnyPosition::Record(position)) => position,
        other => panic!("{field} is {other:?}"),
    };
    let (kind, from, to) = match json["type"].as_str().unwrap() {
        "message" => ("message".to_owned(), position("pos"), position("pos")),
        "gap" => (text("reason"), position("from"), position("to")),
        other => panic!("a frame of type {other}"),
    };
    Seen {
        kind,
        channel: text("channel"),
        epoch: from.epoch.to_string(),
        partition: from.partition,
        offset: from.offset,
        to: to.offset,
        data: json["data"].clone(),
    }
}

/// What a gap of a whole topic means to every channel: `*`.
fn seen_gap(gap: Gap, catalog: &Catalog) -> Seen {
    let (from, to) = (catalog.position(gap.source, gap.from), catalog.position(gap.source, gap.to));
    Seen {
        kind: GapReason::from_code(gap.reason).unwrap().as_str().to_owned(),
        channel: "*".to_owned(),
        epoch: from.epoch.to_string(),
        partition: from.partition,
        offset: from.offset,
        to: to.offset,
        data: Value::Null,
    }
}

/// A producer that waits until everything is delivered.
pub struct Feed {
    producer: kafka::Producer,
    targets: HashMap<String, kafka::Target>,
}

impl Feed {
    pub fn new(settings: &kafka::Settings) -> Self {
        let options = kafka::ProducerOptions { idempotent: true, linger_ms: 1 };
        Self { producer: kafka::Producer::new(settings, &options).unwrap(), targets: HashMap::new() }
    }

    /// Queues a record; waits for room.
    pub fn queue(&mut self, topic: &str, record: &kafka::NewRecord<'_>) {
        let producer = &self.producer;
        let target = self.targets.entry(topic.to_owned()).or_insert_with(|| producer.target(topic).unwrap());
        while let Err(error) = producer.send(target, record) {
            assert_eq!(error, kafka::SendError::Full);
            let _ = producer.flush(Duration::from_millis(100));
        }
    }

    /// Waits for everything queued.
    pub fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
        assert_eq!(self.producer.counts().failed, 0, "{:?}", self.producer.last_error());
    }

    /// `count` records with the numbers from `first` as values.
    pub fn send(&mut self, topic: &str, partition: u32, key: &str, first: i64, count: i64) {
        for number in first..first + count {
            let value = number.to_string();
            self.queue(
                topic,
                &kafka::NewRecord {
                    partition: Some(partition),
                    key: Some(key.as_bytes()),
                    value: Some(value.as_bytes()),
                    ..kafka::NewRecord::default()
                },
            );
        }
        self.flush();
    }
}
