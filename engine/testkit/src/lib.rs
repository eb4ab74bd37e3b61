//! For tests alone: what several test programs of the engine, and its benchmark, stand on.
//!
//! - [`world`]: a shard with its bus on a fake ring, and clients of which every byte is read as a client reads it;
//! - [`ingest`]: the ingest threads, with a stand-in for the shards;
//! - [`node`]: a whole server in this process.
//!
//! Real brokers are the business of `engine/kafka/local`.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "for tests, which fail by panics")]
#![expect(
    clippy::must_use_candidate,
    missing_debug_implementations,
    missing_docs,
    reason = "nobody outside of the tests reads or keeps them"
)]

pub mod ingest;
pub mod node;
pub mod world;
