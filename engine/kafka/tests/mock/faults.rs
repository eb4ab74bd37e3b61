//! What becomes of reading when a fetch fails, a leader changes or nobody leads: on librdkafka's mock broker.

use std::time::Duration;

use crate::common::{Got, LONG, drain_until, numbered, offsets_in, produce, records};
use kafka::{Consumer, Delivery, Flow, MockCluster, Read};

fn mock(topic: &str, partitions: u32) -> MockCluster {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic(topic, partitions).unwrap();
    mock
}

#[test]
fn an_error_counts_as_no_record() {
    let mock = mock("t", 1);
    produce(&mock.settings(), "t", 0, numbered(0..3));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 7).unwrap();
    records(&mut consumer, 3);
    assert_eq!(consumer.position(7), Some(3));

    // The first one behind the last record tells of the end, and of nothing else.
    mock.refuse_fetches(2);
    let got = drain_until(&mut consumer, |got| !got.is_empty());
    assert!(
        matches!(&got[0], Got::Refused { tag: 7, text } if text.contains("authorization failed")),
        "{got:?}"
    );
    assert_eq!(consumer.position(7), Some(3), "nobody got record 3");

    produce(&mock.settings(), "t", 0, numbered(3..5));
    let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 2);
    assert_eq!(offsets_in(&got), [3, 4]);
    assert_eq!(consumer.position(7), Some(5));
}

#[test]
fn the_end_of_a_refusal_is_told() {
    let mock = mock("t", 1);
    produce(&mock.settings(), "t", 0, numbered(0..1));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 7).unwrap();
    records(&mut consumer, 1);
    // The first one behind the last record tells of the end, and of nothing else.
    mock.refuse_fetches(2);
    let got = drain_until(&mut consumer, |got| got.len() >= 2);
    assert!(matches!(got[..], [Got::Refused { tag: 7, .. }, Got::Doubt { tag: 7, .. }]), "{got:?}");
}

#[test]
fn a_record_that_is_to_come_again_does_not_count() {
    let mock = mock("t", 2);
    for partition in 0..2 {
        produce(&mock.settings(), "t", partition, numbered(0..10));
    }
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 0).unwrap();
    consumer.assign("t", 1, 0, 1).unwrap();
    let (mut next, mut refused) = ([0, 0], 0);
    while next != [10, 10] {
        consumer.wait(Duration::from_millis(50));
        // Each record is refused once.
        Read::drain(&mut consumer, usize::MAX, &mut |delivery| {
            let Delivery::Record(record) = delivery else { panic!("{delivery:?}") };
            let next = &mut next[record.tag as usize];
            assert_eq!(record.offset, *next);
            refused += 1;
            if refused % 2 == 1 {
                return Flow::Again;
            }
            *next += 1;
            Flow::Next
        });
        for tag in 0..2 {
            let next = next[tag as usize];
            assert_eq!(consumer.position(tag), (next > 0).then_some(next), "tag {tag}");
        }
    }
}

#[test]
fn another_leader_is_told_before_its_records() {
    let mock = MockCluster::start(2).unwrap();
    mock.create_topic("t", 2).unwrap();
    mock.set_leader("t", 0, 1).unwrap();
    mock.set_leader("t", 1, 1).unwrap();
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.assign("t", 0, 0, 4).unwrap();
    consumer.assign("t", 1, 0, 5).unwrap();
    produce(&mock.settings(), "t", 0, numbered(0..10));
    records(&mut consumer, 10);
    mock.set_leader("t", 0, 2).unwrap();
    produce(&mock.settings(), "t", 0, numbered(10..20));
    let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 10);
    assert_eq!(offsets_in(&got), (10..20).collect::<Vec<_>>());
    assert!(matches!(&got[0], Got::Doubt { tag: 4, text } if text.contains("leader is 2")), "{got:?}");
    assert!(!got.iter().any(|got| matches!(got, Got::Doubt { tag: 5, .. })), "{got:?}");
}

#[test]
fn what_is_read_is_known_by_its_id() {
    let mock = mock("t", 1);
    produce(&mock.settings(), "t", 0, numbered(0..1));
    let mut consumer = Consumer::new(&mock.settings()).unwrap();
    let id = consumer.topic("t", LONG).unwrap().id;
    consumer.assign("t", 0, 0, 0).unwrap();
    records(&mut consumer, 1);
    assert!(id.is_some() && consumer.reads(0) == id, "{:?} {id:?}", consumer.reads(0));
    assert_eq!(consumer.reads(1), None);
}
