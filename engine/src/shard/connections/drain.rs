//! The end of a shard: its connections are closed one after the other over a time, or all at once.

use std::ops::Range;

use proto::ws::close::CloseCode;

use super::{Connections, reason::CloseReason};
use crate::shard::context::Context;

/// The shard's own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum Drain {
    /// Not draining.
    No,
    /// Connections are closed one after the other over a time.
    Yes {
        since_ms: u64,
        jitter_ms: u64,
        /// Places below this one have been closed.
        next: u32,
        places: u32,
    },
    /// End at once.
    Stop,
}

impl Drain {
    /// From now on connections are closed one after the other.
    pub(in crate::shard) fn begin(connections: &Connections, context: &Context, jitter_ms: u64) -> Self {
        Self::Yes { since_ms: context.now.mono_ms(), jitter_ms, next: 0, places: places(connections) }
    }

    /// All end at once.
    pub(in crate::shard) fn stop(connections: &mut Connections, context: &mut Context) -> Self {
        for connection in 0..places(connections) {
            if let Some(client) = connections.at(connection) {
                connections.end(context, client.key, CloseReason::Drain);
            }
        }
        Self::Stop
    }

    /// The shard is about to end.
    pub(in crate::shard) fn is_on(self) -> bool {
        self != Self::No
    }

    /// Closes the part of the connections whose time has come.
    pub(in crate::shard) fn go_on(&mut self, connections: &mut Connections, context: &mut Context) {
        for connection in self.due(context.now.mono_ms()) {
            if let Some(client) = connections.at(connection) {
                close(connections, context, client.key);
            }
        }
    }

    fn due(&mut self, now_ms: u64) -> Range<u32> {
        let Self::Yes { since_ms, jitter_ms, next, places } = self else { return 0..0 };
        let elapsed_ms = now_ms.saturating_sub(*since_ms);
        let due = if elapsed_ms >= *jitter_ms {
            u64::from(*places)
        } else {
            u64::from(*places) * elapsed_ms / *jitter_ms
        };
        let due = u32::try_from(due).unwrap_or(*places).max(*next);
        std::mem::replace(next, due)..due
    }
}

/// Closes one that was found by the drain, or that has found it.
pub(in crate::shard) fn close(connections: &mut Connections, context: &mut Context, key: ring::Key) {
    connections.close(context, key, CloseCode::GOING_AWAY, "draining", CloseReason::Drain);
}

fn places(connections: &Connections) -> u32 {
    u32::try_from(connections.table.places()).unwrap_or(u32::MAX)
}
