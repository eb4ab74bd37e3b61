//! Hostile clients beside a thousand healthy ones under load (scripts/check-hostile runs it, on a release build): the server
//! on core 0, all else on the other. What an attack costs is seen from outside: memory of the process, its metrics, and
//! what the healthy clients get, each of whose messages is checked.
//!
//! `cargo test --release -p uringcast --features hostile-tests --test broker -- --nocapture --test-threads=1`

mod coming_back;
mod floods;
mod healthy;
mod lagging;
mod raw;
mod refused;
mod world;

use crate::{outside, process};
