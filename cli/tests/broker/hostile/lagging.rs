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

use super::{
    healthy::Run,
    outside::{pause, server::ask, server::metric, within},
    raw::{Raw, text},
    world::World,
};

const CONNECTIONS: usize = 1_000;
const CHANNELS: usize = 1_000;
const REQUEST_CHANNELS: usize = 250;
/// A small slab: 2,500 records of 8 KB a second lap it in less than a second, and ingest soon waits where a shard is
/// late. The clients are slow here, and no more than that.
const FLAGS: [&str; 6] = ["--slab-size", "16MiB", "--slab-entries", "65536", "--blocked-timeout", "10m"];
const RATE: u64 = 2_500;
const VALUE_BYTES: usize = 8_000;
const ATTACK: Duration = Duration::from_secs(20);
const WAITING_MS_MAX: f64 = 200.0;
/// Ingest waits for a floor and for nothing else, so no wait is longer than the slowest acknowledgement.
const FLOOR_MS_MAX: f64 = 100.0;
/// Clients that read again afterwards.
const WAKING: usize = 3;

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

/// Gap notices that a client finds when it reads again.
fn gaps(client: &mut Raw) -> usize {
    const NOTICE: &[u8] = br#"{"type":"gap","channel":"flood."#;
    let (mut buffer, mut read, mut from, mut count) = (vec![0; 64 << 10], Vec::new(), 0, 0);
    within(Duration::from_secs(20), || {
        loop {
            let came = client.pull(&mut buffer);
            if came.is_empty() {
                break;
            }
            read.extend_from_slice(came);
        }
        count += read[from..].windows(NOTICE.len()).filter(|bytes| *bytes == NOTICE).count();
        // One that is cut is counted when it is whole.
        from = read.len().saturating_sub(NOTICE.len() - 1).max(from);
        count >= CHANNELS || client.ended
    });
    count
}

#[test]
fn a_million_subscriptions_lag_at_once() {
    let mut world = World::begin("hostile 3: 1,000 connections of 1,000 channels lag at once", &FLAGS);
    let mut clients = subscribed(&world);
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
    world.findings.check(waiting <= FLOOR_MS_MAX, "no floor is waited for longer than 100 ms", || {
        format!("{waiting} ms")
    });
    run.end(&mut world.findings, "beside a million lagging subscriptions");
    let here = world.server.metric("shard_connections").unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "a thousand is exact")]
    let all = CONNECTIONS as f64;
    world.findings.check(here >= all, "nobody was dropped for being slow", || format!("{here} of {all}"));
    for client in &mut clients[..WAKING] {
        let told = gaps(client);
        world
            .findings
            .check(told >= CHANNELS, "who reads again hears of a gap on each channel", || told.to_string());
    }
    drop(clients);
    world.end();
}
