//! What a run found out: the figures, and why it failed if it did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    baseline::Baseline,
    figures::{ratio, real},
    histogram::{Point, Summary, Times},
    load::control::ClientReport,
    machine::{Machine, ThreadTimes},
    plan::{Load, Plan},
    produce::Produced,
    series::{Grid, Ramp, Sample, Series},
    server::{Observed, ServerUse},
    verify::Counts,
};

/// Part of a core from which on a client thread is taken to be the limit.
const CLIENT_BUSY_MAX: f64 = 0.95;

/// A run's report. As JSON it is self-contained: what was asked, on what, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The exact command.
    pub command: String,
    /// Version of the load generator.
    pub version: String,
    /// When it began, ms since 1970.
    #[serde(default)]
    pub begun_unix_ms: u64,
    /// Why the run failed; empty: it passed.
    pub failures: Vec<String>,
    /// What makes figures doubtful though the run may have passed.
    pub warnings: Vec<String>,
    /// What it ran on.
    pub machine: Machine,
    /// Percent of the machine's CPU time that the hypervisor gave to others.
    pub steal_percent: f64,
    /// Percent of the machine's CPU time that was not idle.
    pub busy_percent: f64,
    /// Opening connections.
    pub connections: Connections,
    /// Receiving messages.
    pub messages: Messages,
    /// Latency percentiles, ms.
    pub latency: Latency,
    /// Producing messages.
    pub producer: Option<ProducerUse>,
    /// The server, as far as it was looked at.
    pub server: Option<ServerUse>,
    /// Part of a core that each thread of the load generator was busy in the measured time.
    pub client_threads: BTreeMap<String, f64>,
    /// The run over time.
    #[serde(default)]
    pub series: Series,
    /// The kernel's own cost on this machine, where it was measured.
    #[serde(default, rename = "floor")]
    pub baseline: Option<Baseline>,
    /// How close the server came to it.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// What was asked for.
    pub plan: Plan,
    /// All latencies.
    #[serde(skip)]
    all: Times,
}

/// How connections were opened and ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connections {
    /// Asked for.
    pub wanted: u64,
    /// Became ready: upgraded and subscribed.
    pub ready: u64,
    /// Never became ready.
    pub failed: u64,
    /// Why, and how many.
    pub failures: BTreeMap<String, u64>,
    /// From connect to the 101, ms.
    pub handshake: Summary,
    /// From connect to the last acknowledgement, ms.
    pub subscribe: Summary,
    /// Connections that became ready in each second.
    pub curve: Vec<u64>,
    /// The same, finer.
    #[serde(default)]
    pub ramp: Ramp,
    /// Close codes that the server sent to ready connections; 1005: a close frame without one, 1006: no close
    /// frame.
    pub closes: BTreeMap<u16, u64>,
    /// How those without a close frame ended.
    pub cuts: BTreeMap<String, u64>,
}

/// What was received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Messages {
    /// What the checks say, over the whole run.
    pub checks: Counts,
    /// All messages.
    pub received: u64,
    /// Messages stamped in the measured time.
    pub measured: u64,
    /// Those a second.
    pub per_second: f64,
    /// Bytes, of everything.
    pub bytes: u64,
    /// Receives that brought bytes.
    pub reads: u64,
    /// Messages for each of them.
    pub per_read: f64,
    /// Messages stamped in the future of their receiver: clocks disagree.
    pub early: u64,
    /// Errors that the server answered with, by code.
    pub errors: BTreeMap<String, u64>,
    /// Notices by type.
    pub notices: BTreeMap<String, u64>,
}

/// From when a message should have been handed to Kafka until a client had it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latency {
    /// How clients read: `as data comes` or `every N ms` (then reading late is part of it).
    pub reading: String,
    /// All messages.
    pub all: Summary,
    /// Those of keyed channels.
    pub keyed: Summary,
    /// Those of the broadcast channel.
    pub broadcast: Summary,
    /// The percentile distribution of all messages.
    #[serde(default)]
    pub curve: Vec<Point>,
    /// That of the keyed channels, where there is a broadcast channel too.
    #[serde(default)]
    pub curve_keyed: Vec<Point>,
    /// That of the broadcast channel, where there are keyed ones too.
    #[serde(default)]
    pub curve_broadcast: Vec<Point>,
}

/// What the producer did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProducerUse {
    /// Records handed to the Kafka client.
    pub sent: u64,
    /// Records acknowledged by the brokers.
    pub delivered: u64,
    /// Records given up on or not acknowledged in the end.
    pub failed: u64,
    /// Times that the queue was full.
    pub stalls: u64,
    /// From the time by the schedule until handed over, ms. It is part of the latencies.
    pub lateness: Summary,
    /// The last trouble.
    pub error: Option<String>,
}

/// What a report is made of.
pub(crate) struct Findings {
    pub(crate) clients: ClientReport,
    pub(crate) produced: Option<Produced>,
    pub(crate) observed: Observed,
    pub(crate) client_used: ThreadTimes,
    pub(crate) received: u64,
    pub(crate) grid: Grid,
    pub(crate) samples: Vec<Sample>,
    pub(crate) begun_unix_ms: u64,
    pub(crate) steal_percent: f64,
    pub(crate) busy_percent: f64,
}

impl Report {
    pub(crate) fn new(plan: &Plan, findings: Findings) -> Self {
        let Findings { clients, produced, observed, client_used, received, grid, samples, .. } = findings;
        let mut all = clients.keyed.clone();
        all.merge(&clients.broadcast);
        let seconds = observed.seconds();
        let observes = plan.server.admin.is_some() || plan.server.pid.is_some();
        let server = observes.then(|| observed.sum_up(clients.progress.ready, received));
        let latency = Latency::new(plan, &clients, &all);
        let mut report = Self {
            command: plan.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            begun_unix_ms: findings.begun_unix_ms,
            failures: Vec::new(),
            warnings: Vec::new(),
            machine: Machine::describe(),
            steal_percent: findings.steal_percent,
            busy_percent: findings.busy_percent,
            producer: produced.map(ProducerUse::from),
            server,
            client_threads: busy(&client_used, seconds),
            series: series(plan, &clients, grid, samples),
            baseline: None,
            limit: None,
            plan: plan.clone(),
            latency,
            messages: Messages::new(&clients, seconds),
            connections: Connections::new(plan, clients),
            all,
        };
        report.judge();
        report
    }

    /// Why the run failed; empty: it passed.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The report as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Only maps with text or numbers as keys, and finite numbers: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The latencies in the text format of HDR plotters.
    #[must_use]
    pub fn hgrm(&self) -> String {
        self.all.hgrm()
    }

    fn judge(&mut self) {
        let mut failures = self.wrong_connections();
        failures.extend(self.wrong_messages());
        failures.extend(self.missed_demands());
        self.failures = failures;
        let busiest = self.client_threads.iter().filter(|(name, _)| name.starts_with("client-"));
        for (thread, busy) in busiest.filter(|(_, busy)| **busy >= CLIENT_BUSY_MAX) {
            self.warnings.push(format!(
                "client thread {thread} was at full CPU ({:.0} %): the load generator is the limit, not the server",
                busy * 100.0
            ));
        }
        if self.steal_percent >= 5.0 {
            self.warnings.push(format!("the hypervisor took {:.1} % of the CPU time", self.steal_percent));
        }
        if self.messages.early > 0 {
            self.warnings.push(format!(
                "{} messages came before they were sent: clocks disagree",
                self.messages.early
            ));
        }
    }

    fn wrong_connections(&self) -> Vec<String> {
        let Connections { wanted, ready, failures, closes, .. } = &self.connections;
        let mut wrong: Vec<String> =
            failures.iter().map(|(why, count)| format!("{count} connections: {why}")).collect();
        if ready < wanted && failures.is_empty() {
            wrong.push(format!("{} connections never became ready", wanted - ready));
        }
        let (expected, others) = match self.plan.expect_close {
            Some(code) => {
                (closes.get(&code).copied(), closes.iter().filter(|(other, _)| **other != code).collect())
            }
            None => (None, closes.iter().collect::<Vec<_>>()),
        };
        if let Some(code) = self.plan.expect_close
            && expected.unwrap_or(0) + others.iter().map(|(_, count)| **count).sum::<u64>() < *ready
        {
            wrong.push(format!("{} of {ready} connections closed with {code}", expected.unwrap_or(0)));
        }
        wrong.extend(
            others.into_iter().map(|(code, count)| format!("{count} connections closed with {code}")),
        );
        wrong
    }

    fn wrong_messages(&self) -> Vec<String> {
        let checks = &self.messages.checks;
        let ours = matches!(self.plan.load, Load::Produce(_));
        let mut wrong: Vec<String> = [
            (checks.lost, "messages lost"),
            (checks.duplicated, "messages duplicated"),
            (checks.disordered, "messages out of order"),
            (checks.foreign, "messages of channels not subscribed to"),
            (checks.misrouted, "messages with another channel's record"),
            (checks.corrupt, "messages damaged"),
            (checks.gaps, "gap notices"),
            (if ours { checks.unstamped } else { 0 }, "messages that were not ours"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        wrong.extend(self.messages.errors.iter().map(|(code, count)| format!("{count} answers {code}")));
        if let Some(producer) = &self.producer
            && producer.failed > 0
        {
            let why = producer.error.as_deref().unwrap_or("unknown");
            wrong.push(format!("{} records were not taken by Kafka: {why}", producer.failed));
        }
        if self.messages.received == 0 && self.connections.ready > 0 && !matches!(self.plan.load, Load::Hold)
        {
            wrong.push("no message at all was received".to_owned());
        }
        wrong
    }

    fn missed_demands(&self) -> Vec<String> {
        let demands = &self.plan.demands;
        let p99 = self.all.percentile_ms(99.0);
        let server = self.server.as_ref();
        let per_cpu = server.map(|server| server.deliveries_per_cpu_second);
        let spread = server.filter(|server| !server.shards.is_empty()).map(|server| server.spread_percent);
        let mut missed = Vec::new();
        if let Some(most) = demands.p99_ms_max.filter(|most| p99 > *most) {
            missed.push(format!("p99 is {p99:.1} ms, more than {most} ms"));
        }
        if let Some(least) =
            demands.per_cpu_second_min.filter(|least| per_cpu.is_none_or(|value| value < *least))
        {
            missed.push(format!(
                "{:.0} deliveries per server CPU-second, fewer than {least}",
                per_cpu.unwrap_or(0.0)
            ));
        }
        if let Some(most) = demands.spread_percent_max.filter(|most| spread.is_none_or(|value| value > *most))
        {
            missed.push(match spread {
                Some(value) => format!("shards differ by {value:.2} % from their mean, more than {most} %"),
                None => "the shards' connections are not known: name the server's admin address".to_owned(),
            });
        }
        missed
    }
}

impl Connections {
    fn new(plan: &Plan, clients: ClientReport) -> Self {
        Self {
            wanted: u64::from(plan.clients),
            ready: clients.progress.ready,
            failed: clients.progress.failed,
            failures: clients.failures,
            handshake: clients.handshake.summary(),
            subscribe: clients.subscribe.summary(),
            curve: clients.ramp.by_second(),
            ramp: clients.ramp,
            closes: clients.closes,
            cuts: clients.cuts,
        }
    }
}

impl Latency {
    fn new(plan: &Plan, clients: &ClientReport, all: &Times) -> Self {
        let both = !clients.keyed.is_empty() && !clients.broadcast.is_empty();
        let one_of_both = |times: &Times| if both { times.curve() } else { Vec::new() };
        Self {
            reading: plan
                .poll
                .map_or_else(|| "as data comes".to_owned(), |poll| format!("every {} ms", poll.as_millis())),
            all: all.summary(),
            keyed: clients.keyed.summary(),
            broadcast: clients.broadcast.summary(),
            curve: all.curve(),
            curve_keyed: one_of_both(&clients.keyed),
            curve_broadcast: one_of_both(&clients.broadcast),
        }
    }
}

fn series(plan: &Plan, clients: &ClientReport, grid: Grid, samples: Vec<Sample>) -> Series {
    Series {
        interval_s: real(grid.interval_ns) / 1e9,
        measured_from_s: plan.warmup.as_secs_f64(),
        measured_until_s: (plan.warmup + plan.duration).as_secs_f64(),
        clients: clients.recorder.points(),
        samples,
    }
}

impl Messages {
    fn new(clients: &ClientReport, seconds: f64) -> Self {
        let received = clients.progress.messages;
        Self {
            checks: clients.counts,
            received,
            measured: clients.measured,
            per_second: ratio(real(clients.measured), seconds),
            bytes: clients.bytes,
            reads: clients.reads,
            per_read: ratio(real(received), real(clients.reads)),
            early: clients.early,
            errors: clients.errors.clone(),
            notices: clients.notices.clone(),
        }
    }
}

impl From<Produced> for ProducerUse {
    fn from(produced: Produced) -> Self {
        Self {
            sent: produced.sent,
            delivered: produced.delivered,
            failed: produced.failed + produced.unacknowledged,
            stalls: produced.stalls,
            lateness: produced.lateness.summary(),
            error: produced.error,
        }
    }
}

fn busy(used: &ThreadTimes, seconds: f64) -> BTreeMap<String, f64> {
    let parts = used.iter().map(|(thread, ns)| (thread.clone(), ratio(real(*ns), seconds * 1e9)));
    parts.filter(|(_, busy)| *busy >= 0.001).collect()
}

mod limit;
pub(crate) mod page;
pub(crate) mod table;

pub use limit::Limit;

#[cfg(test)]
pub(crate) mod tests;
