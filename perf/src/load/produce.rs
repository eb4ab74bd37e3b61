//! Messages into Kafka on schedule.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use kafka::{NewRecord, ProducerOptions, SendError};
use serde::{Deserialize, Serialize};

use crate::{Clock, Error, histogram::Times, payload, schedule::Schedule};

/// How long the brokers may take to acknowledge the rest. Longer than a broker needs to come back.
const FLUSH_MAX: Duration = Duration::from_secs(60);
/// How long the first record may take: connecting, topic look-up.
const PRIME_MAX: Duration = Duration::from_secs(15);
/// Key of the records that only wake the connection; nobody subscribes to their channel.
const PRIME_KEY: &str = "uringcast-bench-prime";
/// Longest sleep without a look at the stop flag.
const SLEEP_NS_MAX: u64 = 50_000_000;

/// A producer with its topic.
#[derive(Debug)]
pub struct Sender {
    producer: kafka::Producer,
    target: kafka::Target,
    keys: Vec<String>,
    size: usize,
}

/// What a producer did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Produced {
    /// Records handed over by channel: that of the broadcast channel is last.
    pub counts: Vec<u64>,
    /// Records handed over.
    pub sent: u64,
    /// Records that the brokers acknowledged.
    pub delivered: u64,
    /// Records given up on.
    pub failed: u64,
    /// Records not acknowledged when waiting was over.
    pub unacknowledged: u64,
    /// Times that the queue of the producer was full.
    pub stalls: u64,
    /// From the time by the schedule until handed over.
    pub lateness: Times,
    /// The last trouble, if any.
    pub error: Option<String>,
}

impl Sender {
    /// Connects, and proves with one record that the topic takes any. Values will have `size` bytes; `keys`
    /// are by channel.
    ///
    /// # Errors
    /// [`Error::Kafka`]: a bad setting, no broker, no topic. [`Error::Plan`]: a key that cannot stand in a
    /// value.
    pub fn new(
        settings: &kafka::Settings,
        options: &ProducerOptions,
        topic: &str,
        keys: Vec<String>,
        size: usize,
    ) -> Result<Self, Error> {
        if let Some(key) = keys.iter().find(|key| !payload::key_fits(key)) {
            return Err(Error::Plan(format!(
                "key {key:?}: quotes, backslashes and control characters are not supported"
            )));
        }
        let fail = |error: kafka::Error| Error::Kafka(error.to_string());
        let producer = kafka::Producer::new(settings, options).map_err(fail)?;
        let target = producer.target(topic).map_err(fail)?;
        let record =
            NewRecord { key: Some(PRIME_KEY.as_bytes()), value: Some(b"{}"), ..NewRecord::default() };
        let refused = |reason: String| Error::Kafka(format!("a first record to topic {topic:?}: {reason}"));
        producer.send(&target, &record).map_err(|error| refused(error.to_string()))?;
        let flushed = producer.flush(PRIME_MAX);
        if flushed.is_err() || producer.counts().failed > 0 {
            let waited = flushed.err().map(|error| error.to_string());
            let reason = producer.last_error().or(waited);
            return Err(refused(reason.unwrap_or_else(|| "given up on".to_owned())));
        }
        Ok(Self { producer, target, keys, size })
    }

    /// Sends what `schedule` says, which begins at `begin_ns`, until it is over or `stop` is set; then waits
    /// for acknowledgements.
    #[must_use]
    pub fn run(&self, clock: Clock, mut schedule: Schedule, begin_ns: u64, stop: &AtomicBool) -> Produced {
        let mut produced = Produced::default();
        let before = self.producer.counts();
        let mut value = Vec::with_capacity(self.size + 128);
        while !stop.load(Relaxed) {
            let Some(due) = schedule.next() else { break };
            let due_ns = begin_ns + due.at_ns;
            while clock.now_ns() < due_ns && !stop.load(Relaxed) {
                clock.sleep_until(due_ns.min(clock.now_ns() + SLEEP_NS_MAX));
            }
            let key = &self.keys[due.channel as usize];
            payload::write(&mut value, due.seq, due_ns, key, self.size);
            let record = NewRecord { key: Some(key.as_bytes()), value: Some(&value), ..NewRecord::default() };
            self.hand_over(clock, &record, &mut produced, stop);
            produced.lateness.record(clock.now_ns().saturating_sub(due_ns));
        }
        produced.counts = schedule.counts();
        let flushed = self.producer.flush(FLUSH_MAX);
        let counts = self.producer.counts();
        produced.sent = counts.sent - before.sent;
        produced.delivered = counts.delivered - before.delivered;
        produced.failed += counts.failed - before.failed;
        produced.unacknowledged =
            produced.sent.saturating_sub(produced.delivered + (counts.failed - before.failed));
        if let Err(error) = flushed {
            produced.error.get_or_insert_with(|| error.to_string());
        } else if produced.failed > 0 && produced.error.is_none() {
            produced.error = self.producer.last_error();
        }
        produced
    }

    /// Sends a record to the first channel, apart from any schedule, stamped with this moment; tells the stamp
    /// (ns since 1970). `value` is memory to write in.
    ///
    /// # Errors
    /// [`Error::Kafka`]: the record was not taken.
    pub fn send_now(&self, clock: Clock, value: &mut Vec<u8>, seq: u64) -> Result<u64, Error> {
        let key = self.keys.first().map_or("", String::as_str);
        let t_ns = clock.now_ns();
        payload::write(value, seq, t_ns, key, self.size);
        let record = NewRecord { key: Some(key.as_bytes()), value: Some(value), ..NewRecord::default() };
        let sent = self.producer.send(&self.target, &record);
        sent.map(|()| t_ns).map_err(|error| Error::Kafka(error.to_string()))
    }

    fn hand_over(&self, clock: Clock, record: &NewRecord<'_>, produced: &mut Produced, stop: &AtomicBool) {
        loop {
            match self.producer.send(&self.target, record) {
                Ok(()) => return,
                Err(SendError::Full) if !stop.load(Relaxed) => {
                    produced.stalls += 1;
                    clock.sleep_until(clock.now_ns() + 1_000_000);
                }
                Err(error @ (SendError::Full | SendError::TooLarge | SendError::Refused(_))) => {
                    produced.failed += 1;
                    produced.error = Some(error.to_string());
                    return;
                }
            }
        }
    }
}
