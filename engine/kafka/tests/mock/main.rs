//! The crate on librdkafka's mock broker: what needs no real one. Each test has a broker and clients of its own.

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
mod faults;
mod lookups;
mod spoilt;
