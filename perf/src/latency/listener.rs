//! What both listeners have in common, and the bare one.

use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use kafka::{Consumer, Delivery};

use super::{Plan, Shared, WARM_UP};
use crate::{Clock, Error, payload};

/// How long a request to the brokers may take.
const ASK_MAX: Duration = Duration::from_secs(10);
/// Longest wait without a look at the stop flag.
pub(super) const WAIT: Duration = Duration::from_millis(50);

/// A message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Its stamp: when it was sent.
    pub(super) t_ns: u64,
    /// When it came.
    pub(super) at_ns: u64,
}

/// What a listener's thread is given.
pub(super) struct Listener {
    pub(super) clock: Clock,
    /// Which of the two it is.
    pub(super) which: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Plan,
    /// What was sent before is not ours.
    pub(super) begun_ns: u64,
}

impl Listener {
    /// Room for all arrivals, so that none has to wait for memory.
    pub(super) fn room(&self) -> Vec<Arrival> {
        Vec::with_capacity(self.plan.count as usize + usize::try_from(WARM_UP).unwrap_or(0) + 1_024)
    }

    pub(super) fn stopped(&self) -> bool {
        self.shared.stop.load(Relaxed)
    }

    /// Notes a value that came at `at_ns`, if it is one of ours.
    pub(super) fn note(&self, arrivals: &mut Vec<Arrival>, value: &[u8], at_ns: u64) {
        let Some(stamp) = payload::read(value) else { return };
        if stamp.key == self.plan.key.as_bytes() && stamp.t_ns >= self.begun_ns {
            arrivals.push(Arrival { t_ns: stamp.t_ns, at_ns });
            self.shared.arrived[self.which].fetch_add(1, SeqCst);
        }
    }

    /// Consumes the topic from its end, with the settings of the server's own consumer.
    pub(super) fn consume(&self) -> Result<Vec<Arrival>, Error> {
        let fails = |error: kafka::Error| Error::Kafka(error.to_string());
        let topic = &self.plan.topic;
        let mut consumer = Consumer::new(&self.plan.settings()).map_err(fails)?;
        let partitions =
            consumer.topic(topic, ASK_MAX).map_err(|error| Error::Kafka(error.to_string()))?.partitions;
        for partition in partitions {
            let (_, end) = consumer.watermarks(topic, partition, ASK_MAX).map_err(fails)?;
            consumer.assign(topic, partition, end, partition).map_err(fails)?;
        }
        let mut arrivals = self.room();
        let mut trouble = None;
        while !self.stopped() {
            consumer.wait(WAIT);
            consumer.drain(1_000, &mut |delivery| match delivery {
                Delivery::Record(record) => {
                    self.note(&mut arrivals, record.value.unwrap_or_default(), self.clock.now_ns());
                }
                Delivery::OffsetOutOfRange { text, .. }
                | Delivery::Truncated { text, .. }
                | Delivery::Skipped { text, .. }
                | Delivery::Refused { text, .. }
                | Delivery::Doubt { text, .. }
                | Delivery::Error { text, .. } => {
                    trouble = Some(Error::Kafka(text.to_owned()));
                }
            });
            if let Some(trouble) = trouble.take() {
                return Err(trouble);
            }
        }
        Ok(arrivals)
    }
}
