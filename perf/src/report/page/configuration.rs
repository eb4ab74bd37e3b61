//! What was asked for, and what it ran on, by name.

use std::time::Duration;

use crate::{
    figures::{grouped, utc},
    plan::{Load, Plan},
    report::Report,
};

type Rows = Vec<(&'static str, String)>;

/// The plan.
pub(crate) fn configuration(report: &Report) -> Rows {
    let plan = &report.plan;
    let mut rows = vec![
        ("load", load(plan)),
        ("server", format!("ws://{}{}", plan.target.host, plan.target.path)),
        ("clients", grouped(u64::from(plan.clients))),
        ("channels", grouped(u64::from(plan.keyed()))),
        ("channels of a client", plan.per_client.to_string()),
        ("broadcast channel", if plan.broadcast { "held by all" } else { "none" }.to_owned()),
    ];
    if let Load::Produce(produce) = &plan.load {
        rows.push(("rate", format!("{} messages a second over all channels", produce.rate)));
        rows.push(("broadcast rate", format!("{} messages a second", produce.broadcast_rate)));
        rows.push(("value", format!("{} B", grouped(produce.size as u64))));
        rows.push(("linger", seconds(produce.linger)));
        rows.push(("idempotent producer", if produce.idempotent { "yes" } else { "no" }.to_owned()));
        rows.push(("brokers", produce.brokers.clone()));
    }
    rows.push(("topic", plan.topic.clone()));
    rows.push(("channel's name", plan.topic_channel.clone()));
    rows.push(("warm-up", seconds(plan.warmup)));
    rows.push(("measured", seconds(plan.duration)));
    rows.push(("clients read", report.latency.reading.clone()));
    rows.push(("connect rate", format!("{} a second", grouped(u64::from(plan.connect_rate)))));
    rows.push(("client threads", threads(plan)));
    rows.push(("demands", demands(plan)));
    rows
}

/// What it ran on.
pub(crate) fn machine(report: &Report) -> Rows {
    let machine = &report.machine;
    vec![
        ("CPU", machine.cpu.clone()),
        ("cores", machine.cores.to_string()),
        ("kernel", format!("Linux {}", machine.kernel)),
        ("memory", format!("{:.1} GiB", crate::figures::real(machine.memory_bytes) / f64::from(1 << 30))),
        ("busy", format!("{:.1} % of all cores", report.busy_percent)),
        ("stolen by the hypervisor", format!("{:.1} %", report.steal_percent)),
        ("uringcast", report.version.clone()),
        ("begun", utc(report.begun_unix_ms)),
    ]
}

/// The plan in one line.
pub(super) fn in_short(report: &Report) -> String {
    let plan = &report.plan;
    let channels = grouped(u64::from(plan.keyed()));
    let broadcast = if plan.broadcast { " and a broadcast" } else { "" };
    let load = match &plan.load {
        Load::Produce(produce) if plan.broadcast => {
            format!("{} + {} messages a second, ", produce.rate, produce.broadcast_rate)
        }
        Load::Produce(produce) => format!("{} messages a second, ", produce.rate),
        Load::Listen => "others' messages, ".to_owned(),
        Load::Hold => "no messages, ".to_owned(),
    };
    format!(
        "{} clients, {} of {channels} channels{broadcast} each, {load}{} measured",
        grouped(u64::from(plan.clients)),
        plan.per_client,
        seconds(plan.duration)
    )
}

fn load(plan: &Plan) -> String {
    match plan.load {
        Load::Produce(_) => "produced here, through Kafka",
        Load::Listen => "produced by others",
        Load::Hold => "none: connections are held",
    }
    .to_owned()
}

fn threads(plan: &Plan) -> String {
    let cores: Vec<String> = plan.cores.iter().map(usize::to_string).collect();
    let pinned =
        if cores.is_empty() { "not pinned".to_owned() } else { format!("on core {}", cores.join(", ")) };
    if plan.processes == 1 {
        format!("{}, {pinned}", plan.threads)
    } else {
        format!("{} in each of {} processes, {pinned}", plan.threads, plan.processes)
    }
}

fn demands(plan: &Plan) -> String {
    let demands = &plan.demands;
    let all: Vec<String> = [
        demands.p99_ms_max.map(|ms| format!("p99 at most {ms} ms")),
        demands.per_cpu_second_min.map(|count| format!("at least {count} deliveries a CPU-second")),
        demands.spread_percent_max.map(|percent| format!("shards within {percent} % of their mean")),
        plan.expect_close.map(|code| format!("every connection closed with {code}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if all.is_empty() { "nothing lost, repeated or out of order".to_owned() } else { all.join(", ") }
}

fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_secs_f64())
    }
}
