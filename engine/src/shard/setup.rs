//! What a shard is made of.

use std::sync::{Arc, atomic::AtomicUsize};

use slab::Reader;
use sync::Waker;

use crate::{
    catalog::SharedCatalog,
    config::{Keepalive, Limits, Service},
    inbox::{ToIngest, ToShard},
    metrics::ShardMetrics,
};

/// What a shard's behaviour depends on, taken from the checked configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What clients are served.
    pub service: Service,
    /// Bounds on what a peer can make us hold.
    pub limits: Limits,
    /// Who finds dead peers.
    pub keepalive: Keepalive,
    /// Between two keep-alive turns of a connection, ms; jittered by a tenth.
    pub ping_interval_ms: u64,
    /// For a silent, unacknowledged peer after its turn, ms.
    pub ping_grace_ms: u64,
    /// Entries of the slab's index.
    pub index_entries: usize,
    /// Most connections this shard takes.
    pub capacity: usize,
}

impl Settings {
    pub(crate) fn blocked_timeout_ms(&self) -> u64 {
        u64::try_from(self.limits.blocked_timeout.as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// How a shard reaches ingest.
pub struct IngestLink {
    /// Its bounded inbox.
    pub inbox: flume::Sender<ToIngest>,
    /// Wakes it after messages.
    pub wake: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for IngestLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IngestLink").finish_non_exhaustive()
    }
}

/// What a shard is made of, apart from its ring, which is built in its thread.
#[derive(Debug)]
pub struct Setup<D> {
    /// Its number.
    pub index: usize,
    /// Its end of the slab.
    pub reader: Reader,
    /// What others tell it.
    pub inbox: flume::Receiver<ToShard<D>>,
    /// Wakes it.
    pub waker: Arc<Waker>,
    /// Connections plus reservations; it ends its drain when this is 0.
    pub load: Arc<AtomicUsize>,
    /// Where it asks for channel numbers.
    pub ingest: IngestLink,
    /// What the numbers in entries mean.
    pub catalog: SharedCatalog,
    /// Its settings.
    pub settings: Settings,
    /// Its counters.
    pub metrics: Arc<ShardMetrics>,
    /// Of its jitter.
    pub seed: u64,
}
