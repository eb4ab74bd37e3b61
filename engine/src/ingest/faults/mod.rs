//! What cannot be read (brokers, topics, partitions) and what waits for a shard, and who is told: /health and the log once a
//! change, clients after a while. Nobody else in ingest sets health, or says what is stale and live.

mod partitions;
mod pressure;
mod reach;
mod topics;

use std::{sync::Arc, time::Duration};

use kafka::BrokerEvent;
use tracing::{debug, error, info, warn};

use self::{partitions::PartitionFaults, pressure::Pressure, reach::Reach, topics::TopicFaults};
pub(super) use self::{reach::Witness, topics::Kind};
use crate::{
    health::{Health, Reason},
    inbox::{DataState, Status},
    metrics::IngestMetrics,
};

/// Time between two words in the log about broken connections.
const LOST_INTERVAL_NS: u64 = 10_000_000_000;

/// All of them.
#[derive(Debug)]
pub(super) struct Faults {
    reach: Reach,
    topics: TopicFaults,
    partitions: PartitionFaults,
    pressure: Pressure,
    /// When a broken connection was last logged.
    lost_ns: u64,
    /// What clients are to be told.
    due: Vec<Status>,
    health: Arc<Health>,
    metrics: Arc<IngestMetrics>,
}

impl Faults {
    pub(super) fn new(health: Arc<Health>, metrics: Arc<IngestMetrics>) -> Self {
        Self {
            reach: Reach::default(),
            topics: TopicFaults::new(Arc::clone(&health)),
            partitions: PartitionFaults::default(),
            pressure: Pressure::new(Arc::clone(&health), Arc::clone(&metrics)),
            lost_ns: 0,
            due: Vec::new(),
            health,
            metrics,
        }
    }

    /// What clients are to be told since this was last asked, in its order.
    pub(super) fn take_due(&mut self) -> Vec<Status> {
        std::mem::take(&mut self.due)
    }

    /// The state of all topics and partitions is known.
    pub(super) fn ready(&self) {
        self.health.set_ready();
    }

    /// The slab is full up to the floor that `behind` has yet to acknowledge: how long to pause.
    pub(super) fn slab_full(&mut self, behind: Option<usize>, now_ns: u64) -> Duration {
        self.pressure.full(behind, now_ns)
    }

    /// The slab took everything.
    pub(super) fn slab_took_all(&mut self) {
        self.pressure.over();
    }
}

/// The brokers.
impl Faults {
    /// Something happened to the consumer's connections. True if the topics are worth a look.
    pub(super) fn connection(&mut self, event: &BrokerEvent, now_ns: u64) -> bool {
        match event {
            BrokerEvent::Down(text) => self.silent(Witness::Consumer, text, now_ns),
            BrokerEvent::Up => self.heard(Witness::Consumer),
            BrokerEvent::AuthFailed(_) | BrokerEvent::TlsFailed(_) => self.refused(event),
            BrokerEvent::Lost(text) => self.lost_one(text, now_ns),
            BrokerEvent::Other(text) => warn!(reason = text, "kafka"),
        }
        matches!(event, BrokerEvent::Down(_) | BrokerEvent::Other(_))
    }

    /// A witness does not hear the brokers.
    pub(super) fn silent(&mut self, witness: Witness, text: &str, now_ns: u64) {
        if self.reach.silent(witness, now_ns) {
            if self.metrics.broker_up.get() == 1 {
                self.metrics.broker_losses.add(1);
            }
            self.metrics.broker_up.set(0);
            if self.health.set(&Reason::BrokersUnreachable, text) {
                warn!(reason = text, "no broker responds, retrying");
            }
        }
    }

    /// A witness hears them.
    pub(super) fn heard(&mut self, witness: Witness) {
        let state = self.reach.heard(witness);
        if self.reach.is_heard() {
            self.reached();
        }
        self.tell_all(state);
    }

    /// Records came: whoever doubted was wrong.
    pub(super) fn records_came(&mut self) {
        if !self.reach.is_heard() {
            let state = self.reach.record();
            self.reached();
            self.tell_all(state);
        }
    }

    /// Why the brokers refuse us, by whichever client learnt it.
    pub(super) fn refused(&self, event: &BrokerEvent) {
        let (BrokerEvent::AuthFailed(text) | BrokerEvent::TlsFailed(text)) = event else { return };
        if self.health.set(&Reason::BrokersRefuse, text) {
            error!(reason = text, "brokers refuse access");
        }
    }

    /// What clients are to be told now about all data.
    pub(super) fn look_at_brokers(&mut self, now_ns: u64) {
        let state = self.reach.due(now_ns);
        if let Some(DataState::Stale { lag_ms }) = state {
            warn!(lag_ms, "no broker responds: clients are told that data is stale");
        }
        self.tell_all(state);
    }

    fn reached(&self) {
        self.metrics.broker_up.set(1);
        self.health.clear(&Reason::BrokersRefuse);
        if self.health.clear(&Reason::BrokersUnreachable) {
            info!("brokers respond again");
        }
    }

    /// One connection broke. Said now and then, for it is tried twice a second; silence of all is said elsewhere.
    fn lost_one(&mut self, text: &str, now_ns: u64) {
        let quiet = now_ns.saturating_sub(self.lost_ns) < LOST_INTERVAL_NS;
        if quiet || !self.reach.is_heard() {
            debug!(reason = text, "broker connection lost");
        } else {
            self.lost_ns = now_ns;
            warn!(reason = text, "broker connection lost, others may still be up");
        }
    }

    fn tell_all(&mut self, state: Option<DataState>) {
        self.due.extend(state.map(|state| Status { topic: None, state }));
    }
}

/// Topics.
impl Faults {
    /// The topic is there, and we may look at it: from now on clients are told when it cannot be read.
    pub(super) fn present(&mut self, topic: &Arc<str>) {
        self.topics.is_read(topic);
        self.topics.clear(topic, Kind::Unknown);
        self.topics.clear(topic, Kind::Refused);
    }

    /// The topic has this trouble; `text` tells the cause.
    pub(super) fn set(&mut self, topic: &Arc<str>, kind: Kind, text: &str, now_ns: u64) {
        self.topics.set(topic, kind, text, now_ns);
    }

    /// The incarnation of a topic that has these partitions is over.
    pub(super) fn ended(&mut self, topic: &Arc<str>, tags: &[u32]) {
        tags.iter().for_each(|&tag| self.partitions.ended(tag));
        for kind in [Kind::Stopped, Kind::Leaderless, Kind::ReadRefused, Kind::Transaction] {
            self.topics.clear(topic, kind);
        }
    }

    /// Brings what is wrong with partitions, by the tag each has, to their topic.
    pub(super) fn look_at_partitions(&mut self, topic: &Arc<str>, tags: &[u32], now_ns: u64) {
        for (kind, text) in self.partitions.texts(tags, now_ns) {
            match text {
                Some(text) => self.topics.set(topic, kind, &text, now_ns),
                None => self.topics.clear(topic, kind),
            }
        }
    }

    /// What clients are to be told now about topics.
    pub(super) fn look_at_topics(&mut self, now_ns: u64) {
        self.due.extend(self.topics.due(now_ns));
    }
}

/// Partitions, by their tag.
impl Faults {
    /// A record of it came. (Called for each.)
    #[inline]
    pub(super) fn record(&mut self, tag: u32) {
        self.partitions.record(tag);
    }

    /// It cannot be read. True if that is news since its last record.
    pub(super) fn error(&mut self, tag: u32) -> bool {
        self.partitions.error(tag)
    }

    /// The broker refuses to let us read it, in its words.
    pub(super) fn read_refused(&mut self, tag: u32, text: &str) {
        self.partitions.refused(tag, text);
    }

    /// A fetch of it was answered.
    pub(super) fn fetched(&mut self, tag: u32) {
        self.partitions.fetched(tag);
    }

    /// The cluster has said whether it has a leader; `waits`: it has no start yet.
    pub(super) fn leader(&mut self, tag: u32, has_one: bool, waits: bool) {
        self.partitions.leader(tag, has_one, waits);
    }

    /// Its leader was asked where it starts, and has answered or not.
    pub(super) fn start(&mut self, tag: u32, is_answered: bool) {
        self.partitions.start(tag, is_answered);
    }

    /// It is read, stands at `next` and has so many more records. True if the watcher is to be asked why nothing comes.
    pub(super) fn stands(&mut self, tag: u32, next: i64, behind: u64, now_ns: u64) -> bool {
        self.partitions.stands(tag, next, behind, now_ns)
    }

    /// It may be read up to `stable`, and goes on to `end`.
    pub(super) fn standstill(&mut self, tag: u32, stable: i64, end: i64) {
        self.partitions.standstill(tag, stable, end);
    }
}
