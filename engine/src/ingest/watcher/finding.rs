//! What the watcher and ingest tell each other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use flume::{Receiver, Sender};
use kafka::{BrokerEvent, TopicId};
use proto::position::Epoch;
use sync::Waker;

/// The count of marks, shared by both.
///
/// **Marks** order what ingest knows against what the watcher learns, without a clock: ingest counts them up, the watcher
/// reads the count before it asks about a topic and gives it back with the answer. So whatever ingest noted at or before
/// that mark was so when the cluster answered.
#[derive(Debug, Clone, Default)]
pub(in crate::ingest) struct Marks(Arc<AtomicU64>);

impl Marks {
    /// Counts one up, and gives it.
    pub(in crate::ingest) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The newest.
    pub(in crate::ingest) fn newest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What the watcher tells ingest.
#[derive(Debug)]
pub(in crate::ingest) enum Finding {
    /// A topic's incarnation that was not known: the first or another. Its partitions' starts follow.
    Incarnation {
        /// The topic.
        topic: Arc<str>,
        /// Its id; none: the cluster has none, the name stands in.
        id: Option<TopicId>,
        /// Identity of this incarnation.
        epoch: Epoch,
        /// How many partitions it has.
        partitions: u32,
        /// How they begin.
        begin: Begin,
    },
    /// A known incarnation has this many partitions now.
    Grown {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// How many partitions it has.
        partitions: u32,
    },
    /// The topic is as known.
    Same {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// Ingest's newest mark when the lookup was made.
        mark: u64,
        /// Its partitions without a leader.
        leaderless: Vec<u32>,
    },
    /// Starts of partitions.
    Starts {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// Partition and start: found, or the leader does not answer.
        starts: Vec<(u32, Option<i64>)>,
    },
    /// Ends of a partition whose offset was out of range, in the same incarnation.
    Ends {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// The partition.
        partition: u32,
        /// The first offset that is held.
        low: i64,
        /// The next that will be written.
        high: i64,
    },
    /// How far a partition may be read, and where it ends.
    Standstill {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// The partition.
        partition: u32,
        /// The next offset that a reader of committed records may get.
        stable: i64,
        /// The next that will be written.
        end: i64,
    },
    /// The topic is not there.
    Missing(Arc<str>),
    /// The cluster does not let us look at the topic.
    Refused(Arc<str>, String),
    /// The cluster answered.
    Heard,
    /// It did not.
    Silent(String),
    /// The brokers refuse the watcher's client.
    Refusal(BrokerEvent),
    /// The state of all topics and partitions has been told.
    Ready,
}

/// Where the partitions of an incarnation that was not known begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Begin {
    /// At their beginning.
    AtStart,
    /// Where the settings say: told when it is found.
    Elsewhere,
    /// Where the incarnation before stands: the topic is the same, only its identity is known better.
    GoesOn,
}

/// What ingest asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ingest) enum TopicLookup {
    /// The partition's offset is not there: what are its ends?
    Ends {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The partition stands still although there is more: why?
    Standstill {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// Something is going on: look now.
    Look,
}

/// The brokers refuse us: retrying alone does not fix it.
pub(super) fn is_refusal(event: &BrokerEvent) -> bool {
    matches!(event, BrokerEvent::AuthFailed(_) | BrokerEvent::TlsFailed(_))
}

/// What a watcher is made of, apart from its connections.
#[derive(Debug)]
pub(in crate::ingest) struct Links {
    pub(in crate::ingest) lookups: Receiver<TopicLookup>,
    pub(in crate::ingest) findings: Sender<Finding>,
    pub(in crate::ingest) waker: Arc<Waker>,
    pub(in crate::ingest) marks: Marks,
}
