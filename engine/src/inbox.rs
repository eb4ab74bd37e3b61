//! What threads tell each other: the messages of the inboxes.
//!
//! No thread blocks on another's inbox. A sender that finds it full keeps the message and tries again on its next turn.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use proto::position::Position;
use sync::Waker;

/// What reaches a shard. `D` is the ring's kind of descriptor.
#[derive(Debug)]
pub enum ToShard<D> {
    /// An upgraded connection; the 101 has been written.
    Connection(Handover<D>),
    /// Ingest's answer to a [`ChannelLookup`].
    Channel(Answer),
    /// The state of some data changed: those who hold it are told.
    Status(Status),
    /// The admin thread asks who is subscribed.
    Explain(ExplainChannels),
    /// Close every connection with 1001, spread over this time, then end.
    Drain {
        /// Closes are spread over this time.
        jitter_ms: u64,
    },
    /// End at once; connections are closed without notice.
    Stop,
}

/// An upgraded connection on its way to its shard.
#[derive(Debug)]
pub struct Handover<D> {
    /// The socket.
    pub descriptor: D,
    /// Bytes the client sent behind its upgrade request.
    pub leftover: Vec<u8>,
    /// The client wants the welcome message (default; `?welcome=0` leaves it out).
    pub welcome: bool,
    /// Unique in this process; becomes the connection's id.
    pub id: u64,
    /// For the log.
    pub peer: Option<SocketAddr>,
    /// The place taken in the shard, given back when dropped.
    pub reservation: Reservation,
}

/// A place in a shard: taken before the hand-over, given back when dropped, so that a burst cannot overshoot.
#[derive(Debug)]
pub struct Reservation(Arc<AtomicUsize>);

impl Reservation {
    /// Takes a place where `load` is below `capacity`.
    #[must_use]
    pub fn take(load: &Arc<AtomicUsize>, capacity: usize) -> Option<Self> {
        let below = |taken: usize| (taken < capacity).then_some(taken + 1);
        load.fetch_update(Ordering::AcqRel, Ordering::Acquire, below).ok().map(|_| Self(Arc::clone(load)))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How other threads reach a shard.
#[derive(Debug)]
pub struct ShardLink<D> {
    /// Its bounded inbox.
    pub inbox: flume::Sender<ToShard<D>>,
    /// Wakes it after a message.
    pub waker: Arc<Waker>,
    /// Connections plus reservations.
    pub load: Arc<AtomicUsize>,
    /// Most connections it takes.
    pub capacity: usize,
}

/// What reaches ingest.
#[derive(Debug)]
pub enum ToIngest {
    /// A shard asks for the number of a channel's name, and holds it once answered.
    Lookup(ChannelLookup),
    /// A shard gives a number back.
    Release {
        /// The shard.
        shard: usize,
        /// The number it held.
        channel: u32,
    },
    /// The admin thread asks what is known of a topic and of channels.
    Explain(ExplainTopic),
    /// End; sent once all shards have ended.
    Stop,
}

/// A shard's lookup of a name it does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelLookup {
    /// Who asks.
    pub shard: usize,
    /// The channel's name.
    pub name: Arc<str>,
    /// Some client that asks holds less than its share of the channels without a record that there may be.
    pub modest: bool,
}

/// Ingest's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The channel's name, as asked.
    pub name: Arc<str>,
    /// Its number, or why there is none.
    pub outcome: Result<Grant, Refused>,
}

/// A channel's number, held for the asking shard until it gives it back.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What index entries carry.
    pub channel: u32,
    /// Names of the topics whose routes can make this name.
    pub topics: Arc<[Arc<str>]>,
}

/// Why a name has no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No route can make this name.
    Unknown,
    /// The process holds as many channels without a record as it may.
    TooMany,
}

/// A query of the admin thread to ingest. It is answered at once, and only if the asker still waits.
#[derive(Debug)]
pub struct ExplainTopic {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Names of channels.
    pub channels: Arc<[Arc<str>]>,
    /// Where the answer goes; it has room for it.
    pub reply: flume::Sender<TopicFacts>,
}

/// What ingest knows of a topic and of channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Partitions of the topic's present incarnation, by number.
    pub partitions: Vec<PartitionFacts>,
    /// Of each channel asked for, its newest entry that is still in memory.
    pub newest: Vec<Option<Newest>>,
    /// Some keys of records that were read lately, each once: a sample.
    pub keys: Vec<KeyFacts>,
}

/// A key that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its front; none: the record had no key.
    pub key: Option<Vec<u8>>,
    /// All its bytes.
    pub len: usize,
    /// Where such a record was first seen.
    pub partition: u32,
    /// The same.
    pub offset: i64,
}

/// What ingest knows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFacts {
    /// What is done with it.
    pub state: PartitionState,
    /// The first offset that was to be read; -1: not known yet.
    pub first: i64,
    /// The next offset to be read; -1: not known yet.
    pub next: i64,
    /// The end of the partition as known: the broker told it up to a second ago; -1: not known.
    pub end: i64,
}

/// What ingest is doing with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Its start is not known, or the consumer has not taken it yet.
    Waiting,
    /// Its records come.
    Reading,
    /// Held back until the cluster has said that the topic is still the same.
    Held,
    /// Its offset was out of range; the watcher has been asked.
    OutOfRange,
    /// It is read no more.
    Ended,
}

/// The newest entry of a channel: a message, or a gap notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its topic: a channel may have several.
    pub topic: Arc<str>,
    /// Its position.
    pub position: Position,
    /// Kafka timestamp, Unix ms; -1: it stands for no record.
    pub ts_ms: i64,
    /// When ingest read it, ns of the monotonic clock.
    pub ingest_ns: u64,
}

/// A query of the admin thread to a shard. It is answered at once, and only if the asker still waits.
#[derive(Debug)]
pub struct ExplainChannels {
    /// Names of channels.
    pub channels: Arc<[Arc<str>]>,
    /// Where the answers of all shards go; it has room for them.
    pub reply: flume::Sender<ShardFacts>,
}

/// What a shard knows of channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFacts {
    /// The shard.
    pub shard: usize,
    /// Of each channel asked for, its subscribers here, and those of them that are yet to be sent something.
    pub subscribers: Vec<(usize, usize)>,
}

/// The state of the data of a topic, or of all topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Name of the topic; none: all topics. A channel is stale if all is stale or one of its topics is.
    pub topic: Option<Arc<str>>,
    /// Its state.
    pub state: DataState,
}

/// Whether the data clients hold is known to be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataState {
    /// As the brokers have it.
    Live,
    /// Known to be behind by at least this long.
    Stale {
        /// Time since the brokers were last heard.
        lag_ms: u64,
    },
}
