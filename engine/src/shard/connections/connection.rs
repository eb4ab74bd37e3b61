//! One client: its socket's state and the little it owns. What it is owed stands in `subscriptions`.

use ring::{Key, Slot};

use super::{
    inbound::{Inbound, Stop},
    output::Output,
    pending::Pending,
    socket::Socket,
};
use crate::inbox::Reservation;

/// The first gap that a connection has not been told of.
#[derive(Debug, Clone, Copy)]
pub(in crate::shard) struct Untold {
    pub(in crate::shard) sequence: u64,
    /// The subscription it goes on with, of those it holds; none: the first.
    pub(in crate::shard) next: Option<u32>,
}

/// One client.
#[derive(Debug)]
pub(in crate::shard) struct Connection {
    pub(super) key: Key,
    pub(super) socket: Socket,
    /// What it has sent and we have not worked off.
    pub(super) inbound: Inbound,
    pub(super) output: Output,
    /// Bytes sent since the last keep-alive turn.
    pub(super) sent: u32,
    /// Something was received since the last keep-alive turn.
    pub(super) heard: bool,
    /// It may have been told otherwise of what it holds than it is: stale or live.
    pub(super) owes_status: bool,
    /// It was told last, of all it holds, that it is stale.
    pub(super) told_stale: bool,
    /// A gap of a topic that it is to be told of.
    pub(super) untold: Option<Untold>,
    /// What it holds, as the sum of all has it.
    pub(super) counted: usize,
    /// Given back when the connection is dropped.
    pub(super) _reservation: Reservation,
}

const _: () = assert!(size_of::<Connection>() <= CONNECTION_BYTES, "there are many");
const CONNECTION_BYTES: usize = 280;

impl Connection {
    pub(in crate::shard) fn key(&self) -> Key {
        self.key
    }

    pub(in crate::shard) fn slot(&self) -> Slot {
        self.socket.slot()
    }

    /// It serves.
    pub(in crate::shard) fn is_open(&self) -> bool {
        self.socket.is_open()
    }

    /// It has not come to its end: it may be sent what is there.
    pub(in crate::shard) fn is_alive(&self) -> bool {
        self.socket.is_alive()
    }

    /// Nothing of its own waits to be sent.
    pub(in crate::shard) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Its own output, which leaves before any frame of the slab.
    pub(in crate::shard) fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// The rest of a partial large frame, which leaves before that.
    pub(in crate::shard) fn block(&self) -> Option<&[u8]> {
        self.output.block()
    }

    /// All output that is its own, in bytes.
    pub(in crate::shard) fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Bytes of control output: answers, notices and pongs.
    pub(in crate::shard) fn control_bytes(&self) -> usize {
        self.output.control_bytes()
    }

    /// Why it is not read.
    pub(in crate::shard) fn stop(&self) -> Option<Stop> {
        self.inbound.stop()
    }

    /// Its request that waits for ingest.
    pub(in crate::shard) fn pending(&self) -> Option<&Pending> {
        self.inbound.pending()
    }

    /// A gap of a topic that it is to be told of.
    pub(in crate::shard) fn untold(&self) -> Option<Untold> {
        self.untold
    }

    /// It may have been told otherwise of what it holds than it is: stale or live.
    pub(in crate::shard) fn owes_status(&self) -> bool {
        self.owes_status
    }

    /// It was told last, of all it holds, that it is stale.
    pub(in crate::shard) fn told_stale(&self) -> bool {
        self.told_stale
    }

    /// Bytes of memory it makes us hold, those of partial frames apart.
    pub(super) fn held_bytes(&self) -> usize {
        self.inbound.held_bytes() + self.output.held_bytes()
    }
}
