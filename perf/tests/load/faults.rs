//! A server that does one thing wrong to one client fails the run, and the right server passes it: the whole
//! load generator on real sockets and a real ring.

use std::time::Duration;

use perf::{Plan, Report, plan::Target, verify::Counts};

use crate::support::{Fault, MESSAGES, Served, nobody, serve};

const CLIENTS: u32 = 4;
const PER_CLIENT: u32 = 2;

fn run(fault: Fault, change: impl FnOnce(&mut Plan)) -> Report {
    run_against(&serve(fault), change)
}

fn run_against(served: &Served, change: impl FnOnce(&mut Plan)) -> Report {
    let addr = served.addr;
    let target = Target::parse(&format!("ws://{addr}/ws")).unwrap();
    let mut plan = Plan {
        clients: CLIENTS,
        channels: 3,
        per_client: PER_CLIENT,
        // One after the other, so that the second client is the second connection.
        connect_pending: 1,
        duration: Duration::from_millis(2_200),
        drain_wait: Duration::from_millis(300),
        ..Plan::new(target)
    };
    change(&mut plan);
    perf::run(&plan, None).unwrap()
}

fn faulty(fault: Fault) -> Report {
    run(fault, |_| {})
}

/// All messages that the clients shall get.
fn all() -> u64 {
    MESSAGES * u64::from(CLIENTS * PER_CLIENT)
}

#[test]
fn the_right_server_passes() {
    let report = faulty(Fault::None);
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.messages.checks, Counts { fresh: all(), ..Counts::default() });
    assert_eq!((report.connections.ready, report.connections.failed), (u64::from(CLIENTS), 0));
    assert_eq!(report.messages.measured, all());
    assert_eq!(report.latency.keyed.count, all());
    assert!(report.latency.all.percentiles[0].1 < 100.0, "{:?}", report.latency.all);
    assert!(report.connections.closes.is_empty());
}

#[test]
fn reading_every_few_ms_sees_the_same() {
    let report = run(Fault::None, |plan| plan.poll = Some(Duration::from_millis(30)));
    assert_eq!(report.messages.checks, Counts { fresh: all(), ..Counts::default() });
    assert_eq!(report.failures(), [""; 0]);
    assert!(
        report.messages.per_read > 1.5,
        "several messages wait for each look: {}",
        report.messages.per_read
    );
}

#[test]
fn two_threads_see_the_same() {
    let report = run(Fault::None, |plan| plan.threads = 2);
    assert_eq!(report.messages.checks, Counts { fresh: all(), ..Counts::default() });
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.connections.ready, u64::from(CLIENTS));
}

/// One address has about 28,000 ports to connect from.
#[test]
fn clients_come_from_several_addresses_in_turn() {
    let served = serve(Fault::None);
    let report = run_against(&served, |plan| (plan.source_addresses, plan.threads) = (3, 2));
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.messages.checks, Counts { fresh: all(), ..Counts::default() });
    let mut peers: Vec<String> = served.peers.try_iter().map(|peer| peer.to_string()).collect();
    peers.sort();
    assert_eq!(peers, ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"]);
}

#[test]
fn a_dropped_message_fails() {
    for seq in [0, 17, MESSAGES - 1] {
        let report = faulty(Fault::Drop(seq));
        assert_eq!(report.messages.checks.lost, 2, "number {seq} on both channels");
        assert_eq!(report.failures(), ["2 messages lost"]);
    }
}

#[test]
fn a_doubled_message_fails() {
    for seq in [0, 17, MESSAGES - 1] {
        let report = faulty(Fault::Double(seq));
        assert_eq!(report.messages.checks.duplicated, 2);
        assert_eq!(report.failures(), ["2 messages duplicated"]);
    }
}

#[test]
fn swapped_messages_fail() {
    for seq in [0, 17, MESSAGES - 2] {
        let report = faulty(Fault::Swap(seq));
        assert_eq!(report.messages.checks.disordered, 2);
        assert_eq!(report.failures(), ["2 messages out of order"]);
    }
}

#[test]
fn what_is_not_the_clients_fails() {
    let report = faulty(Fault::Foreign(9));
    assert_eq!(report.failures(), ["1 messages lost", "1 messages of channels not subscribed to"]);
    let report = faulty(Fault::Misroute(9));
    assert_eq!(report.failures(), ["1 messages lost", "1 messages with another channel's record"]);
}

#[test]
fn a_damaged_message_fails() {
    assert_eq!(faulty(Fault::Damage(9)).failures(), ["1 messages damaged"]);
}

#[test]
fn a_connection_that_ends_fails() {
    let report = faulty(Fault::Cut(20));
    assert_eq!(report.failures(), ["1 connections closed with 1006"]);
    assert_eq!(report.connections.cuts.len(), 1);
    assert_eq!(report.messages.checks.lost, 0, "of the others nothing is lost");
}

#[test]
fn a_refused_client_fails_by_its_reason() {
    assert_eq!(faulty(Fault::Deny).failures(), ["1 connections: channel refused: UNKNOWN_CHANNEL"]);
    assert_eq!(faulty(Fault::Refuse(503)).failures(), ["1 connections: refused: HTTP 503"]);
}

#[test]
fn an_expected_close_passes_and_an_unexpected_one_fails() {
    let served = serve(Fault::CloseAll(20));
    let report = run_against(&served, |plan| plan.expect_close = Some(1_001));
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(report.connections.closes, [(1_001, u64::from(CLIENTS))].into());
    assert_eq!(served.answers.load(std::sync::atomic::Ordering::SeqCst), CLIENTS as usize);
    assert_eq!(report.messages.checks.fresh, 20 * u64::from(CLIENTS * PER_CLIENT));
    let report = faulty(Fault::CloseAll(20));
    assert_eq!(report.failures(), ["4 connections closed with 1001"]);
    let report = run(Fault::None, |plan| plan.expect_close = Some(1_001));
    assert_eq!(report.failures(), ["0 of 4 connections closed with 1001"]);
}

#[test]
fn nobody_listening_is_a_failed_run_not_an_error() {
    let (_taken, free) = nobody();
    let plan = Plan::new(Target::parse(&format!("ws://{free}/ws")).unwrap());
    let report = perf::run(&plan, None).unwrap();
    assert_eq!(report.connections.failed, 1);
    assert!(report.failures()[0].contains("not connected: Connection refused"), "{:?}", report.failures());
}
