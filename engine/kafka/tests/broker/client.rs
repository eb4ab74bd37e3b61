//! The crate on a real Kafka, started here through scripts/kafka-local: one for the tests that share it, with a
//! SASL_SSL listener, and one of its own for the test that kills it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::{
    Got, LONG, drain_and_watch, drain_until, events, nothing, numbered, offsets_in, owned, produce, records,
};
use kafka::{
    BrokerEvent, Consumer, Delivery, Error, NewRecord, Producer, ProducerOptions, Settings, TopicError,
};
use kafka_local::{Kafka, light};

use crate::common;
use crate::local::{PROPERTIES, start, start_with};

fn shared() -> &'static Kafka {
    Kafka::shared(&light(PROPERTIES))
}

fn offsets(records: &[common::Owned]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

#[test]
fn partitions_grow_and_a_topic_made_anew_has_another_id() {
    let kafka = shared();
    kafka.topic("anew", 2);
    let consumer = Consumer::new(&kafka.settings()).unwrap();
    assert_eq!(consumer.cluster_id(LONG).as_deref(), Some(kafka.env["CLUSTER_ID"].as_str()));
    let before = consumer.topic("anew", LONG).unwrap();
    assert_eq!(before.partitions, [0, 1]);
    assert!(before.id.is_some());

    kafka.admin().create_partitions("anew", 4, LONG).unwrap();
    let deadline = Instant::now() + LONG;
    while consumer.topic("anew", LONG).unwrap().partitions != [0, 1, 2, 3] {
        assert!(Instant::now() < deadline);
        consumer.wait(Duration::from_millis(20));
    }
    assert_eq!(consumer.topic("anew", LONG).unwrap().id, before.id, "growing is no new topic");

    kafka.admin().delete_topic("anew", LONG).unwrap();
    kafka.topic("anew", 1);
    let after = consumer.topic("anew", LONG).unwrap();
    assert_eq!(after.partitions, [0]);
    assert!(after.id.is_some() && after.id != before.id, "{after:?} {before:?}");
    assert_eq!(consumer.topic("misspelt", LONG), Err(TopicError::Unknown));
}

#[test]
fn a_consumer_of_a_topic_made_anew_can_go_on_in_the_new_one() {
    let kafka = shared();
    kafka.topic("reborn", 1);
    produce(&kafka.settings(), "reborn", 0, numbered(0..100));
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    let before = consumer.topic("reborn", LONG).unwrap().id;
    consumer.assign("reborn", 0, 0, 4).unwrap();
    records(&mut consumer, 100);

    kafka.admin().delete_topic("reborn", LONG).unwrap();
    let deadline = Instant::now() + LONG;
    while consumer.topic("reborn", LONG) != Err(TopicError::Unknown) {
        assert!(Instant::now() < deadline, "still there");
        consumer.wait(Duration::from_millis(20));
    }
    kafka.topic("reborn", 1);
    assert_ne!(consumer.topic("reborn", LONG).unwrap().id, before);
    produce(&kafka.settings(), "reborn", 0, numbered(0..10));
    consumer.seek(4, 0).unwrap();
    // An error about the old one may still have been under way.
    let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 10);
    assert_eq!(offsets_in(&got), (0..10).collect::<Vec<_>>());
}

#[test]
fn deleted_records_are_out_of_range_and_told() {
    let kafka = shared();
    kafka.topic("trimmed", 1);
    produce(&kafka.settings(), "trimmed", 0, numbered(0..100));
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    kafka.admin().delete_records("trimmed", 0, 40, LONG).unwrap();
    assert_eq!(consumer.watermarks("trimmed", 0, LONG).unwrap(), (40, 100));

    consumer.assign("trimmed", 0, 10, 2).unwrap();
    let got = drain_until(&mut consumer, |got| !got.is_empty());
    assert_eq!(got, [Got::OutOfRange { tag: 2, offset: 10 }]);
    nothing(&mut consumer, Duration::from_millis(300));
    consumer.seek(2, 40).unwrap();
    assert_eq!(offsets(&records(&mut consumer, 60)), (40..100).collect::<Vec<_>>());
    // Beyond the end too, and from there on at once when told to.
    consumer.seek(2, 5_000).unwrap();
    let got = drain_until(&mut consumer, |got| !got.is_empty());
    assert_eq!(got, [Got::OutOfRange { tag: 2, offset: 5_000 }]);
    consumer.seek(2, 99).unwrap();
    assert_eq!(offsets(&records(&mut consumer, 1)), [99]);
}

#[test]
fn a_topics_settings_can_be_changed() {
    let kafka = shared();
    let admin = kafka.admin();
    admin.create_topic("settings", 1, 1, &[("retention.ms", "60000")], LONG).unwrap();
    kafka.wait_for_topic("settings");
    admin.alter_topic("settings", &[("retention.ms", "1000"), ("cleanup.policy", "compact")], LONG).unwrap();
    let error = |result: Result<(), Error>| match result {
        Err(Error::Refused(text) | Error::Unknown(text)) => text,
        other => panic!("{other:?}"),
    };
    error(admin.alter_topic("settings", &[("retention.ms", "soon")], LONG));
    error(admin.create_topic("settings", 1, 1, &[], LONG));
    error(admin.create_topic("replicated", 1, 2, &[], LONG));
    error(admin.delete_topic("misspelt", LONG));
    error(admin.create_partitions("settings", 1, LONG));
    error(admin.delete_records("settings", 0, 5, LONG));
}

#[test]
fn times_become_offsets() {
    let kafka = shared();
    kafka.topic("timed", 1);
    let producer = Producer::new(&kafka.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("timed").unwrap();
    let base = 1_700_000_000_000;
    for n in 0..10 {
        let record = NewRecord { ts_ms: Some(base + n * 1_000), value: Some(b"v"), ..NewRecord::default() };
        producer.send(&target, &record).unwrap();
    }
    producer.flush(LONG).unwrap();
    let consumer = Consumer::new(&kafka.settings()).unwrap();
    let at = |ts_ms| consumer.offset_for_time("timed", 0, ts_ms, LONG).unwrap();
    assert_eq!((at(0), at(base), at(base + 1), at(base + 9_000), at(base + 9_001)), (0, 0, 1, 9, 10));
    assert!(matches!(
        consumer.offset_for_time("timed", 7, 0, Duration::from_secs(3)),
        Err(Error::Unknown(_))
    ));
}

#[test]
fn aborted_and_control_records_are_passed_and_not_delivered() {
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    let kafka = shared();
    kafka.topic("transactions", 1);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.env["BROKERS"]).set("transactional.id", "t");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LONG).unwrap();
    for (round, abort) in [false, true, false, true].into_iter().enumerate() {
        producer.begin_transaction().unwrap();
        for n in 0..5 {
            let value = format!("{round}.{n}");
            producer.send(BaseRecord::<(), str>::to("transactions").payload(&value)).unwrap();
        }
        producer.flush(LONG).unwrap();
        if abort { producer.abort_transaction(LONG) } else { producer.commit_transaction(LONG) }.unwrap();
    }
    // Five records and a control record each.
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign("transactions", 0, 0, 0).unwrap();
    let got = records(&mut consumer, 10);
    assert_eq!(offsets(&got), [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]);
    assert_eq!(got[5].value.as_deref(), Some(b"2.0".as_slice()));
    let deadline = Instant::now() + LONG;
    while consumer.position(0) != Some(24) {
        assert!(Instant::now() < deadline, "position {:?}", consumer.position(0));
        nothing(&mut consumer, Duration::from_millis(20));
    }
    assert_eq!(consumer.end(0), Some(24));
}

#[test]
fn compressed_batches_and_large_records_arrive() {
    let kafka = shared();
    kafka.topic("packed", 1);
    let mut sent = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let settings = kafka.settings().with("compression.codec", codec);
        let producer = Producer::new(&settings, &ProducerOptions::default()).unwrap();
        let target = producer.target("packed").unwrap();
        for n in 0..20_u8 {
            let value = vec![n; if n == 7 { 900_000 } else { 300 }];
            producer.send(&target, &NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
            sent.push(value);
        }
        producer.flush(LONG).unwrap();
        assert_eq!(producer.counts().failed, 0, "{codec}: {:?}", producer.last_error());
    }
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign("packed", 0, 0, 0).unwrap();
    let got: Vec<Vec<u8>> =
        records(&mut consumer, sent.len()).into_iter().map(|record| record.value.unwrap()).collect();
    assert!(got == sent, "order or contents differ");
}

#[test]
fn right_passwords_open_the_tls_listener() {
    let kafka = shared();
    kafka.topic("secret", 1);
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let settings = kafka.sasl(mechanism);
        produce(&settings, "secret", 0, numbered(0..3));
        let mut consumer = Consumer::new(&settings).unwrap();
        assert!(consumer.topic("secret", LONG).unwrap().id.is_some());
        consumer.assign("secret", 0, 0, 0).unwrap();
        drain_until(&mut consumer, |got| got.len() >= 3);
        assert_eq!(consumer.events(), []);
    }
}

/// What a client with these settings says: the look-up's error and the events.
fn refused(settings: &Settings, expected: &dyn Fn(&BrokerEvent) -> bool) -> String {
    let mut consumer = Consumer::new(settings).unwrap();
    let Err(TopicError::Unreachable(text)) = consumer.topic("secret", Duration::from_secs(3)) else {
        panic!("let in")
    };
    events(&mut consumer, &[expected, &|event| matches!(event, BrokerEvent::Down(_))]);
    text
}

#[test]
fn wrong_passwords_and_wrong_authorities_are_named() {
    let kafka = shared();
    let auth = |event: &BrokerEvent| matches!(event, BrokerEvent::AuthFailed(_));
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let text = refused(&kafka.sasl(mechanism).with("sasl.password", "wrong"), &auth);
        assert!(text.to_lowercase().contains("authentication"), "{mechanism}: {text}");
        assert!(!text.contains("wrong"), "shows a password: {text}");
    }
    let tls = |event: &BrokerEvent| matches!(event, BrokerEvent::TlsFailed(_));
    let text = refused(&kafka.sasl("PLAIN").with("ssl.ca.location", &kafka.env["WRONG_CA"]), &tls);
    assert!(text.contains("certificate"), "{text}");
    // TLS where there is none, and none where there is TLS.
    let plain_port = kafka.env["BROKERS"].clone();
    refused(&Settings { brokers: plain_port, ..kafka.sasl("PLAIN") }, &tls);
    let tls_port = Settings::new(&kafka.env["SASL_BROKERS"]);
    let text = refused(&tls_port, &|event| matches!(event, BrokerEvent::Down(_)));
    assert!(text.contains("closed by peer"), "{text}");
}

/// Numbers sent to a topic's partitions in turn, and checked when they arrive.
struct Live {
    partitions: u32,
    producer: Producer,
    target: kafka::Target,
    consumer: Consumer,
    sent: u32,
    got: Vec<common::Owned>,
    seen: Vec<BrokerEvent>,
}

impl Live {
    fn new(kafka: &Kafka, topic: &str, partitions: u32) -> Self {
        let mut consumer = Consumer::new(&kafka.settings()).unwrap();
        for partition in 0..partitions {
            consumer.assign(topic, partition, 0, partition).unwrap();
        }
        let producer = Producer::new(&kafka.settings(), &ProducerOptions::default()).unwrap();
        let target = producer.target(topic).unwrap();
        Self { partitions, producer, target, consumer, sent: 0, got: Vec::new(), seen: Vec::new() }
    }

    fn send(&mut self, count: u32) {
        for n in self.sent..self.sent + count {
            let value = n.to_string();
            let record = NewRecord {
                partition: Some(n % self.partitions),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            };
            self.producer.send(&self.target, &record).unwrap();
        }
        self.sent += count;
    }

    fn receive(&mut self) {
        let missing = usize::try_from(self.sent).unwrap() - self.got.len();
        let got = drain_and_watch(&mut self.consumer, &mut self.seen, |got| offsets_in(got).len() >= missing);
        self.got.extend(owned(got, missing));
    }

    /// Everything there, once and in order.
    fn check(mut self) {
        self.receive();
        self.producer.flush(LONG).unwrap();
        assert_eq!(
            (self.producer.counts().delivered, self.producer.counts().failed),
            (u64::from(self.sent), 0)
        );
        for tag in 0..self.partitions {
            let of_tag = self.got.iter().filter(|record| record.tag == tag);
            let values: Vec<u32> = of_tag
                .map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap().parse().unwrap())
                .collect();
            assert_eq!(values, (0..self.sent).filter(|n| n % self.partitions == tag).collect::<Vec<_>>());
        }
        nothing(&mut self.consumer, Duration::from_millis(300));
    }
}

#[test]
fn a_killed_broker_is_told_and_nothing_is_lost_or_repeated() {
    let kafka = start(&[]);
    kafka.topic("live", 2);
    let mut live = Live::new(&kafka, "live", 2);
    live.send(1_000);
    live.receive();

    kafka.run(&["kill", "1"]);
    live.send(1_000);
    let seen = events(&mut live.consumer, &[&|event| matches!(event, BrokerEvent::Down(_))]);
    assert!(!seen.contains(&BrokerEvent::Up), "{seen:?}");
    kafka.run(&["restart", "1"]);
    live.send(1_000);
    live.receive();
    assert!(live.seen.contains(&BrokerEvent::Up), "{:?}", live.seen);
    live.check();
}

#[test]
fn two_brokers_of_three_go_on() {
    let kafka = start(&["--brokers", "3"]);
    // Every broker leads one of three partitions.
    kafka.run(&["topic", "led", "3", "--replication", "3"]);
    kafka.wait_for_topic("led");
    let mut live = Live::new(&kafka, "led", 3);
    live.send(300);
    live.receive();
    kafka.run(&["kill", "2"]);
    live.send(300);
    live.receive();
    assert!(!live.seen.iter().any(|event| matches!(event, BrokerEvent::Down(_))), "{:?}", live.seen);
    live.check();
}

#[test]
fn a_broker_that_lists_no_broker_for_a_while_is_found_again() {
    // Heartbeats that are rarer than the session is long: the broker is fenced for 300 ms of every 1.3 s, as one is
    // that gets too little CPU. Meanwhile it answers metadata requests with no broker at all, not even itself, and
    // librdkafka lets go of it; often for good (src/reminder.rs, src/consumer.rs).
    let mut kafka = start_with(&[], "broker.session.timeout.ms=1000 broker.heartbeat.interval.ms=1300");
    kafka.topic("fenced", 2);
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign("fenced", 0, 0, 0).unwrap();
    consumer.assign("fenced", 1, 0, 1).unwrap();
    // Somebody asks all the time, as the watcher of an engine does.
    let (lookup, stop) = (consumer.lookup(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let asker = std::thread::spawn(move || {
        let mut unanswered = 0;
        while !stopped.load(Relaxed) {
            unanswered += u32::from(!lookup.probe(Duration::from_millis(300)));
        }
        unanswered
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        consumer.wait(Duration::from_millis(50));
        consumer.news();
    }

    kafka.run(&["stop"]);
    kafka.variables = light(PROPERTIES).to_vec();
    let (_, port) = kafka.env["BROKERS"].split_once(':').unwrap();
    kafka.run(&["start", "--port", port]);
    for partition in 0..2 {
        produce(&kafka.settings(), "fenced", partition, numbered(0..50));
    }
    let mut got = 0;
    while got < 100 {
        assert!(start.elapsed() < LONG * 4, "{got} of 100 records, {:?}", consumer.news());
        consumer.wait(Duration::from_millis(50));
        consumer.news();
        consumer
            .drain(usize::MAX, &mut |delivery| got += usize::from(matches!(delivery, Delivery::Record(_))));
    }
    nothing(&mut consumer, Duration::from_millis(300));
    stop.store(true, Relaxed);
    assert!(asker.join().unwrap() > 0, "never fenced");
}
