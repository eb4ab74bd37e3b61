//! The mock broker.

use crate::Error;

/// A mock Kafka cluster in this process, listening on 127.0.0.1: other processes can use it too.
#[derive(Debug)]
pub struct MockCluster {}

impl MockCluster {
    /// Starts `brokers` mock brokers.
    pub fn start(brokers: u32) -> Result<Self, Error> {
        todo!("{brokers}")
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), Error> {
        todo!("{name} {partitions}")
    }

    /// `HOST:PORT,...` for [`crate::Settings::brokers`].
    pub fn bootstrap(&self) -> String {
        todo!()
    }

    /// Stops a broker (ids begin with 1): its connections break and new ones are refused.
    pub fn broker_down(&self, id: u32) -> Result<(), Error> {
        todo!("{id}")
    }

    /// Starts it again.
    pub fn broker_up(&self, id: u32) -> Result<(), Error> {
        todo!("{id}")
    }

    /// Makes `broker` the leader of a partition.
    pub fn set_leader(&self, topic: &str, partition: u32, broker: u32) -> Result<(), Error> {
        todo!("{topic} {partition} {broker}")
    }
}
