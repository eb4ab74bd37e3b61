//! From deliveries to the bus: which partition a tag means, and what happens while the slab is full.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use kafka::Delivery;
use proto::position::Epoch;
use tracing::{info, warn};

use super::{
    bus::{Bus, Taken},
    encode::Record,
    reach::Reach,
};
use crate::{
    catalog::{SourceNumber, TopicNumber},
    clock::Now,
    health::{Health, Reason},
    mail::PartitionState,
    metrics::IngestMetrics,
};

/// Work between two looks at the clock.
const RECORDS_PER_LOOK: u32 = 8;
const BYTES_PER_LOOK: usize = 64 * 1024;
/// Work between two publications at most, so that latency does not grow with the batch.
const PUBLISH_INTERVAL_NS: u64 = 1_000_000;
/// Waiting for a shard: how long between two tries, at first and after a while.
const WAIT_FIRST: Duration = Duration::from_micros(100);
const WAIT_LATER: Duration = Duration::from_millis(1);
const WAIT_FIRST_NS: u64 = 20_000_000;
/// Waiting longer is a reason to be degraded.
const WAIT_DEGRADED_NS: u64 = 1_000_000_000;
/// Headers of a record that need no allocation.
const HEADERS_INLINE: usize = 32;

/// A partition as the consumer knows it; its tag is its index.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) life: usize,
    pub(super) partition: u32,
    pub(super) source: SourceNumber,
    pub(super) state: PartitionState,
    /// Its trouble has been logged; no record has come since.
    troubled: bool,
}

/// A life of a topic as this thread knows it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) topic: Arc<str>,
    pub(super) epoch: Epoch,
    pub(super) number: TopicNumber,
    /// By partition.
    pub(super) tags: Vec<u32>,
    wants_headers: bool,
    /// A value above the limit ended it.
    pub(super) stopped: bool,
}

/// Everything of the ingest thread but the consumer, so that the consumer can hand out records that it lends.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) bus: Bus<OwnedFd>,
    pub(super) lives: Vec<Life>,
    pub(super) parts: Vec<Part>,
    pub(super) reach: Reach,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<IngestMetrics>,
    pub(super) now_ns: u64,
    /// Ingest is to end.
    pub(super) stop: bool,
    /// Records came since this was last looked at.
    pub(super) took: bool,
    /// Partitions out of range that the watcher is yet to be asked about.
    pub(super) out_of_range: Vec<u32>,
    /// Lives that a value above the limit has ended, to be unassigned.
    pub(super) stopped: Vec<usize>,
    /// A partition is in trouble: worth a look at the topics.
    pub(super) look: bool,
    published_ns: u64,
    records: u32,
    bytes: usize,
}

impl Feed {
    pub(super) fn new(bus: Bus<OwnedFd>, health: Arc<Health>, metrics: Arc<IngestMetrics>) -> Self {
        Self {
            bus,
            lives: Vec::new(),
            parts: Vec::new(),
            reach: Reach::default(),
            health,
            metrics,
            now_ns: Now::read().mono_ns,
            stop: false,
            took: false,
            out_of_range: Vec::new(),
            stopped: Vec::new(),
            look: false,
            published_ns: 0,
            records: 0,
            bytes: 0,
        }
    }

    /// The present life of a topic.
    pub(super) fn life(&self, topic: &str) -> Option<usize> {
        self.lives.iter().rposition(|life| *life.topic == *topic)
    }

    /// Begins a life, without partitions.
    pub(super) fn begin_life(&mut self, topic: &Arc<str>, epoch: Epoch) -> usize {
        let number = self.bus.add_topic(topic, epoch);
        let wants_headers = self.bus.wants_headers(number);
        let topic = Arc::clone(topic);
        self.lives.push(Life { topic, epoch, number, tags: Vec::new(), wants_headers, stopped: false });
        self.lives.len() - 1
    }

    /// Adds a life's next partition.
    pub(super) fn add_part(&mut self, life: usize, start: i64) -> u32 {
        let of_topic = &mut self.lives[life];
        let tag = u32::try_from(self.parts.len()).expect("partitions are few");
        let partition = u32::try_from(of_topic.tags.len()).expect("partitions are few");
        let source = self.bus.add_source(of_topic.number, partition, start);
        of_topic.tags.push(tag);
        self.parts.push(Part { life, partition, source, state: PartitionState::Waiting, troubled: false });
        tag
    }

    /// One delivery.
    pub(super) fn take(&mut self, delivery: Delivery<'_>) {
        if self.stop {
            return;
        }
        match delivery {
            Delivery::Record(record) => self.take_record(&record),
            Delivery::OffsetOutOfRange { tag, text, .. } | Delivery::Truncated { tag, text, .. } => {
                let part = &mut self.parts[tag as usize];
                if part.state == PartitionState::Reading {
                    part.state = PartitionState::OutOfRange;
                    self.bus.note(part.source, part.state, None);
                    let (topic, partition) = (&self.lives[part.life].topic, part.partition);
                    let next = self.bus.next_offset(part.source);
                    info!(topic = &**topic, partition, next, reason = text, "offset out of range");
                    self.out_of_range.push(tag);
                }
            }
            Delivery::Error { tag, text }
            | Delivery::Skipped { tag, text, .. }
            | Delivery::Refused { tag, text }
            | Delivery::Doubt { tag, text } => {
                let part = &mut self.parts[tag as usize];
                if !part.troubled {
                    part.troubled = true;
                    let (topic, partition) = (&self.lives[part.life].topic, part.partition);
                    warn!(
                        topic = &**topic,
                        partition,
                        reason = text,
                        "partition cannot be read; tried again"
                    );
                }
                self.look = true;
            }
        }
    }

    fn take_record(&mut self, record: &kafka::Record<'_>) {
        let part = &mut self.parts[record.tag as usize];
        if part.state != PartitionState::Reading || self.lives[part.life].stopped {
            return;
        }
        part.troubled = false;
        self.took = true;
        if self.lives[part.life].wants_headers {
            let mut inline = [("", &[][..]); HEADERS_INLINE];
            let mut many = Vec::new();
            let headers = collect(record.headers, &mut inline, &mut many);
            self.accept(record, headers);
        } else {
            self.accept(record, &[]);
        }
        self.records += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len);
        if self.records >= RECORDS_PER_LOOK || self.bytes >= BYTES_PER_LOOK {
            (self.records, self.bytes) = (0, 0);
            self.now_ns = Now::read().mono_ns;
            if self.now_ns - self.published_ns >= PUBLISH_INTERVAL_NS {
                self.publish();
                self.stop |= !self.bus.answer_questions();
            }
        }
    }

    /// Gives a record to the bus, whatever it takes.
    fn accept(&mut self, record: &kafka::Record<'_>, headers: &[(&str, &[u8])]) {
        let part = record.tag as usize;
        let record = Record {
            offset: record.offset,
            ts_ms: record.ts_ms,
            key: record.key,
            value: record.value,
            headers,
        };
        let mut waiting = None;
        loop {
            match self.bus.accept(self.parts[part].source, &record, self.now_ns) {
                Ok(Taken::Done) => break,
                Ok(Taken::Behind) => self.cut(part, record.offset),
                Ok(Taken::Stop) => {
                    self.stop_topic(self.parts[part].life, record.value.map_or(0, <[u8]>::len));
                    break;
                }
                Err(_full) => {
                    if !self.wait_for_shards(&mut waiting) {
                        return;
                    }
                }
            }
        }
        self.waited(waiting);
    }

    /// The partition's log was cut, or goes on at a lower offset.
    pub(super) fn cut(&mut self, part: usize, offset: i64) {
        let Part { life, partition, source, .. } = self.parts[part];
        let (topic, expected) = (&self.lives[life].topic, self.bus.next_offset(source));
        warn!(topic = &**topic, partition, offset, expected, "the log was cut: clients get a gap notice");
        self.parts[part].source = self.bus.cut(source, offset);
    }

    fn stop_topic(&mut self, life: usize, bytes: usize) {
        let life_state = &mut self.lives[life];
        life_state.stopped = true;
        let reason = Reason::TopicStopped(Arc::clone(&life_state.topic));
        if self.health.set(&reason, &format!("a value of {bytes} bytes is above the limit")) {
            warn!(
                topic = &*life_state.topic,
                bytes, "a value above the limit stops the topic, as its route says"
            );
        }
        self.stopped.push(life);
    }

    /// Appends what is due without a record, however long it takes.
    pub(super) fn turn(&mut self) {
        let mut waiting = None;
        while self.bus.turn(self.now_ns).is_err() {
            if !self.wait_for_shards(&mut waiting) {
                return;
            }
        }
        self.waited(waiting);
    }

    /// Shows the shards what was appended.
    pub(super) fn publish(&mut self) {
        self.bus.publish();
        self.published_ns = self.now_ns;
    }

    /// The slab is full up to the floor that a shard has yet to acknowledge: waits a little, and goes on answering. False
    /// if ingest is to end. `since_ns` is when this wait began.
    fn wait_for_shards(&mut self, since_ns: &mut Option<u64>) -> bool {
        self.now_ns = Now::read().mono_ns;
        let begun_ns = *since_ns.get_or_insert_with(|| {
            self.metrics.waits.add(1);
            self.now_ns
        });
        let waited_ns = self.now_ns - begun_ns;
        self.metrics.waiting_ms.set(waited_ns / 1_000_000);
        if waited_ns >= WAIT_DEGRADED_NS {
            let text = match self.bus.behind() {
                Some(shard) => format!("shard {shard} has not acknowledged the floor"),
                None => "large frames are still being sent".to_owned(),
            };
            if self.health.set(&Reason::ShardBehind, &text) {
                warn!(reason = text, "ingest waits");
            }
        }
        self.bus.publish();
        let pause = if waited_ns < WAIT_FIRST_NS { WAIT_FIRST } else { WAIT_LATER };
        self.stop |= !self.bus.answer_within(pause);
        !self.stop
    }

    fn waited(&mut self, since_ns: Option<u64>) {
        if since_ns.is_some() {
            self.metrics.waiting_ms.set(0);
            self.now_ns = Now::read().mono_ns;
            if self.health.clear(&Reason::ShardBehind) {
                info!("the shards have caught up, ingest goes on");
            }
        }
    }
}

/// A record's headers as a slice, in `inline` if they fit. A header without a value is as good as none.
fn collect<'b, 'a: 'b>(
    headers: kafka::Headers<'a>,
    inline: &'b mut [(&'a str, &'a [u8]); HEADERS_INLINE],
    many: &'b mut Vec<(&'a str, &'a [u8])>,
) -> &'b [(&'a str, &'a [u8])] {
    let mut len = 0;
    let mut present = headers.iter().filter_map(|(name, value)| Some((name, value?)));
    for header in present.by_ref().take(HEADERS_INLINE) {
        inline[len] = header;
        len += 1;
    }
    let Some(next) = present.next() else { return &inline[..len] };
    many.extend_from_slice(&inline[..]);
    many.push(next);
    many.extend(present);
    many
}
