//! The load generator on real sockets, real rings and mock brokers, against servers that do right or wrong.
#![expect(clippy::unwrap_used, reason = "test code")]

mod faults;
mod latency;
mod produce;
mod support;
