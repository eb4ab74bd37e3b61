use super::*;
use crate::{
    admin::Metrics,
    plan::{Demands, Produce, ServerView, Target},
    schedule::Rate,
    series::Recorder,
    server::Snapshot,
};

/// A run with something in every part of its report.
pub(crate) fn sample() -> Report {
    let admin = ServerView { pid: Some(1), admin: Some("127.0.0.1:8081".to_owned()) };
    let demands = Demands { p99_ms_max: Some(50.0), ..Demands::default() };
    let command = "uringcast bench --topic-channel '<{key}>' && true".to_owned();
    let mut found = good();
    (0..10).for_each(|ms| found.clients.broadcast.record(ms * 2_000_000));
    let mut recorder = Recorder::new(found.grid);
    for n in 0..30 {
        recorder.latency(1_000_000_000 + n * 100_000_000, n * 1_000_000);
        recorder.arrived(1_000_000_000 + n * 100_000_000, 1, 300);
    }
    found.clients.recorder = recorder;
    for text in [
        "uringcast_shard_deliveries_total{shard=\"0\"} 30\n",
        "uringcast_shard_sends_total{shard=\"0\"} 10\n",
    ] {
        found.observed.end.metrics.extend(Metrics::read(text));
    }
    let threads = [("shard-0".to_owned(), 0.5), ("ingest".to_owned(), 0.1)].into();
    let sample = Sample { shards: vec![0.5, 0.25], threads, messages_per_send: 3.0, ..Sample::default() };
    found.samples = (1..4).map(|at| Sample { at_s: f64::from(at), ..sample.clone() }).collect();
    found.clients.notices.insert("status <live>".to_owned(), 3);
    let mut report = Report::new(&Plan { server: admin, demands, command, ..plan() }, found);
    report.compare_to_baseline(crate::baseline::tests::baseline([8_000.0, 8_030.0, 8_150.0, 9_110.0]));
    report
}

fn plan() -> Plan {
    let produce = Produce {
        brokers: "localhost:9092".to_owned(),
        properties: vec![("sasl.password".to_owned(), "hunter2".to_owned())],
        rate: Rate::per_second(10),
        broadcast_rate: Rate::ZERO,
        size: 256,
        linger: std::time::Duration::from_millis(5),
        idempotent: true,
    };
    let target = Target::parse("ws://127.0.0.1:8080/ws").unwrap();
    Plan { clients: 3, load: Load::Produce(produce), ..Plan::new(target) }
}

/// Three clients that got ten messages each in a second.
fn good() -> Findings {
    let mut clients = ClientReport { measured: 30, reads: 15, ..ClientReport::default() };
    clients.ramp = Ramp { interval_ms: 100, ready: vec![1, 2] };
    (clients.progress.ready, clients.progress.messages, clients.counts.fresh) = (3, 30, 30);
    (0..30).for_each(|ms| clients.keyed.record(ms * 1_000_000));
    let moment = |at_s: u64| Snapshot {
        at_ns: at_s * 1_000_000_000,
        threads: ThreadTimes::from([("shard-0 1".to_owned(), at_s * 100_000_000)]),
        metrics: Metrics::read(
            "uringcast_shard_connections{shard=\"0\"} 1\nuringcast_shard_connections{shard=\"1\"} 2\n",
        ),
        ..Snapshot::default()
    };
    Findings {
        clients,
        produced: Some(Produced { counts: vec![10, 0], sent: 10, delivered: 10, ..Produced::default() }),
        observed: Observed { begin: moment(1), end: moment(2), ready: moment(1), ..Observed::default() },
        client_used: ThreadTimes::from([("client-0 9".to_owned(), 500_000_000)]),
        received: 30,
        grid: plan().grid(1_000_000_000),
        samples: Vec::new(),
        begun_unix_ms: 1_700_000_000_000,
        steal_percent: 0.0,
        busy_percent: 10.0,
    }
}

#[test]
fn a_good_run_passes_with_its_figures() {
    let report = Report::new(&Plan { server: ServerView { pid: Some(1), admin: None }, ..plan() }, good());
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!((report.messages.per_second, report.messages.per_read), (30.0, 2.0));
    assert_eq!(report.server.as_ref().unwrap().deliveries_per_cpu_second, 300.0);
    let table = report.table();
    for part in
        ["3 of 3 ready", "0 lost", "p99 29.0", "300 deliveries per CPU-second", "client-0 50 %", "PASSED"]
    {
        assert!(table.contains(part), "no {part:?} in\n{table}");
    }
}

#[test]
fn json_comes_back_and_keeps_no_password() {
    let report = Report::new(&Plan { command: "uringcast bench".to_owned(), ..plan() }, good());
    let json = report.json();
    assert!(!json.contains("hunter2"));
    let back: Report = serde_json::from_str(&json).unwrap();
    assert_eq!((back.command.as_str(), back.json()), ("uringcast bench", json));
    assert!(report.hgrm().contains("Total count    =           30"));
}

/// What each fault alone makes of a good run.
#[test]
fn every_fault_fails_the_run_by_name() {
    type Spoil = fn(&mut Plan, &mut Findings);
    let faults: [(Spoil, &str); 22] = [
        (|_, found| found.clients.counts.lost = 1, "1 messages lost"),
        (|_, found| found.clients.counts.duplicated = 1, "1 messages duplicated"),
        (|_, found| found.clients.counts.disordered = 1, "1 messages out of order"),
        (|_, found| found.clients.counts.foreign = 1, "not subscribed to"),
        (|_, found| found.clients.counts.misrouted = 1, "another channel's record"),
        (|_, found| found.clients.counts.corrupt = 1, "damaged"),
        (|_, found| found.clients.counts.gaps = 1, "gap notices"),
        (|_, found| found.clients.counts.unstamped = 1, "not ours"),
        (|_, found| found.clients.progress.messages = 0, "no message at all"),
        (|_, found| found.clients.errors.extend([("BAD_JSON".to_owned(), 2)]), "2 answers BAD_JSON"),
        (|_, found| found.clients.failures.extend([("refused: HTTP 503".to_owned(), 1)]), "HTTP 503"),
        (|_, found| found.clients.progress.ready = 2, "1 connections never became ready"),
        (|_, found| found.clients.closes.extend([(1_006, 1)]), "1 connections closed with 1006"),
        (|plan, _| plan.expect_close = Some(1_001), "0 of 3 connections closed with 1001"),
        (
            |plan, found| {
                plan.expect_close = Some(1_001);
                found.clients.closes.extend([(1_001, 2), (1_006, 1)]);
            },
            "1 connections closed with 1006",
        ),
        (|_, found| found.produced.as_mut().unwrap().failed = 4, "4 records were not taken"),
        (|_, found| found.produced.as_mut().unwrap().unacknowledged = 4, "4 records were not taken"),
        (|plan, _| plan.demands.p99_ms_max = Some(10.0), "p99 is 29.0 ms"),
        (|plan, _| plan.demands.spread_percent_max = Some(1.0), "not known"),
        (|plan, _| plan.demands.per_cpu_second_min = Some(1.0), "0 deliveries per server CPU-second"),
        (
            |plan, _| {
                plan.server.pid = Some(1);
                plan.demands.per_cpu_second_min = Some(301.0);
            },
            "300 deliveries per server CPU-second",
        ),
        (
            |plan, _| {
                plan.server.pid = Some(1);
                plan.demands.spread_percent_max = Some(1.0);
            },
            "differ by 33.33 %",
        ),
    ];
    for (spoil, word) in faults {
        let (mut plan, mut found) = (plan(), good());
        spoil(&mut plan, &mut found);
        let report = Report::new(&plan, found);
        assert!(
            report.failures().iter().any(|why| why.contains(word)),
            "{:?} lacks {word:?}",
            report.failures()
        );
        assert_eq!(report.failures().len(), 1, "{:?}", report.failures());
        assert!(report.table().contains("FAILED") && !report.table().contains("PASSED"));
    }
}

#[test]
fn demands_that_are_met_pass() {
    let server = ServerView { pid: Some(1), admin: None };
    let demands =
        Demands { p99_ms_max: Some(30.0), spread_percent_max: Some(34.0), per_cpu_second_min: Some(300.0) };
    assert_eq!(Report::new(&Plan { server, demands, ..plan() }, good()).failures(), [""; 0]);
}

#[test]
fn an_expected_close_of_all_passes() {
    let mut found = good();
    found.clients.closes.insert(1_001, 3);
    found.clients.progress.closed = 3;
    assert_eq!(Report::new(&Plan { expect_close: Some(1_001), ..plan() }, found).failures(), [""; 0]);
}

#[test]
fn doubtful_figures_are_said_to_be() {
    let mut found = good();
    found.client_used = ThreadTimes::from([("client-0 9".to_owned(), 970_000_000)]);
    (found.steal_percent, found.clients.early) = (12.0, 3);
    let report = Report::new(&plan(), found);
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.warnings.len(), 3);
    assert!(report.warnings[0].contains("client-0 9 was at full CPU"));
}
