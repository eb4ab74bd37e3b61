//! A shard: one pinned thread with its ring, its connections and its part of every fan-out.
//!
//! A shard's logic is a function of (now, completions, inbox, new index entries) to (operations, bytes), so it runs
//! unchanged on the kernel's ring and on the fake one. [`Shard::tick`] is one turn:
//!
//! 1. reap completions and fire timers (`events`), read the inbox (`inbox`);
//! 2. follow the index and mark the subscribers of touched channels (`notices`, `subscriptions`);
//! 3. flush a bounded number of marked connections, one send each (`pump`), minding the floor between batches.
//!
//! Nothing comes in but through the ring, the inbox and the slab; nothing leaves but through the ring and messages to
//! ingest. Each part (`connections`, `subscriptions`, `lookups`) has its state to itself; `clients` holds them in one value,
//! on which all else here are functions. A file imports only from those below it in this list.

mod run;
mod tick;

mod events;
mod inbox;

mod hear;
mod pump;
mod requests;

mod notices;

mod clients;

mod connections;
mod lookups;
mod stale;
mod subscriptions;

mod context;
mod schedule;
mod setup;
mod timers;

pub use self::{
    run::{Report, run},
    setup::{IngestLink, Settings, Setup},
    tick::{Idle, Shard},
};
