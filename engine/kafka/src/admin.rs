//! Topics made, grown, trimmed and deleted: for tests, the demo and the load generator.

use std::time::Duration;

use crate::{Error, Settings};

/// A connection for administration. Not for the mock, which knows none of these requests.
#[derive(Debug)]
pub struct Admin {}

impl Admin {
    /// Connects lazily: fails only on bad settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        todo!("{settings:?}")
    }

    /// Creates a topic; `config` are topic settings such as `retention.ms`.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        replication: u32,
        config: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<(), Error> {
        todo!("{name} {partitions} {replication} {config:?} {timeout:?}")
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        todo!("{name} {timeout:?}")
    }

    /// Grows a topic to `partitions` in total.
    pub fn create_partitions(&self, name: &str, partitions: u32, timeout: Duration) -> Result<(), Error> {
        todo!("{name} {partitions} {timeout:?}")
    }

    /// Deletes the records below `before` of one partition (what retention would do).
    pub fn delete_records(
        &self,
        topic: &str,
        partition: u32,
        before: i64,
        timeout: Duration,
    ) -> Result<(), Error> {
        todo!("{topic} {partition} {before} {timeout:?}")
    }

    /// Replaces a topic's own settings.
    pub fn alter_topic(&self, name: &str, config: &[(&str, &str)], timeout: Duration) -> Result<(), Error> {
        todo!("{name} {config:?} {timeout:?}")
    }
}
