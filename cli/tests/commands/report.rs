//! What `uringcast bench` makes of a run of the real server over a mock broker: page, baseline, comparison, latency.
use std::{
    path::Path,
    process::{Command, Output},
};

use kafka::MockCluster;
use serde_json::Value;

use crate::process::{Server, uringcast};

/// Exit code, standard output, and standard error.
fn bench(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uringcast"));
    command.arg("bench").args(args).env_remove("KAFKA_BROKERS");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A server whose topic `bench` is ready to be read.
fn serve(cluster: &MockCluster) -> Server {
    cluster.create_topic("bench", 2).unwrap();
    let args =
        ["--route", "bench={key}", "--kafka", "fetch.wait.max.ms=2", "--shards", "2", "--cores", "none"];
    let mut server = Server::start(uringcast(&args).args(["--brokers", &cluster.bootstrap()]));
    server.wait_for("ready");
    server
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What a page carries for its plots.
fn carried(page: &Path) -> Value {
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_run_over_time_and_two_side_by_side() {
    let cluster = MockCluster::start(1).unwrap();
    let server = serve(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (url, admin) = (format!("ws://{}/ws", server.public), server.admin.to_string());
    let brokers = cluster.bootstrap();
    for name in ["one", "two"] {
        let (json, html) = (file(&format!("{name}.json")), file(&format!("{name}.html")));
        let load = ["--producer", "--clients", "40", "--channels", "4", "--rate", "100", "--duration", "3s"];
        let where_ =
            ["--url", &url, "--brokers", &brokers, "--admin", &admin, "--json", &json, "--html", &html];
        let (code, out, error) = bench(&[&load[..], &where_].concat());
        assert_eq!(code, Some(0), "{out}{error}");
        assert_eq!(carried(html.as_ref()), self::json(json.as_ref()), "the page carries the report");
    }

    // What the clients saw and what the server says of itself agree: no name of a metric has changed.
    let report = json(file("one.json").as_ref());
    let series = &report["series"];
    let sum = |points: &Value, key: &str| {
        points.as_array().unwrap().iter().filter_map(|p| p[key].as_f64()).sum::<f64>()
    };
    let received = sum(&series["clients"], "received_per_second");
    assert!(
        (received - report["messages"]["received"].as_f64().unwrap()).abs() < 5.0,
        "{received} received in all"
    );
    assert!(sum(&series["clients"], "p99_ms") > 0.0);
    let samples = series["samples"].as_array().unwrap();
    assert!(samples.len() >= 4, "one a second: {samples:?}");
    for key in
        ["deliveries_per_second", "sends_per_second", "messages_per_send", "resident_bytes", "tcp_bytes"]
    {
        assert!(sum(&series["samples"], key) > 0.0, "no {key} in {samples:?}");
    }
    assert!(samples.iter().all(|sample| sample["shards"].as_array().unwrap().len() == 2), "{samples:?}");
    assert!(samples.iter().any(|sample| sample["threads"]["shard-0"].as_f64() > Some(0.0)), "{samples:?}");
    let ramp = report["connections"]["ramp"]["ready"].as_array().unwrap();
    assert_eq!(ramp.iter().filter_map(Value::as_u64).sum::<u64>(), 40);

    let (one, two, html) = (file("one.json"), file("two.json"), file("both.html"));
    let (code, out, error) = bench(&["compare-runs", &one, &two, "--html", &html]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(
        out.contains("A  one  PASSED") && out.contains("B / A") && out.contains("latency p99, ms"),
        "{out}"
    );
    let both = carried(html.as_ref());
    assert_eq!(both["reports"][1]["name"], "two");
    assert_eq!(both["reports"][0]["report"], report);
    let (code, _, error) = bench(&["compare-runs", &one, &html]);
    assert_eq!(code, Some(1));
    assert!(error.contains("both.html is not a report"), "{error}");
}

#[test]
fn one_message_at_a_time_beside_a_bare_consumer() {
    let cluster = MockCluster::start(1).unwrap();
    let server = serve(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latency.json");
    let (url, brokers) = (format!("ws://{}/ws", server.public), cluster.bootstrap());
    let what = ["latency", "--count", "50", "--interval", "10ms", "--kafka", "fetch.wait.max.ms=2"];
    let where_ = ["--url", &url, "--brokers", &brokers, "--json", file.to_str().unwrap()];
    let (code, out, error) = bench(&[&what[..], &where_].concat());
    assert_eq!(code, Some(0), "{out}{error}");
    let report = json(&file);
    for part in ["bare", "server", "difference"] {
        assert_eq!(report[part]["count"], 50, "{report}");
    }
    assert!(out.contains("through server") && out.contains("difference"), "{out}");
    let (code, _, error) = bench(&["latency", "--count", "0"]);
    assert_eq!((code, error.contains("count")), (Some(2), true), "{error}");
}

#[test]
fn the_floor_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("baseline.json");
    let small = ["baseline", "--connections", "20", "--size", "300", "--step", "20ms", "--repeats", "1"];
    let (code, out, error) = bench(&[&small[..], &["--json", file.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("64 messages a send") && out.contains("accept, close"), "{out}");
    let baseline = json(&file);
    assert_eq!(
        (&baseline["plan"]["frame_bytes"], baseline["ring"].as_array().unwrap().len()),
        (&300.into(), 4)
    );
    assert!(baseline["command"].as_str().unwrap().contains("bench baseline --connections 20"), "{baseline}");
    let (code, _, error) = bench(&["baseline", "--connections", "0"]);
    assert_eq!((code, error.contains("connections")), (Some(2), true), "{error}");
}
