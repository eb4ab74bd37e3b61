//! The accept ring with real sockets. The receiver of the hand-overs is the test itself: it reads the shards' inboxes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "accept/client.rs"]
mod client;
#[path = "accept/gate.rs"]
mod gate;

#[path = "accept/admission.rs"]
mod admission;
#[path = "accept/limits.rs"]
mod limits;
#[path = "accept/phases.rs"]
mod phases;
#[path = "accept/want.rs"]
mod want;
