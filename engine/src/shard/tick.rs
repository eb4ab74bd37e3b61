//! The turn of a shard.

use std::time::Duration;

use ring::{EnterError, Ring, Wait};

use super::Shard;
use crate::clock::Now;

/// Index entries followed in one turn at most: about half a millisecond.
const ENTRIES_A_TURN: u64 = 16_384;

/// What the shard would do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// There is work: another turn at once.
    No,
    /// Nothing to do until something comes, or for this long.
    Sleep(Wait),
    /// It has ended.
    Ended,
}

impl<R: Ring> Shard<R> {
    /// One turn. The wait is what [`Self::idle`] allowed.
    ///
    /// # Errors
    /// The ring is of no more use.
    pub fn tick(&mut self, now: impl FnOnce() -> Now, wait: Wait) -> Result<(), EnterError> {
        self.context.ops.hand_to(&mut self.ring);
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.enter(wait, &mut completions)?;
        if wait != Wait::No {
            self.waker.awake();
            self.context.metrics.sleeps.add(1);
        }
        self.context.now = now();
        self.context.metrics.ticks.add(1);
        self.context.turn += 1;

        for completion in completions.drain(..) {
            self.handle(completion);
        }
        self.completions = completions;
        self.rearm_receives();
        self.read_inbox();
        self.fire_timers();
        self.work_off_backlogs();
        self.drain_some();
        self.follow_index(self.whole_tail().min(self.links.read() + ENTRIES_A_TURN));
        self.flush_turn();
        self.deal_with_floor();
        self.relieve_blocks();
        self.limit_client_bytes();
        self.send_outgoing();
        self.context.ops.hand_to(&mut self.ring);
        self.show();
        Ok(())
    }

    /// What to do after a turn. Before it says sleep it has said so to the waker and looked at everything again: whoever
    /// publishes something afterwards finds the flag and wakes the ring.
    pub fn idle(&mut self) -> Idle {
        if self.has_ended() {
            return Idle::Ended;
        }
        if self.has_work() {
            return Idle::No;
        }
        self.waker.about_to_sleep();
        if self.has_work() {
            self.waker.awake();
            return Idle::No;
        }
        let mut wait_ms = self.context.timers.next_ms(self.context.now.mono_ms());
        if !self.outgoing.is_empty() || self.is_draining() {
            wait_ms = Some(wait_ms.unwrap_or(10).min(10));
        }
        Idle::Sleep(wait_ms.map_or(Wait::Forever, |ms| Wait::For(Duration::from_millis(ms))))
    }

    /// Another turn would find something to do that no completion or timer brings. (A shard that sleeps while this is
    /// true has lost a wake.)
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.whole_tail() != self.links.read()
            || self.reader.asked_floor() != self.reader.floor()
            || self.can_relieve()
            || !self.inbox.is_empty()
            || self.context.schedule.has_work()
            || !self.context.ops.is_empty()
            || !self.backlogs.is_empty()
    }

    /// The tail, without a record of which only a part is published: nobody begins in the middle of one. (Nor between
    /// the notices of a gap and the place where its partition goes on.)
    fn whole_tail(&self) -> u64 {
        let (read, mut tail) = (self.links.read(), self.reader.tail());
        while tail > read && self.reader.entry(tail - 1).is_part() {
            tail -= 1;
        }
        tail
    }

    /// Follows the index up to `tail`, and beyond it to the end of its record, and marks the subscribers of the touched
    /// channels, each once.
    pub(super) fn follow_index(&mut self, tail: u64) {
        let mut tail = tail;
        let end = self.reader.tail();
        while tail < end && tail > self.links.read() && self.reader.entry(tail - 1).is_part() {
            tail += 1;
        }
        let mut touched = std::mem::take(&mut self.touched);
        let (floor, begin) = (self.reader.floor(), self.links.read());
        while self.links.read() < tail {
            let sequence = self.links.read();
            let entry = self.reader.entry(sequence);
            let new_source = self.links.follow(entry, floor);
            if entry.channel == slab::NO_CHANNEL {
                if let Some(gap) = entry.gap() {
                    let is_part = entry.is_part();
                    self.note_gap(sequence, gap, is_part);
                }
                continue;
            }
            if new_source {
                self.subscriptions.new_source(entry.channel, entry.source, entry.offset);
            }
            if self.subscriptions.touch(entry.channel) {
                touched.push((entry.channel, sequence));
            }
        }
        self.mark_gaps(begin);
        for (channel, sequence) in touched.drain(..) {
            let segment = self.reader.entry(sequence).segment;
            let schedule = &mut self.context.schedule;
            self.subscriptions
                .mark(channel, sequence, |connection| schedule.mark(connection, sequence, segment));
        }
        self.touched = touched;
    }

    /// Queues the connection for a flush of its own output.
    pub(super) fn queue_flush(&mut self, connection: u32) {
        self.context.schedule.queue(connection, self.links.read());
    }

    /// The gauges of a turn.
    fn show(&self) {
        let metrics = &self.context.metrics;
        metrics.connections.set(self.connections.len() as u64);
        metrics.subscriptions.set(self.subscriptions.len() as u64);
        metrics.channels.set(self.subscriptions.channels_in_use() as u64);
        metrics.lag_entries.set(self.reader.tail() - self.links.read());
        metrics.blocked.set(self.context.schedule.blocked() as u64);
        metrics.torn_bytes.set(self.partial_bytes as u64);
        metrics.client_bytes.set(self.client_bytes as u64);
        metrics.descriptors.set(self.ring.held().descriptors as u64);
    }
}
