//! The consumer.

use std::time::Duration;

use crate::{Error, Settings, TopicError};

/// A topic's identity within its cluster: a re-created topic has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicId(pub [u8; 16]);

/// What the cluster says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Partition numbers, ascending.
    pub partitions: Vec<u32>,
    /// None where the broker does not tell (the mock, brokers before 2.8).
    pub id: Option<TopicId>,
}

/// A record's headers, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    _a: std::marker::PhantomData<&'a ()>,
}

impl<'a> Headers<'a> {
    /// Names and values in order; names may repeat; a null value is None. A name that is not UTF-8 is skipped.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        std::iter::empty()
    }
}

/// A record, borrowed from librdkafka's fetch buffer for the time of the callback.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What [`Consumer::assign`] was given for the partition.
    pub tag: u32,
    /// The record's offset.
    pub offset: i64,
    /// Milliseconds since 1970; -1 if the record has none.
    pub ts_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// What [`Consumer::drain`] hands out.
#[derive(Debug, Clone, Copy)]
pub enum Delivery<'a> {
    /// A record.
    Record(Record<'a>),
    /// The broker does not hold the offset we wanted. Nothing more comes for the tag until `seek` or a new `assign`.
    OffsetOutOfRange {
        /// The partition's tag.
        tag: u32,
        /// librdkafka's words.
        text: &'a str,
    },
    /// Another trouble of one partition, such as a deleted topic; librdkafka goes on trying.
    Error {
        /// The partition's tag.
        tag: u32,
        /// librdkafka's words.
        text: &'a str,
    },
}

/// What happened to the connection with the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerEvent {
    /// No broker is connected. Retried for ever; ends with `Up`.
    Down(String),
    /// A broker answers again after `Down`.
    Up,
    /// One broker's connection failed; others may serve.
    Lost(String),
    /// Wrong user, password or mechanism (SASL).
    AuthFailed(String),
    /// TLS failed: unknown CA, wrong host name, bad certificate, or no TLS on that port.
    TlsFailed(String),
    /// Anything else that librdkafka reports as an error of the client.
    Other(String),
}

/// Makes a present or the next [`Consumer::wait`] return.
#[derive(Debug, Clone)]
pub struct Waker {}

impl Waker {
    /// Wakes; never blocks, may be called from any thread.
    pub fn wake(&self) {
        todo!()
    }
}

/// Questions to the cluster, from any thread; shares the consumer's connections. Each waits up to its timeout.
#[derive(Debug, Clone)]
pub struct Lookup {}

impl Lookup {
    /// The cluster's id.
    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        todo!("{timeout:?}")
    }

    /// A topic's partitions and id.
    pub fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        todo!("{name} {timeout:?}")
    }

    /// The first offset held and the next one to be written, asked from the leader.
    pub fn watermarks(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(i64, i64), Error> {
        todo!("{topic} {partition} {timeout:?}")
    }

    /// The offset of the first record at or after `ts_ms`; the end if there is none.
    pub fn offset_for_time(
        &self,
        topic: &str,
        partition: u32,
        ts_ms: i64,
        timeout: Duration,
    ) -> Result<i64, Error> {
        todo!("{topic} {partition} {ts_ms} {timeout:?}")
    }
}

/// A consumer without a group.
#[derive(Debug)]
pub struct Consumer {}

impl Consumer {
    /// Connects lazily: fails only on bad settings or an exhausted machine.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        todo!("{settings:?}")
    }

    /// A handle for questions from other threads.
    pub fn lookup(&self) -> Lookup {
        todo!()
    }

    /// See [`Lookup::cluster_id`].
    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.lookup().cluster_id(timeout)
    }

    /// See [`Lookup::topic`].
    pub fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        self.lookup().topic(name, timeout)
    }

    /// See [`Lookup::watermarks`].
    pub fn watermarks(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(i64, i64), Error> {
        self.lookup().watermarks(topic, partition, timeout)
    }

    /// See [`Lookup::offset_for_time`].
    pub fn offset_for_time(
        &self,
        topic: &str,
        partition: u32,
        ts_ms: i64,
        timeout: Duration,
    ) -> Result<i64, Error> {
        self.lookup().offset_for_time(topic, partition, ts_ms, timeout)
    }

    /// Reads a partition from `offset` on; `tag` comes back with each of its records.
    pub fn assign(&mut self, topic: &str, partition: u32, offset: i64, tag: u32) -> Result<(), Error> {
        todo!("{topic} {partition} {offset} {tag}")
    }

    /// Stops reading a partition: nothing with this tag is delivered afterwards.
    pub fn unassign(&mut self, tag: u32) -> Result<(), Error> {
        todo!("{tag}")
    }

    /// Goes on at another offset: nothing fetched before is delivered afterwards.
    pub fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error> {
        todo!("{tag} {offset}")
    }

    /// Sleeps until there is something to drain, an event, a wake, or the timeout has passed.
    pub fn wait(&self, timeout: Duration) {
        todo!("{timeout:?}")
    }

    /// A waker for [`Consumer::wait`].
    pub fn waker(&self) -> Waker {
        todo!()
    }

    /// Hands out at most `max` deliveries that have arrived, without waiting; returns how many.
    pub fn drain(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>)) -> usize {
        todo!("{max} {}", std::mem::size_of_val(on))
    }

    /// The next offset of a partition as far as drained; passes control and aborted records. None before the first.
    pub fn position(&self, tag: u32) -> Option<i64> {
        todo!("{tag}")
    }

    /// The partition's end as the last fetch reported it; costs no request. None before the first.
    pub fn end(&self, tag: u32) -> Option<i64> {
        todo!("{tag}")
    }

    /// What happened to the connection since the last call. To be called at least once a second.
    pub fn events(&mut self) -> Vec<BrokerEvent> {
        todo!()
    }
}
