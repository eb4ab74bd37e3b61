//! Topics made anew, logs truncated, leaders lost and rights taken away, on real brokers.

use std::time::{Duration, Instant};

use crate::common::{Got, LONG, drain_until, numbered, offsets_in, produce, records};
use kafka::{Ask, At, Consumer, Delivery, Error, Flow, Read, TopicError, Wanted};
use kafka_local::Kafka;

use crate::common;
use crate::local::{start, start_with};

/// Until the answer is the one that is waited for.
fn until<T: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> T, is: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = ask();
        if is(&answer) {
            return answer;
        }
        assert!(start.elapsed() < LONG * 2, "{what}: {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Leader and follower of partition 0 of a topic with two replicas.
fn replicas(kafka: &Kafka, topic: &str) -> (String, String) {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    let mut config = ClientConfig::new();
    let client: BaseConsumer = config.set("bootstrap.servers", &kafka.env["BROKERS"]).create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), LONG).unwrap();
    let partition = &metadata.topics()[0].partitions()[0];
    let follower = partition.replicas().iter().find(|&&id| id != partition.leader()).unwrap();
    (partition.leader().to_string(), follower.to_string())
}

/// Adds rights of the SASL user to a topic (`--add`), or takes them away (`--remove --force`).
fn rights(kafka: &Kafka, change: &[&str], operations: &[&str], topic: &str) {
    let user = format!("User:{}", kafka.env["SASL_USER"]);
    let mut arguments = [change, &["--allow-principal", &user, "--topic", topic]].concat();
    arguments.extend(operations.iter().flat_map(|operation| ["--operation", *operation]));
    kafka.tool("AclCommand", &arguments);
}

#[test]
fn no_record_of_another_life_comes_before_a_doubt() {
    let kafka = start(&[]);
    let admin = kafka.admin();
    for round in 0..20 {
        let topic = format!("incarnation-{round}");
        kafka.topic(&topic, 1);
        produce(&kafka.settings(), &topic, 0, (0..100).map(|n| format!("old {n}")));
        let mut consumer = Consumer::new(&kafka.settings()).unwrap();
        consumer.assign(&topic, 0, 0, 1).unwrap();
        records(&mut consumer, 100);
        let old = consumer.reads(1);

        admin.delete_topic(&topic, LONG).unwrap();
        let _ = until("made anew", || admin.create_topic(&topic, 1, 1, &[], LONG), Result::is_ok);
        produce(&kafka.settings(), &topic, 0, (0..500).map(|n| format!("new {n}")));
        // Where the new one is shorter yet, the old offset is out of range.
        let got = drain_until(&mut consumer, |got| got.iter().any(|got| !got.is_doubt()));
        let doubt = got.iter().position(Got::is_doubt);
        let record = got.iter().position(|got| !got.is_doubt());
        assert!(doubt.is_some() && doubt < record, "round {round}: {:?}", &got[..got.len().min(4)]);
        assert!(consumer.reads(1).is_some() && consumer.reads(1) != old, "round {round}");
        // What the owner does then.
        consumer.unassign(1).unwrap();
        consumer.assign(&topic, 0, 0, 2).unwrap();
        let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 500);
        assert_eq!(offsets_in(&got), (0..500).collect::<Vec<_>>(), "round {round}");
        admin.delete_topic(&topic, LONG).unwrap();
    }
}

#[test]
fn a_topic_made_anew_is_read_though_its_epochs_begin_anew() {
    let kafka = start(&["--brokers", "3"]);
    kafka.run(&["topic", "epochs", "1", "--replication", "3"]);
    kafka.wait_for_topic("epochs");
    produce(&kafka.settings(), "epochs", 0, numbered(0..10));
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign("epochs", 0, 0, 1).unwrap();
    records(&mut consumer, 10);
    // Each leader that is killed raises the epoch.
    for broker in ["1", "2", "3"] {
        kafka.run(&["kill", broker]);
        std::thread::sleep(Duration::from_secs(4));
        kafka.run(&["restart", broker]);
    }
    produce(&kafka.settings(), "epochs", 0, numbered(10..20));
    records(&mut consumer, 10);

    let admin = kafka.admin();
    admin.delete_topic("epochs", LONG).unwrap();
    let _ = until("made anew", || admin.create_topic("epochs", 1, 3, &[], LONG), Result::is_ok);
    kafka.wait_for_topic("epochs");
    produce(&kafka.settings(), "epochs", 0, numbered(0..50));
    let got = drain_until(&mut consumer, |got| got.iter().any(Got::is_doubt));
    assert!(got[0].is_doubt(), "{got:?}");
    consumer.unassign(1).unwrap();
    consumer.assign("epochs", 0, 0, 2).unwrap();
    let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 50);
    assert_eq!(offsets_in(&got), (0..50).collect::<Vec<_>>());
    let ends = consumer.offsets(&[Wanted { topic: "epochs", partition: 0, at: At::End }], LONG);
    assert_eq!(ends, [Ok(50)]);
}

/// Reads to 100, has the log truncated to 80 by an unclean election and grown to `regrown`, and says what comes.
fn truncation(kafka: &Kafka, topic: &str, regrown: usize, renew: impl Fn(&mut Consumer)) -> Vec<Got> {
    let config = [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")];
    kafka.admin().create_topic(topic, 1, 2, &config, LONG).unwrap();
    let described = kafka.wait_for_topic(topic);
    assert_eq!(described.partitions, [0]);
    let (leader, follower) = replicas(kafka, topic);
    produce(&kafka.settings(), topic, 0, (0..80).map(|n| format!("both {n}")));
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign(topic, 0, 0, 1).unwrap();
    records(&mut consumer, 80);
    kafka.run(&["kill", &follower]);
    std::thread::sleep(Duration::from_secs(4));
    produce(&kafka.settings(), topic, 0, (80..100).map(|n| format!("lost {n}")));
    records(&mut consumer, 20);
    assert_eq!(consumer.position(1), Some(100));
    kafka.run(&["kill", &leader]);
    std::thread::sleep(Duration::from_secs(1));
    kafka.run(&["restart", &follower]);
    let end = Wanted { topic, partition: 0, at: At::End };
    let asker = Consumer::new(&kafka.settings()).unwrap();
    until("another leader", || asker.offsets(&[end], Duration::from_secs(2)), |found| found[0] == Ok(80));
    produce(&kafka.settings(), topic, 0, (80..regrown).map(|n| format!("new {n}")));
    renew(&mut consumer);
    let got = drain_until(&mut consumer, |got| got.iter().any(|got| !got.is_doubt()));
    kafka.run(&["restart", &leader]);
    got
}

#[test]
fn a_log_that_was_cut_is_told_with_the_place() {
    let kafka = start(&["--brokers", "3"]);
    for regrown in [90, 100, 130] {
        let got = truncation(&kafka, &format!("truncated-{regrown}"), regrown, |_| ());
        let last = got.last().unwrap();
        assert_eq!(*last, Got::Truncated { tag: 1, at: Some(80) }, "regrown to {regrown}: {got:?}");
    }
    // The owner has it go on where it stood: the check must not be lost.
    let got = truncation(&kafka, "sought", 100, |consumer| consumer.seek(1, 100).unwrap());
    assert_eq!(*got.last().unwrap(), Got::Truncated { tag: 1, at: Some(80) }, "{got:?}");
}

const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer \
                          super.users=User:ANONYMOUS broker.session.timeout.ms=3000";

#[test]
fn a_right_that_is_taken_away_and_given_again_is_told() {
    let kafka = start_with(&["--sasl"], AUTHORIZER);
    kafka.topic("guarded", 1);
    produce(&kafka.settings(), "guarded", 0, numbered(0..5));
    let settings = kafka.sasl("PLAIN");
    let mut consumer = Consumer::new(&settings).unwrap();
    let refused = until("refused", || consumer.topic("guarded", LONG), Result::is_err);
    assert!(matches!(refused, Err(TopicError::Refused(_))), "{refused:?}");
    let end = Wanted { topic: "guarded", partition: 0, at: At::End };
    let refused = consumer.offsets(&[end], LONG);
    assert!(matches!(refused[..], [Err(Error::Refused(_))]), "{refused:?}");

    rights(&kafka, &["--add"], &["Read", "Describe"], "guarded");
    let _ = until("seen", || consumer.topic("guarded", LONG), Result::is_ok);
    assert_eq!(consumer.offsets(&[end], LONG), [Ok(5)]);
    consumer.assign("guarded", 0, 0, 1).unwrap();
    records(&mut consumer, 5);

    // Reading alone, and then seeing as well.
    for (operations, next) in [(&["Read"][..], 5), (&["Read", "Describe"], 6)] {
        rights(&kafka, &["--remove", "--force"], operations, "guarded");
        if operations.len() == 1 {
            rights(&kafka, &["--add"], &["Describe"], "guarded");
        } else {
            let _ = consumer.topic("guarded", LONG);
        }
        let got = drain_until(&mut consumer, |got| got.iter().any(|got| !got.is_doubt()));
        assert!(matches!(got.last(), Some(Got::Refused { tag: 1, .. })), "{operations:?}: {got:?}");
        assert_eq!(consumer.position(1), Some(i64::try_from(next).unwrap()));
        // Nothing is produced meanwhile: the end of it is told by itself.
        rights(&kafka, &["--add"], &["Read", "Describe"], "guarded");
        let got = drain_until(&mut consumer, |got| got.last().is_some_and(Got::is_doubt));
        assert!(got.len() < 4, "{operations:?}: {got:?}");
        produce(&kafka.settings(), "guarded", 0, numbered(next..next + 1));
        let got = drain_until(&mut consumer, |got| !offsets_in(got).is_empty());
        assert_eq!(offsets_in(&got), [i64::try_from(next).unwrap()], "{operations:?}: {got:?}");
    }
}

#[test]
fn a_leader_that_is_lost_is_told_and_costs_no_other() {
    let kafka = start(&["--brokers", "3"]);
    kafka.topic("alone", 3);
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    for partition in 0..3 {
        consumer.assign("alone", partition, 0, partition).unwrap();
        produce(&kafka.settings(), "alone", partition, numbered(0..1));
    }
    records(&mut consumer, 3);
    kafka.run(&["kill", "2"]);
    let all: Vec<Wanted<'_>> =
        (0..3).map(|partition| Wanted { topic: "alone", partition, at: At::Stable }).collect();
    let got = drain_until(&mut consumer, |got| got.iter().any(Got::is_doubt));
    let [Got::Doubt { tag, text }] = &got[..] else { panic!("{got:?}") };
    assert!(text.contains("no leader"), "{text}");
    let topic = until(
        "leaderless",
        || consumer.topic("alone", LONG),
        |found| found.as_ref().is_ok_and(|topic| !topic.leaderless.is_empty()),
    );
    assert_eq!(topic.unwrap().leaderless, [*tag]);
    let start = Instant::now();
    for (partition, found) in consumer.offsets(&all, Duration::from_secs(5)).into_iter().enumerate() {
        let lost = partition == *tag as usize;
        assert!(if lost { matches!(found, Err(Error::Unreachable(_))) } else { found == Ok(1) }, "{found:?}");
    }
    println!("three partitions, one without a leader: {:?}", start.elapsed());
    kafka.run(&["restart", "2"]);
    let got = drain_until(&mut consumer, |got| got.iter().any(Got::is_doubt));
    assert!(matches!(&got[..], [Got::Doubt { tag: back, .. }] if back == tag), "{got:?}");
}

#[test]
fn another_client_goes_on_behind_errors_and_sees_a_cut() {
    let kafka = start(&[]);
    kafka.topic("again", 1);
    produce(&kafka.settings(), "again", 0, numbered(0..10));
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign("again", 0, 0, 1).unwrap();
    records(&mut consumer, 10);
    // Back with the epoch of the last record, as far as there is one.
    for offset in [10, 5, 0, 9] {
        consumer.seek(1, offset).unwrap();
        let missing = usize::try_from(10 - offset).unwrap();
        let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= missing);
        assert_eq!(offsets_in(&got), (offset..10).collect::<Vec<_>>());
    }
    let mut again = true;
    produce(&kafka.settings(), "again", 0, numbered(10..12));
    until(
        "taken",
        || {
            consumer.wait(Duration::from_millis(50));
            Read::drain(&mut consumer, usize::MAX, &mut |delivery| {
                assert!(matches!(delivery, Delivery::Record(_) | Delivery::Doubt { .. }), "{delivery:?}");
                if std::mem::take(&mut again) { Flow::Again } else { Flow::Next }
            });
            consumer.position(1)
        },
        |&position| position == Some(12),
    );
}

#[test]
fn an_added_partition_waits_for_one_fetch_at_most() {
    let kafka = start(&[]);
    kafka.topic("idle", 6);
    (1..6).for_each(|partition| produce(&kafka.settings(), "idle", partition, numbered(0..3)));
    let mut consumer = Consumer::new(&kafka.settings()).unwrap();
    consumer.assign("idle", 0, 0, 0).unwrap();
    for partition in 1..6 {
        // The broker is idle, and keeps the fetch under way for fetch.wait.max.ms.
        common::nothing(&mut consumer, Duration::from_millis(400));
        let start = Instant::now();
        consumer.assign("idle", partition, 0, partition).unwrap();
        records(&mut consumer, 3);
        let added = start.elapsed();
        let start = Instant::now();
        consumer.seek(partition, 1).unwrap();
        records(&mut consumer, 2);
        println!("added {added:?}, sought {:?}", start.elapsed());
        let start = Instant::now();
        produce(&kafka.settings(), "idle", 0, numbered(0..1));
        let produced = start.elapsed();
        records(&mut consumer, 1);
        println!("a record of an idle partition: produced in {produced:?}, read in {:?}", start.elapsed());
    }
}
