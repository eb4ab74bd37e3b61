//! A shard: one pinned thread with its ring, its connections and its part of every fan-out.
//!
//! A shard's logic is a function of (now, completions, inbox, new index entries) to (operations, bytes), so it runs
//! unchanged on the kernel's ring and on the fake one. [`Shard::tick`] is one turn:
//!
//! 1. reap completions (`events`), read the inbox (`inbox`), fire timers (`keepalive`);
//! 2. follow the index and mark the subscribers of touched channels (`tick`);
//! 3. flush a bounded number of marked connections, one send each (`pump`), minding the floor between batches (`floor`).
//!
//! Nothing comes in but through the ring, the inbox and the slab; nothing leaves but through the ring and messages to
//! ingest.

mod bounds;
mod commands;
mod connection;
mod events;
mod floor;
mod gaps;
mod inbound;
mod inbox;
mod keepalive;
mod lifecycle;
mod links;
mod lists;
mod names;
mod owed;
mod plan;
mod pump;
mod run;
mod status;
mod subscriptions;
mod table;
mod tick;
mod timers;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicUsize},
};

use ring::{Completion, Key, Op, Ring};
use slab::Reader;
use sync::Waker;

use self::{
    gaps::Gaps,
    lifecycle::Drain,
    links::Links,
    names::Names,
    pump::Pump,
    status::Stale,
    subscriptions::Subscriptions,
    table::Table,
    timers::{Timer, Wheel},
};
pub use self::{
    run::{Report, run},
    tick::Idle,
};
use crate::{
    catalog::SharedCatalog,
    clock::Now,
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

/// One shard.
#[derive(Debug)]
pub struct Shard<R: Ring> {
    ring: R,
    reader: Reader,
    inbox: flume::Receiver<ToShard<R::Descriptor>>,
    waker: Arc<Waker>,
    load: Arc<AtomicUsize>,
    ingest: IngestLink,
    catalog: SharedCatalog,
    settings: Settings,
    metrics: Arc<ShardMetrics>,
    index: usize,

    connections: Table,
    subscriptions: Subscriptions,
    links: Links,
    /// Gaps of whole topics that may still be untold to somebody.
    gaps: Gaps,
    names: Names,
    pump: Pump,
    wheel: Wheel,

    now: Now,
    random: u64,
    stale: Stale,
    drain: Drain,
    partial_bytes: usize,
    /// Bytes that clients make the shard hold, partial frames apart: what they sent and is not worked off, requests that
    /// wait, answers that have not left.
    client_bytes: usize,
    /// Turns so far.
    turn: u64,
    /// Connections that go on with what they sent in the next turn.
    backlogs: VecDeque<Key>,
    /// Subscriptions that gaps may yet make lag in the batch that is flushed.
    folds_left: usize,
    /// Connections that hold a block.
    block_holders: usize,
    /// Connections whose socket is full.
    blocked: usize,
    /// Ops the ring had no room for; they go first in the next turn.
    deferred: VecDeque<(Op, Key)>,
    /// Receives to arm again once this turn's buffers are recycled.
    rearm: Vec<Key>,
    /// Messages to ingest that found its inbox full.
    outgoing: VecDeque<ToIngest>,
    /// Lists of a turn, kept for their memory.
    completions: Vec<Completion>,
    fired: Vec<(Key, Timer)>,
    received: Vec<u8>,
    touched: Vec<(u32, u64)>,
    next_offsets: Vec<i64>,
}

impl<R: Ring> Shard<R> {
    /// A shard on `ring`, which reads the slab from its present tail on.
    pub fn new(setup: Setup<R::Descriptor>, ring: R, now: Now) -> Self {
        let read = setup.reader.tail();
        let ring_waker = ring.waker();
        setup.waker.arm(Box::new(move || ring_waker.wake()));
        Self {
            ring,
            inbox: setup.inbox,
            waker: setup.waker,
            load: setup.load,
            ingest: setup.ingest,
            catalog: setup.catalog,
            metrics: setup.metrics,
            index: setup.index,
            connections: Table::default(),
            subscriptions: Subscriptions::default(),
            links: Links::new(setup.settings.index_entries, read),
            reader: setup.reader,
            settings: setup.settings,
            gaps: Gaps::new(),
            names: Names::default(),
            pump: Pump::default(),
            wheel: Wheel::new(now.mono_ms()),
            now,
            random: setup.seed | 1,
            stale: Stale::default(),
            drain: Drain::No,
            partial_bytes: 0,
            client_bytes: 0,
            turn: 0,
            backlogs: VecDeque::new(),
            folds_left: 0,
            block_holders: 0,
            blocked: 0,
            deferred: VecDeque::new(),
            rearm: Vec::new(),
            outgoing: VecDeque::new(),
            completions: Vec::new(),
            fired: Vec::new(),
            received: Vec::new(),
            touched: Vec::new(),
            next_offsets: Vec::new(),
        }
    }

    /// The next number of the shard's own sequence (xorshift64): for jitter, nothing that has to be hard to guess.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
