//! What a record costs the ingest thread: routing, encoding, appending, publishing. One reader acknowledges everything.
//! By the clock of the thread's CPU time, so only good for comparing two builds on one quiet machine.

use std::{hint::black_box, sync::Arc};

use arc_swap::ArcSwap;
use engine::{
    catalog::{Catalog, Start},
    clock::Now,
    config::{Limits, Oversized, Route},
    ingest::{Bus, Record},
    metrics::IngestMetrics,
};
use proto::{channel::Template, native::message::Payload, position::Epoch};
use slab::{Sizes, slab};
use sync::Waker;

use super::cases::json;

/// Each kind of record, so many of it.
pub(crate) fn run_all(records: i64) {
    for (name, template, payload, value) in [
        ("256 B JSON, {key}.trade", "{key}.trade", Payload::Json, json(256)),
        ("256 B JSON, one channel", "all", Payload::Json, json(256)),
        ("256 B text", "{key}.trade", Payload::Text, json(256)),
        ("4 KiB JSON", "{key}.trade", Payload::Json, json(4_096)),
    ] {
        run(name, template, payload, &value, records);
    }
}

fn run(name: &str, template: &str, payload: Payload, value: &str, records: i64) {
    let sizes = Sizes {
        bytes: 64 << 20,
        entries: 1 << 17,
        checkpoint: 1_024,
        large_frame_bytes: 64 << 10,
        blocks_bytes: 1 << 20,
    };
    let (writer, mut readers) = slab(sizes, 1);
    let route = Route {
        topic: "t".to_owned(),
        template: Template::parse(template).expect("a template"),
        payload,
        headers: Vec::new(),
        oversized: Oversized::Gap,
    };
    let (inbox, _receiver) = flume::bounded(8);
    let (_to_ingest, lookups) = flume::bounded(8);
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
    let links = vec![(inbox, Arc::new(Waker::unset()))];
    let metrics = Arc::new(IngestMetrics::default());
    let mut bus: Bus<()> =
        Bus::new(writer, &[route], &Limits::default(), links, lookups, catalog, Arc::clone(&metrics));
    let topic = bus.add_topic("t", Epoch::of("c", b"t"));
    let sources: Vec<_> = (0..4).map(|_| bus.add_partition(topic, Start::At(0))).collect();
    let keys: Vec<String> = (0..1_000).map(|n| format!("key-{n}")).collect();

    let began = Now::read();
    let cpu_ns = ring::thread_cpu_ns();
    for n in 0..records {
        let turn = usize::try_from(n).expect("not negative");
        let key = &keys[turn * 31 % keys.len()];
        let source = sources[turn / 64 % 4];
        let record = Record {
            offset: n,
            ts_ms: 1_700_000_000_000 + n,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        while bus.accept(source, black_box(&record), began.mono_ns).is_err() {
            let floor = readers[0].asked_floor();
            readers[0].acknowledge(floor);
        }
        if n % 256 == 255 {
            bus.publish();
        }
    }
    bus.publish();
    assert_eq!(metrics.entries.get(), u64::try_from(records).expect("not negative"));
    let spent_ns = ring::thread_cpu_ns() - cpu_ns;
    let each = spent_ns / u64::try_from(records).expect("not negative");
    let last = readers[0].bytes(readers[0].tail() - 1, 0).bytes().len();
    #[expect(clippy::print_stdout, reason = "a benchmark prints")]
    {
        println!("{name:28} {each:6} ns of CPU a record ({last} B frames, {records} records)");
    }
}
