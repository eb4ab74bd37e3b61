//! The table at the end of a run, for people.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

use super::{Limit, Report};
use crate::{
    figures::{grouped, time, whole, written},
    histogram::Summary,
    machine,
    server::ServerUse,
};

impl Report {
    /// The report as a table of a screenful.
    #[must_use]
    pub fn table(&self) -> String {
        written(|out| self.write_table(out))
    }

    fn write_table(&self, out: &mut String) -> fmt::Result {
        self.write_connections(out)?;
        self.write_messages(out)?;
        if let Some(server) = &self.server {
            write_server(out, server)?;
        }
        row(out, "load generator", busy(&self.client_threads))?;
        if let Some(limit) = &self.limit {
            write_limit(out, limit)?;
        }
        row(out, "machine", self.machine.line(self.busy_percent, self.steal_percent))?;
        for warning in &self.warnings {
            row(out, "warning", warning)?;
        }
        for failure in &self.failures {
            row(out, "FAILED", failure)?;
        }
        if self.failures.is_empty() { row(out, "PASSED", "") } else { Ok(()) }
    }

    fn write_connections(&self, out: &mut String) -> fmt::Result {
        let connections = &self.connections;
        let peak = connections.curve.iter().max().copied().unwrap_or(0);
        row(
            out,
            "connections",
            format_args!(
                "{} of {} ready ({} s, at most {}/s), {} failed",
                grouped(connections.ready),
                grouped(connections.wanted),
                connections.curve.len(),
                grouped(peak),
                grouped(connections.failed)
            ),
        )?;
        row(out, "handshake ms", times(&connections.handshake))?;
        row(out, "subscribed ms", times(&connections.subscribe))?;
        for (code, count) in &connections.closes {
            row(out, "closed", format_args!("{} with {code}", grouped(*count)))?;
        }
        if connections.cuts.is_empty() { Ok(()) } else { row(out, "  1006", list(&connections.cuts)) }
    }

    fn write_messages(&self, out: &mut String) -> fmt::Result {
        let (messages, checks) = (&self.messages, &self.messages.checks);
        row(
            out,
            "messages",
            format_args!(
                "{} received, {}/s in the measured time, {:.2} a read",
                grouped(messages.received),
                grouped(whole(messages.per_second)),
                messages.per_read
            ),
        )?;
        row(
            out,
            "checks",
            format_args!(
                "{} lost, {} duplicated, {} out of order, {} not subscribed, {} damaged, {} gap notices",
                checks.lost,
                checks.duplicated,
                checks.disordered,
                checks.foreign + checks.misrouted,
                checks.corrupt,
                checks.gaps
            ),
        )?;
        if !messages.notices.is_empty() {
            row(out, "notices", list(&messages.notices))?;
        }
        row(out, "latency ms", format_args!("{} (read {})", times(&self.latency.all), self.latency.reading))?;
        if self.latency.keyed.count > 0 && self.latency.broadcast.count > 0 {
            row(out, "  keyed", times(&self.latency.keyed))?;
            row(out, "  broadcast", times(&self.latency.broadcast))?;
        }
        let Some(producer) = &self.producer else { return Ok(()) };
        row(
            out,
            "producer",
            format_args!(
                "{} sent, {} acknowledged, {} failed, queue full {} times; late by ms {}",
                grouped(producer.sent),
                grouped(producer.delivered),
                grouped(producer.failed),
                grouped(producer.stalls),
                times(&producer.lateness)
            ),
        )
    }
}

fn write_server(out: &mut String, server: &ServerUse) -> fmt::Result {
    row(
        out,
        "server CPU",
        format_args!(
            "{:.2} s in {:.1} s, {} deliveries per CPU-second, {:.2} CPU-s per million",
            server.cpu_seconds,
            server.seconds,
            grouped(whole(server.deliveries_per_cpu_second)),
            server.cpu_seconds_per_million
        ),
    )?;
    if !server.threads.is_empty() {
        row(out, "  threads", busy(&server.threads))?;
    }
    if server.sends > 0.0 {
        row(
            out,
            "  sends",
            format_args!(
                "{} sends, {:.2} messages a send",
                grouped(whole(server.sends)),
                server.messages_per_send
            ),
        )?;
    }
    for shard in &server.shards {
        row(
            out,
            &format!("  shard {}", shard.shard),
            format_args!(
                "{} connections, {:.0} % busy, {} deliveries",
                grouped(whole(shard.connections)),
                shard.busy * 100.0,
                grouped(whole(shard.deliveries))
            ),
        )?;
    }
    if !server.shards.is_empty() {
        row(out, "  spread", format_args!("at most {:.2} % from the mean", server.spread_percent))?;
    }
    if server.resident_max_bytes > 0 {
        row(
            out,
            "  memory",
            format_args!(
                "{} MiB at most, {}; TCP of the machine {} MiB at most",
                server.resident_max_bytes >> 20,
                server.memory_of_one(),
                server.tcp_max_bytes >> 20
            ),
        )?;
    }
    Ok(())
}

fn write_limit(out: &mut String, limit: &Limit) -> fmt::Result {
    row(
        out,
        "limit",
        format_args!(
            "{:.2} times the baseline at {:.2} messages per send: {} per delivery, of which {} is the baseline",
            limit.ratio,
            limit.messages_per_send,
            time(limit.server_ns_per_delivery),
            time(limit.baseline_ns_per_delivery)
        ),
    )?;
    if limit.shards_ratio == 0.0 {
        return Ok(());
    }
    row(
        out,
        "  shards alone",
        format_args!("{:.2} times: {} a delivery", limit.shards_ratio, time(limit.shards_ns_per_delivery)),
    )
}

pub(crate) fn row(out: &mut String, name: &str, value: impl Display) -> fmt::Result {
    writeln!(out, "{}", format!("{name:<15} {value}").trim_end())
}

/// Percentiles in microseconds.
pub(crate) fn times_us(summary: &Summary) -> String {
    let shown = summary.percentiles.iter().filter(|(p, _)| [50.0, 90.0, 99.0, 99.9].contains(p));
    let shown: Vec<String> = shown.map(|(p, ms)| format!("p{p} {}", time(ms * 1e6))).collect();
    format!("{}  max {}", shown.join("  "), time(summary.max_ms * 1e6))
}

fn times(summary: &Summary) -> impl Display + '_ {
    struct Row<'a>(&'a Summary);
    impl Display for Row<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0.count == 0 {
                return write!(f, "none");
            }
            for (percentile, ms) in
                self.0.percentiles.iter().filter(|(p, _)| [50.0, 90.0, 99.0, 99.9, 99.99].contains(p))
            {
                write!(f, "p{percentile} {ms:.1}  ")?;
            }
            write!(f, "max {:.1}", self.0.max_ms)
        }
    }
    Row(summary)
}

/// Parts of threads, those of one name together.
pub(crate) fn by_name(threads: &BTreeMap<String, f64>) -> BTreeMap<&str, f64> {
    let mut by_name = BTreeMap::new();
    for (thread, part) in threads {
        *by_name.entry(machine::name_of(thread)).or_default() += part;
    }
    by_name
}

/// Threads by what they used.
fn busy(threads: &BTreeMap<String, f64>) -> String {
    let mut sorted: Vec<(&str, f64)> =
        by_name(threads).into_iter().filter(|(_, part)| *part >= 0.005).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let shown: Vec<String> =
        sorted.iter().map(|(name, part)| format!("{name} {:.0} %", part * 100.0)).collect();
    if shown.is_empty() { "idle".to_owned() } else { shown.join(", ") }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let shown: Vec<String> =
        counts.iter().map(|(name, count)| format!("{} {name}", grouped(*count))).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_name_are_shown_together_and_idle_ones_not() {
        let threads = [("rdk:broker1 7", 0.1), ("rdk:broker1 8", 0.2), ("shard-0 5", 0.9), ("main 1", 0.001)];
        let threads = threads.into_iter().map(|(name, part)| (name.to_owned(), part)).collect();
        assert_eq!(busy(&threads), "shard-0 90 %, rdk:broker1 30 %");
        assert_eq!(busy(&BTreeMap::new()), "idle");
    }
}
