//! Topics made, grown, trimmed and deleted: for tests, the demo and the load generator.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
    TopicResult,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::clock::now;
use crate::native::{partition_number, topic_name};
use crate::settings::Role;
use crate::watch::Watch;
use crate::{Error, Settings};

/// A connection for administration. Each call waits for its answer. Not for the mock, which knows none of these
/// requests (see [`crate::MockCluster::create_topic`]).
#[derive(Debug)]
pub struct Admin {
    client: AdminClient<Watch>,
}

impl Admin {
    /// Connects lazily: fails only on bad settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let config = settings.client_config(Role::Admin)?;
        let client = AdminClient::from_config_and_context(&config, Watch::default())
            .map_err(|error| Error::from_creation(&error))?;
        Ok(Self { client })
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
        checked(name)?;
        let replication = TopicReplication::Fixed(partition_number(replication)?);
        let mut topic = NewTopic::new(name, partition_number(partitions)?, replication);
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        one_topic(block_on(self.client.create_topics([&topic], &options(timeout))))
    }

    /// Deletes a topic. Brokers may go on naming it for some milliseconds.
    pub fn delete_topic(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        checked(name)?;
        one_topic(block_on(self.client.delete_topics(&[name], &options(timeout))))
    }

    /// Grows a topic to `partitions` in total.
    pub fn create_partitions(&self, name: &str, partitions: u32, timeout: Duration) -> Result<(), Error> {
        checked(name)?;
        let count =
            usize::try_from(partitions).map_err(|_| Error::Unknown(format!("{partitions} partitions")))?;
        let partitions = NewPartitions::new(name, count);
        one_topic(block_on(self.client.create_partitions([&partitions], &options(timeout))))
    }

    /// Deletes the records below `before` of one partition, as retention would.
    pub fn delete_records(
        &self,
        topic: &str,
        partition: u32,
        before: i64,
        timeout: Duration,
    ) -> Result<(), Error> {
        checked(topic)?;
        let number = partition_number(partition)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, number, Offset::Offset(before)).map_err(|error| failed(&error))?;
        let list =
            block_on(self.client.delete_records(&list, &options(timeout))).map_err(|error| failed(&error))?;
        match list.find_partition(topic, number) {
            Some(element) => element.error().map_err(|error| failed(&error)),
            None => Err(Error::Client("no answer for the partition".to_owned())),
        }
    }

    /// Replaces all of a topic's own settings by these, and waits until they are seen.
    ///
    /// rdkafka 0.39 drops the broker's verdict on each topic, so a refusal shows only by the settings not changing
    /// within two seconds.
    pub fn alter_topic(&self, name: &str, config: &[(&str, &str)], timeout: Duration) -> Result<(), Error> {
        checked(name)?;
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (key, value) in config {
            alter = alter.set(key, value);
        }
        block_on(self.client.alter_configs([&alter], &options(timeout))).map_err(|error| failed(&error))?;
        let deadline = now() + timeout.min(Duration::from_secs(2));
        while let Some(key) = self.differing(name, config, timeout)? {
            if now() >= deadline {
                return Err(Error::Refused(format!("setting {key} of topic {name} was not taken")));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The first of these settings that the topic does not have.
    fn differing<'a>(
        &self,
        name: &str,
        config: &[(&'a str, &str)],
        timeout: Duration,
    ) -> Result<Option<&'a str>, Error> {
        let results =
            block_on(self.client.describe_configs([&ResourceSpecifier::Topic(name)], &options(timeout)));
        let described = match results.map_err(|error| failed(&error))?.into_iter().next() {
            Some(Ok(described)) => described,
            Some(Err(code)) => return Err(failed(&KafkaError::AdminOp(code))),
            None => return Err(Error::Client("no answer for the topic".to_owned())),
        };
        let has = |key: &str, value: &str| {
            described.get(key).is_some_and(|entry| entry.value.as_deref() == Some(value))
        };
        Ok(config.iter().find(|(key, value)| !has(key, value)).map(|(key, _)| *key))
    }
}

fn options(timeout: Duration) -> AdminOptions {
    // Both: the whole request, and how long the controller waits for it to be carried out.
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

fn checked(name: &str) -> Result<(), Error> {
    topic_name(name).map(|_| ()).ok_or_else(|| Error::Unknown(format!("{name:?} is no topic name")))
}

fn failed(error: &KafkaError) -> Error {
    Error::from_request(error, None)
}

fn one_topic(results: KafkaResult<Vec<TopicResult>>) -> Result<(), Error> {
    match results.map_err(|error| failed(&error))?.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        // A timeout here means that the controller has begun and not finished in time.
        Some(Err((_, RDKafkaErrorCode::RequestTimedOut))) => {
            Err(Error::Unreachable("not done in time".to_owned()))
        }
        Some(Err((_, code))) => Err(failed(&KafkaError::AdminOp(code))),
        None => Err(Error::Client("no answer for the topic".to_owned())),
    }
}

/// Waits for one of rdkafka's futures, which a thread of its own completes: an executor would be a crate for this.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
