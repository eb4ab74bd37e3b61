//! The accept ring with real sockets. The receiver of the hand-overs is the test itself: it reads the shards' inboxes.

mod admission;
mod client;
mod gate;
mod limits;
mod phases;
mod want;
