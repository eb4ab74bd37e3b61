//! Shards by themselves, on fake rings: no bus, the test writes the slab and answers their lookups.

mod echo;
mod keepalive;
mod large_frames;
mod world;
