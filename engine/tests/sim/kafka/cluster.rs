//! Topics and brokers, and what can be done to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use proto::position::Epoch;

use super::{
    log::{Body, Kind, Log},
    reader::Client,
};
use crate::{
    model::{Expect, Model, channels_of},
    rng::{Hash, Rng},
};

/// Bytes of a value above which records are replaced by a notice.
pub(crate) const VALUE_BYTES_MAX: usize = 24_000;
/// Most partitions of a topic.
pub(crate) const PARTITIONS_MAX: usize = 4;
/// The topics that routes name.
pub(crate) const TOPICS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

pub(crate) type TopicId = [u8; 16];

/// What kind of cluster it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) brokers: usize,
    /// It has an id (Azure Event Hubs and some proxies have none).
    pub(crate) cluster_id: bool,
    /// Fetches name topics by id: the consumer sees when a topic was made anew.
    pub(crate) new_brokers: bool,
    /// Topics that are there from the beginning; the others may come.
    pub(crate) topics: usize,
    /// Disks spoil batches.
    pub(crate) bad_batches: bool,
}

impl Options {
    /// As most are.
    pub(crate) const PLAIN: Self =
        Self { brokers: 3, cluster_id: true, new_brokers: true, topics: TOPICS.len(), bad_batches: true };
}

/// The present incarnation of a topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) epoch: Epoch,
    pub(crate) partitions: Vec<Log>,
    /// We may look at it, and read it.
    pub(crate) describe: bool,
    pub(crate) read: bool,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) options: Options,
    pub(crate) topics: BTreeMap<&'static str, Topic>,
    pub(crate) up: Vec<bool>,
    pub(crate) id: Option<String>,
    /// Some brokers do not know topic ids yet.
    pub(crate) upgrading: bool,
    pub(crate) model: Model,
    pub(crate) client: Option<Client>,
    /// Topics whose ids have been told.
    pub(crate) told: BTreeSet<String>,
    /// The largest offset that was answered for a partition.
    pub(crate) promised: BTreeMap<(TopicId, u32), i64>,
    /// Things happen while lookups are made.
    pub(crate) is_lively: bool,
    pub(crate) now_ms: u64,
    /// How large values usually are, and how many keys there are.
    value_bytes: usize,
    keys: usize,
    records: i64,
    incarnations: u64,
    /// What happens is shown, for debugging.
    is_shown: bool,
    pub(crate) rng: Rng,
}

impl Cluster {
    pub(crate) fn new(options: Options, mut rng: Rng) -> Self {
        let (value_bytes, keys) = (*rng.pick(&[8, 60, 300, 1_500]), *rng.pick(&[2, 6, 20]));
        let mut cluster = Self {
            options,
            topics: BTreeMap::new(),
            up: vec![true; options.brokers],
            id: options.cluster_id.then(|| "simulation".to_owned()),
            upgrading: false,
            model: Model::new(!options.new_brokers),
            client: None,
            told: BTreeSet::new(),
            promised: BTreeMap::new(),
            is_lively: false,
            now_ms: 0,
            value_bytes,
            keys,
            records: 0,
            incarnations: 0,
            is_shown: std::env::var("SIM_KAFKA").is_ok(),
            rng,
        };
        for name in &TOPICS[..options.topics] {
            let partitions = cluster.rng.between(1, PARTITIONS_MAX);
            let begin = |rng: &mut Rng| *rng.pick(&[0, 0, 17, 1_000_000]);
            let begins: Vec<i64> = (0..partitions).map(|_| begin(&mut cluster.rng)).collect();
            cluster.create(name, &begins);
        }
        cluster
    }

    /// For people, if they want to see it.
    pub(crate) fn show(&self, what: impl FnOnce() -> String) {
        if self.is_shown {
            eprintln!("kafka at {} ms: {}", self.now_ms, what());
        }
    }

    /// Values are of this size, and there are so many keys.
    pub(crate) fn have(&mut self, value_bytes: usize, keys: usize) {
        (self.value_bytes, self.keys) = (value_bytes, keys);
    }

    /// A topic is created; its partitions' next offsets. (One that was there for long does not begin at 0.)
    pub(crate) fn create(&mut self, name: &'static str, begins: &[i64]) {
        self.incarnations += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.incarnations.to_be_bytes());
        let epoch = Epoch::of("", &id);
        self.model.begin_incarnation(name, epoch);
        let topic = Topic { id, epoch, partitions: Vec::new(), describe: true, read: true };
        self.topics.insert(name, topic);
        begins.iter().for_each(|begin| self.add_partition(name, *begin));
        self.show(|| format!("{name} is created, {epoch}, partitions begin at {begins:?}"));
    }

    pub(crate) fn add_partition(&mut self, name: &str, begin: i64) {
        let leader = self.rng.below(self.up.len());
        let Some(topic) = self.topics.get_mut(name) else { return };
        let partition = u32::try_from(topic.partitions.len()).expect("few");
        topic.partitions.push(Log::new(begin, leader));
        self.model.add_part((topic.epoch, partition), begin);
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(crate) fn any_up(&self) -> bool {
        self.up.contains(&true)
    }

    /// A partition whose leader answers.
    pub(crate) fn readable(&self, topic: &str, partition: u32) -> Option<&Log> {
        let log = self.topics.get(topic)?.partitions.get(partition as usize)?;
        log.leader.filter(|leader| self.up[*leader]).map(|_| log)
    }

    /// Produces so many records.
    pub(crate) fn produce(&mut self, records: usize) {
        for _ in 0..records {
            let topic = *self.rng.pick(&TOPICS);
            let key = self.some_key();
            self.produce_one(topic, key);
        }
    }

    /// Produces a record of the topic, if it has a leader.
    pub(crate) fn produce_one(&mut self, topic: &str, key: Option<Vec<u8>>) {
        let Some(partitions) = self.topics.get(topic).map(|topic| topic.partitions.len()) else { return };
        let partition = self.rng.below(partitions);
        self.produce_at(topic, partition, key);
    }

    pub(crate) fn produce_at(&mut self, topic: &str, partition: usize, key: Option<Vec<u8>>) {
        let number = u32::try_from(partition).expect("few");
        let Some(stable) = self.readable(topic, number).map(Log::stable) else { return };
        let body = Rc::new(self.body(key));
        // Compaction and transactions leave holes.
        let hole = if self.rng.chance(50) { self.rng.below(3) } else { 0 };
        let hole = i64::try_from(hole).expect("small");
        let part = (self.topics[topic].epoch, number);
        let Some(log) = self.topics.get_mut(topic).map(|topic| &mut topic.partitions[partition]) else {
            return;
        };
        // While a transaction is open most of what comes is of it.
        let is_open = stable < log.end && self.rng.chance(700);
        let kind = if is_open { Kind::Open(Rc::clone(&body)) } else { Kind::Record(Rc::clone(&body)) };
        let offset = log.append(kind, hole);
        self.model.extend(part, offset + 1);
        if !is_open {
            self.write_down(topic, part.1, offset, &body);
        }
    }

    /// A record of an open transaction.
    pub(crate) fn begin_transaction(&mut self, topic: &str, partition: usize) {
        let key = self.some_key();
        let body = Rc::new(self.body(key));
        let Some(topic) = self.topics.get_mut(topic) else { return };
        let offset = topic.partitions[partition].append(Kind::Open(body), 0);
        self.model.extend((topic.epoch, u32::try_from(partition).expect("few")), offset + 1);
    }

    pub(crate) fn end_transaction(&mut self, name: &str, partition: usize, commit: bool) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let log = &mut topic.partitions[partition];
        let brought = log.end_transaction(commit);
        let (end, number) = (log.end, u32::try_from(partition).expect("few"));
        self.model.extend((topic.epoch, number), end);
        for (offset, body) in brought {
            self.write_down(name, number, offset, &body);
        }
    }

    fn write_down(&mut self, topic: &str, partition: u32, offset: i64, body: &Body) {
        let channels = channels_of(topic, body.key.as_deref());
        let part = (self.topics[topic].epoch, partition);
        self.model.produce(part, offset, &channels, seen_of(body));
    }

    /// An unclean election: a partition loses what it has from `at` on. A place that the consumer was told, or stands at,
    /// without ever having seen a record, and so a leader epoch, is spared: no client of Kafka could tell.
    pub(crate) fn truncate(&mut self, name: &str, partition: usize, at: i64) {
        let number = u32::try_from(partition).expect("few");
        let fetched = self.fetched(name, number);
        let leader = self.rng.below(self.up.len());
        let Some(topic) = self.topics.get_mut(name) else { return };
        let log = &mut topic.partitions[partition];
        let promised = self.promised.get(&(topic.id, number)).copied().unwrap_or(0);
        let spared = match fetched {
            Some((fetched, None)) => fetched.max(promised),
            Some((_, Some(_))) => 0,
            None => promised,
        };
        let at = at.max(log.start).max(spared);
        if at > log.end || log.truncations > 50 {
            return;
        }
        let end = log.end;
        log.truncate(at);
        log.elect(leader);
        self.model.truncate((topic.epoch, number), at);
        self.show(|| format!("{name}.{number} is truncated at {at}, it ended at {end}"));
    }

    pub(crate) fn trim(&mut self, name: &str, partition: usize, start: i64) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let log = &mut topic.partitions[partition];
        // Retention stops at the high watermark.
        log.trim(start.min(log.end));
        let start = log.start;
        self.model.trim((topic.epoch, u32::try_from(partition).expect("few")), start);
        self.show(|| format!("{name}.{partition} begins at {start}"));
    }

    pub(crate) fn some_key(&mut self) -> Option<Vec<u8>> {
        match self.rng.below(60) {
            0 => None,
            1 => Some(vec![0xff, 0xfe]),
            2 => Some(vec![b'x'; 300]),
            3 => Some(Vec::new()),
            _ => Some(key(self.rng.below(self.keys)).into_bytes()),
        }
    }

    /// A record: no two have the same timestamp, so that each is known by what a client sees of it.
    fn body(&mut self, key: Option<Vec<u8>>) -> Body {
        self.records += 1;
        let ts_ms = 1_600_000_000_000 + self.records;
        let number = self.rng.next();
        let value = match self.rng.below(40) {
            0 => None,
            1 => Some(b"{\n  \"n\":\r\n 1\n}".to_vec()),
            2 => Some(format!("no \"JSON\" \n{number}\\").into_bytes()),
            3 => Some(vec![0xff, 0xfe]),
            4 => {
                let large = "l".repeat(self.rng.between(10_000, 20_000));
                Some(format!("[{number},\"{large}\"]").into_bytes())
            }
            5 if self.rng.chance(500) => Some(vec![b'1'; VALUE_BYTES_MAX + 1]),
            _ => {
                let pad = "p".repeat(self.rng.between(0, 2 * self.value_bytes));
                Some(format!("{{\"n\":{number},\"pad\":\"{pad}\"}}").into_bytes())
            }
        };
        Body { ts_ms, key, value }
    }
}

/// What a client is to see of a record.
fn seen_of(body: &Body) -> Expect {
    let mut content = Hash::EMPTY;
    content.add_number(body.ts_ms.cast_unsigned());
    let (data, base64): (Option<Vec<u8>>, bool) = match body.value.as_deref() {
        None => (None, false),
        Some(value) if value.len() > VALUE_BYTES_MAX => return Expect::Oversized,
        Some([0xff, ..]) => (Some(br#""//4=""#.to_vec()), true),
        Some(value) if value.starts_with(b"no ") => {
            let text = String::from_utf8_lossy(value);
            (serde_json::to_vec(&text).ok(), false)
        }
        // Raw newlines become spaces.
        Some(value) => {
            let space = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
            (Some(value.iter().map(space).collect()), false)
        }
    };
    content.add(&[u8::from(base64), u8::from(data.is_some())]);
    content.add(data.as_deref().unwrap_or_default());
    Expect::Message(content)
}

/// The text of the key of this number; some are odd.
pub(crate) fn key(number: usize) -> String {
    match number {
        0 => "k.0 é\"\\".to_owned(),
        1 => "\u{1F600}\u{7}".to_owned(),
        _ => format!("k{number}"),
    }
}
