//! `uringcast serve` as a process: exit codes, what it says when a setting is wrong, signals.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    process::Command,
};

use kafka::MockCluster;

use crate::process::{ROUTE, Server, ended, forbid_io_uring, get, upgraded, uringcast};

#[test]
fn a_wrong_setting_is_exit_code_2_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("u.toml");
    std::fs::write(&file, "[limits]\nchanels = 5\n").unwrap();
    let file = file.to_str().unwrap();
    let typed: [(&[&str], &[&str]); 8] = [
        (&["--shards", "none"], &["--shards"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--route", "trades={kex}"], &["--route", "{kex}"]),
        (&["--cores", "9999"], &["9999"]),
        (&["--config", file], &["u.toml", "limits.chanels", "limit-channels"]),
        (&["--config", "/no/such.toml"], &["/no/such.toml"]),
        (&["--kafka", "no.such.property=1"], &["no.such.property"]),
        (&["--kafka", "sasl.password=@file:/no/such/secret"], &["/no/such/secret"]),
    ];
    for (args, said) in typed {
        let (code, text) = ended(uringcast(&ROUTE).args(args));
        assert_eq!(code, 2, "{args:?}: {text}");
        for words in said {
            assert!(text.contains(words), "{args:?}: {text}");
        }
    }
    let (code, text) = ended(uringcast(&ROUTE).env("WS_MAX_CONNECTIONS", "lots"));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--max-connections") && text.contains("WS_MAX_CONNECTIONS"), "{text}");
    let (code, text) = ended(&mut uringcast(&[]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--route"), "a server without a route says how to name one: {text}");
}

#[test]
fn settings_at_odds_are_exit_code_2() {
    let (code, text) = ended(uringcast(&ROUTE).args(["--limit-record-value", "2MiB"]));
    assert_eq!(code, 2);
    assert!(text.contains("record value") && text.contains("sixteenth"), "{text}");
}

#[test]
fn a_taken_port_is_exit_code_1_and_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--lb-addr", "--admin-addr"] {
        let (code, text) = ended(uringcast(&ROUTE).args([flag, &address]));
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(&address) && text.contains("taken"), "{text}");
    }
}

#[test]
fn a_kernel_without_io_uring_is_exit_code_1_and_named() {
    for (errno, said) in [(libc::ENOSYS, "seccomp"), (libc::EPERM, "io_uring is disabled")] {
        // The filter holds for this one thread and what it starts.
        let (code, text) = std::thread::spawn(move || {
            forbid_io_uring(errno);
            ended(&mut uringcast(&ROUTE))
        })
        .join()
        .unwrap();
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("io_uring") && text.contains(said), "{text}");
    }
}

#[test]
fn the_predecessors_flags_and_variables_work() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uringcast"));
    command.args([
        "serve",
        "-shards",
        "1",
        "-lb-addr=127.0.0.1:0",
        "--admin-addr",
        "127.0.0.1:0",
        "--route",
        "trades={key}",
    ]);
    command.env("WS_MAX_CONNECTIONS", "77").env("KAFKA_BROKERS", "127.0.0.1:1").env("LOG_LEVEL", "info");
    let server = Server::start(&mut command);
    let metrics = get(server.admin, "/metrics");
    assert!(metrics.contains("uringcast_shard_capacity{shard=\"0\"} 77"), "{metrics}");
    assert!(!metrics.contains("shard=\"1\""));
    server.signal("TERM");
    assert_eq!(server.end().0, 0);
}

#[test]
fn either_signal_drains_and_exits_0() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("trades", 1).unwrap();
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(uringcast(&ROUTE).args(["--brokers", &cluster.bootstrap()]));
        server.wait_for("ready");
        let mut client = upgraded(server.public);
        server.signal(signal);
        // A close frame with 1001 and the end, whatever came before.
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        assert!(bytes.windows(2).any(|pair| pair == [0x03, 0xe9]), "{bytes:?}");
        let (code, log) = server.end();
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("nothing is held"), "{log}");
        assert!(!log.contains("ERROR"), "{log}");
    }
}

#[test]
fn without_brokers_it_waits_says_so_and_drains() {
    let mut server = Server::start(&mut uringcast(&ROUTE));
    let health = get(server.admin, "/health");
    assert!(health.contains("\"starting\""), "{health}");
    server.signal("TERM");
    server.wait_for("draining");
    assert_eq!(server.end().0, 0);
}

#[test]
fn a_second_signal_exits_at_once() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("trades", 1).unwrap();
    let mut server =
        Server::start(uringcast(&ROUTE).args(["--brokers", &cluster.bootstrap(), "--drain-timeout", "60s"]));
    server.wait_for("ready");
    // Clients that answer no close frame keep the drain busy.
    let clients: Vec<TcpStream> = (0..50).map(|_| upgraded(server.public)).collect();
    server.signal("TERM");
    server.wait_for("draining");
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, 1, "{log}");
    assert!(!log.contains("drained"), "{log}");
    drop(clients);
}
