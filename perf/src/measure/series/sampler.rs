//! The machine's and the server's part of the series: looked at from outside, once an interval.

use super::{Grid, Sample};
use crate::{
    figures::{ratio, real, rounded},
    machine::{self, CpuTicks, ThreadTimes},
    server::{DELIVERIES, SENDS, SHARD_CPU, Snapshot},
};

/// One look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    pub(crate) server: Snapshot,
    pub(crate) ticks: CpuTicks,
    pub(crate) client_threads: ThreadTimes,
}

/// Turns looks into differences.
#[derive(Debug)]
pub(crate) struct Sampler {
    grid: Grid,
    previous: Moment,
    samples: Vec<Sample>,
}

impl Sampler {
    /// Begins with a look.
    pub(crate) fn new(grid: Grid, first: Moment) -> Self {
        Self { grid, previous: first, samples: Vec::new() }
    }

    /// The next look. What never grows (a moment too soon after the last) makes no sample.
    pub(crate) fn look(&mut self, moment: Moment) {
        let seconds = real(moment.server.at_ns.saturating_sub(self.previous.server.at_ns)) / 1e9;
        if seconds < 0.05 {
            return;
        }
        self.samples.push(sample(&self.previous, &moment, seconds, self.grid.seconds(moment.server.at_ns)));
        self.previous = moment;
    }

    pub(crate) fn finish(self) -> Vec<Sample> {
        self.samples
    }
}

fn sample(earlier: &Moment, later: &Moment, seconds: f64, at_s: f64) -> Sample {
    let (before, after) = (&earlier.server, &later.server);
    let grown = |name: &str| {
        (after.metrics.sum(name).unwrap_or(0.0) - before.metrics.sum(name).unwrap_or(0.0)).max(0.0)
    };
    let busy = |before: &ThreadTimes, after: &ThreadTimes| {
        let by_name = machine::by_name(&machine::used(before, after)).into_iter();
        let parts = by_name.map(|(name, ns)| (name, rounded(ratio(real(ns) / 1e9, seconds))));
        parts.filter(|(_, part)| *part >= 0.001).collect()
    };
    let shards_before = before.metrics.by_shard(SHARD_CPU);
    let shard_busy = |(shard, ns): (u32, f64)| {
        let earlier = shards_before.iter().find(|(other, _)| *other == shard).map_or(0.0, |(_, ns)| *ns);
        rounded(ratio((ns - earlier).max(0.0) / 1e9, seconds))
    };
    let (deliveries, sends) = (grown(DELIVERIES), grown(SENDS));
    Sample {
        at_s: rounded(at_s),
        busy_percent: rounded(later.ticks.busy_percent_since(&earlier.ticks)),
        steal_percent: rounded(later.ticks.steal_percent_since(&earlier.ticks)),
        client_threads: busy(&earlier.client_threads, &later.client_threads),
        threads: busy(&before.threads, &after.threads),
        shards: after.metrics.by_shard(SHARD_CPU).into_iter().map(shard_busy).collect(),
        deliveries_per_second: rounded(ratio(deliveries, seconds)),
        sends_per_second: rounded(ratio(sends, seconds)),
        messages_per_send: rounded(ratio(deliveries, sends)),
        delay_ms: rounded(ratio(grown(DELAY), grown(DELAY_SAMPLES)) / 1e6),
        blocked: after.metrics.sum(BLOCKED).unwrap_or(0.0),
        lagged_per_second: rounded(ratio(grown(LAGGED), seconds)),
        resident_bytes: after.resident_bytes,
        tcp_bytes: after.tcp_bytes,
    }
}

const BLOCKED: &str = "uringcast_shard_blocked";
const LAGGED: &str = "uringcast_shard_lagged_total";
const DELAY: &str = "uringcast_shard_delay_ns_total";
const DELAY_SAMPLES: &str = "uringcast_shard_delay_samples_total";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::Metrics;

    fn moment(at_s: u64, scale: f64) -> Moment {
        let text = format!(
            "{DELIVERIES}{{shard=\"0\"}} {}\n{DELIVERIES}{{shard=\"1\"}} {}\n{SENDS}{{shard=\"0\"}} {}\n\
             {SHARD_CPU}{{shard=\"0\"}} {}\n{SHARD_CPU}{{shard=\"1\"}} {}\n{BLOCKED}{{shard=\"1\"}} 3\n\
             {DELAY}{{shard=\"0\"}} {}\n{DELAY_SAMPLES}{{shard=\"0\"}} {}\n{LAGGED}{{shard=\"0\"}} {}\n",
            300.0 * scale,
            100.0 * scale,
            50.0 * scale,
            5e8 * scale,
            2e8 * scale,
            6e6 * scale,
            2.0 * scale,
            8.0 * scale,
        );
        let threads = [("shard-0 7", 600), ("rdk:main 8", 10), ("rdk:main 9", 30), ("idle 10", 0)];
        let threads = threads.map(|(name, ms)| (name.to_owned(), ms * 1_000_000 * at_s));
        Moment {
            server: Snapshot {
                at_ns: at_s * 1_000_000_000,
                metrics: Metrics::read(&text),
                threads: threads.into(),
                resident_bytes: at_s << 20,
                tcp_bytes: 4_096,
            },
            ticks: CpuTicks { total: 100 * at_s, steal: 5 * at_s, idle: 20 * at_s },
            client_threads: ThreadTimes::from([("client-0 5".to_owned(), 500_000_000 * at_s)]),
        }
    }

    #[test]
    fn samples_are_differences_by_time() {
        let mut sampler = Sampler::new(Grid::new(10_000_000_000, Duration::from_secs(9)), moment(10, 1.0));
        sampler.look(moment(10, 1.0));
        sampler.look(moment(12, 3.0));
        let samples = sampler.finish();
        assert_eq!(samples.len(), 1, "two looks at once are one");
        let sample = &samples[0];
        assert_eq!((sample.at_s, sample.busy_percent, sample.steal_percent), (2.0, 80.0, 5.0));
        assert_eq!((sample.deliveries_per_second, sample.sends_per_second), (400.0, 50.0));
        assert_eq!((sample.messages_per_send, sample.delay_ms, sample.blocked), (8.0, 3.0, 3.0));
        assert_eq!((sample.lagged_per_second, sample.resident_bytes), (8.0, 12 << 20));
        assert_eq!(sample.shards, [0.5, 0.2]);
        let threads = [("rdk:main", 0.04), ("shard-0", 0.6)].map(|(name, part)| (name.to_owned(), part));
        assert_eq!(sample.threads, threads.into());
        assert_eq!(sample.client_threads["client-0"], 0.5);
    }

    #[test]
    fn a_server_that_is_not_looked_at_makes_zeros() {
        let mut sampler = Sampler::new(Grid::default(), Moment::default());
        let server = Snapshot { at_ns: 1_000_000_000, ..Snapshot::default() };
        sampler.look(Moment { server, ..Moment::default() });
        assert_eq!(sampler.finish(), [Sample { at_s: 1.0, ..Sample::default() }]);
    }
}
