//! The ingest threads on rdkafka's mock broker.

use std::time::Duration;

use engine::{
    config::{From, Limits, Oversized, SlabSizes},
    inbox::DataState,
};
use kafka::{MockCluster, NewRecord};
use testkit::ingest::{Feed, IngestThreads, Options, route};

fn mock(topics: &[(&str, u32)]) -> MockCluster {
    let mock = MockCluster::start(1).unwrap();
    for (topic, partitions) in topics {
        mock.create_topic(topic, *partitions).unwrap();
    }
    mock
}

#[test]
fn what_is_produced_after_ready_arrives_once_and_in_order() {
    let mock = mock(&[("t", 3)]);
    let mut feed = Feed::new(&mock.settings());
    for partition in 0..3 {
        feed.send("t", partition, "old", 0, 10);
    }
    let mut node = IngestThreads::ready(mock.settings(), &[route("t", "{key}")], &Options::default());
    assert!(node.reasons().is_empty(), "{:?}", node.reasons());
    for partition in 0..3 {
        feed.send("t", partition, "new", 0, 500);
    }
    node.until("1,500 messages", |node| node.messages() >= 1_500);
    for partition in 0..3 {
        let offsets = &node.offsets()[&("new".to_owned(), partition)];
        assert_eq!(*offsets, (10..510).collect::<Vec<_>>());
    }
    assert!(
        node.seen.iter().all(|seen| seen.data.as_i64() == Some(seen.offset - 10)),
        "each with its own value"
    );
    assert!(node.offsets().keys().all(|(channel, _)| channel == "new"), "{:?}", node.offsets().keys());
    let mut next = Vec::new();
    let tail = node.readers[0].tail();
    node.readers[0].positions_at(tail, &mut next);
    let catalog = node.catalog.load_full();
    let (topic, _) = catalog.topic("t").unwrap();
    assert_eq!(catalog.vector(topic, &next).next, [510; 3]);
    assert_eq!(node.metrics.partitions.get(), 3);
    let node = node.stop();
    assert!(node.metrics.cpu_ns.get() > 0);
}

#[test]
fn earliest_reads_what_is_there() {
    let mock = mock(&[("t", 1)]);
    let mut feed = Feed::new(&mock.settings());
    feed.send("t", 0, "k", 0, 100);
    let options = Options { from: From::Earliest, ..Options::default() };
    let mut node = IngestThreads::start(mock.settings(), &[route("t", "{key}")], &options);
    node.until("100 messages", |node| node.messages() >= 100);
    assert_eq!(node.offsets()[&("k".to_owned(), 0)], (0..100).collect::<Vec<_>>());
    node.stop();
}

#[test]
fn headers_reach_templates_and_messages() {
    let mock = mock(&[("t", 1)]);
    let mut shown = route("t", "{header:kind}.{key}");
    shown.headers = vec!["trace".to_owned()];
    let mut node = IngestThreads::ready(mock.settings(), &[shown], &Options::default());
    let mut feed = Feed::new(&mock.settings());
    let headers: [(&str, &[u8]); 2] = [("trace", b"abc"), ("kind", b"fx")];
    let record =
        NewRecord { key: Some(b"EUR"), value: Some(b"1"), headers: &headers, ..NewRecord::default() };
    feed.queue("t", &record);
    feed.queue("t", &NewRecord { headers: &headers[..1], ..record });
    feed.flush();
    node.until("both", |node| node.metrics.records.get() == 2 && node.messages() == 1);
    assert_eq!(node.seen[0].channel, "fx.EUR");
    assert_eq!(node.metrics.odd.no_header.get(), 1);
    node.stop();
}

#[test]
fn an_unknown_topic_is_told_and_picked_up_when_it_is_created() {
    let mock = mock(&[("there", 1)]);
    let routes = [route("there", "{key}"), route("later", "{key}.later")];
    let mut node = IngestThreads::ready(mock.settings(), &routes, &Options::default());
    assert_eq!(node.reasons(), ["topic_unknown (later)"]);
    let (answer, _) = node.hold(0, "k.later");
    assert_eq!(answer.outcome.unwrap().topics.len(), 2, "one may subscribe before the topic is there");
    mock.create_topic("later", 2).unwrap();
    // Before it is noticed: a topic found later is read from its beginning.
    let mut feed = Feed::new(&mock.settings());
    feed.send("later", 1, "k", 0, 10);
    node.until("10 messages", |node| node.messages() >= 10);
    assert_eq!(node.offsets()[&("k.later".to_owned(), 1)], (0..10).collect::<Vec<_>>());
    assert!(node.reasons().is_empty());
    node.stop();
}

#[test]
fn an_outage_is_told_and_nothing_is_lost_or_doubled() {
    let mock = mock(&[("t", 2)]);
    let mut node = IngestThreads::ready(mock.settings(), &[route("t", "{key}")], &Options::default());
    let mut feed = Feed::new(&mock.settings());
    feed.send("t", 0, "k", 0, 100);
    node.until("100 messages", |node| node.messages() >= 100);
    assert_eq!(node.metrics.broker_up.get(), 1);

    mock.broker_down(1).unwrap();
    let silence = node.within(Duration::from_secs(15), "stale", |node| !node.states.is_empty());
    assert!(silence >= Duration::from_secs(2), "too nervous: {silence:?}");
    assert!(matches!(node.states[0], DataState::Stale { lag_ms } if lag_ms >= 2_000), "{:?}", node.states);
    assert_eq!(node.reasons(), ["brokers_unreachable"]);
    assert!(node.health.is_ready(), "degraded, but serving what it has");
    assert_eq!((node.metrics.broker_up.get(), node.metrics.broker_losses.get()), (0, 1));
    // Lookups are answered as ever, for as long as the watcher's lookups take.
    let mut slowest = Duration::ZERO;
    for n in 0..100 {
        let (answer, spent) = node.hold(0, &format!("c{n}"));
        answer.outcome.unwrap();
        slowest = slowest.max(spent);
        node.look_for(Duration::from_millis(20));
    }
    assert!(slowest < Duration::from_millis(150), "an outage must not hold up answers: {slowest:?}");
    assert_eq!(node.states.len(), 1, "told again only every ten seconds");

    for number in 100..200_i64 {
        let value = number.to_string();
        let partition = Some(u32::try_from(number % 2).unwrap());
        let record =
            NewRecord { partition, key: Some(b"k"), value: Some(value.as_bytes()), ..NewRecord::default() };
        feed.queue("t", &record);
    }
    mock.broker_up(1).unwrap();
    node.until("live", |node| node.states.last() == Some(&DataState::Live));
    feed.flush();
    node.until("200 messages", |node| node.messages() >= 200);
    node.look_for(Duration::from_millis(300));
    let offsets = node.offsets();
    assert_eq!(offsets[&("k".to_owned(), 0)], (0..150).collect::<Vec<_>>());
    assert_eq!(offsets[&("k".to_owned(), 1)], (0..50).collect::<Vec<_>>());
    assert!(node.reasons().is_empty());
    assert_eq!(node.metrics.broker_up.get(), 1);
    assert!(node.gaps().is_empty());
    node.stop();
}

#[test]
fn an_idle_topic_is_live_again_without_a_record() {
    let mock = mock(&[("t", 1)]);
    let mut node = IngestThreads::ready(mock.settings(), &[route("t", "{key}")], &Options::default());
    mock.broker_down(1).unwrap();
    node.until("stale", |node| !node.states.is_empty());
    mock.broker_up(1).unwrap();
    node.within(Duration::from_secs(10), "live", |node| node.states.last() == Some(&DataState::Live));
    assert!(node.reasons().is_empty());
    node.stop();
}

#[test]
fn brokers_that_are_away_at_start_are_waited_for() {
    let mock = mock(&[("t", 1)]);
    let mut feed = Feed::new(&mock.settings());
    feed.send("t", 0, "k", 0, 5);
    mock.broker_down(1).unwrap();
    let mut node = IngestThreads::start(mock.settings(), &[route("t", "{key}")], &Options::default());
    node.until("a reason", |node| node.reasons() == ["brokers_unreachable"]);
    assert!(!node.health.is_ready());
    node.hold(0, "k").0.outcome.unwrap();
    mock.broker_up(1).unwrap();
    node.until("ready", |node| node.health.is_ready());
    feed.send("t", 0, "k", 5, 5);
    node.until("5 messages", |node| node.messages() >= 5);
    assert_eq!(node.offsets()[&("k".to_owned(), 0)], (5..10).collect::<Vec<_>>());
    assert_eq!(node.metrics.broker_losses.get(), 0, "what never was there is not lost");
    node.stop();
}

/// One shard's reader stands still: ingest waits, says so, answers all the same, and goes on once it has acknowledged.
#[test]
fn a_shard_that_stands_still_stops_ingest_and_nothing_else() {
    let mock = mock(&[("t", 1)]);
    let options = Options {
        shards: 2,
        slab: SlabSizes { bytes: 1 << 20, entries: 8_192, large_frame_bytes: 64 << 10 },
        ..Options::default()
    };
    let mut node = IngestThreads::ready(mock.settings(), &[route("t", "{key}")], &options);
    node.still[1] = true;
    let mut feed = Feed::new(&mock.settings());
    // More than the slab takes; less than the mock keeps.
    const COUNT: i64 = 12_000;
    feed.send("t", 0, "k", 0, COUNT);
    node.until("degraded", |node| node.reasons() == ["shard_behind"]);
    let stuck = node.messages();
    assert!(stuck < 9_000, "{stuck} came although a shard may still read the first");
    let (_, text) = node.health.snapshot().reasons[0].clone();
    assert!(text.contains("shard 1"), "{text}");
    assert!(node.metrics.waits.get() >= 1 && node.metrics.waiting_ms.get() >= 1_000);
    for shard in [0, 1] {
        let (answer, spent) = node.hold(shard, "lookup");
        answer.outcome.unwrap();
        assert!(spent < Duration::from_millis(200), "{spent:?}");
    }
    assert_eq!(node.messages(), stuck, "nothing is appended meanwhile");
    // What the still reader holds is what was written.
    let reader = &node.readers[1];
    let tail = reader.tail();
    assert!(tail > 1_000);
    let lens: usize = (0..tail).map(|sequence| reader.bytes(sequence, slab::NATIVE).bytes().len()).sum();
    assert!(lens > 0);

    node.still[1] = false;
    node.until("all messages", |node| node.messages() >= usize::try_from(COUNT).unwrap());
    assert_eq!(node.offsets()[&("k".to_owned(), 0)], (0..COUNT).collect::<Vec<_>>());
    node.until("no reason", |node| node.reasons().is_empty());
    assert_eq!(node.metrics.waiting_ms.get(), 0);
    node.stop();
}

#[test]
fn ingest_ends_also_while_it_waits_for_a_shard() {
    let mock = mock(&[("t", 1)]);
    let slab = SlabSizes { bytes: 1 << 20, entries: 8_192, large_frame_bytes: 64 << 10 };
    let mut node = IngestThreads::ready(
        mock.settings(),
        &[route("t", "{key}")],
        &Options { slab, ..Options::default() },
    );
    node.still[0] = true;
    let mut feed = Feed::new(&mock.settings());
    feed.send("t", 0, "k", 0, 12_000);
    node.until("ingest waits", |node| node.metrics.waiting_ms.get() > 50);
    node.stop();
}

#[test]
fn a_value_above_the_limit_stops_a_topic_whose_route_says_so() {
    let mock = mock(&[("stop", 1), ("gap", 1)]);
    let mut stopping = route("stop", "{key}");
    stopping.oversized = Oversized::Stop;
    let limits = Limits { record_value_bytes: 100, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let mut node = IngestThreads::ready(mock.settings(), &[stopping, route("gap", "{key}")], &options);
    let mut feed = Feed::new(&mock.settings());
    let large = format!("\"{}\"", "x".repeat(200));
    for topic in ["stop", "gap"] {
        feed.send(topic, 0, "k", 0, 3);
        let record = NewRecord { key: Some(b"k"), value: Some(large.as_bytes()), ..NewRecord::default() };
        feed.queue(topic, &record);
        feed.send(topic, 0, "k", 4, 3);
    }
    node.until("the other topic's", |node| node.seen.len() >= 3 + 7);
    node.until("a reason", |node| node.reasons() == ["topic_stopped (stop)"]);
    node.look_for(Duration::from_millis(300));
    assert_eq!(node.messages(), 3 + 6);
    let gaps = node.gaps();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].kind.as_str(), gaps[0].offset, gaps[0].to), ("oversized", 3, 3));
    node.stop();
}

#[test]
fn a_property_that_librdkafka_refuses_is_named() {
    let settings = kafka::Settings::new("127.0.0.1:1").with("no.such.property", "1");
    let failed = std::panic::catch_unwind(|| {
        IngestThreads::start(settings, &[route("t", "{key}")], &Options::default())
    });
    let panic = failed.err().unwrap();
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains("no.such.property"), "{text}");
}

#[test]
fn a_partition_without_its_leader_at_start_costs_only_itself() {
    let mock = MockCluster::start(2).unwrap();
    mock.create_topic("t", 2).unwrap();
    mock.set_leader("t", 0, 1).unwrap();
    mock.set_leader("t", 1, 2).unwrap();
    let mut feed = Feed::new(&mock.settings());
    feed.send("t", 1, "old", 0, 4);
    mock.broker_down(2).unwrap();
    let mut node = IngestThreads::start(mock.settings(), &[route("t", "{key}")], &Options::default());
    node.within(Duration::from_secs(10), "ready", |node| node.health.is_ready());
    feed.send("t", 0, "k", 0, 5);
    node.until("5 messages", |node| node.messages() >= 5);
    node.within(Duration::from_secs(10), "a reason", |node| !node.reasons().is_empty());
    assert_eq!(node.reasons(), ["partition_leaderless (t)"]);
    mock.broker_up(2).unwrap();
    node.until("no reason", |node| node.reasons().is_empty());
    feed.send("t", 1, "k", 0, 5);
    node.until("10 messages", |node| node.messages() >= 10);
    let offsets = node.offsets();
    assert_eq!(offsets[&("k".to_owned(), 0)], (0..5).collect::<Vec<_>>());
    assert_eq!(offsets[&("k".to_owned(), 1)], (4..9).collect::<Vec<_>>());
    let mut next = Vec::new();
    let tail = node.readers[0].tail();
    node.readers[0].positions_at(tail, &mut next);
    assert_eq!(next, [5, 9]);
    node.stop();
}

#[test]
fn a_new_leader_changes_nothing() {
    let mock = MockCluster::start(2).unwrap();
    mock.create_topic("t", 1).unwrap();
    mock.set_leader("t", 0, 1).unwrap();
    let mut node = IngestThreads::ready(mock.settings(), &[route("t", "{key}")], &Options::default());
    let mut feed = Feed::new(&mock.settings());
    for turn in 0..6 {
        feed.send("t", 0, "k", turn * 100, 100);
        mock.set_leader("t", 0, u32::try_from(turn % 2).unwrap() + 1).unwrap();
    }
    node.until("600 messages", |node| node.messages() >= 600);
    assert_eq!(node.offsets()[&("k".to_owned(), 0)], (0..600).collect::<Vec<_>>());
    assert!(node.gaps().is_empty() && node.states.is_empty(), "{:?}", node.states);
    node.stop();
}
