//! Starting, open, draining, ended.

use std::io::{Read, Write};

use engine::accept::Phase;

use super::{
    client::{ask, connect, read_answer, upgrade},
    gate::{Gate, settings},
};

#[test]
fn before_the_start_positions_are_known_clients_are_sent_away() {
    let gate = Gate::start(&[10], 16, settings(), Phase::Starting);
    let (_, answer) = ask(gate.address, &upgrade("/ws"));
    assert_eq!((answer.status, answer.reason().as_str()), (503, "starting"));
    assert!(answer.header("Retry-After").is_some());
    assert_eq!(gate.metrics.refused_not_ready.get(), 1);
    gate.turn(Phase::Open);
    assert_eq!(ask(gate.address, &upgrade("/ws")).1.status, 101);
}

#[test]
fn while_draining_every_new_client_is_answered() {
    let mut gate = Gate::open(&[10], settings());
    let (_held, answer) = ask(gate.address, &upgrade("/ws"));
    assert_eq!(answer.status, 101);
    // The accept that is armed now was armed before the drain.
    gate.turn(Phase::Draining);
    for _ in 0..3 {
        let (_, answer) = ask(gate.address, &upgrade("/ws"));
        assert_eq!((answer.status, answer.reason().as_str()), (503, "draining"));
    }
    assert_eq!(gate.metrics.refused_draining.get(), 3);
    assert_eq!(gate.loads(), [1], "the held connection keeps its place");
    gate.end();
    assert!(std::net::TcpStream::connect(gate.address).is_err(), "the port is closed");
}

#[test]
fn who_is_in_a_handshake_at_the_end_is_answered() {
    let mut gate = Gate::open(&[10], settings());
    let mut silent = connect(gate.address);
    let mut partial = connect(gate.address);
    partial.write_all(b"GET /ws HTTP/1.1\r\n").unwrap();
    // Behind these two in the backlog: once it is answered, they are in their handshakes.
    assert_eq!(ask(gate.address, &upgrade("/ws")).1.status, 101);
    let answers = std::thread::spawn(move || [read_answer(&mut silent), read_answer(&mut partial)]);
    gate.end();
    for answer in answers.join().unwrap() {
        assert_eq!((answer.status, answer.reason().as_str()), (503, "draining"));
    }
    assert_eq!(gate.metrics.handshakes.get(), 0);
    assert_eq!(gate.metrics.lingering.get(), 0);
}

#[test]
fn a_shard_that_has_ended_leaves_its_new_client_with_a_close_frame() {
    let mut gate = Gate::open(&[10], settings());
    gate.inboxes.clear();
    let (mut client, answer) = ask(gate.address, &upgrade("/ws"));
    assert_eq!(answer.status, 101);
    let mut frame = Vec::new();
    client.read_to_end(&mut frame).unwrap();
    assert_eq!(frame[..4], [0x88, 10, 0x03, 0xe9], "close 1001");
    assert_eq!(&frame[4..], b"draining");
    gate.end();
    assert_eq!(gate.loads(), [0]);
}
