//! `uringcast check` as a process: findings provoked for real, exit codes, and the same settings as serve.

use std::{net::TcpListener, process::Command};

use kafka::MockCluster;
use serde_json::Value;

use crate::process::{bare, ended, forbid_io_uring};

/// Settings that fit any host.
const SMALL: [&str; 12] = [
    "--json",
    "--wait",
    "3s",
    "--lb-addr",
    "127.0.0.1:0",
    "--admin-addr",
    "none",
    "--max-connections",
    "50",
    "--slab-size",
    "16MiB",
    "--shards=1",
];

fn check(args: &[&str]) -> Command {
    let mut command = bare(&["check"]);
    command.args(SMALL).args(["--brokers", "127.0.0.1:1", "--route", "trades={key}"]).args(args);
    command
}

/// Exit code and the report.
fn report(command: &mut Command) -> (i32, Value) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

/// Areas of the findings of a level.
fn findings<'a>(report: &'a Value, level: &str) -> Vec<&'a str> {
    let items = report["items"].as_array().unwrap().iter();
    let of_level = items.filter(|item| item["finding"]["level"] == level);
    of_level.map(|item| item["area"].as_str().unwrap()).collect()
}

fn mock() -> MockCluster {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("trades", 2).unwrap();
    cluster
}

#[test]
fn nothing_stops_a_server_whose_brokers_and_topics_are_there() {
    let cluster = mock();
    let (code, found) = report(&mut check(&["--brokers", &cluster.bootstrap()]));
    assert_eq!(findings(&found, "stop"), [""; 0], "{found:#}");
    assert_eq!((code, &found["ok"]), (0, &Value::Bool(true)));
    let seen = found.to_string();
    for fact in ["Linux ", "rings can be created", "trades: 2 partitions"] {
        assert!(seen.contains(fact), "{fact}: {found:#}");
    }
}

#[test]
fn a_topic_that_is_not_there_stops() {
    let cluster = mock();
    let (code, found) = report(&mut check(&["--brokers", &cluster.bootstrap(), "--route", "trade={key}"]));
    assert_eq!((code, findings(&found, "stop")), (1, vec!["topic"]), "{found:#}");
    assert!(found.to_string().contains("trade: the topic does not exist"), "{found:#}");
}

#[test]
fn brokers_that_do_not_answer_stop() {
    let (code, found) = report(&mut check(&[]));
    assert_eq!((code, findings(&found, "stop")), (1, vec!["brokers"]), "{found:#}");
    assert!(found.to_string().contains("127.0.0.1:1"), "{found:#}");
}

#[test]
fn a_taken_port_and_a_low_limit_stop() {
    let cluster = mock();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, found) = report(&mut check(&["--brokers", &cluster.bootstrap(), "--admin-addr", &address]));
    assert_eq!((code, findings(&found, "stop")), (1, vec!["port"]), "{found:#}");
    assert!(found.to_string().contains(&format!("{address} (--admin-addr) is in use")), "{found:#}");

    // 50 connections and 256 spare slots.
    let mut limited = Command::new("sh");
    let inner = check(&["--brokers", &cluster.bootstrap()]);
    limited
        .args(["-c", "ulimit -n 300 && exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    let (code, found) = report(&mut limited);
    assert_eq!((code, findings(&found, "stop")), (1, vec!["descriptors"]), "{found:#}");
    assert!(found.to_string().contains("LimitNOFILE=512"), "{found:#}");
}

#[test]
fn io_uring_that_is_forbidden_stops() {
    let cluster = mock();
    let brokers = cluster.bootstrap();
    // The filter holds for this one thread and what it starts.
    let (code, found) = std::thread::spawn(move || {
        forbid_io_uring(libc::EPERM);
        report(&mut check(&["--brokers", &brokers]))
    })
    .join()
    .unwrap();
    assert_eq!((code, findings(&found, "stop")), (1, vec!["io_uring"]), "{found:#}");
    assert!(found.to_string().contains("io_uring is disabled"), "{found:#}");
}

#[test]
fn it_takes_the_settings_of_serve_from_everywhere() {
    let cluster = mock();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("u.toml");
    std::fs::write(&file, "max-connections = 7\n[[route]]\ntopic = \"trades\"\nchannel = \"{key}\"\n")
        .unwrap();
    let mut command = bare(&["check", "--json", "--shards=1", "--lb-addr=127.0.0.1:0", "--admin-addr=none"]);
    command.arg("--config").arg(&file).env("KAFKA_BROKERS", cluster.bootstrap());
    let (code, found) = report(&mut command);
    assert_eq!(code, 0, "{found:#}");
    let seen = found.to_string();
    // 7 connections and 256 spare slots.
    assert!(seen.contains("a table of 263 ") && seen.contains(&cluster.bootstrap()), "{found:#}");

    let (code, text) = ended(&mut check(&["--kafka", "no.such.property=1"]));
    assert!(code == 2 && text.contains("no.such.property"), "{code}: {text}");
    let (code, text) = ended(&mut check(&["--limit-record-value", "2MiB"]));
    assert!(code == 2 && text.contains("sixteenth"), "{code}: {text}");
    let (code, text) = ended(bare(&["check"]).env("URINGCAST_SHARDS", "none"));
    assert!(code == 2 && text.contains("URINGCAST_SHARDS"), "{code}: {text}");
}

#[test]
fn a_person_reads_what_it_means_and_the_line_that_sets_it() {
    let mut command = bare(&["check", "--wait", "1s", "--route", "t={key}", "--brokers", "127.0.0.1:1"]);
    let output = command.args(["--lb-addr", "127.0.0.1:0", "--admin-addr", "none"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for words in
        ["STOP  brokers", "means: no record is read", "set:   --brokers", "to fix before serve can start"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}
