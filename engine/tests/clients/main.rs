//! One shard, the real bus and slab, and clients that behave badly or oddly: each kind has its own test, which says what
//! the client is answered, and that a client beside it notices nothing. The ring is the fake one, the clock the test's.
//!
//! On fake rings as well, and therefore here: shards by themselves (`shard`), and the cases of the micro-benchmark (`micro`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod explain;
mod frames;
mod gaps;
mod hostile;
mod micro;
mod records;
mod requests;
mod shard;
mod silence;
mod slow;
