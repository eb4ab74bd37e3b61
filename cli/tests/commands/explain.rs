//! `uringcast explain` as a process against a real server: what it tells, the reasons it finds, exit codes.

use std::{
    ffi::OsStr,
    net::{SocketAddr, TcpStream},
    os::unix::ffi::OsStrExt as _,
    time::Duration,
};

use kafka::{MockCluster, NewRecord, Producer, ProducerOptions};
use serde_json::Value;
use tungstenite::{Message, WebSocket};

use crate::process::{Server, bare, get, upgraded, uringcast};

const PATIENCE: Duration = Duration::from_secs(20);

/// Exit code and the answer as JSON.
fn explain(server: &Server, args: &[&str]) -> (i32, Value) {
    let output =
        bare(&["explain", "--json", "--admin", &server.admin.to_string()]).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), answer)
}

fn words(answer: &Value) -> Vec<&str> {
    let reasons = answer["reasons"].as_array().unwrap().iter();
    reasons.map(|reason| reason["reason"].as_str().unwrap()).collect()
}

/// These reasons and no other, and the exit code that goes with them.
fn reasons(server: &Server, args: &[&str], expected: &[&str]) -> Value {
    let (code, answer) = explain(server, args);
    assert_eq!(
        (words(&answer), code),
        (expected.to_vec(), i32::from(!expected.is_empty())),
        "{args:?}: {answer:#}"
    );
    answer
}

/// Waits until the reasons are these: what is found out by asking brokers takes a while.
fn reasons_soon(server: &Server, args: &[&str], expected: &[&str]) -> Value {
    explained_soon(server, args, |answer| words(answer) == expected);
    reasons(server, args, expected)
}

/// Waits until the answer is as expected; gives up in the end, for whoever looks next says what is wrong.
fn explained_soon(server: &Server, args: &[&str], expected: impl Fn(&Value) -> bool) {
    let clock = perf::Clock::start();
    let end_ns = clock.now_ns() + 20_000_000_000;
    while !expected(&explain(server, args).1) && clock.now_ns() < end_ns {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn mock() -> MockCluster {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("trades", 3).unwrap();
    cluster
}

fn ready(cluster: &MockCluster, args: &[&str]) -> Server {
    let mut command = uringcast(&["--shards", "2", "--brokers", &cluster.bootstrap()]);
    let mut server = Server::start(command.args(args));
    server.wait_for("ready");
    server
}

fn subscriber(server: SocketAddr, channel: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut client, _) = tungstenite::client(format!("ws://{server}/ws"), stream).unwrap();
    let request = serde_json::json!({"type": "subscribe", "id": 1, "data": {"channels": [channel]}});
    client.send(Message::text(request.to_string())).unwrap();
    hears(&mut client, "subscription_ack");
    client
}

/// The next message of this type.
fn hears(client: &mut WebSocket<TcpStream>, kind: &str) -> Value {
    loop {
        let message: Value = serde_json::from_str(client.read().unwrap().to_text().unwrap()).unwrap();
        if message["type"] == kind {
            return message;
        }
    }
}

fn produce(cluster: &MockCluster, value: &str) {
    let producer = Producer::new(&cluster.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("trades").unwrap();
    let record = NewRecord { key: Some(b"BTC"), value: Some(value.as_bytes()), ..NewRecord::default() };
    producer.send(&target, &record).unwrap();
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn a_record_that_arrives_is_followed_all_the_way() {
    let cluster = mock();
    let server = ready(&cluster, &["--route", "trades={key}.trade"]);
    let answer = reasons(&server, &["trades", "BTC"], &["nobody_subscribes"]);
    assert!(answer.to_string().contains("no client is subscribed to BTC.trade"), "{answer:#}");
    let mut clients: Vec<_> = (0..3).map(|_| subscriber(server.public, "BTC.trade")).collect();
    let answer = reasons(&server, &["trades", "BTC"], &[]);
    assert_eq!(answer["channels"][0]["newest"], Value::Null, "{answer:#}");

    produce(&cluster, "{}");
    let message = hears(&mut clients[0], "message");
    let answer = reasons(&server, &["trades", "BTC"], &[]);
    let channel = &answer["channels"][0];
    assert_eq!(channel["newest"]["pos"], message["pos"], "{answer:#}");
    assert_eq!(
        (&channel["newest"]["ts"], &channel["newest"]["topic"]),
        (&message["ts"], &Value::from("trades"))
    );
    assert_eq!(channel["subscribers"], 3, "{answer:#}");
    let by_shard: u64 =
        channel["shards"].as_array().unwrap().iter().map(|part| part["subscribers"].as_u64().unwrap()).sum();
    assert_eq!(by_shard, 3, "{answer:#}");
    assert_eq!(
        channel["shards"].as_array().unwrap().len(),
        2,
        "the least loaded shard gets the next: {answer:#}"
    );
    // The producer is librdkafka's.
    let partition = answer["expected"]["consistent"].as_u64().unwrap();
    assert!(message["pos"].as_str().unwrap().ends_with(&format!(".{partition}.0")), "{message} {answer:#}");
    let partition = &answer["partitions"][usize::try_from(partition).unwrap()];
    assert_eq!((&partition["state"], &partition["next"]), (&"reading".into(), &1.into()), "{answer:#}");

    let mut command = bare(&["explain", "trades", "BTC", "--admin", &server.admin.to_string()]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for said in [
        "record     topic trades, key BTC",
        "route      {key}.trade -> BTC.trade",
        "of 3 is read: from offset 0, next 1, ",
        "BTC.trade: 3 subscribers (shard 0: ",
        &format!("newest     BTC.trade: {} of trades", message["pos"].as_str().unwrap()),
        "No reason found",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_record_that_makes_no_channel_is_told_why() {
    let cluster = mock();
    let args = ["--route", "trades={key}.trade", "--limit-channel-name", "20B"];
    let server = ready(&cluster, &args);
    let answer = reasons(&server, &["other", "BTC"], &["not_routed"]);
    assert!(answer.to_string().contains("--route 'other=...'"), "{answer:#}");
    reasons(&server, &["trades"], &["no_key"]);
    let answer = reasons(&server, &["trades", "a key that is long"], &["name_too_long"]);
    assert!(answer.to_string().contains("24 bytes"), "{answer:#}");
    reasons(&server, &["trades", "BTC", "--partition", "3"], &["no_such_partition", "nobody_subscribes"]);
    let mut command = bare(&["explain", "--admin", &server.admin.to_string(), "trades"]);
    let output = command.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.code() == Some(1) && text.contains("REASON     key_not_utf8: {key}.trade: "),
        "{text}"
    );

    let server = ready(&cluster, &["--route", "trades={header:region}.{partition}"]);
    let _client = subscriber(server.public, "eu.1");
    reasons(&server, &["trades"], &["no_partition"]);
    reasons(&server, &["trades", "--partition=1"], &["no_header"]);
    reasons(&server, &["trades", "--partition=1", "--header", "region=eu"], &[]);
}

/// What the issue of every first day looks like: the key is there, but not as one thinks.
#[test]
fn keys_really_read_are_shown_for_a_key_that_nobody_produced() {
    let cluster = mock();
    let mut server = ready(&cluster, &["--route", "trades={key}.trade"]);
    let mut client = subscriber(server.public, "BTC.trade");
    let _other = subscriber(server.public, "65.trade");
    let producer = Producer::new(&cluster.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("trades").unwrap();
    for key in [&b"\"BTC\""[..], b"\0\0\0A", b"\0\0\0\xc8", b"\0\0\0\0\x2a\x06ETH", b"\x1b[2J", b"BTC"] {
        let value = if key == b"BTC" { &b"{\"a\":1,}"[..] } else { b"1" };
        producer
            .send(&target, &NewRecord { key: Some(key), value: Some(value), ..NewRecord::default() })
            .unwrap();
        producer.flush(PATIENCE).unwrap();
        if key == b"\x1b[2J" {
            // All of them are read before the one that arrives.
            explained_soon(&server, &["trades", "65"], |answer| answer["counted"]["bad_key"] == 4);
            reasons_soon(&server, &["trades", "BTC"], &["key_in_other_form"]);
        }
    }
    assert_eq!(hears(&mut client, "message")["data"], "{\"a\":1,}");
    let answer = reasons(&server, &["trades", "BTC"], &[]);
    assert_eq!(answer["keys"], serde_json::json!([]), "its channel has a message: {answer:#}");
    assert_eq!(answer["counted"], serde_json::json!({"bad_key": 4, "not_json": 1}), "{answer:#}");
    let output = bare(&["explain", "trades", "65", "--admin", &server.admin.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for said in [
        "\nkey read   \"BTC\", partition ",
        "\nkey read   \\x00\\x00\\x00\\xc8, partition ",
        ": an integer of 4 bytes: 200\n",
        ": Avro or another of a schema registry, schema id 42\n",
        "\nkey read   \\x1b[2J, partition ",
        "\nREASON     key_in_other_form: records have the key in another form",
        "\ncounted    bad_key 4, not_json 1 (this topic, since startup)\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // The first of each reason is in the log.
    let line = server.wait_for("record maps to no channel; further ones of this topic are only counted");
    // Which one is first depends on partitions.
    let text = line["text"].as_str().unwrap();
    assert!(line["reason"] == "bad_key" && text.contains("; it looks like "), "{line}");
    let line = server
        .wait_for("value does not match its route's payload; further ones of this topic are only counted");
    let words = "not JSON: key must be a string at line 1 column 8; it is sent as a string";
    assert!(line["topic"] == "trades" && line["partition"].is_u64() && line["offset"].is_u64(), "{line}");
    assert_eq!((&line["reason"], &line["text"]), (&"not_json".into(), &words.into()), "{line}");
    let metrics = get(server.admin, "/metrics");
    for line in [
        "uringcast_topic_bad_key_total{topic=\"trades\"} 4\n",
        "uringcast_topic_no_key_total{topic=\"trades\"} 0\n",
        "uringcast_ingest_bad_key_total 4\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn a_topic_that_is_not_read_is_told_why() {
    // Nobody listens there.
    let server = Server::start(&mut uringcast(&["--route", "trades={key}"]));
    let answer =
        reasons_soon(&server, &["trades", "BTC"], &["starting", "brokers_unreachable", "nobody_subscribes"]);
    assert_eq!(answer["expected"]["murmur2"], Value::Null, "its partitions are not known");

    let cluster = mock();
    let server = ready(&cluster, &["--route", "nowhere={key}", "--route", "trades={key}"]);
    reasons_soon(&server, &["nowhere", "BTC"], &["topic_unknown", "nobody_subscribes"]);
    reasons(&server, &["trades", "BTC"], &["nobody_subscribes"]);
}

#[test]
fn a_topic_that_was_stopped_is_told() {
    let cluster = mock();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("u.toml");
    let route = "[[route]]\ntopic = \"trades\"\nchannel = \"{key}\"\noversized = \"stop\"\n";
    std::fs::write(&file, route).unwrap();
    let server = ready(&cluster, &["--config", file.to_str().unwrap(), "--limit-record-value", "1KiB"]);
    let _client = subscriber(server.public, "BTC");
    reasons(&server, &["trades", "BTC"], &[]);
    produce(&cluster, &"x".repeat(2_000));
    let answer = reasons_soon(&server, &["trades", "BTC"], &["topic_stopped", "partition_ended"]);
    assert!(answer.to_string().contains("partition 0, 1, 2: no longer read"), "{answer:#}");
}

#[test]
fn a_server_that_drains_says_so() {
    let cluster = mock();
    let mut server = ready(&cluster, &["--route", "trades={key}", "--drain-timeout", "60s"]);
    // Clients that answer no close frame keep the drain busy.
    let clients: Vec<TcpStream> = (0..50).map(|_| upgraded(server.public)).collect();
    server.signal("TERM");
    server.wait_for("draining");
    let (code, answer) = explain(&server, &["trades", "BTC"]);
    assert_eq!((code, words(&answer)[0]), (1, "draining"), "{answer:#}");
    drop(clients);
}

#[test]
fn no_server_is_1_and_a_wrong_argument_2() {
    let run = |args: &[&str]| {
        let output = bare(&["explain"]).args(args).output().unwrap();
        assert!(output.stdout.is_empty(), "stdout is for answers");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["trades", "BTC", "--admin", "127.0.0.1:1"]);
    assert!(code == 1 && text.contains("127.0.0.1:1"), "{code}: {text}");
    let (code, text) = run(&["trades", "BTC", "--admin", "8081"]);
    assert!(code == 2 && text.contains("--admin"), "{code}: {text}");
    let (code, text) = run(&[]);
    assert!(code == 2 && text.contains("<TOPIC>"), "{code}: {text}");
    // Something else listens there: clients' port answers, but not to this.
    let server = Server::start(&mut uringcast(&["--route", "trades={key}"]));
    let public = server.public.to_string();
    let (code, text) = run(&["trades", "BTC", "--admin", &public]);
    assert!(code == 1 && text.contains(&public), "{code}: {text}");
    assert!(get(server.admin, "/explain?topic=t&nonsense=1").starts_with("HTTP/1.1 400 "));
}
