//! The mock broker.

use std::fmt;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster as Native;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::native::{partition_number, topic_name};
use crate::{Error, Settings};

/// A mock Kafka cluster in this process, on ports of 127.0.0.1: other processes can use it too. Ends when dropped.
///
/// It keeps about 5 MB a partition (the oldest records go), answers look-ups by time with the end, creates a topic
/// for a producer that sends to one it lacks, and knows none of [`crate::Admin`]'s requests.
pub struct MockCluster {
    native: Native<'static, DefaultProducerContext>,
    brokers: u32,
}

// SAFETY: all calls on a mock cluster send an operation to its own thread or take its lock (rdkafka_mock.c); none
// cares which thread it is called from.
unsafe impl Send for MockCluster {}

impl MockCluster {
    /// Starts `brokers` mock brokers, with ids from 1.
    pub fn start(brokers: u32) -> Result<Self, Error> {
        let native = Native::new(partition_number(brokers)?).map_err(|error| failed(&error))?;
        Ok(Self { native, brokers })
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), Error> {
        topic_name(name).ok_or_else(|| Error::Unknown(format!("{name:?} is no topic name")))?;
        let replication = partition_number(self.brokers.min(3))?;
        let partitions = partition_number(partitions)?;
        self.native.create_topic(name, partitions, replication).map_err(|error| failed(&error))
    }

    /// `HOST:PORT,...` for [`Settings::brokers`].
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.native.bootstrap_servers()
    }

    /// Settings for clients of the mock: it answers a fetch only when its waiting time is over, so that is short.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::new(self.bootstrap()).with("fetch.wait.max.ms", "2")
    }

    /// Stops a broker: its connections break and new ones are refused.
    pub fn broker_down(&self, id: u32) -> Result<(), Error> {
        self.native.broker_down(partition_number(id)?).map_err(|error| failed(&error))
    }

    /// Starts it again.
    pub fn broker_up(&self, id: u32) -> Result<(), Error> {
        self.native.broker_up(partition_number(id)?).map_err(|error| failed(&error))
    }

    /// Makes every answer of a broker late.
    pub fn set_delay(&self, id: u32, delay: Duration) -> Result<(), Error> {
        self.native.broker_round_trip_time(partition_number(id)?, delay).map_err(|error| failed(&error))
    }

    /// Refuses the next `times` fetches, as a broker does that may not let us read.
    pub fn refuse_fetches(&self, times: usize) {
        let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        self.native.request_errors(RDKafkaApiKey::Fetch, &vec![refusal; times]);
    }

    /// Refuses to describe a topic, or does it again.
    pub fn refuse_topic(&self, name: &str, refuse: bool) -> Result<(), Error> {
        let error = if refuse {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        } else {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        };
        self.native.topic_error(name, error).map_err(|error| failed(&error))
    }

    /// Leaves a partition without a leader.
    pub fn unset_leader(&self, topic: &str, partition: u32) -> Result<(), Error> {
        let partition = partition_number(partition)?;
        self.native.partition_leader(topic, partition, None).map_err(|error| failed(&error))
    }

    /// Makes `broker` the leader of a partition.
    pub fn set_leader(&self, topic: &str, partition: u32, broker: u32) -> Result<(), Error> {
        let (partition, broker) = (partition_number(partition)?, partition_number(broker)?);
        self.native.partition_leader(topic, partition, Some(broker)).map_err(|error| failed(&error))
    }
}

fn failed(error: &KafkaError) -> Error {
    Error::Client(error.to_string())
}

impl fmt::Debug for MockCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockCluster").field("brokers", &self.bootstrap()).finish_non_exhaustive()
    }
}
