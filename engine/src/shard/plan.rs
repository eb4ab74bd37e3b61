//! What a connection is sent in one flush: its own output first, then the frames it is owed in the order of the index,
//! in place where they lie back to back.

use std::{cmp::Reverse, ops::Range};

use ring::{Ring, Send, Slot};
use slab::{Frame, NATIVE, Reader};

use super::{
    Shard,
    connection::{Connection, Phase},
    pump::{BATCH, Pump},
};

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

impl<R: Ring> Shard<R> {
    /// Decides what the connection is sent.
    pub(super) fn plan(&mut self, connection: u32) {
        let taker = self.connections.at(connection).filter(|client| client.phase <= Phase::Closing);
        let Some(Connection { untold, owes_status, .. }) = taker else { return };
        let (untold, owes_status) = (untold.is_some(), *owes_status);
        if self.subscriptions.lags(connection) {
            self.go_live(connection);
        } else if untold {
            self.tell_gaps(connection);
        }
        if owes_status {
            self.tell_status(connection);
        }
        let Some(client) = self.connections.at(connection) else { return };
        let (slot, stop) = (client.slot, client.untold.map_or(u64::MAX, |untold| untold.sequence));
        let steps = self.pump.steps.len();
        if client.output.block.is_some() {
            let what = What::PartialBlock;
            self.pump.planned.push(Planned { connection, slot, what, output: 0, steps: steps..steps });
            return;
        }
        let all_output = client.output.bytes();
        let output = all_output.len().min(FLUSH_BYTES);
        let Pump { arena, steps: all_steps, heap, planned, .. } = &mut self.pump;
        let from = arena.len();
        arena.extend_from_slice(&all_output[..output]);
        heap.clear();
        if output == all_output.len() {
            heap.extend(self.subscriptions.owing(connection).map(Reverse));
        }
        let mut gather =
            Gather { reader: &self.reader, arena, from, run: None, total: output, in_arena: output > 0 };
        let mut block = None;
        while let Some(Reverse((sequence, subscription))) = heap.pop()
            && sequence < stop
        {
            let frame = match self.reader.bytes(sequence, NATIVE) {
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
            if let Some(next) = self.subscriptions.chains().next(sequence) {
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

    /// Sends the batch's plans in one enter.
    pub(super) fn send_planned(&mut self) {
        let planned = &self.pump.planned;
        if planned.is_empty() {
            self.pump.outcomes.clear();
            return;
        }
        let mut sends = [Send { slot: planned[0].slot, bytes: &[] }; BATCH];
        for (send, plan) in sends.iter_mut().zip(planned) {
            send.slot = plan.slot;
            send.bytes = match plan.what {
                What::Arena { from, to } => &self.pump.arena[from..to],
                What::Run { first, last } => {
                    self.reader.run(first, last, NATIVE).expect("planned as back to back")
                }
                What::Block { sequence } => self.reader.bytes(sequence, NATIVE).bytes(),
                What::PartialBlock => {
                    let output = self.connections.at(plan.connection).map(|client| &client.output);
                    output.and_then(|output| output.block.as_ref()).map_or(&[], |(block, at)| &block[*at..])
                }
            };
        }
        let sends = &sends[..planned.len()];
        self.context.ops.hand_to(&mut self.ring);
        self.ring.send(sends, &mut self.pump.outcomes);
        assert_eq!(self.pump.outcomes.len(), planned.len(), "one outcome a send");
        self.context.metrics.sends.add(sends.len() as u64);
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
