//! One client: its socket's state and the little it owns. What it is owed stands in `subscriptions`.

use std::{collections::VecDeque, sync::Arc};

use proto::{
    native::request::{ErrorCode, Request, RequestError},
    ws::decoder::Decoder,
};
use ring::{Key, Slot};

use crate::{mail::Reservation, slab::Block};

/// Where a connection is in its life. Each phase is left only towards a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serves.
    Open,
    /// Its close frame is queued: flush, FIN, wait for the peer's end, for a bounded time.
    Closing,
    /// Everything in flight has been cancelled; waits for the last completion.
    Ending,
    /// The descriptor's close is in flight; then the slot is free.
    Closed,
}

/// Bytes of the connection's own: the rest of a torn frame, then answers, notices and pongs. They leave before any
/// slab range.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// Leaves first: the rest of a torn large frame, from this byte on.
    pub(crate) block: Option<(Arc<Block>, usize)>,
    bytes: Vec<u8>,
    /// So many bytes at the front of `bytes` have left.
    left: usize,
}

impl Own {
    pub(crate) fn is_empty(&self) -> bool {
        self.block.is_none() && self.bytes.is_empty()
    }

    /// Bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes().len() + self.block.as_ref().map_or(0, |(block, at)| block.len() - at)
    }

    /// What is still to leave, behind the block.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.left..]
    }

    /// To append to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The socket took `count` of [`Self::bytes`]. Memory of a large burst is given back. What stays is moved only when
    /// it is less than what has left, so that megabytes in small sends cost no more than their length.
    pub(crate) fn consume(&mut self, count: usize) {
        self.left += count;
        if self.left == self.bytes.len() {
            *self = Self { block: self.block.take(), ..Self::default() };
        } else if self.left > self.bytes.len() / 2 {
            self.bytes.drain(..self.left);
            self.left = 0;
        }
    }
}

/// A token bucket in thousandths of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens_milli: u64,
    filled_ms: u64,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(burst: u32, now_ms: u64) -> Self {
        Self { tokens_milli: u64::from(burst) * 1_000, filled_ms: now_ms }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, burst: u32, per_second: u32, now_ms: u64) -> bool {
        let earned = now_ms.saturating_sub(self.filled_ms) * u64::from(per_second);
        self.tokens_milli = (self.tokens_milli + earned).min(u64::from(burst) * 1_000);
        self.filled_ms = now_ms;
        let has = self.tokens_milli >= 1_000;
        if has {
            self.tokens_milli -= 1_000;
        }
        has
    }
}

/// One channel of a subscribe request under way.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: Arc<str>,
    pub(crate) state: ItemState,
}

/// What is known of an [`Item`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// Ingest has been asked.
    Asked,
    /// The channel's number, reserved for this request.
    Known(u32),
    /// Refused.
    Refused(ErrorCode),
}

/// A subscribe request that waits for answers of ingest, and the requests behind it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: Option<i64>,
    pub(crate) items: Vec<Item>,
    /// Items that ingest has not answered for.
    pub(crate) asked: usize,
    pub(crate) behind: VecDeque<Result<Request, RequestError>>,
    /// Bytes of names in `behind`.
    pub(crate) behind_bytes: usize,
}

impl Pending {
    /// All answers are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.asked == 0
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: Key,
    pub(crate) slot: Slot,
    pub(crate) phase: Phase,
    /// Ops in flight on the slot.
    pub(crate) ops: u8,
    /// A receive is armed.
    pub(crate) receiving: bool,
    /// A poll for writability is armed.
    pub(crate) polling: bool,
    /// Own bytes are above their limit: not read any more.
    pub(crate) paused: bool,
    /// The FIN is sent or asked for.
    pub(crate) finished: bool,
    /// The peer's FIN came while the close frame had still to leave.
    pub(crate) peer_finished: bool,
    /// The socket is full; a poll tells when it takes bytes again.
    pub(crate) blocked: bool,
    /// It has not taken all it was given since `took_ms`, when it last took anything.
    pub(crate) stalled: bool,
    pub(crate) took_ms: u64,
    /// A timer looks at `stalled`.
    pub(crate) blocked_timer: bool,
    /// Bytes sent since the last keep-alive turn.
    pub(crate) sent: u32,
    /// Something was received since the last keep-alive turn.
    pub(crate) heard: bool,
    pub(crate) decoder: Decoder,
    /// Bytes the decoder holds of a message that is not whole yet.
    pub(crate) incomplete: usize,
    pub(crate) own: Own,
    /// Bytes at the front of the own bytes that are the rest of a torn frame.
    pub(crate) torn: usize,
    pub(crate) requests: Bucket,
    /// Failed requests, and when their minute began.
    pub(crate) failed: (u32, u64),
    pub(crate) pending: Option<Box<Pending>>,
    /// Given back when the connection is dropped.
    pub(crate) _reservation: Reservation,
}

impl Connection {
    /// Bytes of torn frames it holds.
    pub(crate) fn torn_bytes(&self) -> usize {
        self.torn + self.own.block.as_ref().map_or(0, |(block, at)| block.len() - at)
    }

    /// It may be handed bytes.
    pub(crate) fn takes_bytes(&self) -> bool {
        self.phase <= Phase::Closing && !self.blocked
    }
}

#[cfg(test)]
mod tests {
    use super::Own;

    #[test]
    fn own_bytes_leave_in_any_pieces_and_their_memory_follows() {
        let message: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
        for piece in [1_000, 65_536, 600_000] {
            let mut own = Own::default();
            own.end().extend_from_slice(&message);
            let mut left = Vec::new();
            while !own.is_empty() {
                let taken = own.bytes().len().min(piece);
                left.extend_from_slice(&own.bytes()[..taken]);
                own.consume(taken);
                assert!(own.bytes.len() <= 2 * own.bytes().len() + 1, "what has left is kept");
            }
            assert!(left == message, "in pieces of {piece}");
            assert_eq!(own.bytes.capacity(), 0);
        }
    }

    #[test]
    fn what_is_appended_between_sends_keeps_its_order() {
        let mut own = Own::default();
        own.end().extend_from_slice(b"first ");
        own.consume(2);
        own.end().extend_from_slice(b"second");
        assert_eq!(own.bytes(), b"rst second");
        own.consume(9);
        assert_eq!(own.bytes(), b"d");
        own.consume(1);
        assert!(own.is_empty() && own.bytes().is_empty());
    }
}
