//! A thousand healthy clients under load, by the load generator: every message of every client is checked.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use perf::{
    Plan, Report,
    plan::{Load, Produce, Target},
    schedule::Rate,
};

use super::{
    outside::{findings::Findings, within},
    world::World,
};

pub(crate) const CLIENTS: u32 = 1_000;
/// An interval with a latency above is told of by itself.
const SLOW_MS: f64 = 500.0;

/// A run that goes on while an attack is made.
pub(crate) struct Run(JoinHandle<Result<Report, perf::Error>>);

/// 200 messages a second over 100 channels of which each holds five, and two a second for all: 12,000 deliveries a second.
fn plan(world: &World, duration: Duration) -> Plan {
    let target = Target::parse(&format!("ws://{}/ws", world.server.public)).unwrap();
    let load = Produce {
        brokers: world.kafka.settings().brokers,
        properties: Vec::new(),
        rate: Rate::per_second(200),
        broadcast_rate: Rate::per_second(2),
        size: 256,
        linger: Duration::from_millis(5),
        idempotent: true,
    };
    Plan {
        clients: CLIENTS,
        channels: 100,
        per_client: 5,
        broadcast: true,
        topic_channel: "bench.{key}".to_owned(),
        load: Load::Produce(load),
        warmup: Duration::from_secs(2),
        duration,
        drain_wait: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        ..Plan::new(target)
    }
}

impl Run {
    /// Starts one, and comes back when all its clients are there and the load has begun.
    pub(crate) fn start(world: &World, duration: Duration) -> Self {
        let plan = plan(world, duration);
        let run = Self(thread::spawn(move || perf::run(&plan, None)));
        let all = within(Duration::from_secs(60), || {
            world.server.metric("shard_connections").unwrap_or(0.0) >= f64::from(CLIENTS)
        });
        assert!(all.is_some(), "the healthy clients are not there");
        super::outside::pause(Duration::from_secs(3));
        run
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end: all that the load generator checks holds. The 99th percentile of the latency, ms.
    pub(crate) fn end(self, findings: &mut Findings, during: &str) -> f64 {
        let report = self.0.join().unwrap().unwrap();
        let failures = report.failures();
        let what = format!("{during}: {CLIENTS} healthy clients, nothing lost, repeated or out of order");
        findings.check(failures.is_empty(), &what, || failures.join("; "));
        let latency = &report.latency.all;
        let at = |percent: f64| {
            let found = latency.percentiles.iter().find(|(at, _)| (at - percent).abs() < 0.001);
            found.map_or(f64::NAN, |(_, ms)| *ms)
        };
        eprintln!(
            "   {during}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms over {} messages",
            at(50.0),
            at(99.0),
            latency.max_ms,
            latency.count
        );
        for point in report.series.clients.iter().filter(|point| point.max_ms >= SLOW_MS) {
            eprintln!(
                "   {during}: due in the interval from {:.0} s on: p50 {:.1} ms, max {:.1} ms",
                point.at_s, point.p50_ms, point.max_ms
            );
        }
        at(99.0)
    }
}
