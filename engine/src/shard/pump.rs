//! The write pump: one send a connection a turn, of everything it is owed, straight from the slab where that lies back
//! to back.
//!
//! A flush has three steps, each over a batch of connections: *plan* what each is sent (its own output first, then
//! frames in the order of the index), *send* the batch in one enter, *commit* what the sockets took. Nothing else
//! happens in between, so a plan cannot go stale. Nothing here allocates once its lists have grown. Here are the
//! batches and the bookkeeping; `plan.rs` decides what is sent, `schedule.rs` has the queues.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use ring::{Op, Outcome, Ring};
use slab::{Frame, NATIVE};

use super::{
    Shard, Timer,
    connection::Phase,
    floor::LAGGED_BETWEEN_BATCHES,
    plan::{Planned, Step, What},
    schedule::Schedule,
};

/// Connections in one enter: deeper batches hurt the caches (tried: a send costs a tenth more in one enter for 4,000).
pub(super) const BATCH: usize = 100;
/// Connections flushed in one turn.
const FLUSHES_A_TURN: usize = 256;

/// The lists of a batch, kept for their memory.
#[derive(Debug, Default)]
pub(super) struct Pump {
    pub(super) batch: Vec<u32>,
    pub(super) planned: Vec<Planned>,
    pub(super) steps: Vec<Step>,
    pub(super) arena: Vec<u8>,
    pub(super) heap: BinaryHeap<Reverse<(u64, u32)>>,
    pub(super) outcomes: Vec<Outcome>,
}

impl<R: Ring> Shard<R> {
    /// Flushes a turn's worth of connections: the ready queue, and of the backlog at most half a turn's while the ready
    /// queue is not empty. The floor is looked at between batches.
    pub(super) fn flush_turn(&mut self) {
        let (ready_waiting, backlog_waiting) = self.context.schedule.waiting();
        let ready_left = ready_waiting.min(FLUSHES_A_TURN - backlog_waiting.min(FLUSHES_A_TURN / 2));
        let backlog_left = backlog_waiting.min(FLUSHES_A_TURN - ready_left);
        self.flush_queue(ready_left, |schedule, batch, most| schedule.take_ready(batch, most, u64::MAX));
        self.flush_queue(backlog_left, Schedule::take_backlog);
    }

    /// Flushes so many connections of the queue that `take` fills a batch from.
    fn flush_queue(&mut self, mut left: usize, take: impl Fn(&mut Schedule, &mut Vec<u32>, usize)) {
        while left > 0 {
            take(&mut self.context.schedule, &mut self.pump.batch, left.min(BATCH));
            if self.pump.batch.is_empty() {
                return;
            }
            left -= self.pump.batch.len();
            self.flush_batch();
            self.deal_with_floor();
        }
    }

    /// Plans, sends and commits the connections of the batch.
    pub(super) fn flush_batch(&mut self) {
        let batch = std::mem::take(&mut self.pump.batch);
        self.folds_left = LAGGED_BETWEEN_BATCHES;
        for &connection in &batch {
            self.plan(connection);
        }
        self.send_planned();
        let planned = std::mem::take(&mut self.pump.planned);
        let outcomes = std::mem::take(&mut self.pump.outcomes);
        for (plan, &outcome) in planned.iter().zip(&outcomes) {
            self.commit(plan, outcome);
        }
        for &connection in &batch {
            self.requeue(connection);
        }
        self.limit_partial_frames();
        self.limit_client_bytes();
        self.pump.batch = batch;
        self.pump.planned = planned;
        self.pump.outcomes = outcomes;
        self.pump.batch.clear();
        self.pump.planned.clear();
        self.pump.steps.clear();
        self.pump.arena.clear();
    }

    /// Books what a socket took.
    fn commit(&mut self, plan: &Planned, outcome: Outcome) {
        let connection = plan.connection;
        let sent = match outcome {
            Outcome::Sent(sent) => sent,
            Outcome::Blocked => {
                self.context.metrics.full_sends.add(1);
                return self.block(connection, false);
            }
            Outcome::Failed(_) => return self.fail(connection),
        };
        self.context.metrics.sent_bytes.add(sent as u64);
        let given = self.book(plan, sent);
        if let Some(client) = self.connections.at_mut(connection) {
            client.sent = client.sent.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX));
            client.stalled &= sent < given;
        }
        if sent < given {
            self.context.metrics.short_sends.add(1);
            self.block(connection, true);
        }
    }

    /// Advances the cursors of the frames that were taken and keeps the rest of a partial one. Gives the bytes there
    /// were.
    fn book(&mut self, plan: &Planned, sent: usize) -> usize {
        let Some(client) = self.connections.at_mut(plan.connection) else { return sent };
        if let What::PartialBlock = plan.what {
            let Some((block, at)) = &mut client.output.block else { return sent };
            let given = block.len() - *at;
            *at += sent;
            if sent == given {
                client.output.block = None;
                self.block_holders -= 1;
            }
            self.partial_bytes -= sent;
            return given;
        }
        if plan.output > 0 {
            let partial_before = client.partial;
            client.output.consume(sent.min(plan.output));
            client.partial = partial_before.saturating_sub(sent);
            self.partial_bytes -= partial_before - client.partial;
            let key = client.key;
            self.count_held(key);
        }
        let mut begin = plan.output;
        let steps = plan.steps.clone();
        for at in steps {
            let step = self.pump.steps[at];
            if sent <= begin {
                break;
            }
            self.subscriptions.delivered(step.subscription, step.sequence);
            self.context.metrics.deliveries.add(1);
            if sent < step.end {
                self.keep_partial(plan, step.sequence, sent - begin);
                break;
            }
            begin = step.end;
        }
        self.sample_delay(plan);
        self.pump.steps[plan.steps.clone()].last().map_or(plan.output, |step| step.end)
    }

    /// The socket took `taken` bytes of the frame at `sequence`: the rest is the connection's own from now on.
    fn keep_partial(&mut self, plan: &Planned, sequence: u64, taken: usize) {
        let Some(client) = self.connections.at_mut(plan.connection) else { return };
        let rest = match self.reader.bytes(sequence, NATIVE) {
            Frame::Region(bytes) => {
                client.output.keep_rest(&bytes[taken..]);
                client.partial = bytes.len() - taken;
                bytes.len() - taken
            }
            Frame::Block(block) => {
                client.output.block = Some((Arc::clone(block), taken));
                self.block_holders += 1;
                block.len() - taken
            }
        };
        self.partial_bytes += rest;
        let key = client.key;
        self.count_held(key);
    }

    /// One sample a send: from ingest to the socket.
    fn sample_delay(&self, plan: &Planned) {
        if let Some(step) = self.pump.steps[plan.steps.clone()].first() {
            let since = self.context.now.mono_ns.saturating_sub(self.reader.entry(step.sequence).ingest_ns);
            self.context.metrics.delay_ns.add(since);
            self.context.metrics.delay_samples.add(1);
        }
    }

    /// The socket is full: a poll is armed, which refers to no message memory, and a timer looks whether it moves.
    fn block(&mut self, connection: u32, took_some: bool) {
        let now_ms = self.context.now.mono_ms();
        let Some(client) = self.connections.at_mut(connection) else { return };
        let (key, slot) = (client.key, client.slot);
        if took_some || !client.stalled {
            client.took_ms = now_ms;
        }
        client.stalled = true;
        self.context.schedule.block(connection);
        let arm_timer = !std::mem::replace(&mut client.blocked_timer, true);
        let arm_poll = !std::mem::replace(&mut client.polling, true);
        if arm_timer {
            self.context.timers.arm(now_ms + self.context.settings.blocked_timeout_ms(), key, Timer::Blocked);
        }
        if arm_poll {
            self.push(Op::PollWritable { slot }, key);
        }
    }

    /// After a flush: finds the connection its queue and its list.
    pub(super) fn requeue(&mut self, connection: u32) {
        let Some(client) = self.connections.at(connection).filter(|client| client.phase <= Phase::Closing)
        else {
            return self.context.schedule.list(connection, None);
        };
        let untold = client.untold.map(|untold| untold.sequence);
        let oldest = self.subscriptions.settle(connection).into_iter().chain(untold).min();
        self.list_at(connection, oldest);
        let Some(client) = self.connections.at(connection) else { return };
        let more = oldest.is_some()
            || !client.output.is_empty()
            || client.owes_status
            || self.subscriptions.lags(connection);
        self.context.schedule.settle(connection, more);
        if client.output.is_empty() {
            self.output_left(connection);
        }
    }

    /// Puts the connection into the list of the segment in which the oldest that it owes lies; none: into none.
    pub(super) fn list_at(&mut self, connection: u32, oldest: Option<u64>) {
        let segment = oldest.map(|oldest| self.reader.entry(oldest).segment);
        self.context.schedule.list(connection, segment);
    }
}
