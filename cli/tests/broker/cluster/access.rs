//! The right to read one of two topics, given and taken while the server runs.

use std::time::Duration;

use proto::position::Vector;

use super::{
    brokers::Cluster,
    feed::Feed,
    outside::{client::Client, pause, within},
    scene::{MENDED, NAMED, Scene, server},
};

const ALICE: &str = "User:alice";

fn allow(cluster: &Cluster, topic: &str, operations: &[&str]) {
    acl(cluster, "--add", topic, operations);
}

fn forbid(cluster: &Cluster, topic: &str, operations: &[&str]) {
    acl(cluster, "--remove", topic, operations);
}

fn acl(cluster: &Cluster, what: &str, topic: &str, operations: &[&str]) {
    let mut arguments = vec![what, "--allow-principal", ALICE, "--topic", topic];
    arguments.extend(operations.iter().flat_map(|operation| ["--operation", *operation]));
    if what == "--remove" {
        arguments.push("--force");
    }
    cluster.kafka.tool("AclCommand", &arguments);
}

/// Flags for the SASL_SSL listener.
fn credentials(cluster: &Cluster) -> Vec<String> {
    let settings = cluster.kafka.sasl("SCRAM-SHA-512");
    let properties = settings.properties.iter().map(|(name, value)| format!("{name}={value}"));
    let flags = properties.flat_map(|property| ["--kafka".to_owned(), property]);
    flags.chain(["--brokers".to_owned(), settings.brokers.clone()]).collect()
}

#[test]
fn rights_given_and_taken() {
    let mut scene = Scene::begin("3. rights given and taken");
    let cluster = scene.cluster;
    cluster.topic("open", "1:2", &[]);
    cluster.topic("t-secret", "2:3", &[]);
    allow(cluster, "open", &["Read", "Describe"]);
    let settings = cluster.settings();
    let (open, secret) = (Feed::new(&settings, "open"), Feed::new(&settings, "t-secret"));
    secret.send(0, "k", 0, 0..10);

    let flags = credentials(cluster);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = server(&["open", "t-secret"], &[&["--from", "earliest"], &flags[..]].concat());
    let served = scene.ready(&server, Duration::from_secs(10));
    let mut others = served.then(|| Client::subscribed(server.public, &["open.k"]));
    open.send(0, "k", 0, 0..10);
    if let Some(others) = &mut others {
        scene.numbers(others, "open.k", 0..10, Duration::from_secs(10));
    }
    scene.named(&server, "topic_refused", "t-secret", None);

    allow(cluster, "t-secret", &["Read", "Describe"]);
    scene.not_named(&server, "topic_refused", "t-secret");
    if !scene.ready(&server, MENDED) {
        return scene.end(server);
    }
    let mut others = others.unwrap_or_else(|| Client::subscribed(server.public, &["open.k"]));
    // What was there before is read, so that the client gets only what comes.
    let read = || server.metric("ingest_records_total").unwrap_or(0.0) >= 20.0;
    scene.findings.came(within(MENDED, read), "both topics are read", || {
        format!("{:?} records", server.metric("ingest_records_total"))
    });
    let mut client = Client::subscribed(server.public, &["t-secret.k", "open.k"]);
    secret.send(0, "k", 0, 10..20);
    scene.numbers(&mut client, "t-secret.k", 10..20, MENDED);

    // Only reading is taken: the topic can still be seen.
    forbid(cluster, "t-secret", &["Read"]);
    pause(Duration::from_secs(1));
    secret.send(0, "k", 0, 20..30);
    scene.named(&server, "read_refused", "t-secret", Some(0));
    scene.told(&mut client, "stale", &["t-secret.k"], false, NAMED);
    scene.untold(&mut others, "a client of the other topic");
    open.send(0, "k", 0, 10..20);
    // Who comes now begins where reading stopped, and is told so.
    let mut late = Client::subscribed(server.public, &["t-secret.k"]);
    let begins = late.acks[0]["pos"][0].as_str().and_then(|text| Vector::parse(text).ok());
    scene.findings.check(
        begins.as_ref().is_some_and(|vector| vector.next == [20]),
        "an ack says only what was delivered",
        || format!("{begins:?} of {}", late.acks[0]),
    );
    let result = late.result("t-secret.k");
    scene.findings.check(result["stale"] == true, "and that the channel is stale", || result.to_string());
    allow(cluster, "t-secret", &["Read"]);
    secret.send(0, "k", 0, 30..40);
    scene.told(&mut client, "live", &["t-secret.k"], false, MENDED);
    scene.not_named(&server, "read_refused", "t-secret");
    scene.numbers(&mut client, "t-secret.k", 10..40, MENDED);
    scene.numbers(&mut late, "t-secret.k", 20..40, MENDED);

    // All rights, so that the topic cannot be seen either: that is no deletion.
    forbid(cluster, "t-secret", &["Read", "Describe"]);
    secret.send(0, "k", 0, 40..50);
    scene.told(&mut client, "stale", &["t-secret.k"], false, NAMED);
    allow(cluster, "t-secret", &["Read", "Describe"]);
    secret.send(0, "k", 0, 50..60);
    scene.numbers(&mut client, "t-secret.k", 10..60, MENDED);
    scene.told(&mut client, "live", &["t-secret.k"], false, MENDED);
    scene.untold(&mut others, "a client of the other topic");
    scene.end(server);
}
