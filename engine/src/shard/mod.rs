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
mod context;
mod events;
mod floor;
mod gaps;
mod inbound;
mod inbox;
mod keepalive;
mod lifecycle;
mod names;
mod plan;
mod pump;
mod run;
mod schedule;
mod setup;
mod status;
mod subscriptions;
mod table;
mod tick;
mod timers;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicUsize},
};

use ring::{Completion, Key, Ring};
use slab::Reader;
use sync::Waker;

use self::{
    context::Context,
    lifecycle::Drain,
    names::Names,
    pump::Pump,
    status::Stale,
    subscriptions::{Gaps, Positions, Subscriptions},
    table::Table,
    timers::Timer,
};
pub use self::{
    run::{Report, run},
    setup::{IngestLink, Settings, Setup},
    tick::Idle,
};
use crate::{
    clock::Now,
    inbox::{ToIngest, ToShard},
};

/// One shard.
#[derive(Debug)]
pub struct Shard<R: Ring> {
    ring: R,
    reader: Reader,
    inbox: flume::Receiver<ToShard<R::Descriptor>>,
    waker: Arc<Waker>,
    load: Arc<AtomicUsize>,
    ingest: IngestLink,
    positions: Positions,

    connections: Table,
    subscriptions: Subscriptions,
    /// Gaps of whole topics that may still be untold to somebody.
    gaps: Gaps,
    names: Names,
    pump: Pump,
    context: Context,
    stale: Stale,
    drain: Drain,
    partial_bytes: usize,
    /// Bytes that clients make the shard hold, partial frames apart: what they sent and is not worked off, requests that
    /// wait, answers that have not left.
    client_bytes: usize,
    /// Connections that go on with what they sent in the next turn.
    backlogs: VecDeque<Key>,
    /// Subscriptions that gaps may yet make lag in the batch that is flushed.
    folds_left: usize,
    /// Connections that hold a block.
    block_holders: usize,
    /// Receives to arm again once this turn's buffers are recycled.
    rearm: Vec<Key>,
    /// Messages to ingest that found its inbox full.
    outgoing: VecDeque<ToIngest>,
    /// Lists of a turn, kept for their memory.
    completions: Vec<Completion>,
    fired: Vec<(Key, Timer)>,
    received: Vec<u8>,
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
            positions: Positions::new(setup.catalog),
            connections: Table::default(),
            subscriptions: Subscriptions::new(setup.settings.index_entries, read),
            reader: setup.reader,
            gaps: Gaps::default(),
            names: Names::default(),
            pump: Pump::default(),
            context: Context::new(setup.index, setup.settings, setup.metrics, setup.seed, now),
            stale: Stale::default(),
            drain: Drain::No,
            partial_bytes: 0,
            client_bytes: 0,
            backlogs: VecDeque::new(),
            folds_left: 0,
            block_holders: 0,
            rearm: Vec::new(),
            outgoing: VecDeque::new(),
            completions: Vec::new(),
            fired: Vec::new(),
            received: Vec::new(),
        }
    }
}
