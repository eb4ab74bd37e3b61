//! What a connection is sent in one flush: its own output first, then the frames it is owed in the order of the index,
//! in place where they lie back to back.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use ring::Slot;
use slab::{Frame, NATIVE, Reader};

use crate::shard::clients::Clients;

/// Bytes for one connection in one flush, unless its first frame alone is longer.
const FLUSH_BYTES: usize = 64 * 1024;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// Bytes of the arena.
    Arena { from: usize, to: usize },
    /// Frames that lie back to back in the slab, from this entry to that.
    Run { first: u64, last: u64 },
    /// One large frame.
    Block { sequence: u64 },
    /// The rest of a partial large frame.
    PartialBlock,
}

/// The plan for one connection.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) connection: u32,
    pub(super) slot: Slot,
    pub(super) what: What,
    /// Bytes of the connection's own output at the front.
    pub(super) output: usize,
    pub(super) steps: Range<usize>,
}

/// One frame of a plan, and where it ends in what is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) subscription: u32,
    pub(super) sequence: u64,
    pub(super) end: usize,
}

/// The plans of a batch, kept for their memory.
#[derive(Debug, Default)]
pub(super) struct Plans {
    pub(super) planned: Vec<Planned>,
    pub(super) steps: Vec<Step>,
    pub(super) arena: Vec<u8>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Plans {
    pub(super) fn clear(&mut self) {
        self.planned.clear();
        self.steps.clear();
        self.arena.clear();
    }

    /// Decides what the connection is sent.
    pub(super) fn add(&mut self, clients: &Clients, reader: &Reader, connection: u32) {
        let Clients { connections, subscriptions, .. } = clients;
        let Some(client) = connections.at(connection) else { return };
        let (slot, stop) = (client.slot(), client.untold().map_or(u64::MAX, |untold| untold.sequence));
        let Self { planned, steps: all_steps, arena, heap } = self;
        let steps = all_steps.len();
        if client.block().is_some() {
            let what = What::PartialBlock;
            planned.push(Planned { connection, slot, what, output: 0, steps: steps..steps });
            return;
        }
        let all_output = client.output();
        let output = all_output.len().min(FLUSH_BYTES);
        let from = arena.len();
        arena.extend_from_slice(&all_output[..output]);
        heap.clear();
        if output == all_output.len() {
            heap.extend(subscriptions.owing(connection).map(Reverse));
        }
        let mut gather = Gather { reader, arena, from, run: None, total: output, in_arena: output > 0 };
        let mut block = None;
        while let Some(Reverse((sequence, subscription))) = heap.pop()
            && sequence < stop
        {
            let frame = match reader.bytes(sequence, NATIVE) {
                Frame::Region(bytes) => bytes,
                Frame::Block(bytes) if gather.total == 0 => {
                    block = Some(sequence);
                    all_steps.push(Step { subscription, sequence, end: bytes.len() });
                    break;
                }
                Frame::Block(_) => break,
            };
            if gather.total > 0 && gather.total + frame.len() > FLUSH_BYTES {
                break;
            }
            gather.add(sequence, frame);
            all_steps.push(Step { subscription, sequence, end: gather.total });
            if let Some(next) = subscriptions.chains().next(sequence) {
                heap.push(Reverse((next, subscription)));
            }
        }
        let what = match (block, gather.finish()) {
            (Some(sequence), _) => What::Block { sequence },
            (None, Some(what)) => what,
            (None, None) => return,
        };
        planned.push(Planned { connection, slot, what, output, steps: steps..all_steps.len() });
    }
}

/// Collects frames: as one run of the slab while they lie back to back, else in the arena.
struct Gather<'a> {
    reader: &'a Reader,
    arena: &'a mut Vec<u8>,
    /// Where the plan's bytes begin in the arena.
    from: usize,
    /// First and last entry of the run.
    run: Option<(u64, u64)>,
    total: usize,
    in_arena: bool,
}

impl Gather<'_> {
    fn add(&mut self, sequence: u64, frame: &[u8]) {
        self.total += frame.len();
        if self.in_arena {
            self.arena.extend_from_slice(frame);
            return;
        }
        let Some((first, last)) = self.run else {
            self.run = Some((sequence, sequence));
            return;
        };
        if self.reader.entry(sequence).frames[NATIVE].follows(&self.reader.entry(last).frames[NATIVE]) {
            self.run = Some((first, sequence));
        } else {
            let run = self.reader.run(first, last, NATIVE).expect("back to back so far");
            self.arena.extend_from_slice(run);
            self.arena.extend_from_slice(frame);
            self.in_arena = true;
            self.run = None;
        }
    }

    /// What to send; none: nothing.
    fn finish(self) -> Option<What> {
        if self.total == 0 {
            return None;
        }
        match self.run {
            Some((first, last)) => Some(What::Run { first, last }),
            None => Some(What::Arena { from: self.from, to: self.arena.len() }),
        }
    }
}
