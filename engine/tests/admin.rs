//! The admin thread with a real HTTP client: /health in every state, and a /metrics that parses and leaves nothing out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicUsize},
};

use engine::{
    accept::Phase,
    admin::{self, View},
    health::{Health, Reason},
    mail::{Reservation, ShardLink},
    metrics::ShardMetrics,
    slab::Bell,
};
use tokio::sync::watch;

struct Admin {
    address: SocketAddr,
    view: View,
    phase: watch::Sender<Phase>,
    thread: std::thread::JoinHandle<()>,
}

impl Admin {
    fn start() -> Self {
        let listener = admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let view = view();
        let (phase, receiver) = watch::channel(Phase::Open);
        let shown = view.clone();
        let thread = std::thread::spawn(move || admin::run(listener, shown, receiver).unwrap());
        Self { address, view, phase, thread }
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
    }

    fn health(&self) -> (u16, serde_json::Value) {
        let (status, _, body) = self.get("/health");
        (status, serde_json::from_str(&body).unwrap())
    }

    fn end(self) {
        self.phase.send(Phase::Ended).unwrap();
        self.thread.join().unwrap();
    }
}

fn view() -> View {
    let link = |capacity| {
        let (inbox, _) = flume::bounded(1);
        ShardLink::<OwnedFd> {
            inbox,
            bell: Arc::new(Bell::unset()),
            load: Arc::new(AtomicUsize::new(0)),
            capacity,
        }
    };
    View {
        links: [link(4_000), link(3_999)].into(),
        shards: [Arc::default(), Arc::<ShardMetrics>::default()].into(),
        ingest: Arc::default(),
        accept: Arc::default(),
        health: Arc::new(Health::new()),
        started_unix_ms: 1_700_000_000_000,
    }
}

#[test]
fn health_tells_each_state_and_why() {
    let admin = Admin::start();
    let (status, body) = admin.health();
    assert_eq!((status, body["status"].as_str()), (503, Some("starting")));

    let unknown = Reason::TopicUnknown("trades".into());
    admin.view.health.set(&unknown, "no such topic");
    let (status, body) = admin.health();
    assert_eq!((status, body["status"].as_str()), (503, Some("starting")));
    assert_eq!(body["reasons"][0]["reason"], "topic_unknown");

    admin.view.health.set_ready();
    let held = Reservation::take(&admin.view.links[0].load, 10).unwrap();
    let (status, body) = admin.health();
    assert_eq!((status, body["status"].as_str()), (200, Some("degraded")));
    assert_eq!(body["reasons"][0]["topic"], "trades");
    assert_eq!(body["reasons"][0]["text"], "no such topic");
    assert_eq!(body["connections"], 1);
    assert_eq!(body["connections_max"], 7_999);

    admin.view.health.clear(&unknown);
    drop(held);
    let (status, body) = admin.health();
    assert_eq!((status, body["status"].as_str()), (200, Some("ready")));
    assert_eq!(body["reasons"], serde_json::json!([]));

    admin.view.health.set_draining();
    let (status, body) = admin.health();
    assert_eq!((status, body["status"].as_str()), (503, Some("draining")));
    admin.end();
}

#[test]
fn what_is_not_there_is_404() {
    let admin = Admin::start();
    assert_eq!(admin.get("/").0, 404);
    admin.end();
}

#[test]
fn an_open_scrape_does_not_hold_the_end() {
    let admin = Admin::start();
    let idle = TcpStream::connect(admin.address).unwrap();
    admin.end();
    drop(idle);
}

#[test]
fn metrics_parse_and_leave_nothing_out() {
    let admin = Admin::start();
    let view = admin.view.clone();
    view.shards[1].deliveries.add(9_007_199_254_740_993);
    view.shards[0].connections.set(7);
    view.ingest.records.add(5);
    view.accept.refused_full.add(3);
    let (status, head, body) = admin.get("/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("application/openmetrics-text"), "{head}");

    let metrics = parse(&body);
    assert_eq!(metrics["uringcast_shard_deliveries_total{shard=\"1\"}"], "9007199254740993");
    assert_eq!(metrics["uringcast_shard_connections{shard=\"0\"}"], "7");
    assert_eq!(metrics["uringcast_shard_capacity{shard=\"1\"}"], "3999");
    assert_eq!(metrics["uringcast_ingest_records_total"], "5");
    assert_eq!(metrics["uringcast_accept_refused_full_total"], "3");
    assert_eq!(metrics["uringcast_start_time_seconds"], "1700000000");

    let suffix = |kind| if kind == engine::metrics::Kind::Counter { "_total" } else { "" };
    for (name, _, kind, _) in view.shards[0].list() {
        for shard in 0..2 {
            let name = format!("uringcast_shard_{name}{}{{shard=\"{shard}\"}}", suffix(kind));
            assert!(metrics.contains_key(&name), "{name}");
        }
    }
    for (part, list) in [("ingest", view.ingest.list()), ("accept", view.accept.list())] {
        for (name, _, kind, _) in list {
            let name = format!("uringcast_{part}_{name}{}", suffix(kind));
            assert!(metrics.contains_key(&name), "{name}");
        }
    }
    for name in [
        "process_resident_bytes",
        "process_descriptors",
        "host_tcp_memory_bytes",
        "host_tcp_sockets",
        "ready",
    ] {
        assert!(metrics.contains_key(&format!("uringcast_{name}")), "{name}");
    }
    let cpu: f64 = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("uringcast_thread_cpu_seconds_total{thread="))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum();
    assert!(cpu > 0.0, "{body}");
    assert!(metrics.keys().any(|name| name.starts_with("uringcast_build_info{version=")));
    admin.end();
}

/// Sample lines by name and labels. Fails on a line that OpenMetrics does not know, a sample without its TYPE, a name
/// told twice, or a text without its end.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut samples = BTreeMap::new();
    let mut kind: Option<(String, String)> = None;
    let mut families = std::collections::BTreeSet::new();
    let body = text.strip_suffix("# EOF\n").expect("the text ends with # EOF");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            assert!(!help.is_empty());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').unwrap();
            assert!(families.contains(name), "TYPE without HELP: {line}");
            kind = Some((name.to_owned(), word.to_owned()));
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let plain = name.split('{').next().unwrap();
            let (family, word) = kind.as_ref().unwrap();
            let expected = match word.as_str() {
                "counter" => format!("{family}_total"),
                "info" => format!("{family}_info"),
                "gauge" => family.clone(),
                other => panic!("unexpected kind {other}"),
            };
            assert_eq!(plain, expected, "{line}");
            assert!(
                plain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{line}"
            );
            value.parse::<f64>().unwrap();
            assert!(samples.insert(name.to_owned(), value.to_owned()).is_none(), "{name} comes twice");
        }
    }
    samples
}
