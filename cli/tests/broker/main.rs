//! The binary on real brokers, which scripts/kafka-local starts and stops. What runs, its feature says: `mending` for a run of
//! scripts/test, the others for minutes, each by a script of its own.
//!
//! `cargo test -p uringcast --features broker-tests --test broker`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "cluster-tests")]
mod cluster;
#[cfg(feature = "hostile-tests")]
mod hostile;
#[cfg(feature = "broker-tests")]
mod mending;
#[cfg(any(feature = "cluster-tests", feature = "hostile-tests"))]
mod outside;
#[path = "../process/mod.rs"]
mod process;
