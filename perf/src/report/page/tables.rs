//! The tables of a run's page.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::parts::{self, Verdict, cells, escape};
use crate::{
    baseline::{Baseline, Figure, SendPrice},
    figures::{grouped, time, whole},
    histogram::Summary,
    plan::Load,
    report::{Limit, Report, table::by_name},
};

/// CPU by thread and by shard.
pub(super) fn threads(out: &mut String, report: &Report) -> fmt::Result {
    parts::section(out, "threads", "CPU by thread and shard", "in the measured time", true, "")?;
    let server = report.server.as_ref();
    match server {
        Some(server) if !server.threads.is_empty() => bars(out, "server", "", &by_name(&server.threads))?,
        _ => writeln!(out, "<p class=\"none\">the server's threads were not looked at</p>")?,
    }
    bars(out, "load generator", " other", &by_name(&report.client_threads))?;
    if let Some(server) = server.filter(|server| !server.shards.is_empty()) {
        writeln!(out, "<h3>shards</h3>")?;
        parts::table(out, &["shard", "connections", "busy", "deliveries", "sends", "a send"])?;
        for shard in &server.shards {
            let per_send = if shard.sends > 0.0 { shard.deliveries / shard.sends } else { 0.0 };
            let row = [
                grouped(whole(shard.connections)),
                format!("{:.0} %", shard.busy * 100.0),
                grouped(whole(shard.deliveries)),
                grouped(whole(shard.sends)),
                format!("{per_send:.2}"),
            ];
            cells(out, &shard.shard.to_string(), row.iter().map(|text| (Verdict::None, text.as_str())))?;
        }
        parts::table_end(out)?;
    }
    writeln!(out, "</section>")
}

fn bars(out: &mut String, title: &str, class: &str, threads: &BTreeMap<&str, f64>) -> fmt::Result {
    let mut sorted: Vec<_> = threads.iter().filter(|(_, busy)| **busy >= 0.001).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(a.1));
    sorted.truncate(12);
    writeln!(out, "<h3>{title}</h3><div class=\"bars{class}\">")?;
    // Several threads of a name together may be more than a core.
    let widest = sorted.first().map_or(1.0, |(_, busy)| busy.max(1.0));
    for (name, busy) in sorted {
        let (percent, width) = (busy * 100.0, busy / widest * 100.0);
        writeln!(
            out,
            "<span>{}</span><div><i style=\"width:{width:.1}%\"></i></div><span>{percent:.1} %</span>",
            escape(name)
        )?;
    }
    writeln!(out, "</div>")
}

/// What was checked, and what went wrong.
pub(super) fn loss(out: &mut String, report: &Report) -> fmt::Result {
    let (messages, checks) = (&report.messages, &report.messages.checks);
    parts::section(out, "loss", "Loss", "every message of every connection is checked", true, "")?;
    parts::table(out, &["messages", "count"])?;
    let mut row = |name: &str, count: u64, verdict: Verdict| cells(out, name, [(verdict, &*grouped(count))]);
    let wrong = |count: u64| Verdict::of(count == 0);
    row("of the run, each once", checks.fresh, Verdict::None)?;
    row("lost", checks.lost, wrong(checks.lost))?;
    row("repeated", checks.duplicated, wrong(checks.duplicated))?;
    row("out of order", checks.disordered, wrong(checks.disordered))?;
    row("of channels not held", checks.foreign, wrong(checks.foreign))?;
    row("with another channel's record", checks.misrouted, wrong(checks.misrouted))?;
    row("damaged", checks.corrupt, wrong(checks.corrupt))?;
    row("announced as gaps", checks.gaps, wrong(checks.gaps))?;
    let ours = matches!(report.plan.load, Load::Produce(_));
    row("not ours", checks.unstamped, if ours { wrong(checks.unstamped) } else { Verdict::None })?;
    row("sent before the load", checks.stale, Verdict::None)?;
    if let Some(producer) = &report.producer {
        row("taken by Kafka's client", producer.sent, Verdict::None)?;
        row("acknowledged by Kafka", producer.delivered, Verdict::None)?;
        row("not taken by Kafka", producer.failed, wrong(producer.failed))?;
    }
    let expected = report.plan.expect_close;
    for (code, count) in &report.connections.closes {
        row(&format!("connections closed with {code}"), *count, Verdict::of(expected == Some(*code)))?;
    }
    for (why, count) in report.connections.failures.iter().chain(&report.connections.cuts) {
        row(&format!("connections: {why}"), *count, Verdict::Fail)?;
    }
    for (code, count) in &messages.errors {
        row(&format!("answers {code}"), *count, Verdict::Fail)?;
    }
    for (notice, count) in &messages.notices {
        row(&format!("notices: {notice}"), *count, Verdict::None)?;
    }
    parts::table_end(out)?;
    writeln!(out, "</section>")
}

/// All times in percentiles.
pub(super) fn times(out: &mut String, report: &Report) -> fmt::Result {
    parts::section(out, "times", "Times", "ms", false, "")?;
    parts::table(out, &["", "count", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "longest"])?;
    let latency = &report.latency;
    let mut row = |name: &str, summary: &Summary| {
        if summary.count == 0 {
            return Ok(());
        }
        let mut texts = vec![grouped(summary.count)];
        texts.extend(
            summary
                .percentiles
                .iter()
                .map(|(_, ms)| *ms)
                .chain([summary.max_ms])
                .map(|ms| format!("{ms:.2}")),
        );
        cells(out, name, texts.iter().map(|text| (Verdict::None, text.as_str())))
    };
    row("latency, all messages", &latency.all)?;
    if latency.keyed.count > 0 && latency.broadcast.count > 0 {
        row("latency, keyed channels", &latency.keyed)?;
        row("latency, broadcast", &latency.broadcast)?;
    }
    row("connect to upgraded", &report.connections.handshake)?;
    row("connect to subscribed", &report.connections.subscribe)?;
    if let Some(producer) = &report.producer {
        row("producer late by", &producer.lateness)?;
    }
    parts::table_end(out)?;
    writeln!(out, "</section>")
}

/// The kernel's own cost, and how close the server came.
pub(super) fn baseline(out: &mut String, baseline: &Baseline, limit: Option<&Limit>) -> fmt::Result {
    let note = format!(
        "{} connections, frames of {} B, core {}; median of {} (lowest to highest)",
        grouped(u64::from(baseline.plan.connections)),
        baseline.plan.frame_bytes,
        baseline.plan.core,
        baseline.plan.repeats
    );
    parts::section(out, "baseline", "How close to the limit", &note, false, "")?;
    parts::table(out, &["CPU time on this machine", "a send", "a delivery", "a CPU-second"])?;
    let spread =
        |figure: Figure| format!("{} ({} to {})", time(figure.median), time(figure.min), time(figure.max));
    let mut row = |name: &str, texts: [String; 3]| {
        cells(out, name, texts.iter().map(|text| (Verdict::None, text.as_str())))
    };
    let mut price = |way: &str, price: &SendPrice| {
        let plural = if price.messages == 1 { "" } else { "s" };
        let texts = [
            spread(price.ns_per_send),
            time(price.ns_per_delivery.median),
            grouped(whole(price.deliveries_per_cpu_second)),
        ];
        row(&format!("{way}, {} message{plural} a send", price.messages), texts)
    };
    price("send(2)", &baseline.bare)?;
    baseline.ring.iter().try_for_each(|ring| price("io_uring", ring))?;
    if let Some(limit) = limit {
        let at = format!("at {:.2} messages a send", limit.messages_per_send);
        let mut line = |name: String, ns: f64, ratio: Option<f64>| {
            let last = ratio
                .map_or_else(|| grouped(whole(1e9 / ns)), |ratio| format!("{ratio:.2} times the baseline"));
            row(&name, [time(ns * limit.messages_per_send), time(ns), last])
        };
        line(format!("the baseline {at}"), limit.baseline_ns_per_delivery, None)?;
        if limit.shards_ratio > 0.0 {
            line(
                format!("this server's shards {at}"),
                limit.shards_ns_per_delivery,
                Some(limit.shards_ratio),
            )?;
        }
        line(format!("this server {at}"), limit.server_ns_per_delivery, Some(limit.ratio))?;
    }
    parts::table_end(out)?;
    let (accept, wake) = (&baseline.accept, &baseline.wake);
    let median = wake.latency.percentiles.first().map_or(0.0, |(_, ms)| *ms);
    writeln!(
        out,
        "<h3>other prices</h3><dl><dt>accept and close</dt><dd>{} a connection, {} a second</dd>\
         <dt>wake a sleeping ring</dt><dd>{} in the median until it runs; {} of its CPU, {} of the waking thread's</dd></dl></section>",
        spread(accept.ns_per_connection),
        grouped(whole(accept.per_second.median)),
        time(median * 1e6),
        spread(wake.sleeper_ns),
        spread(wake.waker_ns)
    )
}
