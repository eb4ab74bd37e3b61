//! The demo's data: the synthetic market, sent to Kafka at a steady rate.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use engine::clock::Now;
use kafka::{NewRecord, Producer, ProducerOptions, Settings, Target};
use perf::market::{Market, ROUTES};

/// Time between two bursts.
const TURN: Duration = Duration::from_millis(10);
/// Most records of one burst, after a stall.
const BURST_MAX: u64 = 10_000;

/// The thread that sends; it ends when told, or with the process.
#[derive(Debug)]
pub(super) struct MarketProducer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl MarketProducer {
    /// Sends `rate` records a second of `market` to the topics of [`ROUTES`].
    pub(super) fn start(settings: &Settings, market: Market, rate: u32) -> anyhow::Result<Self> {
        let producer =
            Producer::new(settings, &ProducerOptions::default()).context("the market's producer")?;
        let targets = ROUTES.map(|(topic, _)| producer.target(topic));
        let mut opened = Vec::new();
        for (target, (topic, _)) in targets.into_iter().zip(ROUTES) {
            opened.push((topic, target.with_context(|| format!("topic {topic}"))?));
        }
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("market".to_owned())
            .spawn(move || send(&producer, &opened, market, u64::from(rate), &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub(super) fn stop(self) {
        // It may have ended by itself, with the process.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

fn send(
    producer: &Producer,
    targets: &[(&'static str, Target)],
    mut market: Market,
    rate: u64,
    stopped: &mpsc::Receiver<()>,
) {
    let began_ms = Now::read().mono_ms();
    let mut sent = 0;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TURN) {
        let now = Now::read();
        let due = rate * (now.mono_ms() - began_ms) / 1_000;
        for _ in sent..due.min(sent + BURST_MAX) {
            let record = market.next(now.unix_ms);
            let Some((_, target)) = targets.iter().find(|(topic, _)| *topic == record.topic) else {
                continue;
            };
            let new = NewRecord {
                partition: None,
                key: Some(record.key.as_bytes()),
                value: Some(record.value.as_bytes()),
                ..NewRecord::default()
            };
            // A full queue means that no broker takes records now: a market does not wait, its records are gone.
            let _ = producer.send(target, &new);
        }
        sent = due;
    }
}
