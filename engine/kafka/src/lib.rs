//! Kafka as uringcast uses it: a small safe face over rdkafka and, where that is too slow or too narrow, over
//! librdkafka itself (rdkafka-sys).
//!
//! - [`Consumer`] reads partitions that its owner assigns at numeric offsets: no consumer group, no commits. All
//!   partitions share one queue that is drained in batches; an eventfd tells when there is something in it.
//! - [`Lookup`] asks the cluster for what those offsets are made from: topic ids, partitions, watermarks, times.
//! - [`Producer`] is for the load generator and for tests, [`Admin`] for tests and the demo. [`Partitioner`] tells where
//!   producers place a key.
//! - [`MockCluster`] is librdkafka's broker inside this process. It passes for a real one in records, headers,
//!   timestamps and topic ids; it keeps only about 5 MB a partition and answers look-ups by time with the end.
//!
//! ```
//! use std::time::Duration;
//!
//! use kafka::{Consumer, Delivery, MockCluster, NewRecord, Producer, ProducerOptions};
//!
//! let mock = MockCluster::start(1)?;
//! mock.create_topic("trades", 1)?;
//!
//! let producer = Producer::new(&mock.settings(), &ProducerOptions::default())?;
//! let trades = producer.target("trades")?;
//! producer.send(&trades, &NewRecord { key: Some(b"BTC"), value: Some(b"{}"), ..NewRecord::default() })?;
//! producer.flush(Duration::from_secs(10))?;
//!
//! let mut consumer = Consumer::new(&mock.settings())?;
//! let topic = consumer.topic("trades", Duration::from_secs(10))?;
//! assert_eq!(topic.partitions, [0]);
//! consumer.assign("trades", 0, 0, 7)?;
//! let mut keys = Vec::new();
//! while keys.is_empty() {
//!     consumer.wait(Duration::from_secs(10));
//!     consumer.drain(1_000, &mut |delivery| {
//!         if let Delivery::Record(record) = delivery {
//!             keys.push((record.tag, record.key.map(<[u8]>::to_vec)));
//!         }
//!     });
//! }
//! assert_eq!(keys, [(7, Some(b"BTC".to_vec()))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Unsafe code
//!
//! It lives in `native` (queues, topic handles, messages), `record` (headers), `describe`, `list` and `request` (admin requests),
//! `wake` (eventfd, poll), `producer` (one variadic call), `reminder` and `partitioner` (one call each). What makes the
//! public face safe: every librdkafka handle keeps the client it came from alive, a message is destroyed when its
//! owner is dropped, and what a callback is lent cannot outlive the message. Codes that come from a broker are read as
//! numbers or names and never as the C enum: a broker newer than librdkafka may send one that the enum lacks.

#[cfg(not(target_os = "linux"))]
compile_error!("uringcast runs on Linux only: this crate waits on eventfd and poll");

mod admin;
mod assigned;
mod changes;
mod client;
mod clock;
mod consumer;
mod describe;
mod error;
mod face;
mod list;
mod lookup;
mod mock;
mod native;
mod offsets;
mod partitioner;
mod producer;
mod record;
mod reminder;
mod request;
mod settings;
mod wake;
mod watch;

pub use admin::Admin;
pub use consumer::Consumer;
pub use error::{Error, TopicError};
pub use face::{Ask, At, Flow, Read, Wanted};
pub use lookup::{Lookup, Topic, TopicId};
pub use mock::MockCluster;
pub use partitioner::Partitioner;
pub use producer::{Counts, NewRecord, Producer, ProducerOptions, SendError, Target};
pub use record::{Delivery, HeaderIter, Headers, Record};
pub use settings::Settings;
pub use wake::Waker;
pub use watch::BrokerEvent;

/// Who may be handed to which thread: a promise of the public face.
#[cfg(test)]
const _: () = {
    const fn moves<T: Send>() {}
    const fn is_shared<T: Send + Sync>() {}
    moves::<Consumer>();
    moves::<MockCluster>();
    is_shared::<Lookup>();
    is_shared::<Waker>();
    is_shared::<Producer>();
    is_shared::<Target>();
    is_shared::<Admin>();
};
