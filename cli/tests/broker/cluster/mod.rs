//! The real server on three real brokers under faults (scripts/check-cluster runs it).
//!
//! `cargo test -p uringcast --features cluster-tests --test broker -- --nocapture`
//!
//! Each scenario has topics and a server of its own, and goes on after a fault so that one run tells all of them. They share
//! the brokers, so one runs at a time.

mod access;
mod brokers;
mod feed;
mod idle;
mod incarnations;
mod judge;
mod leaders;
mod scene;
mod transactions;
mod truncation;

use crate::{outside, process};
