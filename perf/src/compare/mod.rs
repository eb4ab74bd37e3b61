//! Several runs side by side: a table with ratios, and their plots over each other.
//!
//! Ratios are to the first run. What the runs were asked for may differ; it is said, because figures of
//! different loads compare badly: a server that is behind batches, and looks efficient.

mod page;
mod table;

use crate::{
    Report,
    histogram::Summary,
    report::page::{configuration, machine},
};

/// Ratios closer to 1 are not called better or worse.
const NOISE: f64 = 0.03;

/// A run and what it is called.
#[derive(Debug, Clone)]
pub struct Run {
    /// Shown in heads and legends.
    pub name: String,
    /// Its report.
    pub report: Report,
}

/// Runs to compare; the first is the one that the others are compared with.
#[derive(Debug, Clone)]
pub struct Comparison {
    runs: Vec<Run>,
}

/// Which way a figure should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Less,
    /// More is better.
    More,
    /// It only tells under what conditions the others were measured.
    Neither,
}

/// A figure of all runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is, with its unit.
    pub name: &'static str,
    /// Which way it should go.
    pub better: Better,
    /// By run; none: that run does not have it.
    pub values: Vec<Option<f64>>,
}

impl Row {
    /// The ratio of a run's value to the first run's.
    #[must_use]
    pub fn ratio(&self, run: usize) -> Option<f64> {
        let first = self.values.first().copied().flatten()?;
        let value = self.values.get(run).copied().flatten()?;
        (first > 0.0).then(|| value / first)
    }

    /// Whether a run's value is better (`true`) or worse than the first run's; none: about the same, or neither.
    #[must_use]
    pub fn is_better(&self, run: usize) -> Option<bool> {
        let first = self.values.first().copied().flatten()?;
        let value = self.values.get(run).copied().flatten()?;
        let same = (value - first).abs() <= first.abs() * NOISE;
        match self.better {
            Better::Less if !same => Some(value < first),
            Better::More if !same => Some(value > first),
            Better::Less | Better::More | Better::Neither => None,
        }
    }
}

type Of = fn(&Report) -> Option<f64>;

/// Everything that is compared.
const FIGURES: [(&str, Better, Of); 27] = [
    ("connections ready", Better::Neither, |run| count(run.connections.ready)),
    ("connections failed or closed", Better::Less, |run| {
        count(run.connections.failed + run.connections.closes.values().sum::<u64>())
    }),
    ("connected to subscribed p99, ms", Better::Less, |run| percentile(&run.connections.subscribe, 99.0)),
    ("messages lost", Better::Less, |run| count(run.messages.checks.lost)),
    ("messages repeated or disordered", Better::Less, |run| {
        count(run.messages.checks.duplicated + run.messages.checks.disordered)
    }),
    ("gap notices", Better::Less, |run| count(run.messages.checks.gaps)),
    ("deliveries a second", Better::More, |run| Some(run.messages.per_second)),
    ("latency p50, ms", Better::Less, |run| percentile(&run.latency.all, 50.0)),
    ("latency p90, ms", Better::Less, |run| percentile(&run.latency.all, 90.0)),
    ("latency p99, ms", Better::Less, |run| percentile(&run.latency.all, 99.0)),
    ("latency p99.9, ms", Better::Less, |run| percentile(&run.latency.all, 99.9)),
    ("latency p99.99, ms", Better::Less, |run| percentile(&run.latency.all, 99.99)),
    ("latency longest, ms", Better::Less, |run| {
        Some(run.latency.all.max_ms).filter(|_| run.latency.all.count > 0)
    }),
    ("messages per send", Better::Neither, |run| {
        run.server.as_ref().map(|server| server.messages_per_send).filter(|mean| *mean > 0.0)
    }),
    ("deliveries a CPU-second", Better::More, |run| {
        run.server.as_ref().map(|server| server.deliveries_per_cpu_second).filter(|value| *value > 0.0)
    }),
    ("server CPU, cores", Better::Less, |run| {
        let server = run.server.as_ref().filter(|server| server.seconds > 0.0)?;
        Some(server.cpu_seconds / server.seconds)
    }),
    ("busiest shard, cores", Better::Less, |run| {
        let shards = run.server.as_ref()?.shards.iter();
        shards.map(|shard| shard.busy).max_by(f64::total_cmp)
    }),
    ("times the baseline", Better::Less, |run| run.limit.as_ref().map(|limit| limit.ratio)),
    ("shards from their mean, %", Better::Less, |run| {
        run.server.as_ref().filter(|server| !server.shards.is_empty()).map(|server| server.spread_percent)
    }),
    ("memory at most, MiB", Better::Less, |run| {
        let bytes = run.server.as_ref()?.resident_max_bytes;
        count(bytes >> 20).filter(|mib| *mib > 0.0)
    }),
    ("memory a connection, B", Better::Less, |run| {
        run.server.as_ref()?.resident_per_connection_bytes.filter(|bytes| *bytes > 0.0)
    }),
    ("TCP memory at most, MiB", Better::Less, |run| {
        count(run.server.as_ref()?.tcp_max_bytes >> 20).filter(|mib| *mib > 0.0)
    }),
    ("messages per receive", Better::Neither, |run| Some(run.messages.per_read).filter(|mean| *mean > 0.0)),
    ("producer late by p99, ms", Better::Neither, |run| {
        run.producer.as_ref().and_then(|producer| percentile(&producer.lateness, 99.0))
    }),
    ("busiest client thread, cores", Better::Neither, |run| {
        let clients = run.client_threads.iter().filter(|(name, _)| name.starts_with("client-"));
        clients.map(|(_, busy)| *busy).max_by(f64::total_cmp)
    }),
    ("machine busy, %", Better::Neither, |run| Some(run.busy_percent)),
    ("stolen by the hypervisor, %", Better::Neither, |run| Some(run.steal_percent)),
];

#[expect(clippy::unnecessary_wraps, reason = "the shape of a figure")]
fn count(value: u64) -> Option<f64> {
    Some(crate::figures::real(value))
}

fn percentile(summary: &Summary, wanted: f64) -> Option<f64> {
    if summary.count == 0 {
        return None;
    }
    summary.percentiles.iter().find(|(percentile, _)| (percentile - wanted).abs() < 1e-9).map(|(_, ms)| *ms)
}

impl Comparison {
    /// Of two runs or more; names that are the same are numbered.
    #[must_use]
    pub fn new(mut runs: Vec<Run>) -> Self {
        let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
        for (number, run) in runs.iter_mut().enumerate() {
            if names.iter().filter(|name| **name == run.name).count() > 1 {
                run.name = format!("{} ({})", run.name, number + 1);
            }
        }
        Self { runs }
    }

    /// Every figure that any run has.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |(name, better, of): &(&'static str, Better, Of)| Row {
            name,
            better: *better,
            values: self.runs.iter().map(|run| of(&run.report)).collect(),
        };
        FIGURES.iter().map(row).filter(|row| row.values.iter().any(Option::is_some)).collect()
    }

    /// What the runs were asked for or ran on, where it is not the same for all: name, and value by run.
    #[must_use]
    pub fn differences(&self) -> Vec<(&'static str, Vec<String>)> {
        let rows = |report: &Report| {
            // Each run has its own: these are figures, not conditions.
            let own = ["busy", "stolen by the hypervisor", "begun", "demands"];
            let rows = configuration(report).into_iter().chain(machine(report));
            rows.filter(|(name, _)| !own.contains(name)).collect()
        };
        let all: Vec<Vec<(&'static str, String)>> = self.runs.iter().map(|run| rows(&run.report)).collect();
        let mut names: Vec<&'static str> = Vec::new();
        for (name, _) in all.iter().flatten() {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let value = |rows: &Vec<(&'static str, String)>, wanted| {
            rows.iter()
                .find(|(name, _)| *name == wanted)
                .map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
        };
        let by_run = |name| (name, all.iter().map(|rows| value(rows, name)).collect::<Vec<_>>());
        let differs =
            |(_, values): &(&'static str, Vec<String>)| values.iter().any(|value| *value != values[0]);
        names.into_iter().map(by_run).filter(differs).collect()
    }
}

#[cfg(test)]
mod tests;
