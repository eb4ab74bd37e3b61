//! Hostile clients beside a thousand healthy ones under load (scripts/check-hostile runs it, on a release build): the server
//! on core 0, all else on the other. What an attack costs is seen from outside: memory of the process, its metrics, and
//! what the healthy clients get, each of whose messages is checked.
//!
//! `cargo test --release -p uringcast --features hostile-tests --test hostile -- --nocapture --test-threads=1`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod coming_back;
mod floods;
mod healthy;
mod lagging;
#[path = "../outside/mod.rs"]
mod outside;
#[path = "../process/mod.rs"]
mod process;
mod raw;
mod refused;
mod world;
