//! Batches that librdkafka cannot read: a relay between the mock broker and the consumer spoils them.

#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[allow(dead_code, reason = "each test binary uses its part of it")]
mod common;

use std::time::Duration;

use common::{Got, Relay, drain_until, offsets_in, produce, records};
use kafka::{Consumer, MockCluster, Settings};

/// A mock broker behind a relay, which is told what to do with answers.
fn relayed(mock: &MockCluster) -> (Relay, u16) {
    let broker = mock.bootstrap();
    let relay = Relay::to(&broker);
    let port = broker.rsplit_once(':').unwrap().1.parse().unwrap();
    (relay, port)
}

/// The metadata's port of the broker becomes the relay's, so that all answers come through it.
fn lead_through(relay: &Relay, port: u16, bytes: &mut [u8]) {
    let ours: u16 = relay.address().rsplit_once(':').unwrap().1.parse().unwrap();
    replace(bytes, &u32::from(port).to_be_bytes(), &u32::from(ours).to_be_bytes());
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let mut count = 0;
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
    }
    count
}

#[test]
fn explore() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    let (relay, port) = relayed(&mock);
    let relay = std::sync::Arc::new(relay);
    let again = std::sync::Arc::clone(&relay);
    let times: usize = std::env::var("TIMES").unwrap_or_default().parse().unwrap_or(1);
    let mut left = times;
    relay.spoil(Some(Box::new(move |bytes| {
        lead_through(&again, port, bytes);
        if left > 0 && replace(bytes, b"spoil", b"SPOIL") > 0 {
            left -= 1;
        }
    })));
    for n in 0..3 {
        produce(&mock.settings(), "t", 0, [format!("good-{n}")]);
    }
    produce(&mock.settings(), "t", 0, (3..6).map(|n| format!("spoil-{n}")));
    for n in 6..9 {
        produce(&mock.settings(), "t", 0, [format!("good-{n}")]);
    }
    let settings = Settings::new(relay.address()).with("fetch.wait.max.ms", "2").with("check.crcs", "true");
    let mut consumer = Consumer::new(&settings).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    let start = std::time::Instant::now();
    let mut n = 0;
    while start.elapsed() < Duration::from_secs(3) {
        consumer.wait(Duration::from_millis(50));
        consumer.drain(usize::MAX, &mut |delivery| {
            n += 1;
            if n < 40 {
                println!(
                    "{:?} {:?}",
                    start.elapsed(),
                    match Got::of(delivery) {
                        Got::Record(r) => format!("record {}", r.offset),
                        other => format!("{other:?} {delivery:?}"),
                    }
                );
            }
        });
    }
    println!("{n} deliveries, position {:?}", consumer.position(0));
}
