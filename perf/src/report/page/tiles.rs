//! The summary: a run in a dozen figures.

use std::fmt::{self, Write};

use super::parts::{Verdict, escape};
use crate::{
    figures::{grouped, time, whole},
    histogram::Summary,
    plan::Load,
    report::Report,
};

struct Tile {
    label: &'static str,
    value: String,
    unit: &'static str,
    note: String,
    verdict: Verdict,
}

pub(super) fn write(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "<div class=\"tiles\" id=\"summary\">")?;
    let mut tiles = vec![connections(report), lost(report)];
    if report.messages.received > 0 || !matches!(report.plan.load, Load::Hold) {
        tiles.extend([rate(report), median(report), p99(report), tail(report)]);
    }
    tiles.extend(server(report));
    tiles.push(stolen(report));
    for Tile { label, value, unit, note, verdict } in tiles {
        let unit = if unit.is_empty() { String::new() } else { format!("<i>{unit}</i>") };
        writeln!(
            out,
            "<div class=\"tile {}\"><span>{label}</span><b>{}{unit}</b><small>{}</small></div>",
            verdict.class(),
            escape(&value),
            escape(&note)
        )?;
    }
    writeln!(out, "</div>")
}

fn connections(report: &Report) -> Tile {
    let connections = &report.connections;
    let closed: u64 = connections.closes.values().sum();
    let right = report.wrong_connections().is_empty();
    Tile {
        label: "Connections ready",
        value: grouped(connections.ready),
        unit: "",
        note: format!(
            "of {}; {} failed, {} closed",
            grouped(connections.wanted),
            grouped(connections.failed),
            grouped(closed)
        ),
        verdict: Verdict::of(right),
    }
}

fn lost(report: &Report) -> Tile {
    let checks = &report.messages.checks;
    Tile {
        label: "Messages lost",
        value: grouped(checks.lost),
        unit: "",
        note: format!(
            "{} repeated, {} out of order, {} gaps, of {}",
            grouped(checks.duplicated),
            grouped(checks.disordered),
            grouped(checks.gaps),
            grouped(report.messages.received)
        ),
        verdict: Verdict::of(report.wrong_messages().is_empty()),
    }
}

fn rate(report: &Report) -> Tile {
    Tile {
        label: "Deliveries",
        value: grouped(whole(report.messages.per_second)),
        unit: "/s",
        note: format!("{} in the measured time", grouped(report.messages.measured)),
        verdict: Verdict::None,
    }
}

fn median(report: &Report) -> Tile {
    let all = &report.latency.all;
    let (value, unit) = ms(percentile(all, 50.0));
    let note = format!("mean {:.2} ms; read {}", all.mean_ms, report.latency.reading);
    Tile { label: "Latency p50", value, unit, note, verdict: Verdict::None }
}

fn p99(report: &Report) -> Tile {
    let p99 = percentile(&report.latency.all, 99.0);
    let (value, unit) = ms(p99);
    let demand = report.plan.demands.p99_ms_max;
    let note =
        demand.map_or_else(|| "nothing demanded".to_owned(), |most| format!("at most {most} ms demanded"));
    let verdict = demand.map_or(Verdict::None, |most| Verdict::of(p99 <= most));
    Tile { label: "Latency p99", value, unit, note, verdict }
}

fn tail(report: &Report) -> Tile {
    let all = &report.latency.all;
    let (value, unit) = ms(percentile(all, 99.9));
    let note = format!("p99.99 {:.1} ms, longest {:.1} ms", percentile(all, 99.99), all.max_ms);
    Tile { label: "Latency p99.9", value, unit, note, verdict: Verdict::None }
}

fn server(report: &Report) -> Vec<Tile> {
    let Some(server) = &report.server else { return Vec::new() };
    let demands = &report.plan.demands;
    let mut tiles = Vec::new();
    if report.messages.measured > 0 {
        let per_cpu = server.deliveries_per_cpu_second;
        let least = demands.per_cpu_second_min;
        tiles.push(Tile {
            label: "Deliveries per CPU-second",
            value: grouped(whole(per_cpu)),
            unit: "",
            note: least.map_or_else(
                || format!("{:.2} CPU-s per million, all threads", server.cpu_seconds_per_million),
                |least| format!("at least {least} demanded"),
            ),
            verdict: least.map_or(Verdict::None, |least| Verdict::of(per_cpu >= least)),
        });
    }
    if server.sends > 0.0 {
        tiles.push(Tile {
            label: "Messages per send",
            value: format!("{:.2}", server.messages_per_send),
            unit: "",
            note: format!("{} sends", grouped(whole(server.sends))),
            verdict: Verdict::None,
        });
    }
    tiles.push(Tile {
        label: "Server CPU",
        value: format!("{:.0}", server.cpu_seconds / server.seconds.max(1e-9) * 100.0),
        unit: "%",
        note: format!("of a core; {:.2} s in {:.1} s", server.cpu_seconds, server.seconds),
        verdict: Verdict::None,
    });
    if let Some(limit) = &report.limit {
        tiles.push(Tile {
            label: "CPU time to baseline",
            value: format!("{:.2}", limit.ratio),
            unit: "times",
            note: format!(
                "{} per delivery, baseline {}",
                time(limit.server_ns_per_delivery),
                time(limit.baseline_ns_per_delivery)
            ),
            verdict: Verdict::None,
        });
    }
    if !server.shards.is_empty() {
        let most = demands.spread_percent_max;
        tiles.push(Tile {
            label: "Shards from their mean",
            value: format!("{:.2}", server.spread_percent),
            unit: "%",
            note: most.map_or_else(
                || format!("connections of {} shards", server.shards.len()),
                |most| format!("at most {most} % demanded"),
            ),
            verdict: most.map_or(Verdict::None, |most| Verdict::of(server.spread_percent <= most)),
        });
    }
    if server.resident_max_bytes > 0 {
        tiles.push(Tile {
            label: "Memory",
            value: (server.resident_max_bytes >> 20).to_string(),
            unit: "MiB",
            note: server.memory_of_one(),
            verdict: Verdict::None,
        });
    }
    tiles
}

fn stolen(report: &Report) -> Tile {
    Tile {
        label: "Stolen CPU",
        value: format!("{:.1}", report.steal_percent),
        unit: "%",
        note: format!("by the hypervisor; {:.0} % busy", report.busy_percent),
        verdict: Verdict::None,
    }
}

fn percentile(summary: &Summary, wanted: f64) -> f64 {
    summary
        .percentiles
        .iter()
        .find(|(percentile, _)| (percentile - wanted).abs() < 1e-9)
        .map_or(0.0, |(_, ms)| *ms)
}

fn ms(ms: f64) -> (String, &'static str) {
    let text = if ms < 1.0 {
        return (format!("{:.0}", ms * 1e3), "us");
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    };
    (text, "ms")
}
