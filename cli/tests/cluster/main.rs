//! The real server on three real brokers under faults (scripts/check-cluster runs it).
//!
//! `cargo test -p uringcast --features cluster-tests --test cluster -- --nocapture`
//!
//! Each scenario has topics and a server of its own, and goes on after a fault so that one run tells all of them. They share
//! the brokers, so one runs at a time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod brokers;
mod feed;
mod idle;
mod incarnations;
mod judge;
mod leaders;
#[path = "../outside/mod.rs"]
mod outside;
#[path = "../process/mod.rs"]
mod process;
mod scene;
mod transactions;
mod truncation;
