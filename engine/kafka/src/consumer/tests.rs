//! Positions and clients that are replaced.

use std::collections::HashMap;

use super::*;
use crate::{MockCluster, NewRecord, Producer, ProducerOptions};

const LONG: Duration = Duration::from_secs(30);

/// The offsets of the next `count` records, by tag.
fn read(consumer: &mut Consumer, count: usize) -> HashMap<u32, Vec<i64>> {
    let (mut got, mut done) = (HashMap::new(), 0);
    let start = now();
    while done < count {
        assert!(start.elapsed() < LONG, "{done} of {count}");
        consumer.wait(Duration::from_millis(100));
        // In small steps, so that much of what was fetched is not yet drained.
        done += consumer.drain(7.min(count - done), &mut |delivery| match delivery {
            Delivery::Record(record) => {
                got.entry(record.tag).or_insert_with(Vec::new).push(record.offset);
            }
            other @ (Delivery::OffsetOutOfRange { .. }
            | Delivery::Truncated { .. }
            | Delivery::Skipped { .. }
            | Delivery::Refused { .. }
            | Delivery::Doubt { .. }
            | Delivery::Error { .. }) => panic!("{other:?}"),
        });
    }
    got
}

#[test]
fn a_new_client_goes_on_where_the_old_one_stands() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 2).unwrap();
    let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    for n in 0..200_u32 {
        producer.send(&target, &NewRecord { partition: Some(n % 2), ..NewRecord::default() }).unwrap();
    }
    producer.flush(LONG).unwrap();

    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 10).unwrap();
    consumer.assign("t", 1, 50, 11).unwrap();
    let (lookup, mut got) = (consumer.lookup(), HashMap::<u32, Vec<i64>>::new());
    // The first time before anything was read, the others amid what was fetched.
    for count in [20, 30, 100] {
        consumer.renew().unwrap();
        for (tag, offsets) in read(&mut consumer, count) {
            got.entry(tag).or_default().extend(offsets);
        }
    }
    assert_eq!(got[&10], (0..100).collect::<Vec<_>>());
    assert_eq!(got[&11], (50..100).collect::<Vec<_>>());

    assert!(Arc::ptr_eq(&consumer.client, &lookup.client()), "the lookup asks the old client");
    assert_eq!(lookup.watermarks("t", 0, LONG).unwrap(), (0, 100));
    consumer.seek(10, 98).unwrap();
    consumer.unassign(11).unwrap();
    assert_eq!(read(&mut consumer, 2), HashMap::from([(10, vec![98, 99])]));
}

#[test]
fn a_new_client_goes_on_behind_an_error_and_before_what_is_to_come_again() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    let send = |count: u32| {
        for _ in 0..count {
            producer.send(&target, &NewRecord { partition: Some(0), ..NewRecord::default() }).unwrap();
        }
        producer.flush(LONG).unwrap();
    };
    send(3);
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 1).unwrap();
    read(&mut consumer, 3);
    // librdkafka counts the error as record 3.
    mock.refuse_fetches(2);
    let (start, mut refused) = (now(), false);
    while !refused {
        assert!(start.elapsed() < LONG);
        consumer.wait(Duration::from_millis(50));
        consumer.drain(usize::MAX, &mut |delivery| refused |= matches!(delivery, Delivery::Refused { .. }));
    }
    let part = consumer.assignment.get(1).unwrap();
    assert_eq!(offsets::position(&consumer.client, &part.name, 0), Some(4), "what librdkafka says");
    consumer.renew().unwrap();
    send(3);
    // Two records are handed out and the third is to come again: librdkafka counts all three.
    let (start, mut taken) = (now(), Vec::new());
    while taken.len() < 2 {
        assert!(start.elapsed() < LONG);
        consumer.wait(Duration::from_millis(50));
        consumer.drain_while(usize::MAX, &mut |delivery| {
            // The other refusal may be left for the new client.
            let Delivery::Record(record) = delivery else { return Flow::Next };
            if taken.len() == 2 {
                return Flow::Again;
            }
            taken.push(record.offset);
            Flow::Next
        });
    }
    consumer.renew().unwrap();
    send(1);
    taken.extend(&read(&mut consumer, 2)[&1]);
    assert_eq!(taken, [3, 4, 5, 6]);
    assert_eq!(consumer.assignment.get(1).unwrap().progress().start(), (7, Some(0)));
}

#[test]
fn debug_lines_come_neither_by_record_nor_by_fetch() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 2).unwrap();
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    consumer.assign("t", 1, 0, 1).unwrap();
    let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    let mut send = |n: u32| {
        producer.send(&target, &NewRecord { partition: Some(n % 2), ..NewRecord::default() }).unwrap();
        producer.flush(LONG).unwrap();
    };
    (0..2).for_each(&mut send);
    read(&mut consumer, 2);
    consumer.news();
    // Some 100 fetches, half of them with a record, and nobody serves the main queue.
    for n in 0..50 {
        send(n);
        consumer.wait(Duration::from_millis(10));
        consumer.queue.fill(&mut consumer.batch, 10);
        while consumer.batch.take().is_some() {}
    }
    let lines = consumer.main.len();
    assert!(lines < 20, "{lines} lines");
}
