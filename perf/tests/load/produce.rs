//! The producer against librdkafka's mock broker: what is due reaches the topic, on its key, in order, with its stamp.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafka::{Delivery, MockCluster, ProducerOptions, Settings};
use perf::{
    Clock, Error, payload,
    produce::Sender,
    schedule::{Rate, Schedule},
};

const TOPIC: &str = "bench";
const OPTIONS: ProducerOptions = ProducerOptions { idempotent: true, linger_ms: 1 };

fn keys() -> Vec<String> {
    ["key-0", "key-1", "key-2", "broadcast"].map(str::to_owned).to_vec()
}

/// Key and value of the records of a topic of one partition, once there are `count`.
fn records(settings: &Settings, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut consumer = kafka::Consumer::new(settings).unwrap();
    consumer.assign(TOPIC, 0, 0, 7).unwrap();
    let mut records = Vec::new();
    for _ in 0..100 {
        consumer.wait(Duration::from_millis(200));
        consumer.drain(1_000, &mut |delivery| {
            let Delivery::Record(record) = delivery else { return };
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            records.push((key, record.value.unwrap().to_vec()));
        });
        if records.len() >= count {
            break;
        }
    }
    records
}

#[test]
fn what_is_due_is_in_the_topic() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic(TOPIC, 1).unwrap();
    let settings = Settings { brokers: cluster.bootstrap(), ..Settings::default() };
    let sender = Sender::new(&settings, &OPTIONS, TOPIC, keys(), 200).unwrap();
    let clock = Clock::start();
    let begin_ns = clock.now_ns() + 20_000_000;
    let schedule = Schedule::new(3, Rate::per_second(100), Rate::per_second(10), Duration::from_millis(500));
    let due: Vec<_> = schedule.clone().collect();
    let produced = sender.run(clock, schedule, begin_ns, &AtomicBool::new(false));
    assert!(clock.now_ns() >= begin_ns + due.last().unwrap().at_ns, "nothing is sent before it is due");
    assert_eq!((produced.sent, produced.delivered, produced.failed, produced.unacknowledged), (55, 55, 0, 0));
    assert_eq!(produced.counts, [17, 17, 16, 5]);
    assert_eq!((produced.lateness.count(), &produced.error), (55, &None));

    let records = records(&settings, 56);
    assert_eq!(records.len(), 56);
    assert_eq!(records[0].0, "uringcast-bench-prime");
    for ((key, value), due) in records[1..].iter().zip(&due) {
        let stamp = payload::read(value).unwrap();
        assert_eq!(value.len(), 200);
        assert_eq!((key, key.as_bytes()), (&keys()[due.channel as usize], stamp.key));
        assert_eq!((stamp.seq, stamp.t_ns, stamp.intact), (due.seq, begin_ns + due.at_ns, true));
    }
}

#[test]
fn it_stops_at_once_when_told() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic(TOPIC, 1).unwrap();
    let settings = Settings { brokers: cluster.bootstrap(), ..Settings::default() };
    let sender = Sender::new(&settings, &OPTIONS, TOPIC, keys(), 100).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (clock, stopping) = (Clock::start(), Arc::clone(&stop));
    let begin_ns = clock.now_ns();
    let running = std::thread::spawn(move || {
        // One message at once, the next in a thousand seconds.
        let schedule = Schedule::new(3, "0.001".parse().unwrap(), Rate::ZERO, Duration::from_secs(10_000));
        sender.run(clock, schedule, begin_ns, &stop)
    });
    clock.sleep_until(begin_ns + 300_000_000);
    stopping.store(true, Relaxed);
    running.join().unwrap();
    assert!(clock.now_ns() < begin_ns + 60_000_000_000);
}

#[test]
fn what_cannot_be_produced_to_is_named_before_the_run() {
    let nobody = Settings {
        brokers: "127.0.0.1:1".to_owned(),
        properties: vec![("message.timeout.ms".to_owned(), "1000".to_owned())],
    };
    let error = Sender::new(&nobody, &OPTIONS, TOPIC, keys(), 100).unwrap_err();
    assert!(matches!(&error, Error::Kafka(why) if why.contains(TOPIC)), "{error}");
    let wrong = Settings { properties: vec![("no.such.property".to_owned(), "1".to_owned())], ..nobody };
    let error = Sender::new(&wrong, &OPTIONS, TOPIC, keys(), 100).unwrap_err();
    assert!(error.to_string().contains("no.such.property"), "{error}");
    let error = Sender::new(&wrong, &OPTIONS, TOPIC, vec!["a\"b".to_owned()], 100).unwrap_err();
    assert!(matches!(error, Error::Plan(_)), "{error}");
}
