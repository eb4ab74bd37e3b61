use std::time::Duration;

use kafka::MockCluster;
use proto::channel::Template;

use super::*;
use crate::config::{Limits, Route, SlabSizes};

fn small(kafka: kafka::Settings) -> Config {
    Config {
        shards: 2,
        limits: Limits { connections: 10, record_value_bytes: 64 << 10, ..Limits::default() },
        drain_timeout: Duration::from_secs(5),
        slab: SlabSizes { bytes: 1 << 20, entries: 8_192, large_frame_bytes: 32 << 10 },
        ..Config::new(
            "127.0.0.1:0".parse().unwrap(),
            kafka,
            vec![Route::new("trades", Template::parse("{key}").unwrap())],
        )
    }
}

fn started() -> (MockCluster, Server) {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("trades", 1).unwrap();
    let config = small(cluster.settings());
    let listeners = Listeners::bind(&config).unwrap();
    let (control, _handle) = control();
    (cluster, Server::start(&config, control, listeners).unwrap())
}

/// The admin thread's place is free in these servers.
const FREE: Thread = Thread::Admin;

#[test]
fn a_thread_that_panics_ends_the_server_in_order_and_is_the_error() {
    let (_cluster, mut server) = started();
    server.threads.spawn(FREE, || panic!("a slot was freed twice")).unwrap();
    server.supervise();
    let error = server.drain(Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.to_string(), "thread: admin panicked: a slot was freed twice");
}

#[test]
fn a_thread_that_ends_by_itself_ends_the_server() {
    let (_cluster, mut server) = started();
    server.threads.spawn(FREE, || Ok(None)).unwrap();
    server.supervise();
    let error = server.drain(Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.to_string(), "thread: admin ended by itself");
}

#[test]
fn what_is_still_held_is_an_error_however_clean_the_rest_looks() {
    let (_cluster, server) = started();
    // Two leaks: a reservation that nobody gives back, and a shard that reports a buffer.
    let leaked = crate::inbox::Reservation::take(&server.links[1].load, 10).unwrap();
    let mut server = server;
    server.control.sender().send(Notice::Stop).unwrap();
    server.supervise();
    server.turn(Phase::Draining);
    let left = Now::read().mono_ms() + 5_000;
    assert!(server.deliver(|| ToShard::Stop, left), "a stop waits for no reservation");
    let report = server.reports[0].as_mut().unwrap();
    report.ring.buffers = 3;
    let error = server.drain(Duration::from_secs(20)).unwrap_err().to_string();
    assert!(error.contains("shard-0 buffers: 3") && error.contains("reservations: 1"), "{error}");
    assert!(!error.contains("threads"), "{error}");
    drop(leaked);
}

#[test]
fn who_is_told_to_end_while_it_starts_ends_in_order() {
    let cluster = MockCluster::start(1).unwrap();
    let (control, handle) = control();
    handle.drain();
    let summary = run(small(cluster.settings()), control).unwrap();
    assert_eq!(summary.connections, 0);
}
