//! What ingest needs of Kafka, as two traits: [`Read`] for the records, [`Ask`] for lookups in the cluster.
//!
//! [`Consumer`](crate::Consumer) and [`Lookup`](crate::Lookup) implement them over librdkafka; the simulation
//! implements them over a modelled Kafka, so that the same ingest runs on both.

use std::time::Duration;

use crate::{BrokerEvent, Delivery, Error, Topic, TopicError, TopicId};

/// What becomes of a delivery that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It was taken: the next one.
    Next,
    /// It was taken, and is the last of this drain.
    Last,
    /// It could not be taken now: the drain ends, and the next one begins with this delivery.
    Again,
}

/// Reads the partitions that its owner assigns, each at a numeric offset.
pub trait Read {
    /// Reads a partition from `offset` (0 or more) on; `tag` comes back with each of its deliveries.
    ///
    /// # Errors
    /// [`Error::Tag`] for a tag or partition that is assigned already; no broker is asked.
    fn assign(&mut self, topic: &str, partition: u32, offset: i64, tag: u32) -> Result<(), Error>;

    /// Stops reading a partition: nothing with this tag is delivered afterwards.
    ///
    /// # Errors
    /// [`Error::Tag`] for a tag that is not assigned.
    fn unassign(&mut self, tag: u32) -> Result<(), Error>;

    /// Goes on at another offset (0 or more): nothing fetched before is delivered afterwards. Where it goes on at or
    /// before the next offset, the broker is told the leader epoch of the last record, so that it can tell whether the
    /// log has been truncated meanwhile (KIP-320).
    ///
    /// # Errors
    /// [`Error::Tag`] for a tag that is not assigned.
    fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error>;

    /// Hands out at most `max` deliveries that have arrived, without waiting, until one is to come again; returns how
    /// many were taken. Per tag they come in the order of the log.
    fn drain(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> usize;

    /// The next offset of a partition: one behind the last record that was taken, or behind control and aborted records
    /// that follow it. Never beyond a record that was not handed out. None before the first, and for a tag that is not
    /// assigned.
    fn position(&self, tag: u32) -> Option<i64>;

    /// The partition's high watermark as the last fetch told it; costs no request. None before the first.
    fn end(&self, tag: u32) -> Option<i64>;

    /// The id of the topic that the partition is read from, as far as it is known; costs no request. Where it is not the
    /// id of the topic that was meant, what is delivered is of another one.
    fn reads(&self, _tag: u32) -> Option<TopicId> {
        None
    }

    /// What happened to the connections since the last call; never waits.
    fn news(&mut self) -> Vec<BrokerEvent>;
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The first that is held.
    Start,
    /// The next that a reader of committed records may get: where the oldest open transaction begins, else the end.
    Stable,
    /// The next that will be written (the high watermark), open transactions or not.
    End,
    /// The first with a timestamp at or after this one, Unix ms; [`At::Stable`] if there is none.
    Time(i64),
}

/// An offset that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
    /// Which offset.
    pub at: At,
}

/// Lookups in the cluster. Each waits up to its timeout.
pub trait Ask {
    /// The cluster's id. None: it answered, and has none (Azure Event Hubs, some proxies).
    ///
    /// # Errors
    /// [`Error::Unreachable`]: no answer.
    fn cluster_id(&self, timeout: Duration) -> Result<Option<String>, Error>;

    /// A topic's partitions and id, in one answer of one broker. Never creates the topic.
    ///
    /// # Errors
    /// The topic is not there, not ours to see, or nobody answered.
    fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError>;

    /// Offsets of many partitions: one request to each broker that leads some of them. One outcome each, in the order
    /// they were asked for; a partition without a leader is an [`Error::Unreachable`] of its own and costs the others
    /// nothing.
    fn offsets(&self, wanted: &[Wanted<'_>], timeout: Duration) -> Vec<Result<i64, Error>>;

    /// Whether any broker answers.
    fn probe(&self, timeout: Duration) -> bool;

    /// What happened to the connections since the last call, where the asker has some of its own.
    fn news(&mut self) -> Vec<BrokerEvent> {
        Vec::new()
    }
}
