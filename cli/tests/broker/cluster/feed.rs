//! Records with running numbers.

use std::cell::OnceCell;

use kafka::{NewRecord, Producer, ProducerOptions, Settings, Target};
use serde_json::json;

use kafka_local::LONG;

pub(crate) struct Feed {
    producer: Producer,
    topic: String,
    /// From the first record on: who has one asks the brokers about its topic.
    target: OnceCell<Target>,
}

impl Feed {
    /// For one topic. A topic's next incarnation wants another: this one may think of the old for a while.
    pub(crate) fn new(settings: &Settings, topic: &str) -> Self {
        let producer =
            Producer::new(settings, &ProducerOptions { linger_ms: 0, ..ProducerOptions::default() });
        let producer = producer.unwrap();
        Self { producer, topic: topic.to_owned(), target: OnceCell::new() }
    }

    /// Queues `{"incarnation": incarnation, "n": n}` for each number, with this key.
    pub(crate) fn queue(&self, partition: u32, key: &str, incarnation: u32, numbers: std::ops::Range<i64>) {
        let target = self.target.get_or_init(|| self.producer.target(&self.topic).unwrap());
        for n in numbers {
            let value = json!({"incarnation": incarnation, "n": n}).to_string();
            let record = NewRecord {
                partition: Some(partition),
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            };
            self.producer.send(target, &record).unwrap();
        }
    }

    /// Waits until all that was queued is there.
    pub(crate) fn flush(&self) {
        let flushed = self.producer.flush(LONG * 2);
        assert_eq!(self.producer.counts().failed, 0, "{:?}", self.producer.last_error());
        flushed.unwrap();
    }

    /// Both.
    pub(crate) fn send(&self, partition: u32, key: &str, incarnation: u32, numbers: std::ops::Range<i64>) {
        self.queue(partition, key, incarnation, numbers);
        self.flush();
    }
}
