//! `uringcast serve` on a real Kafka: what it says when the topic is missing or the brokers refuse it, and that it mends
//! itself.
//!
//! `cargo test -p uringcast --features broker-tests --test broker`

use std::time::Duration;

use kafka::{NewRecord, Producer, ProducerOptions};
use kafka_local::Kafka;

use crate::process::{Server, bare, get, upgraded, uringcast};

/// Waits until /health says this.
fn wait_for_health(server: &Server, words: &str) -> String {
    for _ in 0..600 {
        let health = get(server.admin, "/health");
        if health.contains(words) {
            return health;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!("no \"{words}\": {}", get(server.admin, "/health"));
}

fn drained(server: Server) {
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, 0, "{log}");
}

#[test]
fn a_real_broker_is_used_refused_lost_and_found() {
    let kafka = Kafka::start(&["--sasl"]);
    a_missing_topic_is_named_and_picked_up(&kafka);
    a_wrong_password_and_a_wrong_ca_are_named(&kafka);
    secrets_come_from_files(&kafka);
    check_tells_all_of_it_beforehand(&kafka);
    a_lost_broker_keeps_the_clients(&kafka);
}

fn a_missing_topic_is_named_and_picked_up(kafka: &Kafka) {
    let mut server =
        Server::start(uringcast(&["--route", "later={key}"]).args(["--brokers", &kafka.env["BROKERS"]]));
    // The listener accepts a moment after /health calls it ready.
    server.wait_for("ready");
    let health = wait_for_health(&server, "\"degraded\"");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(health.contains("topic_unknown") && health.contains("\"later\""), "{health}");
    // It serves what is there meanwhile.
    drop(upgraded(server.public));
    kafka.run(&["topic", "later", "1"]);
    wait_for_health(&server, "\"ready\"");
    drained(server);
}

/// A server on the SASL_SSL listener with one property changed.
fn secured(kafka: &Kafka, change: &str) -> Server {
    let mut command = uringcast(&["--route", "later={key}"]);
    Server::start(command.args(credentials(kafka, change)))
}

/// Flags for the SASL_SSL listener, one property changed.
fn credentials(kafka: &Kafka, change: &str) -> Vec<String> {
    let properties = [
        "security.protocol=SASL_SSL".to_owned(),
        "sasl.mechanism=SCRAM-SHA-512".to_owned(),
        format!("sasl.username={}", kafka.env["SASL_USER"]),
        format!("sasl.password={}", kafka.env["SASL_PASSWORD"]),
        format!("ssl.ca.location={}", kafka.env["CA"]),
        change.to_owned(),
    ];
    let flags = properties.into_iter().flat_map(|property| ["--kafka".to_owned(), property]);
    flags.chain(["--brokers".to_owned(), kafka.env["SASL_BROKERS"].clone()]).collect()
}

fn a_wrong_password_and_a_wrong_ca_are_named(kafka: &Kafka) {
    for (change, said) in [
        ("sasl.password=wrong".to_owned(), "uthentication"),
        (format!("ssl.ca.location={}", kafka.env["WRONG_CA"]), "certificate"),
    ] {
        let server = secured(kafka, &change);
        let health = wait_for_health(&server, "brokers_refuse");
        assert!(health.starts_with("HTTP/1.1 503") && health.contains(said), "{change}: {health}");
        server.signal("TERM");
        let (code, log) = server.end();
        assert_eq!(code, 0, "{log}");
        assert!(!log.contains(&kafka.env["SASL_PASSWORD"]), "the log shows a password");
    }
}

fn secrets_come_from_files(kafka: &Kafka) {
    let path = kafka.folder().join("password");
    std::fs::write(&path, format!("{}\n", kafka.env["SASL_PASSWORD"])).unwrap();
    let server = secured(kafka, &format!("sasl.password=@file:{}", path.display()));
    wait_for_health(&server, "\"ready\"");
    drained(server);
}

fn check_tells_all_of_it_beforehand(kafka: &Kafka) {
    let check = |topic: &str, change: &str| {
        let mut command = bare(&["check", "--lb-addr", "127.0.0.1:0", "--admin-addr", "none"]);
        command.args(["--route", &format!("{topic}={{key}}"), "--max-connections", "100"]);
        let output = command.args(credentials(kafka, change)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(&kafka.env["SASL_PASSWORD"]), "it shows a password");
        (output.status.code(), text)
    };
    let same = format!("sasl.username={}", kafka.env["SASL_USER"]);
    let (code, text) = check("later", &same);
    assert!(code == Some(0) && text.contains("later: 1 partitions"), "{text}");
    // A real broker gives topics ids.
    assert!(!text.contains("topic_id"), "{text}");
    let (code, text) = check("never", &same);
    assert!(code == Some(1) && text.contains("never: the topic does not exist"), "{text}");
    let wrong_ca = format!("ssl.ca.location={}", kafka.env["WRONG_CA"]);
    for (change, said) in [("sasl.password=wrong", "uthentication"), (&wrong_ca, "certificate")] {
        let (code, text) = check("later", change);
        assert!(code == Some(1) && text.contains("STOP  brokers") && text.contains(said), "{text}");
        assert!(text.contains("user, password, certificate and mechanism"), "{text}");
    }
    // A record from the future: ten minutes, for brokers refuse an hour.
    let producer = Producer::new(&kafka.settings(), &ProducerOptions::default()).unwrap();
    let ahead_ms = i64::try_from(engine::clock::Now::read().unix_ms).unwrap() + 600_000;
    let record = NewRecord { value: Some(b"1"), ts_ms: Some(ahead_ms), ..NewRecord::default() };
    producer.send(&producer.target("later").unwrap(), &record).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
    let (code, text) = check("later", &same);
    assert!(code == Some(0) && text.contains("warn  clock") && text.contains("partition 0"), "{text}");
}

fn a_lost_broker_keeps_the_clients(kafka: &Kafka) {
    let server =
        Server::start(uringcast(&["--route", "later={key}"]).args(["--brokers", &kafka.env["BROKERS"]]));
    wait_for_health(&server, "\"ready\"");
    let client = upgraded(server.public);
    kafka.run(&["kill", "1"]);
    let health = wait_for_health(&server, "brokers_unreachable");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains("\"connections\":1"), "{health}");
    kafka.run(&["restart", "1"]);
    let health = wait_for_health(&server, "\"ready\"");
    assert!(health.contains("\"connections\":1"), "{health}");
    drained(server);
    drop(client);
}
