//! One client: its socket's state and the little it owns. What it is owed stands in `subscriptions`.

use std::sync::Arc;

use proto::native::request::ErrorCode;
use ring::{Key, Slot};
use slab::Block;

use super::{
    gaps::Untold,
    inbound::{Bucket, Inbound},
};
use crate::inbox::Reservation;

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

/// Output that is the connection's alone: the rest of a partial frame, then control output (answers, notices, pongs). It
/// leaves before any slab range.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Leaves first: the rest of a partial large frame, from this byte on.
    pub(crate) block: Option<(Arc<Block>, usize)>,
    bytes: Vec<u8>,
    /// So many bytes at the front of `bytes` have left.
    left: usize,
    /// So many bytes behind those are the rest of a frame that has begun to leave.
    begun: usize,
}

impl Output {
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

    /// Bytes of memory, the block's apart.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The rest of a frame of the slab, whose first part has left. There is nothing else.
    pub(crate) fn keep_rest(&mut self, rest: &[u8]) {
        debug_assert!(self.is_empty(), "a frame becomes partial when nothing is before it");
        self.bytes.extend_from_slice(rest);
        self.begun = rest.len();
    }

    /// Drops all but the rest of a frame that has begun to leave.
    pub(crate) fn drop_unbegun(&mut self) {
        self.bytes = self.bytes[self.left..self.left + self.begun].to_vec();
        self.left = 0;
    }

    /// To append to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The socket took `count` of [`Self::bytes`]. Memory of a large burst is given back. What stays is moved only when
    /// it is less than what has left, so that megabytes in small sends cost no more than their length.
    pub(crate) fn consume(&mut self, count: usize) {
        while self.begun < count {
            self.begun += frame_len(&self.bytes[self.left + self.begun..]);
        }
        self.begun -= count;
        self.left += count;
        if self.left == self.bytes.len() {
            *self = Self { block: self.block.take(), ..Self::default() };
        } else if self.left > self.bytes.len() / 2 {
            self.bytes.drain(..self.left);
            self.left = 0;
        }
    }
}

/// Length of the frame of ours that these bytes begin with.
fn frame_len(bytes: &[u8]) -> usize {
    let short = bytes.get(1).copied().unwrap_or_default();
    let (header, payload) = match (short, bytes) {
        (126, &[_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([a, b]))),
        (127, &[_, _, a, b, c, d, e, f, g, h, ..]) => {
            let payload = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (10, usize::try_from(payload).unwrap_or(bytes.len()))
        }
        _ => (2, usize::from(short)),
    };
    header + payload
}

/// Memory beside its bytes that a name takes while it is asked for.
const NAME_OVERHEAD_BYTES: usize = 96;

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

/// A subscribe request that waits for answers of ingest.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: Option<i64>,
    pub(crate) items: Vec<Item>,
    /// Items that ingest has not answered for.
    pub(crate) asked: usize,
    /// Bytes of memory that it holds, and has others hold.
    held_bytes: usize,
}

impl Pending {
    pub(crate) fn new(id: Option<i64>, items: Vec<Item>) -> Self {
        let asked = items.iter().filter(|item| item.state == ItemState::Asked).count();
        // A name stands in the item, in the shard's table and in the lookup.
        let each = size_of::<Item>() + NAME_OVERHEAD_BYTES;
        let held_bytes = items.iter().map(|item| each + item.name.len()).sum();
        Self { id, items, asked, held_bytes }
    }

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
    /// The FIN is sent or asked for.
    pub(crate) finished: bool,
    /// The peer's FIN came while the close frame had still to leave.
    pub(crate) peer_finished: bool,
    /// It has not taken all it was given since `took_ms`, when it last took anything.
    pub(crate) stalled: bool,
    pub(crate) took_ms: u64,
    /// A timer looks at `stalled`.
    pub(crate) blocked_timer: bool,
    /// Bytes sent since the last keep-alive turn.
    pub(crate) sent: u32,
    /// Something was received since the last keep-alive turn.
    pub(crate) heard: bool,
    /// It may have been told otherwise of what it holds than it is: stale or live.
    pub(crate) owes_status: bool,
    /// It was told last, of all it holds, that it is stale.
    pub(crate) told_stale: bool,
    /// A gap of a topic that it is to be told of.
    pub(crate) untold: Option<Untold>,
    /// What it has sent and we have not worked off.
    pub(crate) inbound: Inbound,
    /// What it holds, as the shard's sum has it.
    pub(crate) counted: usize,
    pub(crate) output: Output,
    /// Bytes at the front of the output that are the rest of a partial frame.
    pub(crate) partial: usize,
    pub(crate) requests: Bucket,
    /// Failed requests, and when their minute began.
    pub(crate) failed: (u32, u64),
    pub(crate) pending: Option<Box<Pending>>,
    /// Given back when the connection is dropped.
    pub(crate) _reservation: Reservation,
}

impl Connection {
    /// Bytes of partial frames it holds.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.partial + self.output.block.as_ref().map_or(0, |(block, at)| block.len() - at)
    }

    /// Bytes of control output: answers, notices and pongs.
    pub(crate) fn control_bytes(&self) -> usize {
        self.output.bytes().len() - self.partial
    }

    /// Bytes of memory it makes us hold, those of partial frames apart.
    pub(crate) fn held_bytes(&self) -> usize {
        let pending = self.pending.as_ref().map_or(0, |pending| pending.held_bytes);
        self.inbound.held_bytes() + pending + self.output.capacity() - self.partial
    }
}

#[cfg(test)]
mod tests {
    use proto::ws::frame::{OpCode, put_frame};

    use super::Output;

    #[test]
    fn own_bytes_leave_in_any_pieces_and_their_memory_follows() {
        let payload: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
        let mut message = Vec::new();
        put_frame(&mut message, OpCode::Text, &payload);
        for piece in [1_000, 65_536, 600_000] {
            let mut output = Output::default();
            output.end().extend_from_slice(&message);
            let mut left = Vec::new();
            while !output.is_empty() {
                let taken = output.bytes().len().min(piece);
                left.extend_from_slice(&output.bytes()[..taken]);
                output.consume(taken);
                assert!(output.bytes.len() <= 2 * output.bytes().len() + 1, "what has left is kept");
            }
            assert!(left == message, "in pieces of {piece}");
            assert_eq!(output.bytes.capacity(), 0);
        }
    }

    #[test]
    fn what_is_appended_between_sends_keeps_its_order() {
        let mut output = Output::default();
        put_frame(output.end(), OpCode::Text, b"first");
        output.consume(4);
        put_frame(output.end(), OpCode::Text, b"second");
        assert_eq!(output.bytes(), b"rst\x81\x06second");
        output.consume(10);
        assert_eq!(output.bytes(), b"d");
        output.consume(1);
        assert!(output.is_empty() && output.bytes().is_empty());
    }

    #[test]
    fn a_cut_keeps_the_frame_that_has_begun_to_leave_and_no_other() {
        for len in [1, 125, 126, 65_535, 65_536] {
            let mut frames = Vec::new();
            put_frame(&mut frames, OpCode::Text, &vec![b'a'; len]);
            let first = frames.len();
            put_frame(&mut frames, OpCode::Text, b"second");
            for left in [0, 1, first - 1, first, first + 1, frames.len() - 1] {
                let mut output = Output::default();
                output.end().extend_from_slice(&frames);
                output.consume(left);
                output.drop_unbegun();
                let kept = match left {
                    0 => 0..0,
                    left if left < first => left..first,
                    left if left == first => 0..0,
                    left => left..frames.len(),
                };
                assert_eq!(output.bytes(), &frames[kept], "{len}, {left}");
            }
        }
    }
}
