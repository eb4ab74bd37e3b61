//! A shard in its thread.

use ring::{EnterError, Held, Ring, Wait};

use super::{Idle, Setup, Shard};
use crate::clock::Now;

/// What a shard still holds when it ends; all zero after an orderly drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// The ring's descriptors, buffers and ops.
    pub ring: Held,
    /// Connections.
    pub connections: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Torn bytes.
    pub torn_bytes: usize,
    /// Bytes of incomplete client messages.
    pub incomplete_bytes: usize,
    /// Own bytes of all connections, torn ones included.
    pub own_bytes: usize,
}

/// Runs a shard on `ring` until it is drained or stopped.
///
/// # Errors
/// The ring is of no more use.
pub fn run<R: Ring>(setup: Setup<R::Descriptor>, ring: R) -> Result<Report, EnterError> {
    let mut shard = Shard::new(setup, ring, Now::read());
    let mut wait = Wait::No;
    loop {
        shard.tick(Now::read, wait)?;
        wait = match shard.idle() {
            Idle::No => Wait::No,
            Idle::Sleep(wait) => wait,
            Idle::Ended => return Ok(shard.report()),
        };
        if wait != Wait::No {
            shard.metrics.cpu_ns.set(ring::thread_cpu_ns());
        }
    }
}

impl<R: Ring> Shard<R> {
    /// Its ring: the simulation asks it whether a sleeping shard would be woken.
    #[must_use]
    pub fn ring(&self) -> &R {
        &self.ring
    }

    /// What the shard holds.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            ring: self.ring.held(),
            connections: self.connections.len(),
            subscriptions: self.subscriptions.len(),
            torn_bytes: self.torn_bytes,
            incomplete_bytes: self.incomplete_bytes,
            own_bytes: self.connections.iter().map(|client| client.own.len()).sum(),
        }
    }
}
