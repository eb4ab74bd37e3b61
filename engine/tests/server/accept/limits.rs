//! What one peer, or one shard, can do to the others: nothing.

use std::{io::Write, time::Duration};

use engine::accept::Phase;

use super::{
    client::{ask, connect, read_answer, upgrade},
    gate::{Gate, settings},
};

#[test]
fn a_slow_request_is_answered_408_while_it_is_still_coming() {
    let mut settings = settings();
    settings.upgrade_time = Duration::from_millis(300);
    let gate = Gate::open(&[10], settings);
    let mut slow = connect(gate.address);
    slow.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    slow.write_all(b"GET /ws HTTP/1.1\r\n").unwrap();
    let mut answered = [0];
    // A header byte every 20 ms, for ever: only the server can end this.
    while slow.peek(&mut answered).is_err() {
        slow.write_all(b"X").unwrap();
    }
    // Some more bytes behind its answer do not make it lose the answer.
    slow.write_all(b"XXXX").unwrap();
    slow.set_read_timeout(Some(super::client::PATIENCE)).unwrap();
    let answer = read_answer(&mut slow);
    assert_eq!(answer.status, 408);
    assert_eq!(gate.metrics.refused_too_slow.get(), 1);
}

#[test]
fn silence_is_answered_408() {
    let mut settings = settings();
    settings.upgrade_time = Duration::from_millis(100);
    let gate = Gate::open(&[10], settings);
    let mut silent = connect(gate.address);
    assert_eq!(read_answer(&mut silent).status, 408);
}

#[test]
fn a_request_in_single_bytes_is_understood() {
    let gate = Gate::open(&[10], settings());
    let mut client = connect(gate.address);
    client.set_nodelay(true).unwrap();
    for byte in upgrade("/ws").as_bytes() {
        client.write_all(&[*byte]).unwrap();
    }
    assert_eq!(read_answer(&mut client).status, 101);
    assert!(gate.handed_over(0).leftover.is_empty());
}

/// Before, it was upgraded if it came whole, and ran into the 408 if it came in pieces.
#[test]
fn a_bare_line_feed_is_refused_however_it_comes() {
    let gate = Gate::open(&[10], settings());
    let request = upgrade("/ws").replace("\r\n", "\n");
    for size in [1, 20, request.len()] {
        let mut client = connect(gate.address);
        client.set_nodelay(true).unwrap();
        for part in request.as_bytes().chunks(size) {
            // It may be refused by now.
            let _ = client.write_all(part);
        }
        let answer = read_answer(&mut client);
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (400, "a line ends without a CR"),
            "{size}: {answer:?}"
        );
    }
    assert_eq!(gate.loads(), [0]);
}

#[test]
fn who_leaves_during_the_handshake_is_counted_and_forgotten() {
    let mut gate = Gate::open(&[10], settings());
    let mut client = connect(gate.address);
    client.write_all(b"GET /ws HT").unwrap();
    drop(client);
    assert_eq!(ask(gate.address, &upgrade("/ws")).1.status, 101);
    gate.end();
    assert_eq!(gate.metrics.gone.get(), 1);
    assert_eq!(gate.metrics.handshakes.get(), 0);
}

#[test]
fn handshakes_are_bounded_and_more_wait_in_the_backlog() {
    let mut settings = settings();
    settings.handshakes = 4;
    let gate = Gate::open(&[10], settings);
    let mut silent: Vec<_> = (0..4).map(|_| connect(gate.address)).collect();
    let mut waiting = connect(gate.address);
    waiting.write_all(upgrade("/ws").as_bytes()).unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(waiting.peek(&mut [0]).is_err(), "nobody answers yet");
    assert_eq!(gate.metrics.accepted.get(), 4);
    silent.pop();
    waiting.set_read_timeout(Some(super::client::PATIENCE)).unwrap();
    assert_eq!(read_answer(&mut waiting).status, 101);
}

#[test]
fn refused_peers_that_stay_hold_no_place_of_others() {
    let mut settings = settings();
    settings.handshakes = 2;
    settings.lingering_refusals = 1;
    let gate = Gate::open(&[0], settings);
    // None of them closes. More than may linger, and more than may shake hands, are all answered.
    let mut clients: Vec<_> = (0..20).map(|_| connect(gate.address)).collect();
    for client in &mut clients {
        client.write_all(upgrade("/ws").as_bytes()).unwrap();
        assert_eq!(read_answer(client).status, 503);
    }
}

#[test]
fn a_lingering_refusal_ends_after_a_second() {
    let gate = Gate::open(&[0], settings());
    let mut client = connect(gate.address);
    client.write_all(upgrade("/ws").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client).status, 503);
    // The client never closes; bytes that come after the second meet a closed socket, which answers with a reset.
    let reset = (0..100).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        client.write_all(b"x").is_err()
    });
    assert!(reset, "the server holds the socket for ever");
}

#[test]
fn a_shard_with_a_full_inbox_delays_only_its_own() {
    let gate = Gate::start(&[100, 100], 1, settings(), Phase::Open);
    // Least load spreads them over both shards; the inboxes hold one each, and only shard 1 reads.
    let clients: Vec<_> = (0..20).map(|_| ask(gate.address, &upgrade("/ws"))).collect();
    assert!(clients.iter().all(|(_, answer)| answer.status == 101));
    let second: Vec<_> = (0..10).map(|_| gate.handed_over(1)).collect();
    assert_eq!(gate.loads(), [10, 10]);
    // Nothing was lost in the other.
    let first: Vec<_> = (0..10).map(|_| gate.handed_over(0)).collect();
    drop((first, second));
    assert_eq!(gate.loads(), [0, 0]);
}
