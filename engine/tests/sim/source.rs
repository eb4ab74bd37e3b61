//! A Kafka of our own: topics with lives, partitions, records of every kind, and losses; it drives the real bus.

use std::collections::VecDeque;

use engine::{
    catalog::{SourceNumber, Start, TopicNumber},
    ingest::{Bounds, Bus, Record, Taken},
    slab::Full,
};
use proto::{native::reply::GapReason, position::Epoch};
use ring::fake::FakeDescriptor;

use crate::{
    model::{Expect, Lost, Model, Part, channels_of},
    rng::{Hash, Rng},
};

/// Bytes of a value above which records are replaced by a notice.
pub(crate) const VALUE_BYTES_MAX: usize = 24_000;
/// Most partitions of a topic.
const PARTITIONS_MAX: usize = 4;

/// One partition.
#[derive(Debug)]
struct Partition {
    source: SourceNumber,
    part: Part,
    next: i64,
}

/// The present life of a topic.
#[derive(Debug)]
struct Topic {
    name: &'static str,
    number: TopicNumber,
    partitions: Vec<Partition>,
}

/// A record on its way into the bus.
#[derive(Debug)]
struct Waiting {
    topic: usize,
    partition: usize,
    offset: i64,
    ts_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// All topics.
#[derive(Debug)]
pub(crate) struct Source {
    topics: Vec<Topic>,
    waiting: VecDeque<Waiting>,
    /// The first that waits has been refused.
    refused: bool,
    lives: u64,
    /// How large values usually are.
    pub(crate) value_bytes: usize,
    pub(crate) keys: usize,
    rng: Rng,
}

impl Source {
    /// Topics with a partition or more each.
    pub(crate) fn new(bus: &mut Bus<FakeDescriptor>, model: &mut Model, mut rng: Rng) -> Self {
        let value_bytes = *rng.pick(&[8, 60, 300, 1_500]);
        let keys = *rng.pick(&[2, 6, 20]);
        let mut source = Self {
            topics: Vec::new(),
            waiting: VecDeque::new(),
            refused: false,
            lives: 0,
            value_bytes,
            keys,
            rng,
        };
        for name in ["alpha", "beta", "gamma", "delta"] {
            let partitions = source.rng.between(1, PARTITIONS_MAX);
            let topic = source.begin_life(name, partitions, bus, model);
            source.topics.push(topic);
        }
        source
    }

    fn begin_life(
        &mut self,
        name: &'static str,
        partitions: usize,
        bus: &mut Bus<FakeDescriptor>,
        model: &mut Model,
    ) -> Topic {
        self.lives += 1;
        let epoch = Epoch::of("simulation", &self.lives.to_le_bytes());
        model.begin_life(name, epoch);
        let number = bus.add_topic(name, epoch);
        let mut topic = Topic { name, number, partitions: Vec::new() };
        for _ in 0..partitions {
            let next = *self.rng.pick(&[0, 0, 17, 1_000_000]);
            Self::add_partition(&mut topic, epoch, next, bus, model);
        }
        topic
    }

    fn add_partition(
        topic: &mut Topic,
        epoch: Epoch,
        next: i64,
        bus: &mut Bus<FakeDescriptor>,
        model: &mut Model,
    ) {
        let partition = u32::try_from(topic.partitions.len()).expect("few");
        let source = bus.add_source(topic.number, partition, Start::At(next));
        let part = (epoch, partition, 0);
        model.add_part(part, next);
        topic.partitions.push(Partition { source, part, next });
    }

    /// Produces so many records.
    pub(crate) fn produce(&mut self, records: usize, ts_ms: i64, model: &mut Model) {
        for _ in 0..records {
            let topic = self.rng.below(self.topics.len());
            let key = self.key();
            self.produce_one(topic, key, ts_ms, model);
        }
    }

    /// Produces a record of the topic of this number.
    pub(crate) fn produce_one(&mut self, topic: usize, key: Option<Vec<u8>>, ts_ms: i64, model: &mut Model) {
        let partition = self.rng.below(self.topics[topic].partitions.len());
        let (value, expect) = self.value(ts_ms);
        let topic_name = self.topics[topic].name;
        let at = &mut self.topics[topic].partitions[partition];
        // Compaction and transactions leave holes.
        let hole = if self.rng.chance(50) { self.rng.below(3) } else { 0 };
        let offset = at.next + i64::try_from(hole).expect("small");
        at.next = offset + 1;
        model.produce(at.part, offset, &channels_of(topic_name, key.as_deref()), expect);
        self.waiting.push_back(Waiting { topic, partition, offset, ts_ms, key, value });
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        match self.rng.below(60) {
            0 => None,
            1 => Some(vec![0xff, 0xfe]),
            2 => Some(vec![b'x'; 300]),
            3 => Some(Vec::new()),
            _ => Some(key(self.rng.below(self.keys)).into_bytes()),
        }
    }

    /// A value, and what is to be seen of it.
    fn value(&mut self, ts_ms: i64) -> (Option<Vec<u8>>, Expect) {
        let number = self.rng.next();
        let pad = "p".repeat(self.rng.between(0, 2 * self.value_bytes));
        let (value, data, base64) = match self.rng.below(40) {
            0 => (None, None, false),
            1 => (Some(b"{\n  \"n\":\r\n 1\n}".to_vec()), Some(br#"{   "n":   1 }"#.to_vec()), false),
            2 => {
                let text = format!("no \"JSON\" \n{number}\\");
                let data = serde_json::to_string(&text).expect("text is JSON").into_bytes();
                (Some(text.into_bytes()), Some(data), false)
            }
            3 => (Some(vec![0xff, 0xfe]), Some(br#""//4=""#.to_vec()), true),
            4 => {
                let large = format!("[{number},\"{}\"]", "l".repeat(self.rng.between(10_000, 20_000)));
                (Some(large.clone().into_bytes()), Some(large.into_bytes()), false)
            }
            5 if self.rng.chance(500) => {
                return (Some(vec![b'1'; VALUE_BYTES_MAX + 1]), Expect::Oversized);
            }
            _ => {
                let value = format!("{{\"n\":{number},\"pad\":\"{pad}\"}}").into_bytes();
                (Some(value.clone()), Some(value), false)
            }
        };
        let mut content = Hash::EMPTY;
        content.add_number(ts_ms.cast_unsigned());
        content.add(&[u8::from(base64), u8::from(data.is_some())]);
        content.add(data.as_deref().unwrap_or_default());
        (value, Expect::Message(content))
    }

    /// Hands what waits to the bus, as far as the slab takes it.
    pub(crate) fn hand_over(&mut self, bus: &mut Bus<FakeDescriptor>, now_ns: u64) -> Result<(), Full> {
        // A record that the slab did not take comes again before anything else, as it does in the ingest thread.
        if !std::mem::take(&mut self.refused) {
            bus.turn(now_ns)?;
        }
        while let Some(waiting) = self.waiting.front() {
            let record = Record {
                offset: waiting.offset,
                ts_ms: waiting.ts_ms,
                key: waiting.key.as_deref(),
                value: waiting.value.as_deref(),
                headers: &[],
            };
            let source = self.topics[waiting.topic].partitions[waiting.partition].source;
            let taken = bus.accept(source, &record, now_ns);
            self.refused = taken.is_err();
            assert_eq!(taken?, Taken::Done);
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Something happens to a topic that is no record. Only while nothing waits.
    pub(crate) fn disturb(&mut self, bus: &mut Bus<FakeDescriptor>, model: &mut Model) {
        assert!(self.is_empty(), "what waits belongs to lives that are");
        let topic = self.rng.below(self.topics.len());
        match self.rng.weighted(&[2, 4, 2, 1]) {
            0 => self.begin_anew(topic, bus, model),
            1 => self.skip(topic, bus, model),
            2 => self.lose(topic, bus, model),
            _ => {
                let topic = &mut self.topics[topic];
                if topic.partitions.len() < PARTITIONS_MAX {
                    let epoch = topic.partitions[0].part.0;
                    Self::add_partition(topic, epoch, 0, bus, model);
                }
            }
        }
    }

    /// The topic is deleted and created again.
    fn begin_anew(&mut self, topic: usize, bus: &mut Bus<FakeDescriptor>, model: &mut Model) {
        let old = &self.topics[topic];
        let mut ends = Vec::new();
        for partition in &old.partitions {
            let unread = i64::try_from(self.rng.below(5)).expect("small");
            ends.push((partition.next, partition.next + unread));
            let (from, to) = (partition.next, partition.next + (unread - 1).max(0));
            model.lose(Lost { part: partition.part, from, to, reason: "reset" });
        }
        bus.retire(old.number, &ends);
        let (name, partitions) = (old.name, self.rng.between(1, PARTITIONS_MAX));
        self.topics[topic] = self.begin_life(name, partitions, bus, model);
    }

    /// Control records, or records that a transaction took back.
    fn skip(&mut self, topic: usize, bus: &mut Bus<FakeDescriptor>, model: &mut Model) {
        let partition = self.rng.pick(&[0, 1, 2, 3]) % self.topics[topic].partitions.len();
        let partition = &mut self.topics[topic].partitions[partition];
        partition.next += i64::try_from(self.rng.between(1, 9)).expect("small");
        bus.skip(partition.source, partition.next);
        model.skip(partition.part, partition.next);
    }

    /// An unclean election: a partition of the topic of this number loses its newest records, as many as this at most.
    pub(crate) fn cut(
        &mut self,
        topic: usize,
        records: i64,
        bus: &mut Bus<FakeDescriptor>,
        model: &mut Model,
    ) {
        let mut filled: Vec<_> =
            self.topics[topic].partitions.iter_mut().filter(|partition| partition.next > 0).collect();
        let at = self.rng.below(filled.len());
        let partition = &mut filled[at];
        let at = (partition.next - records).max(0);
        partition.part = model.cut(partition.part, at);
        partition.source = bus.cut(partition.source, at);
        partition.next = at;
    }

    /// Retention was faster than we.
    fn lose(&mut self, topic: usize, bus: &mut Bus<FakeDescriptor>, model: &mut Model) {
        let topic = &mut self.topics[topic];
        let partition = self.rng.below(topic.partitions.len());
        let partition = &mut topic.partitions[partition];
        let (from, to) = (partition.next, partition.next + i64::try_from(self.rng.below(20)).expect("small"));
        partition.next = to + 1;
        let bounds = Bounds { source: partition.source, from, to };
        bus.gap(GapReason::Retention, vec![bounds]);
        model.lose(Lost { part: partition.part, from, to, reason: "retention" });
    }
}

/// The text of the key of this number; some are odd.
pub(crate) fn key(number: usize) -> String {
    match number {
        0 => "k.0 é\"\\".to_owned(),
        1 => "\u{1F600}\u{7}".to_owned(),
        _ => format!("k{number}"),
    }
}
