//! The crate on librdkafka's mock broker: what needs no real one.

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::common::{Got, LONG, drain_until, events, nothing, numbered, produce, records};
use kafka::{
    BrokerEvent, Consumer, Error, MockCluster, NewRecord, Partitioner, Producer, ProducerOptions, SendError,
    Settings, TopicError,
};

fn mock(topic: &str, partitions: u32) -> MockCluster {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic(topic, partitions).unwrap();
    mock
}

fn is_down(event: &BrokerEvent) -> bool {
    matches!(event, BrokerEvent::Down(_))
}

#[test]
fn partitions_arrive_in_order_with_their_tags_and_positions() {
    let mock = mock("t", 3);
    for partition in 0..3 {
        produce(&mock.settings(), "t", partition, numbered(0..1_500));
    }
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    assert_eq!(consumer.topic("t", LONG).unwrap().partitions, [0, 1, 2]);
    for partition in 0..3 {
        assert_eq!(consumer.watermarks("t", partition, LONG).unwrap(), (0, 1_500));
        // The last partition from its middle.
        let start = if partition == 2 { 1_000 } else { 0 };
        consumer.assign("t", partition, start, 10 + partition).unwrap();
    }
    assert_eq!(consumer.position(10), None);

    let mut next = [0, 0, 1_000];
    for record in records(&mut consumer, 3_500) {
        let partition = usize::try_from(record.tag - 10).unwrap();
        assert_eq!(record.offset, next[partition]);
        assert_eq!(record.value.unwrap(), next[partition].to_string().into_bytes());
        next[partition] += 1;
    }
    assert_eq!(next, [1_500; 3]);
    for tag in 10..13 {
        assert_eq!(consumer.position(tag), Some(1_500));
        assert_eq!(consumer.end(tag), Some(1_500));
    }
    assert_eq!((consumer.position(9), consumer.end(9)), (None, None));
}

#[test]
fn a_producer_places_keys_where_the_partitioners_say() {
    for (property, rule) in
        [("murmur2_random", Partitioner::Murmur2), ("consistent_random", Partitioner::Consistent)]
    {
        let mock = mock("t", 7);
        let settings = mock.settings().with("partitioner", property);
        let producer = Producer::new(&settings, &ProducerOptions::default()).unwrap();
        let target = producer.target("t").unwrap();
        for key in 0..50 {
            let key = format!("key-{key}");
            producer.send(&target, &NewRecord { key: Some(key.as_bytes()), ..NewRecord::default() }).unwrap();
        }
        producer.flush(LONG).unwrap();
        let mut consumer = Consumer::new(&mock.settings()).unwrap();
        (0..7).for_each(|partition| consumer.assign("t", partition, 0, partition).unwrap());
        for record in records(&mut consumer, 50) {
            let expected = rule.partition(record.key.as_deref().unwrap(), 7);
            assert_eq!(Some(record.tag), expected, "{property} {record:?}");
        }
    }
}

#[test]
fn a_record_keeps_its_parts() {
    let mock = mock("t", 1);
    let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    let headers: &[(&str, &[u8])] = &[("a", b"1"), ("b", b""), ("a", b"\xff\0")];
    let sent = [
        NewRecord {
            key: Some(b"k"),
            value: Some(b"v"),
            ts_ms: Some(1_700_000_000_123),
            ..NewRecord::default()
        },
        NewRecord { value: Some(b"v"), headers, ts_ms: Some(1), ..NewRecord::default() },
        NewRecord { key: Some(b""), value: None, ts_ms: Some(2), ..NewRecord::default() },
        NewRecord { key: Some(b"k"), value: Some(b""), ts_ms: Some(3), ..NewRecord::default() },
    ];
    for record in &sent {
        producer.send(&target, record).unwrap();
    }
    producer.flush(LONG).unwrap();

    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    for (got, sent) in records(&mut consumer, sent.len()).iter().zip(sent) {
        assert_eq!(got.key.as_deref(), sent.key);
        assert_eq!(got.value.as_deref(), sent.value, "a tombstone is not an empty value");
        assert_eq!(Some(got.ts_ms), sent.ts_ms);
        let headers: Vec<_> =
            got.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap())).collect();
        assert_eq!(headers, sent.headers);
    }
}

#[test]
fn topic_ids_tell_topics_apart() {
    let mock = mock("one", 1);
    mock.create_topic("two", 2).unwrap();
    let consumer = Consumer::new(&mock.settings()).unwrap();
    let one = consumer.topic("one", LONG).unwrap();
    assert!(one.id.is_some());
    assert_eq!(consumer.topic("one", LONG).unwrap(), one);
    assert_ne!(consumer.topic("two", LONG).unwrap().id, one.id);
    assert!(consumer.cluster_id(LONG).unwrap().starts_with("mockCluster"));
}

#[test]
fn an_unknown_topic_is_named_and_not_created() {
    let mock = mock("t", 1);
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    assert_eq!(consumer.topic("misspelt", LONG), Err(TopicError::Unknown));
    assert_eq!(consumer.topic("misspelt", LONG), Err(TopicError::Unknown), "asking has created it");
    assert!(matches!(consumer.topic("no/name", LONG), Err(TopicError::Refused(_))));
    assert!(matches!(consumer.watermarks("misspelt", 0, Duration::from_secs(2)), Err(Error::Unknown(_))));

    // A topic that the cluster lacks, and a partition that the topic lacks. They leave the queue with its records.
    let gone = |partition: &'static str| move |event: &BrokerEvent| matches!(event, BrokerEvent::Other(text) if text.starts_with(partition));
    consumer.assign("misspelt", 0, 0, 2).unwrap();
    let seen = events(&mut consumer, &[&gone("misspelt [0]: ")]);
    assert!(seen.iter().all(|event| matches!(event, BrokerEvent::Other(_))), "{seen:?}");
    // librdkafka says so of a partition that is wanted before the topic's first metadata is there, which on a busy machine
    // may be a moment too soon; another client has another try.
    let named = (0..5).any(|_| {
        let mut consumer = Consumer::new(&mock.settings()).unwrap();
        consumer.assign("t", 7, 0, 1).unwrap();
        (0..100).any(|_| {
            consumer.wait(Duration::from_millis(50));
            consumer.drain(usize::MAX, &mut |_| ());
            consumer.events().iter().any(gone("t [7]: "))
        })
    });
    assert!(named, "five clients have not named the partition that is not there");
    assert_eq!(consumer.topic("misspelt", LONG), Err(TopicError::Unknown), "assigning has created it");
}

#[test]
fn an_unreachable_broker_is_named() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut consumer = Consumer::new(&Settings::new(address.to_string())).unwrap();
    let start = Instant::now();
    let Err(TopicError::Unreachable(text)) = consumer.topic("t", Duration::from_secs(1)) else {
        panic!("reached a broker that is not there")
    };
    assert!(start.elapsed() < Duration::from_secs(5), "the timeout does not hold: {:?}", start.elapsed());
    assert!(text.contains("refused") && text.contains(&address.port().to_string()), "{text}");
    assert_eq!(consumer.cluster_id(Duration::from_millis(100)), None);
    let lost = |event: &BrokerEvent| matches!(event, BrokerEvent::Lost(text) if text.contains("refused"));
    events(&mut consumer, &[&lost, &is_down]);
}

#[test]
fn wrong_settings_are_named() {
    let named = |settings: Settings, property: &str| {
        let error = Consumer::new(&settings).unwrap_err();
        assert!(matches!(&error, Error::Config { property: named, .. } if named == property), "{error:?}");
    };
    named(Settings::new(""), "bootstrap.servers");
    named(Settings::new("a:1").with("no.such.property", "1"), "no.such.property");
    named(Settings::new("a:1").with("fetch.wait.max.ms", "soon"), "fetch.wait.max.ms");
    named(Settings::new("a:1").with("group.id", "g"), "group.id");
    named(
        Settings::new("a:1").with("security.protocol", "ssl").with("ssl.ca.location", "/no/such/file"),
        "ssl.ca.location",
    );
}

#[test]
fn a_wait_ends_by_a_wake_by_a_record_or_by_its_time() {
    let mock = mock("t", 1);
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    nothing(&mut consumer, Duration::from_millis(200));

    let start = Instant::now();
    consumer.wait(Duration::from_millis(150));
    assert!(start.elapsed() >= Duration::from_millis(150), "woken by nothing: {:?}", start.elapsed());

    // A wake that comes first is not lost.
    consumer.waker().wake();
    consumer.wait(LONG);
    let waker = consumer.waker();
    let thread = std::thread::spawn(move || waker.wake());
    consumer.wait(LONG);
    thread.join().unwrap();

    let settings = mock.settings();
    let thread = std::thread::spawn(move || produce(&settings, "t", 0, numbered(0..10)));
    consumer.wait(LONG);
    let mut first = Vec::new();
    // Ten may come in several answers; what a short drain leaves must not be slept over.
    assert_eq!(consumer.drain(1, &mut |delivery| first.push(Got::of(delivery))), 1);
    for _ in 1..10 {
        consumer.wait(LONG);
        consumer.drain(1, &mut |delivery| first.push(Got::of(delivery)));
    }
    thread.join().unwrap();
    assert_eq!(first.len(), 10);
    assert!(start.elapsed() < LONG, "something slept its whole time");
}

#[test]
fn seek_and_unassign_leave_nothing_stale() {
    let mock = mock("t", 2);
    produce(&mock.settings(), "t", 0, numbered(0..2_000));
    produce(&mock.settings(), "t", 1, numbered(0..2_000));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    consumer.assign("t", 1, 0, 1).unwrap();
    // Much is fetched and little of it drained.
    let mut taken = 0;
    while taken < 5 {
        consumer.wait(LONG);
        taken += consumer.drain(5 - taken, &mut |_| ());
    }
    for start in [1_990, 1_980, 1_995, 0, 1_999] {
        consumer.seek(0, start).unwrap();
    }
    consumer.unassign(1).unwrap();
    let got = records(&mut consumer, 1);
    assert_eq!((got[0].tag, got[0].offset), (0, 1_999));
    nothing(&mut consumer, Duration::from_millis(200));
    // Where it stood is stale, too: whoever goes back must not be told that it is ahead.
    assert_eq!(consumer.position(0), Some(2_000));
    consumer.seek(0, 1_998).unwrap();
    assert_eq!(consumer.position(0), None);
    consumer.seek(0, 1_999).unwrap();
    assert_eq!(records(&mut consumer, 1)[0].offset, 1_999);

    // The same partition again, under another tag.
    consumer.assign("t", 1, 1_998, 5).unwrap();
    let got = records(&mut consumer, 2);
    assert_eq!(
        got.iter().map(|record| (record.tag, record.offset)).collect::<Vec<_>>(),
        [(5, 1_998), (5, 1_999)]
    );

    assert_eq!(consumer.assign("t", 1, 0, 6), Err(Error::Tag(6)), "a partition has one tag");
    assert_eq!(consumer.assign("t", 0, 0, 5), Err(Error::Tag(5)), "a tag has one partition");
    assert_eq!(consumer.unassign(1), Err(Error::Tag(1)));
    assert_eq!(consumer.seek(1, 0), Err(Error::Tag(1)));
    assert!(
        consumer.seek(0, -1).is_err() && consumer.assign("t", 9, -2, 9).is_err(),
        "an order instead of an offset"
    );
}

#[test]
fn an_offset_out_of_range_is_delivered_and_seek_goes_on() {
    let mock = mock("t", 1);
    produce(&mock.settings(), "t", 0, numbered(0..10));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 1_000, 3).unwrap();
    let got = drain_until(&mut consumer, |got| !got.is_empty());
    assert_eq!(got, [Got::OutOfRange { tag: 3, offset: 1_000 }]);
    nothing(&mut consumer, Duration::from_millis(200));
    consumer.seek(3, 8).unwrap();
    assert_eq!(records(&mut consumer, 2)[1].offset, 9);
}

#[test]
fn a_panicking_callback_loses_its_record_and_no_other() {
    let mock = mock("t", 2);
    produce(&mock.settings(), "t", 0, numbered(0..100));
    produce(&mock.settings(), "t", 1, numbered(0..100));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    consumer.assign("t", 1, 0, 1).unwrap();
    let mut seen = 0;
    while seen < 11 {
        consumer.wait(LONG);
        let drain = || {
            consumer.drain(usize::MAX, &mut |_| {
                seen += 1;
                if seen == 11 {
                    // Like a panic, without its message.
                    resume_unwind(Box::new(()));
                }
            })
        };
        let _ = catch_unwind(AssertUnwindSafe(drain));
    }
    // What was left of the batch must not be slept over, and an unassigned partition's part of it goes.
    let start = Instant::now();
    consumer.wait(LONG);
    assert!(start.elapsed() < LONG);
    consumer.unassign(1).unwrap();
    let last = |got: &Got| matches!(got, Got::Record(record) if (record.tag, record.offset) == (0, 99));
    let got = drain_until(&mut consumer, |got| got.last().is_some_and(last));
    let first = 100 - i64::try_from(got.len()).unwrap();
    for (got, offset) in got.iter().zip(first..) {
        assert!(
            matches!(got, Got::Record(record) if (record.tag, record.offset) == (0, offset)),
            "{offset}: {got:?}"
        );
    }
}

#[test]
fn a_broker_that_was_away_is_told_and_reading_goes_on() {
    let mock = mock("t", 1);
    produce(&mock.settings(), "t", 0, numbered(0..10));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    assert_eq!(records(&mut consumer, 10)[9].offset, 9);
    assert_eq!(consumer.events(), []);

    mock.broker_down(1).unwrap();
    events(&mut consumer, &[&is_down]);
    nothing(&mut consumer, Duration::from_secs(1));
    mock.broker_up(1).unwrap();
    events(&mut consumer, &[&|event| *event == BrokerEvent::Up]);
    produce(&mock.settings(), "t", 0, numbered(10..20));
    let got = records(&mut consumer, 10);
    assert_eq!(got.iter().map(|record| record.offset).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
}

#[test]
fn a_new_leader_is_followed() {
    let mock = MockCluster::start(3).unwrap();
    mock.create_topic("t", 1).unwrap();
    mock.set_leader("t", 0, 1).unwrap();
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    for round in 0..3_usize {
        produce(&mock.settings(), "t", 0, numbered(round * 10..round * 10 + 10));
        let got = records(&mut consumer, 10);
        assert_eq!(got[0].offset, i64::try_from(round).unwrap() * 10);
        mock.set_leader("t", 0, u32::try_from(round).unwrap() + 2).ok();
    }
}

#[test]
fn a_lookup_outlives_its_consumer() {
    let mock = mock("t", 1);
    produce(&mock.settings(), "t", 0, numbered(0..10));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    consumer.wait(LONG);
    let (lookup, waker) = (consumer.lookup(), consumer.waker());
    drop(consumer);
    waker.wake();
    let thread = std::thread::spawn(move || {
        (lookup.watermarks("t", 0, LONG).unwrap(), lookup.offset_for_time("t", 0, 0, LONG).unwrap())
    });
    assert_eq!(thread.join().unwrap(), ((0, 10), 10), "the mock answers look-ups by time with the end");
}

#[test]
fn a_producer_tells_when_its_brokers_are_back() {
    let mock = mock("t", 1);
    let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    let record = NewRecord { value: Some(b"v"), ..NewRecord::default() };
    let mut seen = Vec::new();
    for round in 1..=2 {
        producer.send(&target, &record).unwrap();
        producer.flush(LONG).unwrap();
        assert_eq!(producer.events(), [], "round {round}");

        mock.broker_down(1).unwrap();
        producer.send(&target, &record).unwrap();
        let deadline = Instant::now() + LONG;
        while !seen.iter().any(is_down) {
            assert!(Instant::now() < deadline, "{seen:?}");
            assert!(producer.flush(Duration::from_millis(50)).is_err());
            seen.extend(producer.events());
        }
        assert!(!seen.contains(&BrokerEvent::Up), "{seen:?}");
        seen.clear();

        mock.broker_up(1).unwrap();
        producer.flush(LONG).unwrap();
        assert_eq!(producer.counts().delivered, 2 * round);
        assert_eq!(producer.events().last(), Some(&BrokerEvent::Up));
        assert_eq!(producer.last_error(), None, "what is over is no reason any more");
    }
}

#[test]
fn the_producer_counts_what_became_of_records() {
    let mock = mock("t", 1);
    let settings =
        mock.settings().with("queue.buffering.max.messages", "10").with("message.timeout.ms", "1500");
    let options = ProducerOptions { idempotent: false, linger_ms: 0 };
    let producer = Producer::new(&settings, &options).unwrap();
    let target = producer.target("t").unwrap();
    let record = NewRecord { value: Some(b"v"), ..NewRecord::default() };
    producer.send(&target, &record).unwrap();
    producer.flush(LONG).unwrap();
    assert_eq!((producer.counts().delivered, producer.queued()), (1, 0));

    let large = vec![0; 2_000_000];
    let too_large = NewRecord { value: Some(&large), ..NewRecord::default() };
    assert_eq!(producer.send(&target, &too_large), Err(SendError::TooLarge));
    let unknown = NewRecord { partition: Some(5), headers: &[("h", b"1")], ..record };
    assert!(matches!(producer.send(&target, &unknown), Err(SendError::Refused(_))));

    mock.broker_down(1).unwrap();
    for _ in 0..10 {
        producer.send(&target, &record).unwrap();
    }
    assert_eq!(producer.send(&target, &record), Err(SendError::Full));
    assert!(producer.flush(Duration::from_millis(100)).is_err());
    producer.flush(LONG).unwrap();
    let counts = producer.counts();
    assert_eq!((counts.sent, counts.delivered, counts.failed), (11, 1, 10));
    assert!(producer.last_error().is_some());

    let other = Producer::new(&mock.settings(), &options).unwrap();
    assert!(matches!(other.send(&target, &record), Err(SendError::Refused(_))));
}

#[test]
fn a_key_keeps_its_partition() {
    let mock = mock("t", 8);
    let settings = mock.settings().with("partitioner", "murmur2_random");
    let producer = Producer::new(&settings, &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    for n in 0..200_u32 {
        let key = (n % 20).to_string();
        producer.send(&target, &NewRecord { key: Some(key.as_bytes()), ..NewRecord::default() }).unwrap();
    }
    producer.flush(LONG).unwrap();
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    for partition in 0..8 {
        consumer.assign("t", partition, 0, partition).unwrap();
    }
    let mut homes = std::collections::HashMap::new();
    for record in records(&mut consumer, 200) {
        let key = record.key.unwrap();
        assert_eq!(*homes.entry(key.clone()).or_insert(record.tag), record.tag, "{key:?} moved");
    }
    assert!(homes.values().collect::<std::collections::HashSet<_>>().len() > 1);
}
