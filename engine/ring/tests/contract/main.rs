//! One suite for both rings: what the contract says of a ring, the kernel's does on real sockets and the fake does in
//! memory, with and without disturbances.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::wildcard_enum_match_arm, reason = "any other event is a failure")]

mod allocations;
mod fake;
mod fake_only;
mod harness;
mod kernel;
mod kernel_only;
mod property;
mod refused;
mod suite;

/// For `allocations`. It counts by thread, so it is no matter what other tests do meanwhile.
#[global_allocator]
static COUNTING: ring::counting::Counting = ring::counting::Counting;
