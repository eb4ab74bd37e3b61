//! Output that is a connection's own.

use std::sync::Arc;

use slab::Block;

/// Output that is the connection's alone: the rest of a partial frame, then control output (answers, notices, pongs). It
/// leaves before any slab range.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Leaves first: the rest of a partial large frame, from this byte on.
    block: Option<(Arc<Block>, usize)>,
    bytes: Vec<u8>,
    /// So many bytes at the front of `bytes` have left.
    left: usize,
    /// So many bytes behind those are the rest of a frame that has begun to leave.
    begun: usize,
    /// So many of the same place are the rest of a frame of the slab, which is not control output.
    partial: usize,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.block.is_none() && self.bytes.is_empty()
    }

    /// Bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes().len() + self.block.as_ref().map_or(0, |(block, at)| block.len() - at)
    }

    /// What is still to leave, behind the block.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.left..]
    }

    /// What is left of a partial large frame.
    pub(super) fn block(&self) -> Option<&[u8]> {
        self.block.as_ref().map(|(block, at)| &block[*at..])
    }

    /// Bytes of the block that it holds on to, whatever is left of it.
    pub(super) fn block_bytes(&self) -> usize {
        self.block.as_ref().map_or(0, |(block, _)| block.len())
    }

    /// Bytes that are the rest of a partial frame.
    pub(super) fn partial_bytes(&self) -> usize {
        self.partial + self.block().map_or(0, <[u8]>::len)
    }

    /// Bytes of control output: answers, notices and pongs.
    pub(super) fn control_bytes(&self) -> usize {
        self.bytes().len() - self.partial
    }

    /// Bytes of memory, those of partial frames apart.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() - self.partial
    }

    /// The rest of a frame of the slab, whose first part has left. There is nothing else.
    pub(super) fn keep_rest(&mut self, rest: &[u8]) {
        debug_assert!(self.is_empty(), "a frame becomes partial when nothing is before it");
        self.bytes.extend_from_slice(rest);
        (self.begun, self.partial) = (rest.len(), rest.len());
    }

    /// A large frame of which the socket took so many bytes.
    pub(super) fn keep_block(&mut self, block: &Arc<Block>, taken: usize) {
        self.block = Some((Arc::clone(block), taken));
    }

    /// The socket took `count` of [`Self::block`]: gives what there was.
    pub(super) fn consume_block(&mut self, count: usize) -> usize {
        let Some((block, at)) = &mut self.block else { return count };
        let given = block.len() - *at;
        *at += count;
        if count == given {
            self.block = None;
        }
        given
    }

    /// Drops all but the rest of a frame that has begun to leave.
    pub(super) fn drop_unbegun(&mut self) {
        self.bytes = self.bytes[self.left..self.left + self.begun].to_vec();
        self.left = 0;
    }

    /// To append to.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The socket took `count` of [`Self::bytes`]. Memory of a large burst is given back. What stays is moved only when
    /// it is less than what has left, so that megabytes in small sends cost no more than their length.
    pub(super) fn consume(&mut self, count: usize) {
        while self.begun < count {
            self.begun += frame_len(&self.bytes[self.left + self.begun..]);
        }
        self.begun -= count;
        self.left += count;
        self.partial = self.partial.saturating_sub(count);
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
