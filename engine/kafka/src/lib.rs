//! A small crate over rdkafka: queues, batches, topic ids; the mock broker.

#[cfg(not(target_os = "linux"))]
compile_error!("uringcast runs on Linux only: this crate waits on eventfd and poll");

mod admin;
mod consumer;
mod error;
mod mock;
mod producer;
mod settings;

pub use admin::Admin;
pub use consumer::{BrokerEvent, Consumer, Delivery, Headers, Lookup, Record, Topic, TopicId, Waker};
pub use error::{Error, TopicError};
pub use mock::MockCluster;
pub use producer::{Counts, NewRecord, Producer, ProducerOptions, SendError, Target};
pub use settings::Settings;
