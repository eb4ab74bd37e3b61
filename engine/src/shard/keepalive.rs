//! Who is still there. A connection with subscriptions gets a position notice at its turn, any other a ping; it is alive
//! if it said anything since its last turn, or if the peer's kernel has acknowledged all that was sent before it.

use proto::{
    native::reply,
    ws::{
        close::CloseCode,
        frame::{OpCode, put_frame},
    },
};
use ring::{Key, Op, Ring};

use super::{Shard, Timer, connection::Phase, inbound::Stop, lifecycle::CloseReason};

/// Time in which a socket that takes bytes again is flushed, ms: a shard needs a turn or a few.
const FLUSHED_MS: u64 = 100;

impl<R: Ring> Shard<R> {
    pub(super) fn fire_timers(&mut self) {
        let mut fired = std::mem::take(&mut self.fired);
        self.context.timers.turn(self.context.now.mono_ms(), &mut fired);
        for (key, timer) in fired.drain(..) {
            match timer {
                Timer::KeepAlive => self.keepalive_turn(key),
                Timer::Grace => self.grace_over(key),
                Timer::Blocked => self.blocked_timer(key),
                Timer::Tokens => self.resume(key, Stop::Tokens),
                Timer::Close => self.close_over(key),
            }
        }
        self.fired = fired;
    }

    /// Arms the connection's next turn: the interval, give or take a tenth.
    pub(super) fn arm_keepalive(&mut self, key: Key) {
        let interval = self.context.settings.ping_interval_ms.max(1);
        let jitter = self.context.random() % (interval / 5).max(1);
        self.context.timers.arm(
            self.context.now.mono_ms() + interval - interval / 10 + jitter,
            key,
            Timer::KeepAlive,
        );
    }

    fn keepalive_turn(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        client.heard = false;
        client.sent = 0;
        if !self.put_position(key) {
            self.control(key, |out| put_frame(out, OpCode::Ping, &[]));
        }
        self.context.timers.arm(
            self.context.now.mono_ms() + self.context.settings.ping_grace_ms,
            key,
            Timer::Grace,
        );
    }

    /// Writes a position notice, if the connection holds subscriptions and owes nothing: what it says then leaves right
    /// behind everything it speaks of.
    pub(super) fn put_position(&mut self, key: Key) -> bool {
        let connection = key.index();
        if self.connections.get_mut(key).is_none()
            || self.context.schedule.is_blocked(connection)
            || self.subscriptions.count(connection) == 0
            || self.subscriptions.owes(connection)
            || self.is_behind(connection)
        {
            return false;
        }
        let mut names = Vec::new();
        for (_, channel) in self.subscriptions.held(connection) {
            for topic in self.subscriptions.channel(channel).topics().iter() {
                if !names.contains(topic) {
                    names.push(std::sync::Arc::clone(topic));
                }
            }
        }
        let positions = self.positions.vectors(&self.reader, self.subscriptions.read(), &names, None);
        self.control(key, |out| reply::position(out, &positions));
        true
    }

    /// The grace after a turn is over: who said nothing is asked for what it has not acknowledged.
    fn grace_over(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        if client.heard {
            return self.arm_keepalive(key);
        }
        let slot = client.slot;
        self.push(Op::OutQueue { slot }, key);
    }

    /// So much is in the send queue of a connection that has been silent since its turn.
    pub(super) fn out_queue(&mut self, key: Key, queued: u32) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        // Less is unacknowledged than was sent since the turn: the peer has acknowledged something since. (An empty queue
        // would be too much to ask of a connection in a steady stream.) A full socket is the blocked timer's business.
        if client.heard || client.stalled || queued < client.sent {
            self.arm_keepalive(key);
        } else {
            self.close(key, CloseCode::POLICY, "no sign of life", CloseReason::Silence);
        }
    }

    fn blocked_timer(&mut self, key: Key) {
        let (now_ms, timeout_ms) = (self.context.now.mono_ms(), self.context.settings.blocked_timeout_ms());
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        client.blocked_timer = client.stalled;
        if !client.stalled {
            return;
        }
        let due_ms = client.took_ms + timeout_ms;
        if !client.blocked {
            // The socket takes bytes again, or so it was just said: the flush that is due tells. A shard that had no time finds
            // out both at once.
            self.wheel.arm(due_ms.max(now_ms + FLUSHED_MS), key, Timer::Blocked);
        } else if due_ms <= now_ms {
            self.close(key, CloseCode::POLICY, "blocked for too long", CloseReason::Blocked);
        } else {
            self.context.timers.arm(due_ms, key, Timer::Blocked);
        }
    }
}
