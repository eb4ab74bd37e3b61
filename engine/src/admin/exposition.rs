//! The body of /metrics: every counter of every thread, and what /proc tells.
//!
//! Names are `uringcast_PART_FIELD`, counters end in `_total`. What people divide themselves is not shown divided: messages
//! per send is the rate of `uringcast_shard_deliveries_total` over that of `uringcast_shard_sends_total`.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, info::Info},
    registry::Registry,
};

use super::{View, process};
use crate::metrics::Kind;

/// The format, which Prometheus knows beside its older one.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole text.
///
/// # Errors
/// Never in practice: writing to a string cannot fail.
pub fn render(view: &View) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("uringcast");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Build information", build);
    registry.register_collector(Box::new(Shown(view.clone())));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Shown(View);

/// A number with its label, if it has one.
type Labelled = (Option<(&'static str, String)>, u64);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let view = &self.0;
        let cpu = process::cpu_ns_by_thread();
        shards(view, &mut encoder)?;
        topics(view, &mut encoder)?;
        for (name, help, kind, value) in view.ingest.list().into_iter().chain(view.ingest.odd.list()) {
            family(&mut encoder, &format!("ingest_{name}"), help, kind, &[(None, value)])?;
        }
        for (name, help, kind, value) in view.accept.list() {
            family(&mut encoder, &format!("accept_{name}"), help, kind, &[(None, value)])?;
        }
        let threads: Vec<Labelled> =
            cpu.into_iter().map(|(thread, ns)| (Some(("thread", thread)), ns)).collect();
        seconds(&mut encoder, "thread_cpu_seconds", "CPU time by thread.", &threads)?;
        host(view, &mut encoder)
    }
}

fn shards(view: &View, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let label = |shard: usize| Some(("shard", shard.to_string()));
    let lists: Vec<_> = view.shards.iter().map(|metrics| metrics.list()).collect();
    let fields = lists.first().map_or(0, Vec::len);
    for field in 0..fields {
        let (name, help, kind, _) = lists[0][field];
        let values: Vec<Labelled> =
            lists.iter().enumerate().map(|(shard, list)| (label(shard), list[field].3)).collect();
        family(encoder, &format!("shard_{name}"), help, kind, &values)?;
    }
    let of_links = |value: &dyn Fn(&super::ShardLink<_>) -> usize| -> Vec<Labelled> {
        view.links.iter().enumerate().map(|(shard, link)| (label(shard), value(link) as u64)).collect()
    };
    let load = of_links(&|link| link.load.load(Ordering::Acquire));
    family(encoder, "shard_load", "Connections and reservations.", Kind::Gauge, &load)?;
    let capacity = of_links(&|link| link.capacity);
    family(encoder, "shard_capacity", "Maximum number of connections.", Kind::Gauge, &capacity)
}

/// Routed topics are few and never change.
fn topics(view: &View, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let topics = view.ingest.topics.all();
    let lists: Vec<_> = topics.iter().map(|(_, odd)| odd.list()).collect();
    for field in 0..lists.first().map_or(0, Vec::len) {
        let (name, help, kind, _) = lists[0][field];
        let of = |((topic, _), list): (&(Arc<str>, _), &Vec<(_, _, _, u64)>)| {
            (Some(("topic", topic.to_string())), list[field].3)
        };
        let values: Vec<Labelled> = topics.iter().zip(&lists).map(of).collect();
        family(encoder, &format!("topic_{name}"), &of_the_topic(help), kind, &values)?;
    }
    Ok(())
}

/// What a counter of all topics' records counts, of one topic's.
fn of_the_topic(help: &str) -> String {
    let (what, which) = help.split_once(' ').unwrap_or((help, ""));
    format!("{what} of the topic {which}")
}

/// Readiness, memory, descriptors, the kernel's TCP.
fn host(view: &View, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let health = view.health.snapshot();
    let mut gauge = |name: &str, help: &str, value: Option<u64>| match value {
        Some(value) => family(encoder, name, help, Kind::Gauge, &[(None, value)]),
        None => Ok(()),
    };
    gauge("ready", "Accepts clients.", Some(u64::from(health.ready)))?;
    gauge("degraded", "Serves with limitations; see /health.", Some(u64::from(health.is_degraded())))?;
    gauge("draining", "Shutting down.", Some(u64::from(health.draining)))?;
    gauge("start_time_seconds", "When the server started, Unix time.", Some(view.started_unix_ms / 1_000))?;
    gauge("process_resident_bytes", "Resident memory of the process.", process::resident_bytes())?;
    gauge(
        "process_descriptors",
        "File descriptors of the process, without those in the rings' own tables.",
        process::descriptors(),
    )?;
    let tcp = process::tcp();
    gauge("host_tcp_sockets", "TCP sockets of this network namespace.", tcp.map(|tcp| tcp.sockets))?;
    gauge("host_tcp_orphans", "TCP sockets no longer owned by a process.", tcp.map(|tcp| tcp.orphans))?;
    gauge(
        "host_tcp_memory_bytes",
        "Memory of all TCP socket buffers of the host.",
        tcp.map(|tcp| tcp.memory_bytes),
    )
}

/// One name with its numbers.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: Kind,
    values: &[Labelled],
) -> fmt::Result {
    let metric_type = match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let mut metric = encoder.encode_descriptor(name, help, None, metric_type)?;
    for (label, value) in values {
        labelled(&mut metric, label.as_ref(), |metric| match kind {
            Kind::Counter => metric.encode_counter::<NoLabelSet, u64, u64>(value, None),
            Kind::Gauge => metric.encode_gauge(value),
        })?;
    }
    Ok(())
}

/// A counter of seconds from ns.
fn seconds(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, values: &[Labelled]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (label, ns) in values {
        let seconds = std::time::Duration::from_nanos(*ns).as_secs_f64();
        labelled(&mut metric, label.as_ref(), |metric| {
            metric.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)
        })?;
    }
    Ok(())
}

/// Writes a sample, with its label if it has one (an empty set would be written as `{}`).
fn labelled(
    metric: &mut MetricEncoder<'_>,
    label: Option<&(&'static str, String)>,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match label {
        Some((name, value)) => write(&mut metric.encode_family(&[(*name, value.as_str())])?),
        None => write(metric),
    }
}
