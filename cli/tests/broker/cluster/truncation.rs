//! An unclean election: the log is truncated below what we read, and grows again before we look.

use std::time::Duration;

use super::{
    brokers::Cluster,
    feed::Feed,
    outside::{client::Client, client::Heard, pause, within},
    scene::{MENDED, Scene},
};

/// The new leader has this many records; the old one had, and we read, twenty more.
const TRUNCATED_AT: i64 = 80;
const READ: i64 = 100;
/// How far each partition's log has grown again when the server looks: below, to, and past what it read.
const REGROWN: [i64; 3] = [90, READ, 120];

/// It does not look before the log has regrown, or it would find an end below its place, which is the easy case.
#[test]
fn a_log_cut_and_regrown_unseen() {
    truncation(Scene::begin("5a. unclean election, the log regrown before we look"), "unseen", true);
}

#[test]
fn a_log_cut_and_regrown_while_we_look() {
    truncation(Scene::begin("5b. unclean election, the log regrown while we look"), "watched", false);
}

fn truncation(mut scene: Scene, topic: &str, unseen: bool) {
    let cluster = scene.cluster;
    let config = ["unclean.leader.election.enable=true", "min.insync.replicas=1"];
    cluster.topic(topic, "2:3,2:3,2:3", &config);
    let settings = cluster.settings();
    let server = scene.server(&[topic], &[]);
    assert!(scene.ready(&server, MENDED), "a healthy cluster");
    let keys = ["p0", "p1", "p2"];
    let channels = keys.map(|key| format!("{topic}.{key}"));
    let mut client = Client::subscribed(server.public, &channels.each_ref().map(String::as_str));
    let feed = Feed::new(&settings, topic);
    let send = |feed: &Feed, incarnation: u32, from: i64, to: [i64; 3]| {
        for (partition, key) in (0..).zip(keys) {
            feed.queue(partition, key, incarnation, from..to[partition as usize]);
        }
        feed.flush();
    };
    send(&feed, 0, 0, [TRUNCATED_AT; 3]);
    cluster.kill(3);
    // Acknowledged as soon as the follower is out of the set, which takes its session.
    send(&feed, 0, TRUNCATED_AT, [READ; 3]);
    drop(feed);
    for channel in &channels {
        scene.numbers(&mut client, channel, 0..READ, MENDED);
    }

    if unseen {
        server.signal("STOP");
    }
    cluster.kill(2);
    cluster.restart(3);
    elect(cluster, topic);
    send(&Feed::new(&settings, topic), 1, TRUNCATED_AT, REGROWN);
    if unseen {
        server.signal("CONT");
    }
    for (channel, regrown) in channels.iter().zip(REGROWN) {
        client.until(MENDED, |client| numbers(client, channel, 1).last() == Some(&(regrown - 1)));
    }
    // And on, past what was read in all of them.
    let feed = Feed::new(&settings, topic);
    let last = READ + 50;
    for ((partition, key), from) in (0..).zip(keys).zip(REGROWN) {
        feed.queue(partition, key, 1, from..last);
    }
    feed.flush();
    for ((partition, channel), regrown) in (0..).zip(&channels).zip(REGROWN) {
        let came = client.until(MENDED, |client| numbers(client, channel, 1).last() == Some(&(last - 1)));
        let got = numbers(&client, channel, 1);
        let what = format!("regrown to {regrown}: each new record of {channel} comes once");
        scene.findings.check(got == (TRUNCATED_AT..last).collect::<Vec<_>>(), &what, || {
            format!(
                "{came:?} {:?}; got {} from {:?} to {:?}",
                client.ended,
                got.len(),
                got.first(),
                got.last()
            )
        });
        let told = reset(&client, channel, partition);
        let what = format!("regrown to {regrown}: a reset {TRUNCATED_AT}..{} comes before them", READ - 1);
        scene.findings.check(told == Some((TRUNCATED_AT, READ - 1)), &what, || {
            format!("{told:?} of {:?}", client.gaps(channel).collect::<Vec<_>>())
        });
    }
    scene.end(server);
}

/// Waits until broker 3 leads, uncleanly: by itself when it comes back, else because it is told to.
fn elect(cluster: &Cluster, topic: &str) {
    let leads = || {
        let said = cluster.kafka.tool("TopicCommand", &["--describe", "--topic", topic]);
        said.matches("Leader: 3").count() == 3
    };
    if within(Duration::from_secs(15), leads).is_some() {
        return;
    }
    for partition in ["0", "1", "2"] {
        let what = ["--election-type", "UNCLEAN", "--topic", topic, "--partition", partition];
        cluster.kafka.tool("LeaderElectionCommand", &what);
    }
    cluster.wait_for_leader(topic, "3");
    pause(Duration::from_millis(200));
}

/// Numbers of one writing of the log.
fn numbers(client: &Client, channel: &str, incarnation: u32) -> Vec<i64> {
    let mine = client.messages(channel).filter(|(_, data)| data["incarnation"] == incarnation);
    mine.map(|(_, data)| data["n"].as_i64().unwrap()).collect()
}

/// Bounds of the `reset` of a partition that came before any record of its new writing. A channel hears those of every
/// partition: any of them could have held its key.
fn reset(client: &Client, channel: &str, partition: u32) -> Option<(i64, i64)> {
    for heard in &client.heard {
        match heard {
            Heard::Message { channel: name, data, .. } if name == channel && data["incarnation"] == 1 => {
                return None;
            }
            Heard::Gap { channel: name, from, to, reason }
                if name == channel && reason == "reset" && from.partition == partition =>
            {
                return Some((from.offset, to.offset));
            }
            Heard::Message { .. } | Heard::Gap { .. } | Heard::Status { .. } | Heard::Other(_) => {}
        }
    }
    None
}
