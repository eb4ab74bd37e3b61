//! A shard in its thread.

use ring::{EnterError, Held, Ring, Wait};

use super::{
    clients::Clients,
    setup::Setup,
    tick::{Idle, Shard},
};
use crate::clock::Now;

/// Longest time that a busy shard's CPU time stays untold.
const CPU_INTERVAL_NS: u64 = 100_000_000;

/// What a shard still holds when it ends; all zero after an orderly drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// The ring's descriptors, buffers and ops.
    pub ring: Held,
    /// Connections.
    pub connections: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Those of them whose connections are closing: at no time may there be one.
    pub left_behind: usize,
    /// Bytes of partial frames.
    pub partial_bytes: usize,
    /// Bytes that clients make it hold, partial frames apart.
    pub client_bytes: usize,
    /// Output that is connections' own: control output and partial frames.
    pub output_bytes: usize,
}

/// Runs a shard on `ring` until it is drained or stopped.
///
/// # Errors
/// The ring is of no more use.
pub fn run<R: Ring>(setup: Setup<R::Descriptor>, ring: R) -> Result<Report, EnterError> {
    let mut shard = Shard::new(setup, ring, Now::read());
    let mut wait = Wait::No;
    let mut cpu = CpuTime::default();
    loop {
        shard.tick(Now::read, wait)?;
        wait = match shard.idle() {
            Idle::No => Wait::No,
            Idle::Sleep(wait) => wait,
            Idle::Ended => return Ok(shard.report()),
        };
        if cpu.is_due(shard.clients.context.now.mono_ns, wait != Wait::No) {
            shard.clients.context.metrics.cpu_ns.set(ring::thread_cpu_ns());
        }
    }
}

/// When to ask the kernel for the thread's CPU time, which is a system call: before each sleep, so that a sleeping
/// shard's is exact, and now and then by a shard that is too busy to sleep.
#[derive(Debug, Default)]
struct CpuTime {
    asked_ns: u64,
}

impl CpuTime {
    fn is_due(&mut self, now_ns: u64, sleeps: bool) -> bool {
        let due = sleeps || now_ns.saturating_sub(self.asked_ns) >= CPU_INTERVAL_NS;
        if due {
            self.asked_ns = now_ns;
        }
        due
    }
}

impl<R: Ring> Shard<R> {
    /// Its ring: the simulation asks it whether a sleeping shard would be woken.
    #[must_use]
    pub fn ring(&self) -> &R {
        &self.ring
    }

    /// The sums of what connections hold agree with what each holds. (If not, a limit means nothing.)
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.clients.connections.totals() == self.clients.connections.recounted()
    }

    /// What the shard holds.
    #[must_use]
    pub fn report(&self) -> Report {
        let Clients { connections, subscriptions, .. } = &self.clients;
        let totals = connections.totals();
        let closing = connections.iter().filter(|client| !client.is_open());
        Report {
            ring: self.ring.held(),
            connections: connections.len(),
            subscriptions: subscriptions.len(),
            left_behind: closing.map(|client| subscriptions.count(client.key().index())).sum(),
            partial_bytes: totals.partial_bytes,
            client_bytes: totals.client_bytes,
            output_bytes: connections.iter().map(|client| client.output_bytes()).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_never_sleeps_tells_its_cpu_time_all_the_same() {
        let mut cpu = CpuTime::default();
        let turns_ns = (0..10_000).map(|turn| 5_000_000_000 + turn * 100_000);
        let told = turns_ns.filter(|&now_ns| cpu.is_due(now_ns, false)).count();
        assert_eq!(told, 10, "in a second of turns");
        assert!(cpu.is_due(6_000_000_001, true) && cpu.is_due(6_000_000_002, true), "before each sleep");
    }
}
