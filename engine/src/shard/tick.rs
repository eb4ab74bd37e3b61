//! The turn of a shard.

use std::time::Duration;

use ring::{EnterError, Ring, Wait};

use super::{Shard, subscriptions::whole_tail};
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
        self.follow_index(
            whole_tail(&self.reader, self.subscriptions.read())
                .min(self.subscriptions.read() + ENTRIES_A_TURN),
        );
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
        whole_tail(&self.reader, self.subscriptions.read()) != self.subscriptions.read()
            || self.reader.asked_floor() != self.reader.floor()
            || self.can_relieve()
            || !self.inbox.is_empty()
            || self.context.schedule.has_work()
            || !self.context.ops.is_empty()
            || !self.backlogs.is_empty()
    }

    /// Follows the index up to `tail`, and beyond it to the end of its record, and marks the subscribers of the touched
    /// channels, each once.
    pub(super) fn follow_index(&mut self, tail: u64) {
        let begin = self.subscriptions.read();
        let (gaps, positions) = (&mut self.gaps, &self.positions);
        self.subscriptions.follow(&self.reader, tail, |sequence, gap, is_part| {
            gaps.note(&positions.catalog(), sequence, gap, is_part);
        });
        self.mark_gaps(begin);
        self.subscriptions.mark_touched(&self.reader, &mut self.context.schedule);
    }

    /// Queues the connection for a flush of its own output.
    pub(super) fn queue_flush(&mut self, connection: u32) {
        self.context.schedule.queue(connection, self.subscriptions.read());
    }

    /// The gauges of a turn.
    fn show(&self) {
        let metrics = &self.context.metrics;
        metrics.connections.set(self.connections.len() as u64);
        metrics.subscriptions.set(self.subscriptions.len() as u64);
        metrics.channels.set(self.subscriptions.channels_in_use() as u64);
        metrics.lag_entries.set(self.reader.tail() - self.subscriptions.read());
        metrics.blocked.set(self.context.schedule.blocked() as u64);
        metrics.torn_bytes.set(self.partial_bytes as u64);
        metrics.client_bytes.set(self.client_bytes as u64);
        metrics.descriptors.set(self.ring.held().descriptors as u64);
    }
}
