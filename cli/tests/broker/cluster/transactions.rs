//! A transaction that stays open holds its partition back, and nothing else.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use serde_json::{Value, json};

use kafka_local::LONG;

use super::{
    feed::Feed,
    outside::{client::Client, server::tells, within},
    scene::{MENDED, NAMED, Scene},
};

#[test]
fn an_open_transaction_is_named_and_then_committed() {
    let mut scene = Scene::begin("7. an open transaction");
    let cluster = scene.cluster;
    cluster.topic("books", "1:2,2:3", &[]);
    let settings = cluster.settings();
    let server = scene.server(&["books"], &[]);
    assert!(scene.ready(&server, MENDED), "a healthy cluster");
    let mut client = Client::subscribed(server.public, &["books.k", "books.free"]);
    let feed = Feed::new(&settings, "books");
    feed.send(0, "k", 0, 0..10);
    scene.numbers(&mut client, "books.k", 0..10, MENDED);

    let producer = transactional(&settings.brokers);
    producer.init_transactions(LONG).unwrap();
    producer.begin_transaction().unwrap();
    for n in 10..15 {
        let value = json!({"incarnation": 0, "n": n}).to_string();
        producer.send(BaseRecord::to("books").partition(0).key("k").payload(&value)).unwrap();
    }
    producer.flush(LONG).unwrap();
    // Behind it on the same partition, and on the other.
    feed.send(0, "k", 0, 15..20);
    feed.send(1, "free", 0, 0..20);
    scene.numbers(&mut client, "books.free", 0..20, Duration::from_secs(5));
    let mut found = Value::Null;
    let named = within(NAMED, || {
        let (_, health) = server.health();
        let reasons = [health["reasons"].clone(), server.explain("books", "k")["reasons"].clone()];
        let mut reasons = reasons.iter().filter_map(Value::as_array).flatten();
        found =
            reasons.find(|reason| tells(reason, "transaction_open", "books")).cloned().unwrap_or_default();
        !found.is_null()
    });
    let seen = || format!("{} {}", server.health().1, server.explain("books", "k")["reasons"]);
    if scene.findings.came(named, "/health or explain names transaction_open", seen) {
        let text = found["text"].as_str().unwrap_or_default();
        let numbers: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).collect();
        let told = numbers.contains(&"10") && text.contains(" for ") && text.ends_with(" s");
        scene.findings.check(told, "with its first offset, 10, and for how long", || found.to_string());
    }
    let held = client.numbers("books.k") == (0..10).collect::<Vec<_>>();
    scene.findings.check(held, "nothing behind it is delivered before it is decided", || {
        format!("{:?}", client.numbers("books.k"))
    });

    producer.commit_transaction(LONG).unwrap();
    scene.numbers(&mut client, "books.k", 0..20, MENDED);
    let lag = || server.metric("ingest_lag_records");
    let none = within(Duration::from_secs(10), || lag() == Some(0.0));
    scene.findings.came(none, "the lag is 0 afterwards", || format!("{:?}", lag()));
    let left = || server.explain("books", "k")["reasons"].to_string();
    let gone = within(MENDED, || !left().contains("transaction_open"));
    scene.findings.came(gone, "explain no longer names it", left);
    scene.end(server);
}

fn transactional(brokers: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("transactional.id", "check-cluster");
    // Longer than the scenario: Kafka ends it otherwise.
    config.set("transaction.timeout.ms", "300000").create().unwrap()
}
