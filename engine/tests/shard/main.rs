//! Shards by themselves, on fake rings: no bus, the test writes the slab and answers their lookups.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod echo;
mod keepalive;
mod large_frames;
mod world;
