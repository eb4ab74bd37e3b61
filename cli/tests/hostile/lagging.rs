//! A thousand connections of a thousand channels that stop reading at once, while much is produced: a million subscriptions
//! lag with one lap of the slab.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use kafka::{NewRecord, Producer, ProducerOptions, Settings};
use serde_json::json;

use crate::{
    healthy::{self, Run},
    outside::{pause, server::ask, server::metric, within},
    raw::{Raw, text},
    world::World,
};

const CONNECTIONS: usize = 1_000;
const CHANNELS: usize = 1_000;
const REQUEST_CHANNELS: usize = 250;
/// 2,500 records of 8 KB a second are an eighth of the slab in 100 ms: who acknowledges a floor later than that makes
/// ingest wait, and `ingest_waiting_ms` tells.
const SLAB: [&str; 4] = ["--slab-size", "16MiB", "--slab-entries", "65536"];
const RATE: u64 = 2_500;
const VALUE_BYTES: usize = 8_000;
const ATTACK: Duration = Duration::from_secs(20);
const WAITING_MS_MAX: f64 = 200.0;

/// Subscribes them all; their answers are read, and counted by the server.
fn subscribed(world: &World) -> Vec<Raw> {
    let mut requests = Vec::new();
    for first in (0..CHANNELS).step_by(REQUEST_CHANNELS) {
        let names: Vec<String> = (first..first + REQUEST_CHANNELS).map(|n| format!("flood.{n}")).collect();
        text(&mut requests, &json!({"type": "subscribe", "data": {"channels": names}}).to_string());
    }
    let open = |_| {
        let mut raw = Raw::open(world.server.public, None).unwrap();
        raw.set_out(&requests);
        raw
    };
    let mut clients: Vec<Raw> = (0..CONNECTIONS).map(open).collect();
    let mut buffer = vec![0; 64 << 10];
    #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
    let all = (CONNECTIONS * CHANNELS) as f64;
    let held = || world.server.metric("shard_subscriptions").unwrap_or(0.0);
    let done = within(Duration::from_secs(60), || {
        for client in &mut clients {
            while client.push() {}
            while !client.pull(&mut buffer).is_empty() {}
        }
        held() >= all
    });
    assert!(done.is_some(), "{} of {all} subscriptions", held());
    clients
}

/// Records to every channel in turn, at a steady rate, until told to stop; how many.
fn produce(settings: &Settings, stop: &AtomicBool) -> u64 {
    let options = ProducerOptions { linger_ms: 5, ..ProducerOptions::default() };
    let producer = Producer::new(settings, &options).unwrap();
    let target = producer.target("flood").unwrap();
    let value = format!("\"{}\"", "x".repeat(VALUE_BYTES));
    let clock = perf::Clock::start();
    let begun_ns = clock.now_ns();
    let mut sent = 0;
    while !stop.load(Relaxed) {
        let due = (clock.now_ns() - begun_ns) * RATE / 1_000_000_000;
        while sent < due {
            let key = (sent % CHANNELS as u64).to_string();
            let record = NewRecord {
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            };
            if producer.send(&target, &record).is_err() {
                break;
            }
            sent += 1;
        }
        pause(Duration::from_millis(4));
    }
    sent
}

#[test]
fn a_million_subscriptions_lag_at_once() {
    let mut world = World::begin("hostile 3: 1,000 connections of 1,000 channels lag at once", &SLAB);
    let clients = subscribed(&world);
    let run = Run::start(&world, ATTACK + Duration::from_secs(5));
    let lagged = |world: &World| world.server.metric("shard_lagged_total").unwrap_or(0.0);
    let waits = |world: &World| world.server.metric("ingest_waits_total").unwrap_or(0.0);
    let (waits_before, stop) = (waits(&world), Arc::new(AtomicBool::new(false)));
    let (stopped, settings) = (Arc::clone(&stop), world.kafka.settings());
    let producing = thread::spawn(move || produce(&settings, &stopped));

    let (mut waiting, mut looks) = (0.0_f64, 0_u32);
    within(ATTACK, || {
        let (_, text) = ask(world.server.admin, "/metrics");
        waiting = waiting.max(metric(&text, "ingest_waiting_ms").unwrap_or(0.0));
        looks += 1;
        run.is_over()
    });
    stop.store(true, Relaxed);
    let sent = producing.join().unwrap();
    let (lagged, waited) = (lagged(&world), waits(&world) - waits_before);
    eprintln!(
        "   {sent} records, {lagged} subscriptions lagged, ingest waited {waited} times, at most {waiting} ms in {looks} looks"
    );
    world.findings.check(lagged >= 1_000_000.0, "a million subscriptions lag", || lagged.to_string());
    world
        .findings
        .check(waiting <= WAITING_MS_MAX, "ingest waits at most 200 ms", || format!("{waiting} ms"));
    world.findings.check(waited == 0.0, "each floor is acknowledged within 100 ms", || {
        format!("ingest had to wait {waited} times")
    });
    run.end(&mut world.findings, "beside a million lagging subscriptions");
    let here = world.server.metric("shard_connections").unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "a thousand is exact")]
    let all = CONNECTIONS as f64;
    world.findings.check(here >= all, "nobody was dropped for being slow", || {
        format!("{here} of {all} (and {} healthy before)", healthy::CLIENTS)
    });
    drop(clients);
    world.end();
}
