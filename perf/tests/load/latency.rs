//! One message at a time, through a server that adds a known delay: on a mock broker, real sockets and real
//! consumers.

use std::time::Duration;

use kafka::MockCluster;
use perf::{latency::Plan, plan::Target};

use crate::support::{
    bridge::{self, Bridge},
    nobody,
};

/// A mock broker with the topic, and a server over it.
fn plan(mock: &MockCluster, bridge: Bridge) -> Plan {
    mock.create_topic("bench", 2).unwrap();
    let addr = bridge::serve(mock.settings(), bridge);
    Plan {
        target: Target::parse(&format!("ws://{addr}/ws")).unwrap(),
        brokers: mock.bootstrap(),
        properties: mock.settings().properties,
        topic: "bench".to_owned(),
        key: "key-0".to_owned(),
        channel: "key-0".to_owned(),
        count: 60,
        interval: Duration::from_millis(8),
        size: 200,
        command: String::new(),
    }
}

#[test]
fn the_servers_share_is_the_delay_it_adds() {
    let mock = MockCluster::start(1).unwrap();
    let plan = plan(&mock, Bridge { delay: Duration::from_millis(30), ..Bridge::default() });
    let report = perf::latency::run(&plan).unwrap();
    assert_eq!(report.failures, [""; 0], "{}", report.table());
    assert_eq!((report.bare.count, report.server.count, report.difference.count), (60, 60, 60));
    // The bare consumer may be late by what a busy machine makes of it, but not in the median by the whole delay.
    let [bare, server, difference] =
        [&report.bare, &report.server, &report.difference].map(|times| times.percentile_ns(50.0).unwrap());
    assert!(bare > 0 && server >= 30_000_000, "{}", report.table());
    assert!((15_000_000..1_000_000_000).contains(&difference), "{}", report.table());
    assert!(report.server_first < 30, "{}", report.table());
}

#[test]
fn a_message_that_never_comes_is_told() {
    let mock = MockCluster::start(1).unwrap();
    let plan = plan(&mock, Bridge { drop_every: Some(10), ..Bridge::default() });
    let report = perf::latency::run(&plan).unwrap();
    assert_eq!(report.bare.count, 60);
    assert_eq!(report.server.count, 54, "{}", report.table());
    assert_eq!(report.failures, ["6 messages never came to the subscriber"]);
}

#[test]
fn who_is_not_there_is_named() {
    let mock = MockCluster::start(1).unwrap();
    let good = plan(&mock, Bridge { deny: true, ..Bridge::default() });
    let error = perf::latency::run(&good).unwrap_err().to_string();
    assert!(error.contains("\"key-0\" refused: UNKNOWN_CHANNEL"), "{error}");
    let (_taken, free) = nobody();
    let nobody = Plan { target: Target::parse(&format!("ws://{free}/ws")).unwrap(), ..good };
    let error = perf::latency::run(&nobody).unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}
