//! Short and refused enters, which no real kernel gives on demand: the ring is told to submit fewer entries.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use super::super::{KernelRing, Setup};
use super::*;
use crate::{Event, Key, Op, Ring, Wait};

const SETUP: Setup = Setup { entries: 8, completions: 16, buffers: 1, buffer_bytes: 64, descriptors: 4 };

fn ring_and_peer() -> (KernelRing, crate::Slot, UnixStream) {
    let mut ring = KernelRing::new(&SETUP).unwrap();
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let slot = ring.install(ours.into()).unwrap();
    ring.enter(Wait::No, &mut Vec::new()).unwrap();
    (ring, slot, peer)
}

fn arrived(peer: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(peer.read_to_end(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    bytes
}

#[test]
fn a_short_submit_is_followed_by_the_rest() {
    let (mut ring, slot, mut peer) = ring_and_peer();
    ring.submit_max = Some(3);
    let bytes = *b"abcdefghijk";
    let batch: Vec<Send<'_>> = bytes.chunks(1).map(|bytes| Send { slot, bytes }).collect();
    let mut outcomes = Vec::new();
    ring.send(&batch, &mut outcomes);
    assert_eq!(outcomes, [Outcome::Sent(1); 11]);
    assert_eq!(arrived(&mut peer), bytes);
}

#[test]
fn what_is_never_taken_is_withdrawn_wherever_it_stands_in_the_queue() {
    let (mut ring, slot, mut peer) = ring_and_peer();
    let mut outcomes = Vec::new();
    let mut expected = Vec::new();
    // The queue has 8 places, so these begin at each of them and go round its end.
    for round in 0_u8..50 {
        ring.submit_max = Some(0);
        let refused = vec![round; 100];
        let count = 1 + usize::from(round) % 5;
        ring.send(&vec![Send { slot, bytes: &refused }; count], &mut outcomes);
        assert_eq!(outcomes, vec![Outcome::Blocked; count]);
        assert_eq!(ring.queued() as usize, count, "no-ops, for the next submit");
        drop(refused);

        ring.submit_max = None;
        ring.send(&[Send { slot, bytes: &[round] }], &mut outcomes);
        assert_eq!(outcomes, [Outcome::Sent(1)]);
        expected.push(round);
    }
    assert_eq!(arrived(&mut peer), expected);
    assert_eq!(ring.strays(), 0);
    assert!(ring.ready.is_empty());
}

#[test]
fn a_part_that_was_taken_before_the_refusal_counts() {
    let (mut ring, slot, mut peer) = ring_and_peer();
    // One at a time would go on; so refuse after the first by a queue that is submitted by hand.
    ring.submit_max = Some(0);
    let mut outcomes = [Outcome::Failed(Errno(0)); 3];
    let mut part = Batch { generation: 77, outcomes: &mut outcomes, outstanding: 0 };
    for (index, bytes) in (0..).zip([b"1", b"2", b"3"]) {
        let token = Token::new(Kind::Send, 77, index);
        // SAFETY: the bytes are static.
        assert!(unsafe { ring.push_entry(&entry::of_send(&Send { slot, bytes }, token)) });
        part.outstanding += 1;
    }
    ring.submit_max = Some(1);
    ring.enter_kernel(3, 0, EnterFlags::empty(), None).unwrap();
    ring.submit_max = Some(0);
    ring.await_batch(&mut part);
    assert_eq!(outcomes, [Outcome::Sent(1), Outcome::Blocked, Outcome::Blocked]);
    ring.submit_max = None;
    ring.enter(Wait::No, &mut Vec::new()).unwrap();
    assert_eq!(arrived(&mut peer), b"1");
}

#[test]
fn ops_in_a_full_queue_come_back_when_the_kernel_refuses() {
    let (mut ring, slot, mut peer) = ring_and_peer();
    ring.submit_max = Some(0);
    let mut pushed = 0;
    let refused = loop {
        let op = Op::OutQueue { slot };
        match ring.push(op, Key::new(pushed, 0)) {
            Ok(()) => pushed += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((pushed, refused), (SETUP.entries, Op::OutQueue { slot }));
    assert_eq!(ring.held().ops, 8);
    // Nor can a send be put behind them.
    let mut outcomes = Vec::new();
    ring.send(&[Send { slot, bytes: b"x" }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Blocked]);
    // A sleep would never end, as the waker cannot be armed either, had it not been before.
    ring.submit_max = None;
    let mut out = Vec::new();
    while out.len() < 8 {
        ring.enter(Wait::Forever, &mut out).unwrap();
    }
    assert!(out.iter().all(|c| matches!(c.event, Event::OutQueue(_))));
    assert_eq!(arrived(&mut peer), b"");
    assert_eq!(ring.held().ops, 0);
}

#[test]
fn results_and_outcomes() {
    assert_eq!(outcome_of(0), Outcome::Sent(0));
    assert_eq!(outcome_of(1448), Outcome::Sent(1448));
    assert_eq!(outcome_of(-libc::EAGAIN), Outcome::Blocked);
    assert_eq!(outcome_of(-libc::EPIPE), Outcome::Failed(Errno(libc::EPIPE)));
}
