//! The server: Kafka records in, WebSocket messages out.
//!
//! One record's life: [`ingest`] reads it from Kafka, renders its channel, encodes its frame once and appends both to the
//! [`slab`]; every [`shard`] follows the slab's index, marks the subscribers of the touched channel, and its pump writes
//! the frame's bytes, straight from the slab, to each of them. [`accept`] answers upgrades and hands descriptors to
//! shards; [`admin`] shows what happens; only [`server`] spawns threads.
//!
//! What must always hold is listed in `docs/DESIGN.md`; the simulation in `tests/sim` checks it.

#![forbid(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("uringcast runs on 64-bit Linux only: it is built on io_uring");

pub mod accept;
pub mod admin;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod error;
pub mod health;
pub mod inbox;
pub mod ingest;
pub mod limits;
mod messages;
pub mod metrics;
pub mod server;
pub mod shard;
