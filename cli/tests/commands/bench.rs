//! `uringcast bench` and `uringcast produce` as programs: exit codes, files, worker processes, records.
use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Output, Stdio},
    time::Duration,
};

use kafka::{Delivery, MockCluster, Settings};

use crate::support::{Fault, MESSAGES, serve};

/// All messages that four clients with two channels each shall get.
const ALL: u64 = MESSAGES * 4 * 2;

fn uringcast(command: &str) -> Command {
    let mut uringcast = Command::new(env!("CARGO_BIN_EXE_uringcast"));
    uringcast.arg(command).env_remove("KAFKA_BROKERS");
    uringcast
}

/// Exit code and both outputs of `uringcast bench` with four clients against a server that errs so.
fn bench(fault: Fault, more: &[&str]) -> (Option<i32>, String) {
    let mut command = uringcast("bench");
    command.args(["--listen-only", "--clients", "4", "--channels", "3", "--per-client", "2"]);
    command.args([
        "--connect-pending",
        "1",
        "--warmup",
        "0",
        "--duration",
        "2200ms",
        "--drain-wait",
        "300ms",
    ]);
    let Output { status, stdout, stderr } =
        command.args(["--url", &format!("ws://{}/ws", serve(fault).addr)]).args(more).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn a_right_server_is_0_a_wrong_one_1_and_a_wrong_argument_2() {
    let (code, text) = bench(Fault::None, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("PASSED"), "{text}");
    for (fault, why) in [
        (Fault::Drop(7), "2 messages lost"),
        (Fault::Double(7), "2 messages duplicated"),
        (Fault::Swap(7), "2 messages out of order"),
        (Fault::Refuse(503), "refused: HTTP 503"),
    ] {
        let (code, text) = bench(fault, &[]);
        assert_eq!(code, Some(1), "{fault:?}: {text}");
        assert!(text.contains(why) && text.contains("FAILED"), "{fault:?}: {text}");
    }
    for (wrong, named) in [("--threads=9", "threads"), ("--rate=x", "--rate"), ("--producer", "--producer")] {
        let (code, text) = bench(Fault::None, &[wrong]);
        assert_eq!(code, Some(2), "{wrong}: {text}");
        assert!(text.contains(named), "{wrong}: {text}");
    }
}

#[test]
fn processes_add_up_and_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (json, hgrm) = (folder.path().join("r.json"), folder.path().join("r.hgrm"));
    let files = ["--json", json.to_str().unwrap(), "--hgrm", hgrm.to_str().unwrap()];
    let (code, text) = bench(Fault::None, &[&["--processes", "2", "--threads", "2"], &files[..]].concat());
    assert_eq!(code, Some(0), "{text}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["connections"]["ready"], 4);
    assert_eq!(report["messages"]["checks"]["fresh"], ALL);
    assert_eq!(report["latency"]["all"]["count"], ALL);
    assert!(report["command"].as_str().unwrap().contains("--processes 2"));
    assert!(std::fs::read_to_string(hgrm).unwrap().contains(&format!("Total count    = {ALL:12}")));
    let (code, text) = bench(Fault::Drop(3), &["--processes", "2"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("2 messages lost"), "{text}");
}

/// Key and value of all records of a topic of one partition, once there are `count`.
fn records(settings: &Settings, topic: &str, count: usize) -> Vec<(Option<String>, Option<String>)> {
    let mut consumer = kafka::Consumer::new(settings).unwrap();
    consumer.assign(topic, 0, 0, 7).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    // By the clock: every batch ends a wait, and on a busy machine each record may be a batch of its own.
    let clock = perf::Clock::start();
    let end_ns = clock.now_ns() + 30_000_000_000;
    while clock.now_ns() < end_ns {
        consumer.wait(Duration::from_millis(200));
        consumer.drain(1_000, &mut |delivery| {
            let Delivery::Record(record) = delivery else { return };
            records.push((record.key.map(text), record.value.map(text)));
        });
        if records.len() >= count {
            break;
        }
    }
    records
}

#[test]
fn lines_become_records() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("lines", 1).unwrap();
    let settings = Settings { brokers: cluster.bootstrap(), ..Settings::default() };
    let mut produce = uringcast("produce");
    produce.args(["--brokers", &settings.brokers, "--topic", "lines"]);
    let mut child = produce.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"BTC\t{\"price\":1}\nBTC\t\nno key").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "3 records acknowledged, 0 failed\n");
    let some = |text: &str| Some(text.to_owned());
    let expected = [(some("BTC"), some("{\"price\":1}")), (some("BTC"), None), (None, some("no key"))];
    assert_eq!(records(&settings, "lines", 3), expected);
}

#[test]
fn a_market_and_a_checkable_load_become_records() {
    let cluster = MockCluster::start(1).unwrap();
    for topic in ["m.prices", "m.trades", "m.scores", "bench"] {
        cluster.create_topic(topic, 1).unwrap();
    }
    let settings = Settings { brokers: cluster.bootstrap(), ..Settings::default() };
    let market = ["--market", "--prefix", "m.", "--rate", "400", "--duration", "1s"];
    let load = ["--rate", "100", "--broadcast-rate", "10", "--keys", "4", "--duration", "1s"];
    for arguments in [&market[..], &load] {
        let output =
            uringcast("produce").args(["--brokers", &settings.brokers]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for topic in ["m.prices", "m.trades", "m.scores"] {
        let records = records(&settings, topic, 10);
        assert!(records.len() >= 10, "{topic}: {}", records.len());
        for (key, value) in records {
            let value: serde_json::Value = serde_json::from_str(&value.unwrap()).unwrap();
            assert!(value.is_object() && key.is_some());
        }
    }
    let mut stamped = records(&settings, "bench", 111);
    assert_eq!(stamped.remove(0).1.unwrap(), "{}", "the first record only proves that the topic takes any");
    assert_eq!(stamped.len(), 110);
    let keys: BTreeSet<String> = stamped.into_iter().filter_map(|(key, _)| key).collect();
    assert_eq!(Vec::from_iter(keys), ["broadcast", "key-0", "key-1", "key-2", "key-3"]);
}

#[test]
fn a_broker_that_is_not_there_is_1_and_named() {
    let arguments = ["--brokers", "127.0.0.1:1", "--rate", "1", "--kafka", "message.timeout.ms=1000"];
    let output = uringcast("produce").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("127.0.0.1:1") || text.contains("bench"), "{text}");
}
