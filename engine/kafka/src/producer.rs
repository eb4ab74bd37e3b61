//! The producer of the load generator and of tests.

use std::time::Duration;

use crate::{Error, Settings};

/// How a producer sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerOptions {
    /// No loss, duplicate or reordering through retries (`enable.idempotence`, acks of all replicas).
    pub idempotent: bool,
    /// How long a batch waits for company, in milliseconds (`linger.ms`).
    pub linger_ms: u32,
}

/// A topic that a [`Producer`] sends to.
#[derive(Debug)]
pub struct Target {}

/// A record to be sent. All parts are copied by [`Producer::send`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    /// None: the partitioner chooses (property `partitioner`).
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970; None: now.
    pub ts_ms: Option<i64>,
    /// Headers in order; names may repeat.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The queue is full: try again when some have left. The only one that passes by itself.
    #[error("the producer's queue is full")]
    Full,
    /// The record is larger than `message.max.bytes`.
    #[error("the record is too large")]
    TooLarge,
    /// Anything else: unknown partition, a fatal state of the idempotent producer.
    #[error("not sent: {0}")]
    Refused(String),
}

/// What became of the records so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by `send`.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub delivered: u64,
    /// Given up on.
    pub failed: u64,
}

/// A threaded producer: `send` copies into librdkafka's queue and returns.
#[derive(Debug)]
pub struct Producer {}

impl Producer {
    /// Connects lazily: fails only on bad settings.
    pub fn new(settings: &Settings, options: &ProducerOptions) -> Result<Self, Error> {
        todo!("{settings:?} {options:?}")
    }

    /// A handle on a topic, made once and used for every record.
    pub fn target(&self, topic: &str) -> Result<Target, Error> {
        todo!("{topic}")
    }

    /// Queues a record; never waits.
    pub fn send(&self, target: &Target, record: &NewRecord<'_>) -> Result<(), SendError> {
        todo!("{target:?} {record:?}")
    }

    /// Waits until everything sent is delivered or failed.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        todo!("{timeout:?}")
    }

    /// Running counts. Exact after `flush`; before it `delivered` may lag behind.
    pub fn counts(&self) -> Counts {
        todo!()
    }

    /// Records that wait for their acknowledgement.
    pub fn queued(&self) -> usize {
        todo!()
    }

    /// The last reason for which records failed or the connection broke, if any.
    pub fn last_error(&self) -> Option<String> {
        todo!()
    }
}
