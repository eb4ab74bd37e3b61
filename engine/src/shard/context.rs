//! What every part of a shard needs for its work: the time, the settings, where it counts, whom it wakes and when, and
//! what the ring is asked for.

use std::{collections::VecDeque, sync::Arc};

use ring::{Key, Op, Ring};

use super::{schedule::Schedule, setup::Settings, timers::Wheel};
use crate::{clock::Now, metrics::ShardMetrics};

/// What is passed down to whoever changes a part.
#[derive(Debug)]
pub(super) struct Context {
    /// The shard's number.
    pub(super) shard: usize,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<ShardMetrics>,
    /// Read once a turn.
    pub(super) now: Now,
    /// Turns so far.
    pub(super) turn: u64,
    pub(super) timers: Wheel,
    pub(super) schedule: Schedule,
    pub(super) ops: Ops,
    random: u64,
}

impl Context {
    pub(super) fn new(
        shard: usize,
        settings: Settings,
        metrics: Arc<ShardMetrics>,
        seed: u64,
        now: Now,
    ) -> Self {
        let (timers, random) = (Wheel::new(now.mono_ms()), seed | 1);
        let (schedule, ops) = (Schedule::default(), Ops::default());
        Self { shard, settings, metrics, now, turn: 0, timers, schedule, ops, random }
    }

    /// The next number of the shard's own sequence (xorshift64): for jitter, nothing that has to be hard to guess.
    pub(super) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// What the ring is asked for, in order: a cancel must not overtake what it cancels. Handed to it before each enter and
/// each send; what it has no room for goes first the next time.
#[derive(Debug, Default)]
pub(super) struct Ops {
    queue: VecDeque<(Op, Key)>,
}

impl Ops {
    pub(super) fn push(&mut self, op: Op, key: Key) {
        self.queue.push_back((op, key));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Hands the ring what it has room for.
    pub(super) fn hand_to(&mut self, ring: &mut impl Ring) {
        while let Some((op, key)) = self.queue.pop_front() {
            if let Err(op) = ring.push(op, key) {
                self.queue.push_front((op, key));
                return;
            }
        }
    }
}
