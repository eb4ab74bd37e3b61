//! While the slab is full: how long ingest has waited for a shard, how long the next pause is, and who is told.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use crate::{
    health::{Health, Reason},
    metrics::IngestMetrics,
};

/// How long between two tries, at first and after a while.
const PAUSE_FIRST: Duration = Duration::from_micros(100);
const PAUSE_LATER: Duration = Duration::from_millis(1);
const FIRST_NS: u64 = 20_000_000;
/// Waiting longer is a reason to be degraded.
const DEGRADED_NS: u64 = 1_000_000_000;

/// The present wait, if any.
#[derive(Debug)]
pub(super) struct Pressure {
    since_ns: Option<u64>,
    health: Arc<Health>,
    metrics: Arc<IngestMetrics>,
}

impl Pressure {
    pub(super) fn new(health: Arc<Health>, metrics: Arc<IngestMetrics>) -> Self {
        Self { since_ns: None, health, metrics }
    }

    /// The slab is full up to the floor that `behind` has yet to acknowledge: how long to pause.
    pub(super) fn full(&mut self, behind: Option<usize>, now_ns: u64) -> Duration {
        let since_ns = *self.since_ns.get_or_insert_with(|| {
            self.metrics.waits.add(1);
            now_ns
        });
        let waited_ns = now_ns.saturating_sub(since_ns);
        self.metrics.waiting_ms.set(waited_ns / 1_000_000);
        if waited_ns >= DEGRADED_NS {
            let text = match behind {
                Some(shard) => format!("shard {shard} has not acknowledged the floor"),
                None => "large frames are still being sent".to_owned(),
            };
            if self.health.set(&Reason::ShardBehind, &text) {
                warn!(reason = text, "ingest is blocked");
            }
        }
        if waited_ns < FIRST_NS { PAUSE_FIRST } else { PAUSE_LATER }
    }

    /// The slab took everything.
    pub(super) fn over(&mut self) {
        if self.since_ns.take().is_some() {
            self.metrics.waiting_ms.set(0);
            if self.health.clear(&Reason::ShardBehind) {
                info!("shards have caught up, ingest resumes");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_wait_is_told_once_and_its_end_too() {
        let (health, metrics) = (Arc::new(Health::new()), Arc::<IngestMetrics>::default());
        let mut pressure = Pressure::new(Arc::clone(&health), Arc::clone(&metrics));
        let ms = 1_000_000;
        assert_eq!(pressure.full(Some(1), 5 * ms), PAUSE_FIRST);
        assert_eq!(pressure.full(Some(1), 30 * ms), PAUSE_LATER);
        assert!(health.snapshot().reasons.is_empty());
        pressure.full(Some(1), 1_005 * ms);
        assert_eq!(metrics.waiting_ms.get(), 1_000);
        assert!(health.snapshot().reasons[0].1.contains("shard 1"));
        pressure.over();
        pressure.over();
        assert!(health.snapshot().reasons.is_empty());
        assert_eq!((metrics.waits.get(), metrics.waiting_ms.get()), (1, 0));
        assert_eq!(pressure.full(None, 9_000 * ms), PAUSE_FIRST, "a wait of its own");
    }
}
