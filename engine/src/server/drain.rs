//! The end of the server, in the order in which parts depend on each other.
//!
//! 1. The accept ring refuses (503 `draining`). Once it says that it obeys, whoever holds a reservation is counted.
//! 2. Shards close their connections with 1001, spread over the jitter so that clients do not all come back at once, and
//!    end when none is left and none is on its way. Late ones are stopped before the time is up.
//! 3. The accept ring and the admin thread end. Until here new clients were answered.
//! 4. Ingest, with the slab: shards may have asked it until they ended.
//! 5. The audit: what is still held is an error, however clean the rest looks.

use std::time::Duration;

use super::{Server, Summary, Thread};
use crate::{accept::Phase, clock::Now, error::Error, inbox::ToIngest, inbox::ToShard};

/// How long the accept ring may take to obey a phase; it needs a millisecond.
const OBEY_MS: u64 = 1_000;
/// At most this much of the time is spread over the closes.
const JITTER_MS_MAX: u64 = 10_000;
/// How many connections are closed in a millisecond of jitter: a thousand a second come back elsewhere.
const CLOSES_A_MS: usize = 1;
/// Kept at the end of the time for a hard stop.
const STOP_MS: u64 = 1_000;
/// For the accept ring's last refusals.
const LAST_REFUSALS_MS: u64 = 3_000;
/// For ingest's last call to a broker, as far as the drain's time goes.
const INGEST_MS: u64 = 4_000;
/// Without such a call it ends in a few milliseconds: for that there is always time.
const INGEST_MS_MIN: u64 = 250;
/// How often a full inbox is tried again.
const RETRY: Duration = Duration::from_millis(5);

impl Server {
    /// Ends everything; see the module's first lines.
    pub(super) fn drain(mut self, timeout: Duration) -> Result<Summary, Error> {
        let began = Now::read();
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX / 4);
        let deadline_ms = began.mono_ms() + timeout_ms;
        self.health.set_draining();
        self.turn(Phase::Draining);
        self.end_shards(timeout_ms, deadline_ms);
        self.phase.send_replace(Phase::Ended);
        self.wait_for(deadline_ms.min(Now::read().mono_ms() + LAST_REFUSALS_MS), |server| {
            !server.threads.is_running(Thread::Accept) && !server.threads.is_running(Thread::Admin)
        });
        self.end_ingest(deadline_ms);
        let held = self.audit();
        let summary = Summary {
            connections: self.accept.handed_over.get(),
            deliveries: self.shards.iter().map(|metrics| metrics.deliveries.get()).sum(),
            served_ms: began.mono_ms() - self.began.mono_ms(),
            drained_ms: Now::read().mono_ms() - began.mono_ms(),
        };
        match (self.failure, held) {
            (Some(failure), _) => Err(failure),
            (None, Some(held)) => Err(Error::Drain(held)),
            (None, None) => {
                tracing::info!(drained_ms = summary.drained_ms, connections = summary.connections, "drained");
                Ok(summary)
            }
        }
    }

    /// Sets a phase and waits until the accept ring obeys it.
    pub(super) fn turn(&self, phase: Phase) {
        self.phase.send_replace(phase);
        let limit_ms = Now::read().mono_ms() + OBEY_MS;
        while self.threads.is_running(Thread::Accept) {
            let left = limit_ms.saturating_sub(Now::read().mono_ms());
            match self.obeyed.recv_timeout(Duration::from_millis(left)) {
                Ok(obeyed) if obeyed == phase => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn end_shards(&mut self, timeout_ms: u64, deadline_ms: u64) {
        let spread_ms = u64::try_from(self.loads() / CLOSES_A_MS).unwrap_or(u64::MAX);
        let jitter_ms = spread_ms.min(timeout_ms / 2).min(JITTER_MS_MAX);
        let stop_ms = deadline_ms.saturating_sub(STOP_MS.min(timeout_ms / 4));
        if !self.stop {
            if self.deliver(|| ToShard::Drain { jitter_ms }, stop_ms) {
                return;
            }
            for shard in self.threads.shards() {
                tracing::warn!(shard, "not drained in time: closing its connections");
            }
        }
        if !self.deliver(|| ToShard::Stop, Now::read().mono_ms() + STOP_MS) {
            let late: Vec<String> = self.threads.shards().map(|shard| format!("shard-{shard}")).collect();
            self.fail(Error::Drain(format!("{} did not end", late.join(", "))));
        }
    }

    /// Gives each running shard a message, as soon as its inbox takes it, and waits for all of them to end.
    pub(super) fn deliver(
        &mut self,
        message: impl Fn() -> ToShard<std::os::fd::OwnedFd>,
        until_ms: u64,
    ) -> bool {
        let is_stop = matches!(message(), ToShard::Stop);
        let mut owed: Vec<usize> = self.threads.shards().collect();
        loop {
            owed.retain(|&shard| {
                let link = &self.links[shard];
                match link.inbox.try_send(message()) {
                    Ok(()) => link.waker.wake(),
                    Err(flume::TrySendError::Full(_)) => return true,
                    // It has ended; its notice is on the way.
                    Err(flume::TrySendError::Disconnected(_)) => {}
                }
                false
            });
            if self.threads.shards().next().is_none() {
                return true;
            }
            let left = Duration::from_millis(until_ms.saturating_sub(Now::read().mono_ms()));
            if left.is_zero() {
                return false;
            }
            let wait = if owed.is_empty() { left } else { left.min(RETRY) };
            if let Some(notice) = self.control.next(Some(wait)) {
                self.note(notice);
            }
            if self.stop && !is_stop {
                return false;
            }
        }
    }

    fn end_ingest(&mut self, deadline_ms: u64) {
        let now_ms = Now::read().mono_ms();
        let limit_ms = deadline_ms.clamp(now_ms + INGEST_MS_MIN, now_ms + INGEST_MS);
        let mut told = false;
        self.wait_for(limit_ms, |server| {
            if !told {
                told = server.to_ingest.try_send(ToIngest::Stop).is_ok();
            }
            server.ingest_waker.wake();
            !server.threads.is_running(Thread::Ingest) && !server.threads.is_running(Thread::Watcher)
        });
    }

    /// Takes notices until `done` or the time is up.
    fn wait_for(&mut self, until_ms: u64, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) && Now::read().mono_ms() < until_ms {
            if let Some(notice) = self.control.next(Some(RETRY)) {
                self.note(notice);
            }
        }
    }

    /// Counts what is still held. Anything is an error in the log, and the text for the exit.
    fn audit(&self) -> Option<String> {
        let mut held: Vec<(String, usize)> = Vec::new();
        for (shard, report) in self.reports.iter().enumerate() {
            let Some(report) = report else { continue };
            let counts = [
                ("descriptors", report.ring.descriptors),
                ("buffers", report.ring.buffers),
                ("operations", report.ring.ops),
                ("connections", report.connections),
                ("subscriptions", report.subscriptions),
                ("bytes of partial frames", report.partial_bytes),
            ];
            held.extend(counts.map(|(what, count)| (format!("shard-{shard} {what}"), count)));
        }
        held.push(("reservations".to_owned(), self.loads()));
        let gauge = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        held.push(("handshakes".to_owned(), gauge(self.accept.handshakes.get())));
        held.push(("refusals".to_owned(), gauge(self.accept.lingering.get())));
        held.push(("threads".to_owned(), self.threads.running().count()));
        held.retain(|(_, count)| *count > 0);
        if held.is_empty() {
            tracing::info!(
                "nothing is held: descriptors, buffers, operations, slots, reservations, threads are 0"
            );
            return None;
        }
        for (what, count) in &held {
            tracing::error!(what, count, "still open at exit");
        }
        let words: Vec<String> = held.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        Some(format!("still open at exit: {}", words.join(", ")))
    }
}
