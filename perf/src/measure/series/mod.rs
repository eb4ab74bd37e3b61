//! What happened when: a run in intervals of a second (longer ones in a run of more than ten minutes).

mod recorder;
mod sampler;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    recorder::Recorder,
    sampler::{Moment, Sampler},
};
use crate::{figures, measure::clock::ns};

/// Most intervals of a run: as many as a plot can show.
const INTERVALS_MAX: u64 = 600;
const SECOND_NS: u64 = 1_000_000_000;

/// A run over time. Times are seconds since the beginning of the load, which begins with its warm-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Length of an interval, s.
    pub interval_s: f64,
    /// The measured time begins.
    pub measured_from_s: f64,
    /// The measured time ends.
    pub measured_until_s: f64,
    /// What the clients saw, by interval.
    pub clients: Vec<ClientPoint>,
    /// What the machine and the server did, between two looks.
    pub samples: Vec<Sample>,
}

/// What the clients saw in an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientPoint {
    /// The interval begins, s.
    pub at_s: f64,
    /// Messages that arrived a second.
    pub received_per_second: f64,
    /// Bytes that arrived a second.
    pub bytes_per_second: f64,
    /// Messages for each receive.
    pub messages_per_read: f64,
    /// Messages that were *due* in this interval, over all connections; their latencies follow.
    pub due: u64,
    /// Median, ms. Steps of a hundredth.
    pub p50_ms: f64,
    /// 90th percentile, ms.
    pub p90_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// Longest, ms.
    pub max_ms: f64,
}

/// What the machine and the server did from one look to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The later look, s.
    pub at_s: f64,
    /// Percent of the machine's CPU time that was not idle.
    pub busy_percent: f64,
    /// Percent that the hypervisor gave to others.
    pub steal_percent: f64,
    /// Part of a core that the load generator's threads were busy, by name.
    pub client_threads: BTreeMap<String, f64>,
    /// The same of the server's.
    pub threads: BTreeMap<String, f64>,
    /// Part of a core that each shard was busy, in their order.
    pub shards: Vec<f64>,
    /// Messages accepted by sockets, by the server's count.
    pub deliveries_per_second: f64,
    /// Send operations.
    pub sends_per_second: f64,
    /// Deliveries for each send.
    pub messages_per_send: f64,
    /// Mean from ingest to the socket, ms, of the messages the server sampled.
    pub delay_ms: f64,
    /// Connections whose socket was full, at the later look.
    pub blocked: f64,
    /// Subscriptions that lagged behind the slab, a second.
    pub lagged_per_second: f64,
    /// Resident memory of the server, bytes.
    pub resident_bytes: u64,
    /// Memory of all TCP sockets of this machine, bytes.
    pub tcp_bytes: u64,
}

/// How connections became ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ramp {
    /// Length of an interval, ms.
    pub interval_ms: u64,
    /// Connections that became ready in each, from the first connect.
    pub ready: Vec<u64>,
}

/// Length of an interval of a ramp that is being recorded.
const RAMP_MS: u64 = 100;

impl Ramp {
    /// One more is ready, so long after the first connect.
    pub(crate) fn ready(&mut self, after_ns: u64) {
        self.interval_ms = RAMP_MS;
        let index = usize::try_from(after_ns / (RAMP_MS * 1_000_000)).unwrap_or(0);
        if self.ready.len() <= index {
            self.ready.resize(index + 1, 0);
        }
        self.ready[index] += 1;
    }

    /// Takes in those of another thread.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.interval_ms = self.interval_ms.max(other.interval_ms);
        self.ready.resize(self.ready.len().max(other.ready.len()), 0);
        for (own, others) in self.ready.iter_mut().zip(&other.ready) {
            *own += others;
        }
    }

    /// By second.
    #[must_use]
    pub(crate) fn by_second(&self) -> Vec<u64> {
        let in_a_second = usize::try_from(1_000_u64.checked_div(self.interval_ms).unwrap_or(0)).unwrap_or(0);
        self.ready.chunks(in_a_second.max(1)).map(|part| part.iter().sum()).collect()
    }
}

/// The intervals of a run: all threads and processes use the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grid {
    /// The first one begins, ns since 1970.
    pub(crate) from_ns: u64,
    /// Length of one.
    pub(crate) interval_ns: u64,
    pub(crate) count: usize,
}

impl Grid {
    pub(crate) fn new(from_ns: u64, length: Duration) -> Self {
        let seconds = ns(length).div_ceil(SECOND_NS).max(1);
        let seconds_each = seconds.div_ceil(INTERVALS_MAX);
        Self {
            from_ns,
            interval_ns: seconds_each * SECOND_NS,
            count: usize::try_from(seconds.div_ceil(seconds_each)).unwrap_or(usize::MAX),
        }
    }

    /// The interval that holds a time; `None`: before the first or after the last.
    pub(crate) fn index(&self, at_ns: u64) -> Option<usize> {
        let index = at_ns.checked_sub(self.from_ns)?.checked_div(self.interval_ns)?;
        usize::try_from(index).ok().filter(|index| *index < self.count)
    }

    /// When the next one begins.
    pub(crate) fn after(&self, now_ns: u64) -> u64 {
        let begun = now_ns.saturating_sub(self.from_ns).checked_div(self.interval_ns);
        begun.map_or(u64::MAX, |begun| self.from_ns + (begun + 1) * self.interval_ns)
    }

    /// Seconds since the first one began.
    pub(crate) fn seconds(&self, at_ns: u64) -> f64 {
        figures::real(at_ns.saturating_sub(self.from_ns)) / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_seconds_until_they_are_too_many() {
        for (length_s, interval_s, count) in
            [(0, 1, 1), (7, 1, 7), (600, 1, 600), (601, 2, 301), (86_400, 144, 600)]
        {
            let grid = Grid::new(5, Duration::from_secs(length_s));
            assert_eq!((grid.interval_ns, grid.count), (interval_s * SECOND_NS, count), "{length_s} s");
        }
        assert_eq!(Grid::new(0, Duration::from_millis(1_001)).count, 2);
    }

    #[test]
    fn a_time_is_in_one_interval_or_none() {
        let grid = Grid::new(1_000, Duration::from_secs(3));
        for (at_ns, index) in [
            (999, None),
            (1_000, Some(0)),
            (1_000_000_999, Some(0)),
            (1_000_001_000, Some(1)),
            (3_000_001_000, None),
        ] {
            assert_eq!(grid.index(at_ns), index, "{at_ns}");
        }
        assert_eq!(Grid::default().index(7), None);
        assert_eq!(grid.seconds(500_001_000), 0.5);
        assert_eq!(
            [0, 1_000, 1_000_000_999, 1_000_001_000].map(|at_ns| grid.after(at_ns)),
            [1_000_001_000, 1_000_001_000, 1_000_001_000, 2_000_001_000]
        );
        assert_eq!(Grid::default().after(7), u64::MAX);
    }

    #[test]
    fn a_ramp_by_second_loses_none() {
        let ramp = Ramp { interval_ms: 100, ready: (1..=23).collect() };
        assert_eq!(ramp.by_second(), [55, 155, 66]);
        assert_eq!(Ramp::default().by_second(), [0; 0]);
        let mut ramp = Ramp::default();
        [0, 99_999_999, 250_000_000].into_iter().for_each(|after_ns| ramp.ready(after_ns));
        assert_eq!(ramp, Ramp { interval_ms: 100, ready: vec![2, 0, 1] });
    }
}
