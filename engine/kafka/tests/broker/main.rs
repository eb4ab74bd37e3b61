//! The crate on real brokers, which scripts/kafka-local starts and stops.
//!
//! - `cargo test -p uringcast-kafka --features broker-tests --test broker`
//! - `cargo test -p uringcast-kafka --features cluster-tests --test broker incarnations` takes minutes; no ordinary run has it.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests read the clock, share a relay and fail by panics"
)]

mod client;
#[allow(dead_code, reason = "each test program uses its part of it")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "cluster-tests")]
mod incarnations;
mod local;
