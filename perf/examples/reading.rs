//! What a delivery costs the load generator in user space: decode, scan, check, record. The kernel's part comes on top.
//!
//! `cargo run --release -p uringcast-perf --example reading`

use std::hint::black_box;

use perf::{
    Clock,
    check::{Checker, Origin},
    histogram::Times,
    payload,
    spread::Spread,
};
use proto::{
    native::{
        message::{Message, Payload, message},
        scan,
    },
    position::Epoch,
    ws::decoder::{Decoder, Event, Limits},
};

const CLIENTS: u32 = 12_000;
const ROUNDS: u64 = 100;

fn main() {
    let names = ["key-0".to_owned()];
    let mut checker = Checker::new(Spread::new(1, 1, false), 0..CLIENTS, Origin::Ours, &names, Some(&names));
    checker.begin(0);
    let mut decoders: Vec<Decoder> = (0..CLIENTS).map(|_| Decoder::client_unchecked()).collect();
    let (mut times, mut value, mut frame) = (Times::default(), Vec::new(), Vec::new());
    let clock = Clock::start();
    let mut spent_ns = 0;
    for seq in 0..ROUNDS {
        payload::write(&mut value, seq, clock.now_ns(), "key-0", 256);
        frame.clear();
        let record = Message {
            channel: "key-0",
            epoch: &Epoch::of("cluster", b"topic"),
            partition: 0,
            offset: 0,
            ts_ms: 1_700_000_000_000,
            value: Some(&value),
            headers: &[],
        };
        message(&mut frame, &record, Payload::Json);
        let begin_ns = clock.now_ns();
        for (connection, decoder) in (0..).zip(&mut decoders) {
            let now_ns = clock.now_ns();
            let mut input = black_box(&mut frame[..]);
            while let Ok(Some(Event::Binary(text))) = decoder.next(&mut input, &Limits::default()) {
                let Some(message) = scan::message(text) else { continue };
                if let Some(arrival) = checker.message(connection, &message.channel, message.data) {
                    times.record(now_ns.saturating_sub(arrival.t_ns));
                }
            }
        }
        spent_ns += clock.now_ns() - begin_ns;
    }
    let deliveries = u64::from(CLIENTS) * ROUNDS;
    assert_eq!((checker.counts().fresh, times.count()), (deliveries, deliveries));
    eprintln!("{} ns a delivery", spent_ns / deliveries);
}
