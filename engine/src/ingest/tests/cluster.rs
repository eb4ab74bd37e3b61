//! What ingest decides about Kafka, on a cluster whose every word is scripted: the real ingest and the real watcher, one
//! turn and one look at a time.

use std::{cell::RefCell, collections::BTreeMap, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use flume::{Receiver, Sender};
use kafka::{Ask, At, BrokerEvent, Delivery, Error, Flow, Headers, Read, Topic, TopicError, TopicId, Wanted};
use slab::{Gap, NATIVE, Reader, slab};
use sync::Waker;

use proto::{native::reply::GapReason, position::Position};

use super::{
    super::watcher::{Finding, Watcher},
    SMALL, parse, route,
};
use crate::{
    catalog::SharedCatalog,
    config::{Config, From},
    health::Health,
    inbox::{ChannelLookup, DataState, Status, ToIngest, ToShard},
    ingest::{Ingest, Rest, Setup, over},
    metrics::IngestMetrics,
};

const SECOND: u64 = 1_000_000_000;

/// A delivery to come.
#[derive(Debug, Clone)]
enum Script {
    Record(i64),
    Truncated(Option<i64>),
    Skipped,
    SkippedAt(i64),
    Refused,
    Doubt(Option<u8>),
}

#[derive(Debug, Default)]
struct State {
    /// The topic's id; none: it is not there.
    id: Option<u8>,
    /// The brokers know no ids yet.
    without_ids: bool,
    /// There is a third partition.
    grown: bool,
    refused: bool,
    leaderless: Vec<u32>,
    silent_leaders: Vec<u32>,
    start: i64,
    stable: i64,
    end: i64,
    /// By tag.
    deliveries: VecDeque<(u32, Script)>,
    assigned: BTreeMap<u32, (u32, i64)>,
    seeks: Vec<(u32, i64)>,
    /// The id by which the topic is read.
    reads: Option<u8>,
    positions: BTreeMap<u32, i64>,
    ends: BTreeMap<u32, i64>,
}

#[derive(Debug, Clone, Default)]
struct Cluster(Rc<RefCell<State>>);

impl Read for Cluster {
    fn assign(&mut self, _topic: &str, partition: u32, offset: i64, tag: u32) -> Result<(), Error> {
        let before = self.0.borrow_mut().assigned.insert(tag, (partition, offset));
        assert_eq!(before, None, "assigned twice");
        Ok(())
    }

    fn unassign(&mut self, tag: u32) -> Result<(), Error> {
        let mut state = self.0.borrow_mut();
        state.deliveries.retain(|(of, _)| *of != tag);
        state.assigned.remove(&tag).map(drop).ok_or(Error::Tag(tag))
    }

    fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error> {
        let mut state = self.0.borrow_mut();
        state.deliveries.retain(|(of, _)| *of != tag);
        state.seeks.push((tag, offset));
        Ok(())
    }

    fn drain(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> usize {
        let mut done = 0;
        while done < max {
            let Some((tag, script)) = self.0.borrow_mut().deliveries.pop_front() else { break };
            let text = "scripted";
            let delivery = match script {
                Script::Record(offset) => Delivery::Record(kafka::Record {
                    tag,
                    offset,
                    ts_ms: 0,
                    key: Some(b"k"),
                    value: Some(b"1"),
                    headers: Headers::of(&[]),
                }),
                Script::Truncated(at) => Delivery::Truncated { tag, at, text },
                Script::Skipped => Delivery::Skipped { tag, offset: -1, text },
                Script::SkippedAt(offset) => Delivery::Skipped { tag, offset, text },
                Script::Refused => Delivery::Refused { tag, text },
                Script::Doubt(id) => Delivery::Doubt { tag, id: id.map(|byte| TopicId([byte; 16])), text },
            };
            if on(delivery) == Flow::Again {
                self.0.borrow_mut().deliveries.push_front((tag, script));
                break;
            }
            done += 1;
        }
        done
    }

    fn position(&self, tag: u32) -> Option<i64> {
        self.0.borrow().positions.get(&tag).copied()
    }

    fn end(&self, tag: u32) -> Option<i64> {
        self.0.borrow().ends.get(&tag).copied()
    }

    fn news(&mut self) -> Vec<BrokerEvent> {
        Vec::new()
    }

    fn reads(&self, _tag: u32) -> Option<TopicId> {
        self.0.borrow().reads.map(|byte| TopicId([byte; 16]))
    }
}

impl Ask for Cluster {
    fn cluster_id(&self, _: Duration) -> Result<Option<String>, Error> {
        Ok(None)
    }

    fn topic(&self, _name: &str, _: Duration) -> Result<Topic, TopicError> {
        let state = self.0.borrow();
        if state.refused {
            return Err(TopicError::Refused("no right".to_owned()));
        }
        let id = state.id.ok_or(TopicError::Unknown)?;
        Ok(Topic {
            partitions: if state.grown { vec![0, 1, 2] } else { vec![0, 1] },
            leaderless: state.leaderless.clone(),
            id: (!state.without_ids).then_some(TopicId([id; 16])),
        })
    }

    fn offsets(&self, wanted: &[Wanted<'_>], _: Duration) -> Vec<Result<i64, Error>> {
        let state = self.0.borrow();
        let offset = |wanted: &Wanted<'_>| {
            assert!(
                !state.leaderless.contains(&wanted.partition),
                "a partition without a leader is asked for"
            );
            if state.silent_leaders.contains(&wanted.partition) {
                return Err(Error::Unreachable("scripted".to_owned()));
            }
            Ok(match wanted.at {
                At::Start => state.start,
                At::Stable => state.stable,
                At::End | At::Time(_) => state.end,
            })
        };
        wanted.iter().map(offset).collect()
    }

    fn probe(&self, _: Duration) -> bool {
        true
    }
}

struct World {
    cluster: Cluster,
    ingest: Ingest<Cluster, ()>,
    watcher: Watcher<Cluster, Cluster>,
    health: Arc<Health>,
    metrics: Arc<IngestMetrics>,
    pub(super) catalog: SharedCatalog,
    inbox: Receiver<ToShard<()>>,
    to_ingest: Sender<ToIngest>,
    reader: Reader,
    read: u64,
    now_ns: u64,
    /// What clients of all topics, or of one, were told.
    statuses: Vec<Status>,
}

impl World {
    /// One topic `t` of two partitions with the id 1, read from its end, which is at offset 10.
    fn new() -> Self {
        let cluster = Cluster::default();
        {
            let mut state = cluster.0.borrow_mut();
            (state.id, state.stable, state.end) = (Some(1), 10, 10);
        }
        let address = ([127, 0, 0, 1], 0).into();
        let mut config = Config::new(address, kafka::Settings::new("unused:1"), vec![route("t", "{key}")]);
        config.from = From::Latest;
        let (writer, mut readers) = slab(SMALL, 1);
        let (inbox, receiver) = flume::unbounded();
        let (to_ingest, lookups) = flume::unbounded();
        let (health, metrics, catalog) = (Arc::<Health>::default(), Arc::default(), SharedCatalog::default());
        let setup = Setup {
            config: &config,
            writer,
            links: vec![(inbox, Arc::new(Waker::unset()))],
            lookups,
            waker: Arc::new(Waker::unset()),
            catalog: Arc::clone(&catalog),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
        };
        let (ingest, watcher) = over(setup, cluster.clone(), cluster.clone(), cluster.clone());
        let world = Self {
            cluster,
            ingest,
            watcher,
            health,
            metrics,
            catalog,
            inbox: receiver,
            to_ingest,
            reader: readers.pop().unwrap(),
            read: 0,
            now_ns: SECOND,
            statuses: Vec::new(),
        };
        let lookup = ChannelLookup { shard: 0, name: "k".into(), modest: true };
        world.to_ingest.send(ToIngest::Lookup(lookup)).unwrap();
        world
    }

    /// The same, and both partitions are read.
    fn reading() -> Self {
        let mut world = Self::new();
        world.pass(1);
        assert!(world.health.is_ready());
        assert_eq!(world.with(|state| state.assigned.clone()), [(0, (0, 10)), (1, (1, 10))].into());
        world.seen();
        world
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.cluster.0.borrow_mut())
    }

    fn deliver(&mut self, tag: u32, scripts: &[Script]) {
        self.with(|state| state.deliveries.extend(scripts.iter().map(|script| (tag, script.clone()))));
        self.turn();
    }

    fn records(&mut self, tag: u32, offsets: std::ops::Range<i64>) {
        let scripts: Vec<_> = offsets.map(Script::Record).collect();
        self.deliver(tag, &scripts);
    }

    /// Ingest turns until it rests.
    fn turn(&mut self) {
        while self.ingest.turn(self.now_ns) == Rest::No {}
        for message in self.inbox.drain() {
            if let ToShard::Status(status) = message {
                self.statuses.push(status);
            }
        }
    }

    /// The watcher looks.
    fn look(&mut self) {
        assert!(self.watcher.look());
        self.turn();
    }

    /// Seconds pass: ingest does its duties in each, and the watcher looks.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_ns += SECOND;
            self.turn();
            self.look();
        }
    }

    /// What was published since the last call, as a subscriber would be told: `message` or the reason of a gap, partition,
    /// first and last offset.
    fn seen(&mut self) -> Vec<(String, u32, i64, i64)> {
        let tail = self.reader.tail();
        let catalog = self.catalog.load();
        let told = |sequence| {
            if let Some(Gap { source, from, to, reason }) = self.reader.entry(sequence).gap() {
                let reason = GapReason::from_code(reason).unwrap().as_str();
                return Some(gap(reason, catalog.sources[source as usize].partition, from, to));
            }
            let frame = parse(self.reader.bytes(sequence, NATIVE).bytes())?;
            let Position { partition, offset, .. } = Position::parse(frame["pos"].as_str()?).unwrap();
            Some(gap("message", partition, offset, offset))
        };
        let seen = (self.read..tail).filter_map(told).collect();
        self.read = tail;
        seen
    }

    fn next(&self, partition: usize) -> i64 {
        let catalog = self.catalog.load_full();
        let (topic, _) = catalog.topic("t").unwrap();
        self.ingest.bus().next_offsets(topic).nth(partition).unwrap()
    }

    fn reasons(&self) -> Vec<(String, String)> {
        let reasons = self.health.snapshot().reasons.into_iter();
        reasons.map(|(reason, text)| (reason.word().to_owned(), text)).collect()
    }

    fn reason_words(&self) -> Vec<String> {
        self.reasons().into_iter().map(|(word, _)| word).collect()
    }
}

fn gap(reason: &str, partition: u32, from: i64, to: i64) -> (String, u32, i64, i64) {
    (reason.to_owned(), partition, from, to)
}

fn messages(partition: u32, offsets: std::ops::Range<i64>) -> Vec<(String, u32, i64, i64)> {
    offsets.map(|offset| gap("message", partition, offset, offset)).collect()
}

#[test]
fn a_partition_without_a_leader_costs_only_itself() {
    let mut world = World::new();
    world.with(|state| state.leaderless = vec![1]);
    world.pass(1);
    assert!(world.health.is_ready(), "the other one can be read");
    assert_eq!(world.with(|state| state.assigned.clone()), [(0, (0, 10))].into());
    let catalog = world.catalog.load_full();
    let (topic, _) = catalog.topic("t").unwrap();
    assert_eq!(catalog.vector(topic, &[10]).next, [10, -1], "unresolved, and not left out");
    world.pass(5);
    assert_eq!(world.reasons(), [("partition_leaderless".to_owned(), "partition 1: no leader".to_owned())]);
    let stale = world.statuses.pop().unwrap();
    assert_eq!(stale.topic.as_deref(), Some("t"));
    assert!(matches!(stale.state, DataState::Stale { .. }), "{stale:?}");
    assert_eq!(world.statuses, []);
    world.records(0, 10..12);
    assert_eq!(world.seen(), messages(0, 10..12));
    world.with(|state| state.leaderless.clear());
    world.pass(2);
    assert_eq!(world.with(|state| state.assigned[&1]), (1, 10));
    assert_eq!(world.reasons(), []);
    assert_eq!(world.statuses.pop().unwrap().state, DataState::Live);
}

#[test]
fn a_leader_that_does_not_answer_holds_ready_up_for_three_looks_only() {
    let mut world = World::new();
    world.with(|state| state.silent_leaders = vec![0]);
    world.pass(2);
    assert!(!world.health.is_ready());
    world.pass(2);
    assert!(world.health.is_ready());
    assert_eq!(world.reason_words(), ["partition_leaderless"]);
    world.with(|state| state.silent_leaders.clear());
    world.pass(1);
    assert_eq!(world.with(|state| state.assigned.len()), 2);
    world.pass(1);
    assert_eq!(world.reasons(), []);
}

#[test]
fn a_topic_we_may_not_see_is_no_bar_to_ready() {
    let mut world = World::new();
    world.with(|state| state.refused = true);
    world.pass(1);
    assert!(world.health.is_ready());
    assert_eq!(world.reason_words(), ["topic_refused"]);
    world.pass(9);
    assert_eq!(world.statuses, [], "what never was there is not behind");
    world.with(|state| state.refused = false);
    world.pass(1);
    assert_eq!(world.with(|state| state.assigned.len()), 2);
    assert_eq!(world.reasons(), []);
}

#[test]
fn a_log_that_was_cut_is_read_from_where_it_was_cut() {
    let mut world = World::reading();
    world.records(0, 10..100);
    assert_eq!(world.seen().len(), 90);
    world.deliver(0, &[Script::Truncated(Some(80)), Script::Record(100)]);
    assert_eq!(world.seen(), [], "nothing until it is known that the topic is the same");
    world.look();
    assert_eq!(world.with(|state| state.seeks.pop()), Some((0, 80)), "where the logs part, not their end");
    world.records(0, 80..105);
    assert_eq!(world.seen(), [vec![gap("reset", 0, 80, 99)], messages(0, 80..105)].concat());
}

#[test]
fn where_nobody_tells_where_a_log_was_cut_all_of_it_may_be_void() {
    let mut world = World::reading();
    world.records(0, 10..20);
    world.seen();
    world.with(|state| (state.start, state.end) = (5, 30));
    world.deliver(0, &[Script::Truncated(None)]);
    world.look();
    world.look();
    assert_eq!(world.with(|state| state.seeks.pop()), Some((0, 5)));
    world.records(0, 5..7);
    assert_eq!(world.seen(), [vec![gap("reset", 0, 5, 19)], messages(0, 5..7)].concat());
}

#[test]
fn what_is_in_doubt_is_held_until_the_topic_is_confirmed() {
    let mut world = World::reading();
    // A look under way when the doubt comes up proves nothing: its mark is older.
    world.deliver(0, &[Script::Record(10), Script::Doubt(None), Script::Record(11)]);
    assert_eq!(world.seen(), messages(0, 10..11));
    world.records(1, 10..11);
    assert_eq!(world.seen(), messages(1, 10..11), "the other partition is read on");
    world.look();
    assert_eq!(world.with(|state| state.seeks.clone()), [(0, 11)], "what was dropped comes again");
    world.records(0, 11..13);
    assert_eq!(world.seen(), messages(0, 11..13));
}

#[test]
fn a_topic_made_anew_unseen_voids_what_no_look_has_confirmed() {
    let mut world = World::reading();
    world.records(0, 10..100);
    world.pass(2);
    // From here on it is another topic, and nothing shows it.
    world.records(0, 100..110);
    assert_eq!(world.seen().len(), 100);
    world.with(|state| {
        (state.id, state.start) = (Some(2), 0);
        state.ends = [(0, 500), (1, 10)].into();
    });
    world.look();
    assert_eq!(world.seen(), [gap("reset", 0, 100, 499), gap("reset", 1, 10, 10)]);
    assert_eq!(world.with(|state| state.assigned.clone()), [(2, (0, 0)), (3, (1, 0))].into());
    world.records(2, 0..3);
    assert_eq!(world.seen(), messages(0, 0..3));
}

#[test]
fn a_topic_whose_change_was_seen_loses_nothing_that_was_read() {
    let mut world = World::reading();
    world.records(0, 10..30);
    world.deliver(0, &[Script::Doubt(Some(2)), Script::Record(30)]);
    world.deliver(1, &[Script::Doubt(Some(2))]);
    world.seen();
    world.look();
    assert_eq!(
        world.with(|state| state.seeks.clone()),
        [],
        "a broker that has not heard of it proves nothing"
    );
    world.with(|state| state.id = Some(2));
    world.look();
    assert_eq!(world.seen(), [gap("reset", 0, 30, 30), gap("reset", 1, 10, 10)]);
    // The consumer hears of it last.
    world.deliver(2, &[Script::Doubt(Some(2)), Script::Record(0)]);
    assert_eq!(world.seen(), messages(0, 0..1));
}

#[test]
fn what_the_consumer_left_out_is_told() {
    let mut world = World::reading();
    world.deliver(0, &[Script::Record(10), Script::Skipped, Script::Record(15)]);
    let told = [messages(0, 10..11), vec![gap("unreadable", 0, 11, 14)], messages(0, 15..16)];
    assert_eq!(world.seen(), told.concat());
    world.deliver(0, &[Script::Skipped]);
    world.with(|state| state.positions.insert(0, 20));
    world.pass(1);
    assert_eq!(world.seen(), [gap("unreadable", 0, 16, 19)], "also where only control records follow");
    assert_eq!((world.next(0), world.metrics.unreadable_gaps.get()), (20, 2));
}

/// The consumer stands right in front of what it left out, behind control records: what is told begins there, and ends with
/// the next record.
#[test]
fn what_is_left_out_behind_control_records_is_told() {
    let mut world = World::reading();
    world.deliver(0, &[Script::Record(10), Script::SkippedAt(15)]);
    world.with(|state| state.positions.insert(0, 15));
    world.pass(1);
    world.deliver(0, &[Script::Record(18)]);
    let told = [messages(0, 10..11), vec![gap("unreadable", 0, 15, 17)], messages(0, 18..19)];
    assert_eq!(world.seen(), told.concat());
}

#[test]
fn reading_that_is_refused_is_told_until_it_is_over() {
    let mut world = World::reading();
    world.deliver(0, &[Script::Refused]);
    world.pass(4);
    assert_eq!(world.reason_words(), ["read_refused"]);
    assert!(world.reasons()[0].1.starts_with("partition 0: "), "{:?}", world.reasons());
    assert!(matches!(world.statuses.pop().unwrap().state, DataState::Stale { .. }));
    world.with(|state| state.ends.insert(0, 10));
    world.pass(1);
    assert_eq!(world.reasons(), [], "fetches are answered again");
    assert_eq!(world.statuses.pop().unwrap().state, DataState::Live);
    world.records(0, 10..12);
    assert_eq!(world.seen(), messages(0, 10..12), "no reset, nothing left out");
}

#[test]
fn an_open_transaction_is_named_with_the_offset_it_holds_back() {
    let mut world = World::reading();
    world.with(|state| {
        (state.stable, state.end) = (10, 15);
        state.ends.insert(0, 15);
    });
    world.pass(6);
    assert_eq!(world.reason_words(), ["transaction_open"]);
    let (_, text) = &world.reasons()[0];
    assert!(text.starts_with("partition 0: ") && text.contains("from offset 10 on"), "{text}");
    assert_eq!(world.metrics.lag_records.get(), 5);
    world.with(|state| state.stable = 15);
    world.records(0, 10..14);
    world.with(|state| state.positions.insert(0, 15));
    world.pass(1);
    assert_eq!(world.reasons(), []);
    assert_eq!(world.metrics.lag_records.get(), 0, "a control record is not behind");
}

#[test]
fn a_topic_that_is_deleted_is_told_and_its_next_life_is_read_from_its_beginning() {
    let mut world = World::reading();
    world.with(|state| state.id = None);
    world.pass(5);
    assert_eq!(world.reason_words(), ["topic_unknown"]);
    assert!(matches!(world.statuses.pop().unwrap().state, DataState::Stale { .. }));
    world.records(0, 10..11);
    assert_eq!(world.seen(), [], "held");
    world.with(|state| state.id = Some(7));
    world.pass(1);
    assert_eq!(world.reasons(), []);
    assert_eq!(world.seen(), [gap("reset", 0, 10, 10), gap("reset", 1, 10, 10)]);
    world.pass(1);
    assert_eq!(world.statuses.pop().unwrap().state, DataState::Live);
    world.records(2, 0..2);
    assert_eq!(world.seen(), messages(0, 0..2));
}

#[test]
fn a_topic_that_was_only_out_of_sight_goes_on() {
    let mut world = World::reading();
    world.with(|state| state.id = None);
    world.look();
    world.with(|state| state.id = Some(1));
    world.look();
    assert_eq!(world.with(|state| state.seeks.clone()), [(0, 10), (1, 10)]);
    world.records(0, 10..12);
    assert_eq!(world.seen(), messages(0, 10..12));
}

#[test]
fn what_the_consumer_reads_by_another_id_is_held() {
    let mut world = World::reading();
    // Created anew twice between two looks: the watcher finds the one, and the consumer reads the other already.
    world.with(|state| (state.id, state.reads) = (Some(2), Some(3)));
    world.look();
    world.seen();
    world.records(2, 0..3);
    assert_eq!(world.seen(), [], "of an incarnation that nobody knows yet");
    world.look();
    assert_eq!(world.with(|state| state.seeks.clone()), [], "seeing the same again proves nothing");
    world.with(|state| state.id = Some(3));
    world.look();
    assert_eq!(world.seen(), [gap("reset", 0, 0, 0), gap("reset", 1, 0, 0)]);
    world.records(4, 0..3);
    assert_eq!(world.seen(), messages(0, 0..3));
}

#[test]
fn a_consumer_that_hears_last_of_a_life_reads_it_then() {
    let mut world = World::reading();
    world.with(|state| (state.id, state.reads) = (Some(2), Some(1)));
    world.look();
    world.seen();
    world.records(2, 0..2);
    assert_eq!(world.seen(), [], "it still reads the old one");
    world.with(|state| state.reads = Some(2));
    world.deliver(2, &[Script::Doubt(Some(2))]);
    world.deliver(3, &[Script::Doubt(Some(2))]);
    world.look();
    assert_eq!(world.with(|state| state.seeks.clone()), [(2, 0), (3, 0)]);
    world.records(2, 0..2);
    assert_eq!(world.seen(), messages(0, 0..2));
}

/// The consumer tells a doubt before it brings the record again that found the slab full.
#[test]
fn a_doubt_while_the_slab_is_full_ends_when_it_is_not() {
    let mut world = World::reading();
    world.records(0, 10..400);
    assert!(world.ingest.bus().is_mid_record(), "the slab is full");
    let mut seen = world.seen();
    world.with(|state| {
        state.deliveries.push_front((1, Script::Doubt(None)));
        state.deliveries.push_front((0, Script::Doubt(None)));
    });
    world.turn();
    let floor = world.reader.asked_floor();
    world.reader.acknowledge(floor);
    world.pass(3);
    assert!(!world.ingest.bus().is_mid_record());
    let Some(&(0, next)) =
        world.with(|state| state.seeks.iter().find(|(tag, _)| *tag == 0).copied()).as_ref()
    else {
        panic!("held for ever");
    };
    world.records(0, next..next + 3);
    seen.extend(world.seen());
    assert_eq!(seen, messages(0, 10..next + 3));
}

/// Its leader is known and silent: the answer about the topic comes a while before the one about the start.
#[test]
fn a_leader_that_goes_on_not_answering_is_one_fault() {
    let mut world = World::new();
    world.with(|state| state.silent_leaders = vec![1]);
    world.pass(3);
    assert_eq!(world.reason_words(), ["partition_leaderless"]);
    let (topic, epoch) = ("t".into(), world.catalog.load_full().topic("t").unwrap().1.epoch);
    let same = Finding::Same { topic, epoch, mark: 0, leaderless: Vec::new() };
    world.ingest.apply(same, world.now_ns);
    world.now_ns += SECOND;
    world.turn();
    assert_eq!(world.reason_words(), ["partition_leaderless"], "nothing has changed");
    world.with(|state| state.silent_leaders.clear());
    world.pass(2);
    assert_eq!(world.reason_words(), [""; 0]);
}

/// Brokers are upgraded and the topic grows between two looks.
#[test]
fn a_topic_that_grows_as_its_id_becomes_known_is_read_whole() {
    let mut world = World::new();
    world.with(|state| state.without_ids = true);
    world.pass(1);
    world.with(|state| (state.without_ids, state.grown) = (false, true));
    world.pass(3);
    let assigned: Vec<_> = world.with(|state| state.assigned.values().copied().collect());
    assert_eq!(assigned, [(0, 10), (1, 10), (2, 0)]);
    let catalog = world.catalog.load_full();
    assert!(catalog.sources[*catalog.topic("t").unwrap().1.sources.last().unwrap() as usize].from_start);
}

/// What is missing is looked for at the watcher's pace: its own finding is no reason to look at once.
#[test]
fn a_missing_topic_is_not_looked_for_without_a_pause() {
    let mut world = World::reading();
    world.with(|state| state.id = None);
    world.look();
    world.look();
    let asked = (0..5).filter(|_| {
        world.look();
        world.watcher.is_asked()
    });
    assert_eq!(asked.count(), 0, "it would look again at once");
}

/// Nor does the new log reach back to where reading stands.
#[test]
fn a_log_that_parts_somewhere_and_begins_later_leaves_no_hole_untold() {
    let mut world = World::reading();
    world.records(0, 10..13);
    world.with(|state| (state.start, state.stable, state.end) = (50, 60, 60));
    world.deliver(0, &[Script::Truncated(None)]);
    world.look();
    world.look();
    world.records(0, 50..52);
    let mut expected = messages(0, 10..13);
    expected.push(gap("retention", 0, 13, 49));
    expected.extend(messages(0, 50..52));
    assert_eq!(world.seen(), expected);
}
