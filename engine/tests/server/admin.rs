//! The admin thread with a real HTTP client: /health in every state, a /metrics that parses and leaves nothing out, and an
//! /explain that asks everybody and waits for nobody too long.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicUsize},
};

use arc_swap::ArcSwap;
use engine::{
    accept::Phase,
    admin::{
        self, View,
        explain::{ExpectedBody, Explanation},
    },
    catalog::{Catalog, SharedCatalog, Source, Topic},
    clock::Now,
    config::Route,
    health::{Health, Reason},
    inbox::{
        KeyFacts, Newest, PartitionFacts, PartitionState, Reservation, ShardFacts, ShardLink, ToIngest,
        ToShard, TopicFacts,
    },
    metrics::ShardMetrics,
};
use proto::{
    channel::Template,
    position::{Epoch, Position},
};
use sync::Waker;
use tokio::sync::watch;

struct Admin {
    address: SocketAddr,
    view: View,
    phase: watch::Sender<Phase>,
    thread: std::thread::JoinHandle<()>,
}

impl Admin {
    fn start() -> Self {
        Self::show(view())
    }

    fn show(view: View) -> Self {
        let listener = admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
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
            waker: Arc::new(Waker::unset()),
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
        routes: [route("{key}.trade"), route("p{partition}")].into(),
        catalog: catalog(),
        to_ingest: flume::bounded(1).0,
        ingest_waker: Arc::new(Waker::unset()),
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

    admin.view.health.set_open();
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

/// A topic `trades` of 12 partitions.
fn catalog() -> SharedCatalog {
    let epoch = Epoch::of("cluster", b"trades");
    let topic = Topic { name: "trades".into(), epoch, sources: (0..12).collect(), retired: false };
    let sources = (0..12)
        .map(|partition| Source { topic: 0, partition, from_start: false, replaces: None, truncation: None })
        .collect();
    Arc::new(ArcSwap::from_pointee(Catalog { sources, topics: vec![topic] }))
}

fn route(template: &str) -> Route {
    Route::new("trades", Template::parse(template).unwrap())
}

/// The view, and the inboxes of its shards and of ingest.
fn open_view() -> (View, Vec<flume::Receiver<ToShard<OwnedFd>>>, flume::Receiver<ToIngest>) {
    let mut view = view();
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..2).map(|_| flume::bounded(1)).unzip();
    let link =
        |inbox| ShardLink { inbox, waker: Arc::new(Waker::unset()), load: Arc::default(), capacity: 1 };
    view.links = senders.into_iter().map(link).collect();
    let (to_ingest, lookups) = flume::bounded(1);
    view.to_ingest = to_ingest;
    view.health.set_open();
    (view, inboxes, lookups)
}

#[test]
fn an_explanation_joins_what_ingest_and_shards_answer() {
    let (view, inboxes, lookups) = open_view();
    let admin = Admin::show(view);
    let others = std::thread::spawn(move || {
        let ToIngest::Explain(asked) = lookups.recv().unwrap() else { panic!("asked something else") };
        assert_eq!(&*asked.topic, "trades");
        // By murmur2, then by CRC-32.
        let names: Vec<&str> = asked.channels.iter().map(|name| &**name).collect();
        assert_eq!(names, ["BTC.trade", "p10", "p2"]);
        let read = PartitionFacts { state: PartitionState::Reading, first: 0, next: 8, end: -1 };
        let position = Position { epoch: Epoch::of("cluster", b"trades"), partition: 3, offset: 7 };
        let newest = Newest { topic: "trades".into(), position, ts_ms: 5, ingest_ns: 0 };
        let facts = TopicFacts {
            partitions: vec![read; 12],
            newest: vec![Some(newest.clone()), None, Some(newest)],
            keys: keys(),
        };
        asked.reply.send(facts).unwrap();
        for (shard, inbox) in inboxes.iter().enumerate().rev() {
            let ToShard::Explain(asked) = inbox.recv().unwrap() else { panic!("asked something else") };
            assert_eq!(asked.channels.len(), 3);
            let subscribers = vec![(2 * shard, shard), (0, 0), (0, 0)];
            asked.reply.send(ShardFacts { shard, subscribers }).unwrap();
        }
    });
    let (status, _, body) = admin.get("/explain?topic=trades&key=%42TC");
    others.join().unwrap();
    let explained: Explanation = serde_json::from_str(&body).unwrap();
    assert_eq!((status, explained.ok, explained.reasons.len()), (200, true, 0), "{body}");
    assert_eq!(explained.key.as_deref(), Some("BTC"));
    assert_eq!(explained.expected, ExpectedBody { asked: None, murmur2: Some(10), consistent: Some(2) });
    let templates: Vec<&str> = explained.routes.iter().map(|route| &*route.template).collect();
    assert_eq!(templates, ["{key}.trade", "p{partition}"]);
    assert_eq!(explained.routes[1].channels, ["p10", "p2"]);
    assert_eq!(explained.partitions.len(), 12);
    assert_eq!((explained.partitions[3].next, explained.partitions[3].end), (Some(8), None));
    let channel = &explained.channels[0];
    assert_eq!((channel.subscribers, channel.shards[0].shard, channel.shards[0].behind), (2, 1, 1));
    assert_eq!(explained.keys, [], "the asked key's channels have messages");
    let newest = channel.newest.as_ref().unwrap();
    assert!(newest.pos.ends_with(".3.7") && newest.ts == Some(5), "{body}");
    admin.end();
}

/// Keys as ingest tells them: one of each look.
fn keys() -> Vec<KeyFacts> {
    let keys: [&[u8]; 6] =
        [b"\"BTC\"", b"\0\0\0\xc8", b"\0\0\0\0\x2a\x06BTC", b"{\"a\":1}", b"e\x1b[2J", &[0xc3, 0xa9, 0xc3]];
    let fact = |(offset, key): (i64, &&[u8])| {
        let len = if offset == 5 { 300 } else { key.len() };
        KeyFacts { key: Some(key.to_vec()), len, partition: 2, offset }
    };
    let none = KeyFacts { key: None, len: 0, partition: 2, offset: 6 };
    (0..).zip(&keys).map(fact).chain([none]).collect()
}

#[test]
fn keys_really_read_are_told_for_a_key_that_nobody_produced() {
    let (view, inboxes, lookups) = open_view();
    view.ingest.topics.begin(&["orders".into(), "trades".into()]);
    let of_topic = view.ingest.topics.of("trades").unwrap();
    of_topic.bad_key.add(2);
    of_topic.not_json.add(1);
    view.ingest.topics.of("orders").unwrap().no_key.add(7);
    drop(inboxes);
    let admin = Admin::show(view);
    let answer = |key: &str, messages: &'static [&str]| {
        let lookups = lookups.clone();
        let newest = || {
            let position = Position { epoch: Epoch::of("cluster", b"trades"), partition: 3, offset: 7 };
            Newest { topic: "trades".into(), position, ts_ms: 5, ingest_ns: 0 }
        };
        let ingest = std::thread::spawn(move || {
            let ToIngest::Explain(asked) = lookups.recv().unwrap() else { panic!("asked something else") };
            let newest = |name: &Arc<str>| messages.contains(&&**name).then(newest);
            let newest = asked.channels.iter().map(newest).collect();
            asked.reply.send(TopicFacts { newest, keys: keys(), ..TopicFacts::default() }).unwrap();
        });
        let (_, _, body) = admin.get(&format!("/explain?topic=trades&key={key}"));
        ingest.join().unwrap();
        serde_json::from_str::<Explanation>(&body).unwrap()
    };
    let explained = answer("ETH", &[]);
    let told: Vec<(&str, &str, usize)> = explained
        .keys
        .iter()
        .map(|key| (key.key.as_deref().unwrap_or("-"), key.looks.as_str(), key.bytes))
        .collect();
    let expected = [
        ("\"BTC\"", "quoted", 5),
        ("\\x00\\x00\\x00\\xc8", "integer", 4),
        ("\\x00\\x00\\x00\\x00*\\x06BTC", "schema", 9),
        ("{\"a\":1}", "object", 7),
        ("e\u{1b}[2J", "text", 5),
        ("é", "text", 300),
        ("-", "none", 0),
    ];
    assert_eq!(told, expected);
    assert_eq!(explained.keys[1].text, "an integer of 4 bytes: 200");
    assert_eq!(explained.counted, [("bad_key".to_owned(), 2), ("not_json".to_owned(), 1)].into());
    let in_other_form = |explained: Explanation| {
        let reason = explained.reasons.into_iter().find(|reason| reason.reason == "key_in_other_form");
        reason.map(|reason| reason.text)
    };
    assert_eq!(in_other_form(explained), None);
    let said = in_other_form(answer("200", &["p2"])).unwrap();
    assert!(said.ends_with("(an integer of 4 bytes: 200), seen in partition 2 at offset 1"), "{said}");
    assert!(in_other_form(answer("BTC", &[])).unwrap().contains("none: \"BTC\" ("));
    let elsewhere = answer("ETH", &["p10"]).keys.len();
    assert_eq!(elsewhere, 7, "another route's channel has messages, maybe of other keys");
    admin.end();
}

#[test]
fn a_record_that_no_route_takes_is_told_why() {
    let admin = Admin::start();
    admin.view.health.set_open();
    let reasons = |query: &str| {
        let explained: Explanation = serde_json::from_str(&admin.get(query).2).unwrap();
        assert!(!explained.ok);
        explained.reasons.into_iter().map(|reason| reason.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons("/explain?topic=other&key=a"), ["not_routed"]);
    // Nobody is there to answer: their ends of the inboxes are gone, and nobody waits for them.
    let gone = ["ingest_silent", "shard_silent"];
    assert_eq!(reasons("/explain?topic=trades&key=a"), gone);
    assert_eq!(reasons("/explain?topic=trades"), ["ingest_silent", "no_key", "no_partition", "shard_silent"]);
    assert_eq!(reasons("/explain?topic=trades&partition=1"), gone, "the second route takes it");
    let bad = reasons("/explain?topic=trades&key=%ff");
    assert_eq!(bad, gone, "it still has a partition");
    let explained: Explanation = serde_json::from_str(&admin.get("/explain?topic=trades&key=%ff").2).unwrap();
    assert_eq!(explained.routes[0].miss.as_ref().unwrap().reason, "key_not_utf8");
    for (key, reason, look) in [
        ("%00%00%00A", "key_binary", "an integer of 4 bytes: 65"),
        ("%00%00%00%C8", "key_not_utf8", "an integer of 4 bytes: 200"),
        ("%00%00%00%00*%06BTC", "key_binary", "Avro or another of a schema registry, schema id 42"),
    ] {
        let (_, _, body) = admin.get(&format!("/explain?topic=trades&key={key}"));
        let miss = serde_json::from_str::<Explanation>(&body).unwrap().routes[0].miss.clone().unwrap();
        assert_eq!(miss.reason, reason);
        assert!(miss.text.ends_with(&format!("it looks like {look}")), "{}", miss.text);
    }
    let (status, _, body) = admin.get("/explain?key=a");
    assert_eq!((status, body.as_str()), (400, "`topic` is missing\n"));
    admin.end();
}

#[test]
fn who_does_not_answer_is_not_waited_for_long() {
    let (view, inboxes, lookups) = open_view();
    let admin = Admin::show(view);
    let began = Now::read().mono_ms();
    let explained: Explanation = serde_json::from_str(&admin.get("/explain?topic=trades&key=a").2).unwrap();
    let took = Now::read().mono_ms() - began;
    assert!((1_900..4_000).contains(&took), "{took} ms");
    assert_eq!((explained.silent_shards, explained.ingest_answers), (vec![0, 1], false));
    // Their inboxes are full now, which is no reason to wait.
    assert!(lookups.is_full() && inboxes.iter().all(flume::Receiver::is_full));
    let began = Now::read().mono_ms();
    let (status, _, _) = admin.get("/explain?topic=trades&key=a");
    let took = Now::read().mono_ms() - began;
    assert!(status == 200 && took < 1_000, "{took} ms");
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
    view.ingest.topics.begin(&["trades".into()]);
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
    for (part, list) in
        [("ingest", view.ingest.list()), ("ingest", view.ingest.odd.list()), ("accept", view.accept.list())]
    {
        for (name, _, kind, _) in list {
            let name = format!("uringcast_{part}_{name}{}", suffix(kind));
            assert!(metrics.contains_key(&name), "{name}");
        }
    }
    assert_eq!(metrics["uringcast_topic_no_key_total{topic=\"trades\"}"], "0");
    for (name, help) in [
        ("ingest_no_key", "Records that lack the key their template needs."),
        ("topic_no_key", "Records of the topic that lack the key their template needs."),
        ("topic_oversized", "Values of the topic above the size limit."),
    ] {
        assert!(body.contains(&format!("# HELP uringcast_{name} {help}\n")), "{name}");
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
