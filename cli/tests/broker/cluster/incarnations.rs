//! Topics that are deleted, and made anew.

use std::{collections::BTreeMap, time::Duration};

use kafka::Admin;

use kafka_local::LONG;

use super::{
    brokers::Cluster,
    feed::Feed,
    judge,
    outside::{client::Client, pause, within},
    scene::{MENDED, NAMED, Scene},
};

const ROUNDS: u32 = 20;
/// What is read of an incarnation before the next one comes, and what the next one is filled with at once.
const READ: i64 = 100;
const REFILLED: i64 = 500;

/// Deletes a topic of one partition, makes it anew and fills it, as fast as that can be done; how long it took.
fn made_anew(cluster: &Cluster, admin: &Admin, topic: &str, incarnation: u32, count: i64) -> Duration {
    // Connected before the time counts, and yet to hear of the topic.
    let feed = Feed::new(&cluster.settings(), topic);
    pause(Duration::from_millis(300));
    let clock = perf::Clock::start();
    let begun_ns = clock.now_ns();
    admin.delete_topic(topic, LONG).unwrap();
    // The old one may still be known for a moment.
    let made = within(LONG, || admin.create_topic(topic, 1, 3, &[], LONG).is_ok());
    assert!(made.is_some(), "{topic} was not made anew");
    feed.send(0, "k", incarnation, 0..count);
    Duration::from_nanos(clock.now_ns() - begun_ns)
}

#[test]
fn twenty_rounds_of_a_topic_made_anew_and_refilled() {
    let mut scene = Scene::begin("4. a topic made anew and refilled, 20 rounds");
    let cluster = scene.cluster;
    cluster.admin().create_topic("again", 1, 3, &[], LONG).unwrap();
    let server = scene.server(&["again"], &[]);
    assert!(scene.ready(&server, MENDED), "a healthy cluster");
    let mut client = Client::subscribed(server.public, &["again.k"]);
    let mut counts = BTreeMap::new();
    let (admin, mut times) = (cluster.admin(), Vec::new());
    Feed::new(&cluster.settings(), "again").send(0, "k", 0, 0..READ);
    counts.insert(0, READ);
    let settled = |client: &mut Client, incarnation: u32, count: i64| {
        client.until(Duration::from_secs(20), |client| {
            let last = client.messages("again.k").last();
            last.is_some_and(|(_, data)| data["incarnation"] == incarnation && data["n"] == count - 1)
        })
    };
    settled(&mut client, 0, READ);
    // A round is two incarnations: one that the next outgrows, and one that outgrows the next.
    for incarnation in 1..ROUNDS * 2 {
        let count = if incarnation % 2 == 1 { REFILLED } else { READ };
        times.push(made_anew(cluster, &admin, "again", incarnation, count));
        counts.insert(i64::from(incarnation), count);
        if settled(&mut client, incarnation, count).is_none() {
            scene.findings.check(false, &format!("incarnation {incarnation} is read to its end"), || {
                format!("last {:?}, ended {:?}", client.heard.last(), client.ended)
            });
        }
    }
    client.until(Duration::from_secs(5), |_| false);
    let faults = judge::faults(&client, "again.k", &counts);
    times.sort();
    let (incarnations, median, longest) = (counts.len(), times[times.len() / 2], times[times.len() - 1]);
    scene.findings.check(
        faults.is_empty(),
        &format!("{incarnations} incarnations, made in {median:.1?} (median) to {longest:.1?}: every position is true"),
        || format!("{} faults: {}", faults.len(), faults.join("; ")),
    );
    scene.end(server);
}

#[test]
fn a_deleted_topic_is_told_and_comes_again() {
    let mut scene = Scene::begin("6. deletion");
    let cluster = scene.cluster;
    for topic in ["t-gone", "stays"] {
        cluster.admin().create_topic(topic, 1, 3, &[], LONG).unwrap();
    }
    let settings = cluster.settings();
    let server = scene.server(&["t-gone", "stays"], &[]);
    assert!(scene.ready(&server, MENDED), "a healthy cluster");
    let mut only = Client::subscribed(server.public, &["t-gone.k"]);
    let mut both = Client::subscribed(server.public, &["t-gone.k", "stays.k"]);
    let mut others = Client::subscribed(server.public, &["stays.k"]);
    Feed::new(&settings, "t-gone").send(0, "k", 0, 0..50);
    scene.numbers(&mut only, "t-gone.k", 0..50, MENDED);
    cluster.admin().delete_topic("t-gone", LONG).unwrap();
    scene.named(&server, "topic_unknown", "t-gone", None);
    scene.told(&mut only, "stale", &["t-gone.k"], true, NAMED);
    scene.told(&mut both, "stale", &["t-gone.k"], false, NAMED);
    scene.untold(&mut others, "a client of the other topic");

    cluster.admin().create_topic("t-gone", 1, 3, &[], LONG).unwrap();
    Feed::new(&settings, "t-gone").send(0, "k", 1, 0..20);
    scene.told(&mut only, "live", &["t-gone.k"], true, MENDED);
    scene.told(&mut both, "live", &["t-gone.k"], false, MENDED);
    scene.not_named(&server, "topic_unknown", "t-gone");
    for client in [&mut only, &mut both] {
        client.until(MENDED, |client| client.messages("t-gone.k").count() >= 70);
        let counts = BTreeMap::from([(0, 50), (1, 20)]);
        let faults = judge::faults(client, "t-gone.k", &counts);
        scene.findings.check(faults.is_empty(), "a reset, then the new incarnation from its start", || {
            faults.join("; ")
        });
    }
    Feed::new(&settings, "stays").send(0, "k", 0, 0..20);
    scene.numbers(&mut others, "stays.k", 0..20, MENDED);
    scene.end(server);
}
