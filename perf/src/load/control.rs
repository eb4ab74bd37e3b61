//! Control messages: what client threads and the run tell each other, between threads and, as lines of JSON, between
//! processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    histogram::Times,
    series::{Ramp, Recorder},
    verify::{Counts, Seen},
};

/// From the run to every client thread. Times are ns since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ToClients {
    /// The load is about to begin.
    Begin {
        /// Nothing stamped from here on may be missing.
        mark_ns: u64,
        /// Messages stamped from here on are in the figures,
        from_ns: u64,
        /// up to here.
        until_ns: u64,
    },
    /// Asks for [`FromClients::Seen`].
    TellSeen,
    /// The load is over: wait for the rest, say goodbye, report.
    End {
        /// What every subscriber must have, by channel.
        ends: Vec<Option<Seen>>,
        /// Not longer than until here.
        deadline_ns: u64,
    },
}

/// From a client thread to the run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromClients {
    /// How far it is, several times a second.
    Progress(Progress),
    /// Every connection is ready or has failed.
    Ready,
    /// What others have sent as far as it came here, by channel.
    Seen(Vec<Option<Seen>>),
    /// The last one.
    Report(Box<ClientReport>),
    /// It cannot go on; the last one.
    Failed(String),
}

/// How far a client thread is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Connections begun.
    pub(crate) begun: u64,
    /// Connections that became ready.
    pub(crate) ready: u64,
    /// Connections that never did.
    pub(crate) failed: u64,
    /// Connections that were ready and are closed.
    pub(crate) closed: u64,
    /// Messages received.
    pub(crate) messages: u64,
    /// Lost, duplicated, disordered or foreign messages.
    pub(crate) wrong: u64,
}

impl Progress {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { begun, ready, failed, closed, messages, wrong } = other;
        self.begun += begun;
        self.ready += ready;
        self.failed += failed;
        self.closed += closed;
        self.messages += messages;
        self.wrong += wrong;
    }
}

/// All that client threads have found; those of several add up to one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ClientReport {
    /// How far it came.
    pub(crate) progress: Progress,
    /// What the checks say.
    pub(crate) counts: Counts,
    /// Latency of messages on keyed channels.
    pub(crate) keyed: Times,
    /// Latency of messages on the broadcast channel.
    pub(crate) broadcast: Times,
    /// From connect to the 101.
    pub(crate) handshake: Times,
    /// From connect to the last acknowledgement.
    pub(crate) subscribe: Times,
    /// Connections that became ready, by time since the first connect.
    pub(crate) ramp: Ramp,
    /// What came when.
    pub(crate) recorder: Recorder,
    /// Why connections never became ready.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Close codes of connections that had been ready; 1006: without one.
    pub(crate) closes: BTreeMap<u16, u64>,
    /// How those without a close code ended.
    pub(crate) cuts: BTreeMap<String, u64>,
    /// Errors the server answered with, by code.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Notices by type: status, position and what else is no message.
    pub(crate) notices: BTreeMap<String, u64>,
    /// Messages stamped in the measured time.
    pub(crate) measured: u64,
    /// Messages whose stamp is in the receiver's future.
    pub(crate) early: u64,
    /// Receives that brought bytes.
    pub(crate) reads: u64,
    /// Bytes received.
    pub(crate) bytes: u64,
}

impl ClientReport {
    pub(crate) fn merge(&mut self, other: Self) {
        self.progress.add(&other.progress);
        self.counts.add(&other.counts);
        for (own, others) in [
            (&mut self.keyed, &other.keyed),
            (&mut self.broadcast, &other.broadcast),
            (&mut self.handshake, &other.handshake),
            (&mut self.subscribe, &other.subscribe),
        ] {
            own.merge(others);
        }
        self.ramp.merge(&other.ramp);
        self.recorder.merge(other.recorder);
        for (own, others) in [
            (&mut self.failures, other.failures),
            (&mut self.cuts, other.cuts),
            (&mut self.errors, other.errors),
            (&mut self.notices, other.notices),
        ] {
            for (key, count) in others {
                *own.entry(key).or_default() += count;
            }
        }
        for (code, count) in other.closes {
            *self.closes.entry(code).or_default() += count;
        }
        self.measured += other.measured;
        self.early += other.early;
        self.reads += other.reads;
        self.bytes += other.bytes;
    }
}

/// Counts one more of a reason.
pub(crate) fn tally(reasons: &mut BTreeMap<String, u64>, reason: &str) {
    if let Some(count) = reasons.get_mut(reason) {
        *count += 1;
    } else {
        // A peer that invents reasons does not fill our memory.
        let reason = if reasons.len() < 100 { reason } else { "other" };
        *reasons.entry(reason.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_two_add_up() {
        let report = |reason: &str, seconds: usize| {
            let ramp = Ramp { interval_ms: 100, ready: vec![2; seconds] };
            let mut report = ClientReport { ramp, measured: 3, reads: 5, ..ClientReport::default() };
            tally(&mut report.failures, reason);
            tally(&mut report.failures, "refused: 503");
            report.closes.insert(1_001, 4);
            report.keyed.record(1_000_000);
            report.progress.ready = 7;
            report.counts.fresh = 9;
            report
        };
        let mut sum = ClientReport::default();
        sum.merge(report("timed out", 1));
        sum.merge(report("refused: 404", 3));
        assert_eq!(sum.ramp, Ramp { interval_ms: 100, ready: vec![4, 2, 2] });
        assert_eq!(sum.failures["refused: 503"], 2);
        assert_eq!(sum.failures["timed out"], 1);
        assert_eq!((sum.closes[&1_001], sum.measured, sum.reads), (8, 6, 10));
        assert_eq!((sum.keyed.count(), sum.progress.ready, sum.counts.fresh), (2, 14, 18));
    }

    #[test]
    fn invented_reasons_are_bounded() {
        let mut reasons = BTreeMap::new();
        for number in 0..1_000 {
            tally(&mut reasons, &number.to_string());
        }
        assert_eq!(reasons.len(), 101);
        assert_eq!(reasons["other"], 900);
    }
}
