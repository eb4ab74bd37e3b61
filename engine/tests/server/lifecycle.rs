//! The whole server on a mock broker, real sockets and real rings: start, serve, drain, and everything that can go wrong
//! with a start.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use engine::{
    clock::Now,
    config::{Config, Limits},
    error::Error,
    server,
};
use kafka::{MockCluster, NewRecord, Producer, ProducerOptions};
use socket2::{Domain, Socket, Type};
use testkit::node::{self, Node, PATIENCE, text};
use tungstenite::Message;

fn config(kafka: kafka::Settings) -> Config {
    Config {
        limits: Limits { connections: 100, record_value_bytes: 64 << 10, ..Limits::default() },
        drain_timeout: Duration::from_secs(5),
        ..node::config(kafka, "trades", "{key}.trade")
    }
}

fn cluster() -> MockCluster {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("trades", 2).unwrap();
    cluster
}

#[test]
fn serves_then_drains_and_holds_nothing() {
    let cluster = cluster();
    let running = Node::ready(config(cluster.settings()));
    assert_eq!(running.health().0, 200);
    let mut clients: Vec<_> = (0..20).map(|_| running.subscriber("BTC.trade")).collect();

    let producer = Producer::new(&cluster.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("trades").unwrap();
    for n in 0..50 {
        let value = format!("{{\"n\":{n}}}");
        let record = NewRecord { key: Some(b"BTC"), value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.send(&target, &record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    for client in &mut clients {
        for n in 0..50 {
            let message = text(client);
            assert!(message.contains(&format!("\"n\":{n}}}")), "{n}: {message}");
        }
    }
    let (_, metrics) = running.get("/metrics");
    for shard in 0..2 {
        let deliveries = format!("uringcast_shard_deliveries_total{{shard=\"{shard}\"}} 500");
        assert!(metrics.contains(&deliveries), "{metrics}");
    }

    running.handle.drain();
    for client in &mut clients {
        let Message::Close(Some(close)) = client.read().unwrap() else { panic!("no close frame") };
        assert_eq!(u16::from(close.code), 1001);
        let _ = client.flush();
    }
    let public = running.addresses.public;
    let summary = running.end().unwrap();
    assert_eq!((summary.connections, summary.deliveries), (20, 1_000));
    assert!(summary.drained_ms < 5_000, "{summary:?}");
    assert!(TcpStream::connect(public).is_err(), "the port is free again");
}

#[test]
fn the_one_too_many_is_refused_until_one_leaves() {
    let cluster = cluster();
    let mut config = config(cluster.settings());
    config.limits.connections = 3;
    let running = Node::ready(config);
    let mut clients: Vec<_> = (0..3).map(|_| running.client()).collect();
    let refused = || {
        let stream = TcpStream::connect(running.addresses.public).unwrap();
        match tungstenite::client(format!("ws://{}/ws", running.addresses.public), stream) {
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => Some(response),
            Err(other) => panic!("{other:?}"),
            Ok(_) => None,
        }
    };
    let response = refused().expect("three fill it");
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));

    drop(clients.pop());
    let limit = Now::read().mono_ms() + 10_000;
    while refused().is_some() {
        assert!(Now::read().mono_ms() < limit, "the place is never given back");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    running.handle.drain();
    running.end().unwrap();
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_the_drain() {
    let cluster = cluster();
    let mut config = config(cluster.settings());
    config.drain_timeout = Duration::from_secs(2);
    let running = Node::ready(config);
    let stuck = running.subscriber("BTC.trade");
    let producer = Producer::new(&cluster.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("trades").unwrap();
    let value = format!("\"{}\"", "x".repeat(16 << 10));
    for _ in 0..1_000 {
        let record = NewRecord { key: Some(b"BTC"), value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.send(&target, &record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let began = Now::read().mono_ms();
    running.handle.drain();
    let outcome = running.end();
    let took = Now::read().mono_ms() - began;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(took < 4_000, "{took} ms");
    drop(stuck);
}

#[test]
fn a_stop_ends_at_once() {
    let cluster = cluster();
    let mut config = config(cluster.settings());
    config.drain_timeout = Duration::from_secs(60);
    let running = Node::ready(config);
    let mut clients: Vec<_> = (0..100).map(|_| running.client()).collect();
    let began = Now::read().mono_ms();
    running.handle.stop();
    for client in &mut clients {
        while client.read().is_ok() {}
    }
    running.end().unwrap();
    let took = Now::read().mono_ms() - began;
    assert!(took < 5_000, "{took} ms");
}

#[test]
fn without_brokers_it_says_so_and_still_drains() {
    // A port that nobody listens on, and that no other test can be given meanwhile: it is taken.
    let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    taken.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = taken.local_addr().unwrap().as_socket().unwrap();
    let running =
        Node::start(config(kafka::Settings { brokers: address.to_string(), properties: Vec::new() }));
    let limit = Now::read().mono_ms() + 20_000;
    let reason = loop {
        let (status, body) = running.health();
        assert_eq!((status, body["status"].as_str()), (503, Some("starting")));
        if let Some(reason) = body["reasons"][0]["reason"].as_str() {
            break reason.to_owned();
        }
        assert!(Now::read().mono_ms() < limit, "no reason is given");
        std::thread::park_timeout(Duration::from_millis(50));
    };
    assert_eq!(reason, "brokers_unreachable");
    // Clients are told, too.
    let stream = TcpStream::connect(running.addresses.public).unwrap();
    let Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) =
        tungstenite::client(format!("ws://{}/ws", running.addresses.public), stream)
    else {
        panic!("let in before the start positions are known");
    };
    assert_eq!(response.status(), 503);
    running.handle.drain();
    running.end().unwrap();
}

#[test]
fn what_cannot_start_names_why() {
    let cluster = cluster();
    let refusal = |config: Config| {
        let (control, _handle) = server::control();
        server::run(config, control).unwrap_err()
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for admin in [false, true] {
        let mut config = config(cluster.settings());
        if admin {
            config.admin = Some(address);
        } else {
            config.listen = address;
        }
        let error = refusal(config);
        assert!(matches!(error, Error::Kernel(_)), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    let mut no_core = config(cluster.settings());
    no_core.cores = vec![100_000];
    let error = refusal(no_core);
    assert!(matches!(&error, Error::Config(text) if text.contains("100000")), "{error}");

    let mut no_route = config(cluster.settings());
    no_route.routes.clear();
    assert!(matches!(refusal(no_route), Error::Config(_)));

    let mut bad_property = config(cluster.settings());
    bad_property.kafka.properties.push(("no.such.property".to_owned(), "1".to_owned()));
    let error = refusal(bad_property);
    assert!(matches!(&error, Error::Config(text) if text.contains("no.such.property")), "{error}");

    // More connections than the process may have descriptors for.
    let mut too_many = config(cluster.settings());
    too_many.limits.connections = 50_000_000;
    let error = refusal(too_many);
    // Of several shards any may be the first to say so.
    let said = |text: &str| text.contains("the ring of shard ") && text.contains("descriptors");
    assert!(matches!(&error, Error::Kernel(text) if said(text)), "{error}");
}

/// Whoever waits for /health, a balancer for one, can then connect.
#[test]
fn clients_are_let_in_once_health_says_ready() {
    for _ in 0..3 {
        let cluster = cluster();
        let running = Node::start(config(cluster.settings()));
        let limit_ms = Now::read().mono_ms() + 20_000;
        while running.health().0 != 200 {
            assert!(Now::read().mono_ms() < limit_ms, "{:?}", running.health());
            std::thread::park_timeout(Duration::from_millis(1));
        }
        drop(running.client());
        running.handle.stop();
        running.end().unwrap();
    }
}
