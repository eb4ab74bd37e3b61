//! Partitions without a leader: their only replica is on a broker that was killed.

use std::time::Duration;

use super::{
    feed::Feed,
    outside::client::Client,
    scene::{MENDED, NAMED, Scene},
};

/// The first of these is when others must be served.
const SERVED: Duration = Duration::from_secs(10);

#[test]
fn leaderless_at_start() {
    let mut scene = Scene::begin("1. leaderless at start");
    scene.cluster.topic("t-alone", "3", &[]);
    scene.cluster.topic("well", "1:2", &[]);
    let settings = scene.cluster.settings();
    Feed::new(&settings, "t-alone").send(0, "k", 0, 0..10);
    scene.cluster.kill(3);
    scene.cluster.wait_for_leader("t-alone", "none");

    // From the earliest, so that it can be told where reading of the leaderless one has to begin.
    let server = scene.server(&["t-alone", "well"], &["--from", "earliest"]);
    let served = scene.ready(&server, SERVED);
    if served {
        let mut client = Client::subscribed(server.public, &["well.k"]);
        Feed::new(&settings, "well").send(0, "k", 0, 0..5);
        scene.numbers(&mut client, "well.k", 0..5, SERVED);
        let age = server.age();
        scene.findings.check(
            age < SERVED + Duration::from_secs(2),
            "the other topic's clients are served within 10 s",
            || format!("{age:?}"),
        );
        scene.untold(&mut client, "a client of the other topic");
    }
    scene.named(&server, "partition_leaderless", "t-alone", Some(0));
    let mut early = served.then(|| Client::subscribed(server.public, &["t-alone.k"]));
    if let Some(client) = &mut early {
        let result = client.result("t-alone.k");
        scene
            .findings
            .check(result["stale"] == true, "the ack says that the channel is stale", || result.to_string());
    }

    scene.cluster.restart(3);
    scene.not_named(&server, "partition_leaderless", "t-alone");
    scene.ready(&server, MENDED);
    let feed = Feed::new(&settings, "t-alone");
    feed.send(0, "k", 0, 10..20);
    if let Some(client) = &mut early {
        scene.told(client, "live", &["t-alone.k"], true, MENDED);
        // From where reading began: the start of the log.
        scene.numbers(client, "t-alone.k", 0..20, MENDED);
    } else {
        let mut client = Client::subscribed(server.public, &["t-alone.k"]);
        feed.send(0, "k", 0, 20..30);
        scene.numbers(&mut client, "t-alone.k", 20..30, MENDED);
    }
    scene.end(server);
}

#[test]
fn leader_lost_while_running() {
    let mut scene = Scene::begin("2. leader lost while running");
    scene.cluster.topic("t-lone", "3", &[]);
    scene.cluster.topic("other", "1:2", &[]);
    let settings = scene.cluster.settings();
    let server = scene.server(&["t-lone", "other"], &[]);
    assert!(scene.ready(&server, SERVED), "a healthy cluster");
    let mut only = Client::subscribed(server.public, &["t-lone.k", "t-lone.x"]);
    let mut both = Client::subscribed(server.public, &["t-lone.k", "other.k"]);
    let mut others = Client::subscribed(server.public, &["other.k"]);
    let (lone, other) = (Feed::new(&settings, "t-lone"), Feed::new(&settings, "other"));
    lone.send(0, "k", 0, 0..50);
    other.send(0, "k", 0, 0..50);
    scene.numbers(&mut only, "t-lone.k", 0..50, SERVED);

    scene.cluster.kill(3);
    // It waits in the producer until the broker is back.
    lone.queue(0, "k", 0, 50..100);
    other.send(0, "k", 0, 50..100);
    scene.numbers(&mut others, "other.k", 0..100, SERVED);
    scene.named(&server, "partition_leaderless", "t-lone", Some(0));
    scene.told(&mut only, "stale", &["t-lone.k", "t-lone.x"], true, NAMED);
    scene.told(&mut both, "stale", &["t-lone.k"], false, NAMED);
    scene.untold(&mut others, "a client of the other topic");
    let late = Client::subscribed(server.public, &["t-lone.k", "other.k"]);
    let results = [late.result("t-lone.k"), late.result("other.k")];
    let says = results[0]["stale"] == true && results[1]["stale"] != true;
    scene.findings.check(says, "an ack says which of its channels are stale", || format!("{results:?}"));

    scene.cluster.restart(3);
    lone.flush();
    lone.send(0, "k", 0, 100..150);
    scene.told(&mut only, "live", &["t-lone.k", "t-lone.x"], true, MENDED);
    scene.told(&mut both, "live", &["t-lone.k"], false, MENDED);
    scene.untold(&mut others, "a client of the other topic");
    scene.not_named(&server, "partition_leaderless", "t-lone");
    scene.numbers(&mut only, "t-lone.k", 0..150, MENDED);
    scene.numbers(&mut both, "t-lone.k", 0..150, MENDED);
    scene.numbers(&mut both, "other.k", 0..100, MENDED);
    scene.end(server);
}
