//! Lookups in the cluster, on librdkafka's mock broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::common::{self, LONG, produce};
use kafka::{Ask, At, Consumer, Error, MockCluster, TopicError, TopicId, Wanted};

const SHORT: Duration = Duration::from_secs(2);

fn wanted(partition: u32, at: At) -> Wanted<'static> {
    Wanted { topic: "t", partition, at }
}

#[test]
fn offsets_of_many_partitions_come_in_one_go() {
    let mock = MockCluster::start(3).unwrap();
    mock.create_topic("t", 200).unwrap();
    for partition in 0..200 {
        mock.set_leader("t", partition, partition % 3 + 1).unwrap();
    }
    for partition in 0..3 {
        produce(&mock.settings(), "t", partition, (0..=partition).map(|n| n.to_string()));
    }
    // A broker's answer takes longer than all of it would if it were asked for each partition.
    let delay = Duration::from_millis(100);
    (1..=3).for_each(|id| mock.set_delay(id, delay).unwrap());
    let consumer = Consumer::new(&mock.settings()).unwrap();
    consumer.topic("t", LONG).unwrap();
    let all: Vec<Wanted<'_>> = (0..200).map(|partition| wanted(partition, At::End)).collect();
    let start = std::time::Instant::now();
    let ends: Vec<i64> = consumer.offsets(&all, LONG).into_iter().map(Result::unwrap).collect();
    assert!(start.elapsed() < delay * 30, "{:?}", start.elapsed());
    assert_eq!(ends[..4], [1, 2, 3, 0]);
    assert!(ends[4..].iter().all(|&end| end == 0));
}

#[test]
fn each_offset_is_the_one_that_was_asked_for() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 2).unwrap();
    produce(&mock.settings(), "t", 1, (0..5).map(|n| n.to_string()));
    let consumer = Consumer::new(&mock.settings()).unwrap();
    let all = [
        wanted(1, At::Start),
        wanted(1, At::End),
        wanted(0, At::Stable),
        wanted(1, At::Stable),
        wanted(1, At::Time(5)),
        wanted(1, At::Time(9)),
        wanted(1, At::End),
    ];
    let found: Vec<i64> = consumer.offsets(&all, LONG).into_iter().map(Result::unwrap).collect();
    assert_eq!(found, [0, 5, 0, 5, 5, 5, 5], "the mock answers look-ups by time with the end");
    assert_eq!(consumer.offsets(&[], LONG), []);
}

#[test]
fn a_partition_without_a_leader_costs_the_others_nothing() {
    let mock = MockCluster::start(2).unwrap();
    mock.create_topic("t", 4).unwrap();
    mock.unset_leader("t", 2).unwrap();
    let consumer = Consumer::new(&mock.settings()).unwrap();
    let topic = consumer.topic("t", LONG).unwrap();
    assert_eq!((topic.partitions, topic.leaderless), (vec![0, 1, 2, 3], vec![2]));
    for at in [At::End, At::Stable, At::Start, At::Time(1)] {
        let all: Vec<Wanted<'_>> = (0..4).map(|partition| wanted(partition, at)).collect();
        let found = consumer.offsets(&all, LONG);
        for partition in [0, 1, 3] {
            assert_eq!(found[partition], Ok(0), "{at:?}");
        }
        assert!(
            matches!(&found[2], Err(Error::Unreachable(text)) if text.contains("t [2]")),
            "{:?}",
            found[2]
        );
        let alone = consumer.offsets(&[wanted(2, at)], SHORT);
        assert!(matches!(&alone[0], Err(Error::Unreachable(_))), "{alone:?}");
    }
    mock.set_leader("t", 2, 1).unwrap();
    let start = std::time::Instant::now();
    while consumer.offsets(&[wanted(2, At::End)], SHORT) != [Ok(0)] {
        assert!(start.elapsed() < LONG, "its leader is not found");
    }
}

#[test]
fn what_is_not_there_is_unknown_and_costs_the_others_nothing() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    let consumer = Consumer::new(&mock.settings()).unwrap();
    let elsewhere = |topic| Wanted { topic, partition: 0, at: At::End };
    let all = [elsewhere("misspelt"), wanted(0, At::End), wanted(7, At::End), elsewhere("no name")];
    let found = consumer.offsets(&all, LONG);
    assert_eq!(found[1], Ok(0));
    for at in [0, 2, 3] {
        assert!(matches!(found[at], Err(Error::Unknown(_))), "{:?}", found[at]);
    }
}

#[test]
fn another_cluster_behind_the_same_address_has_another_id() {
    let (one, two) = (MockCluster::start(1).unwrap(), MockCluster::start(1).unwrap());
    let relay = common::Relay::to(&one.bootstrap());
    let consumer = Consumer::new(&kafka::Settings::new(relay.address())).unwrap();
    let id = || Ask::cluster_id(&consumer.lookup(), SHORT);
    // The brokers' own addresses are in the metadata, so that only the first request comes through the relay.
    let first = id().unwrap().unwrap();
    assert_eq!(id().unwrap().unwrap(), first);
    relay.redirect(&two.bootstrap());
    one.broker_down(1).unwrap();
    let start = std::time::Instant::now();
    loop {
        match id() {
            Ok(Some(other)) if other != first => break,
            other => assert!(start.elapsed() < LONG, "{other:?}"),
        }
        consumer.wait(Duration::from_millis(50));
    }
}

#[test]
fn no_answer_is_no_absence() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    let consumer = Consumer::new(&mock.settings()).unwrap();
    mock.broker_down(1).unwrap();
    let lookup = consumer.lookup();
    assert!(matches!(Ask::cluster_id(&lookup, SHORT), Err(Error::Unreachable(_))));
    assert!(matches!(lookup.topic("t", SHORT), Err(TopicError::Unreachable(_))));
    assert!(matches!(lookup.offsets(&[wanted(0, At::End)], SHORT)[..], [Err(Error::Unreachable(_))]));
}

#[test]
fn a_topic_that_is_not_ours_to_see_is_refused() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    mock.refuse_topic("t", true).unwrap();
    let consumer = Consumer::new(&mock.settings()).unwrap();
    let found = consumer.topic("t", LONG);
    assert!(matches!(&found, Err(TopicError::Refused(text)) if text.contains("authorization")), "{found:?}");
    mock.refuse_topic("t", false).unwrap();
    assert_eq!(consumer.topic("t", LONG).unwrap().partitions, [0]);
}

/// A consumer to whom the first broker seems to know no topic ids, and how many of them were hidden from it.
fn without_ids(mock: &MockCluster) -> (Consumer, TopicId, Arc<AtomicUsize>) {
    let id = Consumer::new(&mock.settings()).unwrap().topic("t", LONG).unwrap().id.unwrap();
    let (relay, port) = common::relayed(&mock.bootstrap());
    let relay = Arc::new(relay);
    let (again, hidden) = (Arc::clone(&relay), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&hidden);
    relay.spoil(Some(Box::new(move |bytes| {
        common::lead_through(&again, port, bytes);
        count.fetch_add(common::replace(bytes, &id.0, &[0; 16]), Relaxed);
    })));
    (Consumer::new(&kafka::Settings::new(relay.address())).unwrap(), id, hidden)
}

#[test]
fn a_broker_without_topic_ids_is_not_the_only_one_that_is_asked() {
    let mock = MockCluster::start(2).unwrap();
    mock.create_topic("t", 1).unwrap();
    let (consumer, id, hidden) = without_ids(&mock);
    for _ in 0..10 {
        assert_eq!(consumer.topic("t", LONG).unwrap().id, Some(id));
    }
    assert!(hidden.load(Relaxed) > 0, "the first broker was never asked");
}

#[test]
fn a_topic_has_no_id_where_no_broker_knows_one() {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    let (consumer, _, _) = without_ids(&mock);
    assert_eq!(consumer.topic("t", LONG).unwrap().id, None);
}
