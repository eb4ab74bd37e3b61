//! The ingest threads on a real Kafka, started here through scripts/kafka-local.
//!
//! `cargo test -p uringcast-engine --features broker-tests --test broker`

use std::time::Duration;

use engine::{
    clock::Now,
    config::{From, SlabSizes},
    inbox::DataState,
};
use kafka::NewRecord;
use kafka_local::{Kafka, LONG};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::ingest::{Feed, IngestThreads, Options, route};

#[test]
fn a_topic_made_anew_is_a_reset_and_read_from_its_beginning() {
    let kafka = Kafka::shared(&[]);
    kafka.topic("anew", 2);
    let mut node = IngestThreads::ready(kafka.settings(), &[route("anew", "{key}")], &Options::default());
    node.hold(0, "k").0.outcome.unwrap();
    let mut feed = Feed::new(&kafka.settings());
    feed.send("anew", 0, "k", 0, 10);
    feed.send("anew", 1, "nobody", 0, 3);
    node.until("13 messages", |node| node.messages() >= 13);
    drop(feed);

    kafka.admin().delete_topic("anew", LONG).unwrap();
    kafka.topic("anew", 1);
    // A new client: the old one may think of the old topic for a while.
    let mut feed = Feed::new(&kafka.settings());
    feed.send("anew", 0, "k", 100, 5);
    node.until("5 more messages", |node| node.messages() >= 18);
    let epoch = |from: usize| node.seen[from].epoch.clone();
    assert_ne!(epoch(0), epoch(17), "positions of both incarnations cannot be mixed");
    let gaps = node.gaps();
    let short: Vec<_> =
        gaps.iter().map(|gap| (gap.kind.as_str(), gap.channel.as_str(), gap.partition, gap.offset)).collect();
    assert_eq!(short, [("reset", "*", 0, 10), ("reset", "*", 1, 3)], "for every channel, a partition each");
    assert!(gaps.iter().all(|gap| gap.epoch == epoch(0) && gap.to >= gap.offset));
    let new: Vec<_> = node.seen[15..].iter().map(|seen| (seen.offset, seen.data.as_i64().unwrap())).collect();
    assert_eq!(new, (0..5).map(|n| (n, 100 + n)).collect::<Vec<_>>());
    let catalog = node.catalog.load_full();
    assert_eq!(catalog.topic("anew").unwrap().1.sources.len(), 1);
    assert_eq!(node.metrics.partitions.get(), 1);
    node.stop();
}

#[test]
fn what_retention_took_is_a_gap_and_reading_goes_on() {
    let kafka = Kafka::shared(&[]);
    kafka.topic("trimmed", 1);
    // A small prefetch and a small slab, so that a still reader soon stops the reading itself.
    let settings = kafka
        .settings()
        .with("queued.max.messages.kbytes", "64")
        .with("queued.min.messages", "100")
        .with("fetch.message.max.bytes", "16384")
        .with("fetch.max.bytes", "16384")
        .with("message.max.bytes", "16384");
    let slab = SlabSizes { bytes: 1 << 20, entries: 8_192, large_frame_bytes: 64 << 10 };
    let mut node =
        IngestThreads::ready(settings, &[route("trimmed", "{key}")], &Options { slab, ..Options::default() });
    node.hold(0, "k").0.outcome.unwrap();
    node.still[0] = true;
    const COUNT: i64 = 20_000;
    let mut feed = Feed::new(&kafka.settings());
    let value = format!("\"{}\"", "x".repeat(500));
    let record = NewRecord { key: Some(b"k"), value: Some(value.as_bytes()), ..NewRecord::default() };
    for _ in 0..COUNT {
        feed.queue("trimmed", &record);
    }
    feed.flush();
    node.until("ingest waits", |node| node.metrics.waiting_ms.get() > 500);
    let low = COUNT - 1_000;
    kafka.admin().delete_records("trimmed", 0, low, LONG).unwrap();
    node.still[0] = false;
    node.until("the end", |node| node.seen.last().is_some_and(|seen| seen.offset == COUNT - 1));

    let gaps = node.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0];
    assert_eq!((gap.kind.as_str(), gap.to), ("retention", low - 1));
    let offsets = &node.offsets()[&("k".to_owned(), 0)];
    let expected: Vec<_> = (0..gap.offset).chain(low..COUNT).collect();
    assert_eq!(*offsets, expected, "all before the gap, and all behind it");
    assert_eq!(node.metrics.retention_gaps.get(), 1);
    node.stop();
}

#[test]
fn new_partitions_and_topics_are_read_from_their_start() {
    let kafka = Kafka::shared(&[]);
    kafka.topic("grows", 1);
    let routes = [route("grows", "{key}"), route("appears", "{key}.appears")];
    let mut node = IngestThreads::ready(kafka.settings(), &routes, &Options::default());
    assert_eq!(node.reasons(), ["topic_unknown (appears)"]);
    kafka.admin().create_partitions("grows", 3, LONG).unwrap();
    kafka.topic("appears", 1);
    let mut feed = Feed::new(&kafka.settings());
    for partition in 0..3 {
        feed.send("grows", partition, "k", 0, 20);
    }
    feed.send("appears", 0, "k", 0, 20);
    node.until("80 messages", |node| node.messages() >= 80);
    let offsets = node.offsets();
    assert_eq!(offsets.len(), 4);
    assert!(offsets.values().all(|offsets| *offsets == (0..20).collect::<Vec<_>>()), "{offsets:?}");
    assert!(node.reasons().is_empty());
    node.stop();
}

#[test]
fn from_a_time_is_from_the_first_record_at_it() {
    let kafka = Kafka::shared(&[]);
    kafka.topic("timed", 1);
    let mut feed = Feed::new(&kafka.settings());
    let first_ms = i64::try_from(Now::read().unix_ms).unwrap() - 100_000;
    for n in 0..100 {
        let record = NewRecord {
            key: Some(b"k"),
            value: Some(b"1"),
            ts_ms: Some(first_ms + n * 1_000),
            ..NewRecord::default()
        };
        feed.queue("timed", &record);
    }
    feed.flush();
    for (after_ms, first) in [(40_000, 40), (40_001, 41), (0, 0)] {
        let options = Options { from: From::Timestamp(first_ms + after_ms), ..Options::default() };
        let mut node = IngestThreads::start(kafka.settings(), &[route("timed", "{key}")], &options);
        node.until("the last", |node| node.seen.last().is_some_and(|seen| seen.offset == 99));
        assert_eq!(node.offsets()[&("k".to_owned(), 0)], (first..100).collect::<Vec<_>>());
        node.stop();
    }
    // A time that no record has reached: only what comes.
    let options = Options { from: From::Timestamp(first_ms + 1_000_000), ..Options::default() };
    let mut node = IngestThreads::ready(kafka.settings(), &[route("timed", "{key}")], &options);
    feed.send("timed", 0, "k", 0, 1);
    node.until("one", |node| node.messages() == 1);
    assert_eq!(node.seen[0].offset, 100);
    node.stop();
}

#[test]
fn transactions_and_compression_leave_holes_and_no_gaps() {
    let kafka = Kafka::shared(&[]);
    kafka.topic("packed", 1);
    let mut node = IngestThreads::ready(kafka.settings(), &[route("packed", "{key}")], &Options::default());
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let mut feed = Feed::new(&kafka.settings().with("compression.type", codec));
        feed.send("packed", 0, codec, 0, 50);
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.settings().brokers)
        .set("transactional.id", "ingest-test")
        .create()
        .unwrap();
    producer.init_transactions(LONG).unwrap();
    for (key, commit) in [("committed", true), ("aborted", false), ("again", true)] {
        producer.begin_transaction().unwrap();
        for n in 0..10 {
            let value = n.to_string();
            producer.send(BaseRecord::to("packed").partition(0).key(key).payload(&value)).unwrap();
        }
        producer.flush(LONG).unwrap();
        if commit {
            producer.commit_transaction(LONG).unwrap();
        } else {
            producer.abort_transaction(LONG).unwrap();
        }
    }
    node.until("220 messages", |node| node.messages() >= 220);
    let offsets = node.offsets();
    let count = |key: &str| offsets.get(&(key.to_owned(), 0)).map_or(0, Vec::len);
    assert_eq!(["gzip", "snappy", "lz4", "zstd"].map(count), [50; 4]);
    assert_eq!(["committed", "aborted", "again"].map(count), [10, 0, 10]);
    // 200, then three times ten records and a control record.
    let end = 200 + 33;
    node.until("the position passes the last control record", |node| {
        let mut next = Vec::new();
        node.readers[0].positions_at(node.readers[0].tail(), &mut next);
        next == [end]
    });
    assert!(node.gaps().is_empty());
    node.stop();
}

#[test]
fn a_wrong_password_is_a_reason_that_names_it() {
    let kafka = Kafka::shared(&[]);
    kafka.topic("secret", 1);
    let wrong = kafka.sasl("SCRAM-SHA-512").with("sasl.password", "guess");
    let mut node = IngestThreads::start(wrong, &[route("secret", "{key}")], &Options::default());
    node.until("a refusal", |node| node.reasons().contains(&"brokers_refuse".to_owned()));
    let (_, text) = node.health.snapshot().reasons.into_iter().next_back().unwrap();
    assert!(text.to_lowercase().contains("authentication"), "{text}");
    assert!(!text.contains("guess"), "{text}");
    assert!(!node.health.is_ready());
    node.hold(0, "k").0.outcome.unwrap();
    node.stop();

    let mut node =
        IngestThreads::ready(kafka.sasl("SCRAM-SHA-512"), &[route("secret", "{key}")], &Options::default());
    let mut feed = Feed::new(&kafka.settings());
    feed.send("secret", 0, "k", 0, 3);
    node.until("3 messages", |node| node.messages() >= 3);
    assert!(node.reasons().is_empty());
    node.stop();
}

/// The broker is killed under load and started again: nothing is lost, doubled or reordered.
#[test]
fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let kafka = Kafka::start(&[]);
    kafka.topic("t", 3);
    let mut node = IngestThreads::ready(kafka.settings(), &[route("t", "{key}")], &Options::default());
    let settings = kafka.settings();
    let (stop, stopped) = flume::bounded::<()>(0);
    let feeding = std::thread::spawn(move || {
        let mut feed = Feed::new(&settings);
        let mut sent = 0_i64;
        // About 400 a second, through the outage.
        while let Err(flume::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(10)) {
            for _ in 0..4 {
                let value = sent.to_string();
                let partition = Some(u32::try_from(sent % 3).unwrap());
                let record = NewRecord {
                    partition,
                    key: Some(b"k"),
                    value: Some(value.as_bytes()),
                    ..NewRecord::default()
                };
                feed.queue("t", &record);
                sent += 1;
            }
        }
        feed.flush();
        sent
    });
    node.until("500 messages", |node| node.messages() >= 500);
    kafka.run(&["kill", "1"]);
    node.until("stale", |node| matches!(node.states.last(), Some(DataState::Stale { .. })));
    node.look_for(Duration::from_secs(8));
    let (answer, spent) = node.hold(0, "k");
    answer.outcome.unwrap();
    assert!(spent < Duration::from_millis(200), "{spent:?}");
    let before = node.messages();
    kafka.run(&["restart", "1"]);
    node.until("live", |node| node.states.last() == Some(&DataState::Live));
    node.until("messages again", |node| node.messages() > before + 500);
    drop(stop);
    let sent = feeding.join().unwrap();
    node.until("all", |node| node.messages() >= usize::try_from(sent).unwrap());
    node.look_for(Duration::from_millis(500));
    assert!(node.gaps().is_empty(), "{:?}", node.gaps());
    for (partition, rest) in [(0, 0), (1, 1), (2, 2)] {
        let of_partition = node.seen.iter().filter(|seen| seen.partition == partition);
        let (offsets, values): (Vec<_>, Vec<_>) =
            of_partition.map(|seen| (seen.offset, seen.data.as_i64().unwrap())).unzip();
        let expected: Vec<_> = (0..sent).filter(|n| n % 3 == rest).collect();
        assert_eq!(values, expected, "partition {partition}");
        assert!(offsets.is_sorted_by(|a, b| a < b));
    }
    assert!(node.reasons().is_empty());
    node.stop();
}
