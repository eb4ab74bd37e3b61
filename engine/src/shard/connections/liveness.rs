//! Who is still there. A connection with subscriptions gets a position notice at its turn, any other a ping; it is alive
//! if it said anything since its last turn, or if the peer's kernel has acknowledged all that was sent before it.

use proto::ws::{
    close::CloseCode,
    frame::{OpCode, put_frame},
};
use ring::Key;

use super::{Connections, reason::CloseReason, socket::Stall};
use crate::shard::{context::Context, timers::Timer};

impl Connections {
    /// Arms the connection's next turn: the interval, give or take a tenth.
    pub(in crate::shard) fn arm_keepalive(context: &mut Context, key: Key) {
        let interval = context.settings.ping_interval_ms.max(1);
        let jitter = context.random() % (interval / 5).max(1);
        context.timers.arm(context.now.mono_ms() + interval - interval / 10 + jitter, key, Timer::KeepAlive);
    }

    /// The connection's turn begins. False: it does not serve any more.
    pub(in crate::shard) fn begin_turn(&mut self, key: Key) -> bool {
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else { return false };
        (client.heard, client.sent) = (false, 0);
        true
    }

    /// Asks for a sign of life.
    pub(in crate::shard) fn ping(&mut self, context: &mut Context, key: Key) {
        self.write(context, key, |out| put_frame(out, OpCode::Ping, &[]));
    }

    /// Arms the end of the time that a silent peer has after its turn.
    pub(in crate::shard) fn arm_grace(context: &mut Context, key: Key) {
        context.timers.arm(context.now.mono_ms() + context.settings.ping_grace_ms, key, Timer::Grace);
    }

    /// The grace after a turn is over: who said nothing is asked for what it has not acknowledged.
    pub(in crate::shard) fn grace_over(&mut self, context: &mut Context, key: Key) {
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else { return };
        if client.heard {
            return Self::arm_keepalive(context, key);
        }
        context.ops.push(client.socket.out_queue(), key);
    }

    /// So much is in the send queue of a connection that has been silent since its turn.
    pub(in crate::shard) fn out_queue(&mut self, context: &mut Context, key: Key, queued: u32) {
        let Some(client) = self.open(key) else { return };
        // Less is unacknowledged than was sent since the turn: the peer has acknowledged something since. (An empty queue
        // would be too much to ask of a connection in a steady stream.) A full socket is the blocked timer's business.
        if client.heard || client.socket.is_stalled() || queued < client.sent {
            Self::arm_keepalive(context, key);
        } else {
            self.close(context, key, CloseCode::POLICY, "no sign of life", CloseReason::Silence);
        }
    }

    /// The connection's socket may have taken nothing for too long.
    pub(in crate::shard) fn blocked_timer(&mut self, context: &mut Context, key: Key) {
        let (now_ms, timeout_ms) = (context.now.mono_ms(), context.settings.blocked_timeout_ms());
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else { return };
        let is_blocked = context.schedule.is_blocked(key.index());
        match client.socket.look(now_ms, timeout_ms, is_blocked) {
            Stall::None => {}
            Stall::Until(due_ms) => context.timers.arm(due_ms, key, Timer::Blocked),
            Stall::Over => {
                self.close(context, key, CloseCode::POLICY, "blocked for too long", CloseReason::Blocked);
            }
        }
    }
}
