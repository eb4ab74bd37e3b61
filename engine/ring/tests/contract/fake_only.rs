//! What the fake promises beyond the contract: the same run from the same seed, peers that misbehave, and disturbances
//! that do happen.

use ring::fake::{Disturbances, FakeNet, FakePeer, FakeRing};
use ring::{Completion, Event, Held, Key, Op, Outcome, ReceiveEnd, Ring, Send, Slot, Wait};

use crate::harness::{Driver, SMALL};

const A: Key = Key::new(1, 7);

fn connected(net: &FakeNet) -> (Driver<FakeRing>, Slot, FakePeer) {
    let mut driver = Driver::new(net.ring(&SMALL));
    let (descriptor, peer) = net.connect();
    let slot = driver.install(descriptor);
    (driver, slot, peer)
}

fn calm() -> FakeNet {
    FakeNet::new(0, Disturbances::NONE)
}

/// A run with everything in it, as text.
fn story(seed: u64) -> String {
    let net = FakeNet::new(seed, Disturbances::MANY);
    let mut ring = net.ring(&SMALL);
    let mut peers = Vec::new();
    let mut told = Vec::new();
    for index in 0..3 {
        let (descriptor, mut peer) = net.connect();
        peer.write(&[7; 3000]);
        let slot = ring.install(descriptor).unwrap();
        peers.push((slot, Key::new(index, 0), peer));
    }
    let mut armed = [false; 3];
    for _ in 0..40 {
        for (slot, key, _) in &peers {
            let armed = &mut armed[key.index() as usize];
            *armed = *armed || ring.push(Op::Receive { slot: *slot }, *key).is_ok();
        }
        let batch: Vec<Send<'_>> =
            peers.iter().map(|(slot, ..)| Send { slot: *slot, bytes: b"0123456789" }).collect();
        let mut outcomes = Vec::new();
        ring.send(&batch, &mut outcomes);
        told.push(format!("{outcomes:?}"));
        let mut out = Vec::new();
        ring.enter(Wait::No, &mut out).unwrap();
        told.push(format!("{out:?}"));
        for Completion { key, event } in out {
            match event {
                Event::Received(buffer) => ring.recycle(buffer),
                Event::ReceiveEnded(_) => armed[key.index() as usize] = false,
                other => panic!("{other:?}"),
            }
        }
    }
    told.join("\n")
}

#[test]
fn a_seed_tells_the_same_story_and_another_seed_another() {
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

#[test]
fn every_disturbance_happens() {
    let stories: String = (0..20).map(story).collect();
    for happened in ["Sent(3)", "NoBuffers", "Rearm", "len: 512", "[]"] {
        assert!(stories.contains(happened), "{happened}");
    }
    let net = FakeNet::new(0, Disturbances::MANY);
    let (mut driver, slot, _peer) = connected(&net);
    let refused = (0..100).filter(|_| driver.ring.push(Op::OutQueue { slot }, A).is_err()).count();
    assert!((1..=50).contains(&refused), "{refused}");
}

#[test]
fn late_completions_overtake_each_other_but_not_within_a_receive() {
    let late = Disturbances { late: 500, late_enters_max: 5, ..Disturbances::NONE };
    let net = FakeNet::new(5, late);
    let (mut driver, slot, mut peer) = connected(&net);
    for index in 0..50 {
        driver.push(Op::OutQueue { slot }, Key::new(index, 0));
    }
    driver.push(Op::Receive { slot }, A);
    for number in 0..50_u8 {
        peer.write(&[number]);
        driver.enter(Wait::No);
    }
    assert_eq!(driver.receive(slot, A, 50), (0..50).collect::<Vec<u8>>());
    let mut order = Vec::new();
    let mut out = Vec::new();
    let mut again = net.ring(&SMALL);
    let (descriptor, _other) = net.connect();
    let slot = again.install(descriptor).unwrap();
    for index in 0..50 {
        again.push(Op::OutQueue { slot }, Key::new(index, 0)).unwrap();
    }
    while order.len() < 50 {
        again.enter(Wait::No, &mut out).unwrap();
        order.extend(out.drain(..).map(|c| c.key.index()));
    }
    assert!(!order.is_sorted(), "{order:?}");
}

#[test]
fn what_a_stalled_peer_does_not_acknowledge_stays_in_the_send_queue() {
    let (mut driver, slot, mut peer) = connected(&calm());
    peer.set_window(100);
    driver.send_all(slot, &[1; 30], || ());
    peer.stall();
    let mut outcomes = Vec::new();
    driver.ring.send(&[Send { slot, bytes: &[2; 99] }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Sent(70)]);
    driver.ring.send(&[Send { slot, bytes: &[3; 99] }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Blocked]);
    driver.push(Op::OutQueue { slot }, A);
    assert_eq!(driver.next(A), Event::OutQueue(Ok(70)));
    assert_eq!(peer.read(), [1; 30]);
    assert_eq!(peer.read(), []);
    peer.resume();
    driver.push(Op::OutQueue { slot }, A);
    assert_eq!(driver.next(A), Event::OutQueue(Ok(0)));
    assert_eq!(peer.read(), [2; 70]);
}

#[test]
fn a_close_with_bytes_not_received_is_a_reset() {
    let (mut driver, slot, mut peer) = connected(&calm());
    peer.write(b"never received");
    driver.close(slot, A, false);
    assert!(peer.is_closed() && peer.was_reset() && !peer.has_fin());
    driver.expect_nothing_held();
}

#[test]
fn a_reset_drops_what_the_peer_has_not_acknowledged() {
    let (mut driver, slot, mut peer) = connected(&calm());
    driver.send_all(slot, b"arrived", || ());
    peer.stall();
    driver.send_all(slot, b"on its way", || ());
    driver.push(Op::ResetOnClose { slot }, A);
    assert_eq!(driver.next(A), Event::ResetOnClose(Ok(())));
    driver.close(slot, A, false);
    peer.resume();
    assert_eq!(peer.read(), b"arrived");
    assert!(peer.was_reset());
}

#[test]
fn sends_to_a_peer_that_went_away_are_taken_once_and_fail_then() {
    let (mut driver, slot, peer) = connected(&calm());
    driver.push(Op::Receive { slot }, A);
    drop(peer);
    assert_eq!(driver.next(A), Event::ReceiveEnded(ReceiveEnd::Eof));
    let mut outcomes = Vec::new();
    driver.ring.send(&[Send { slot, bytes: b"hello?" }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Sent(6)]);
    driver.ring.send(&[Send { slot, bytes: b"hello?" }], &mut outcomes);
    assert!(matches!(outcomes[0], Outcome::Failed(_)));
}

#[test]
fn a_peer_that_leaves_with_bytes_unread_resets() {
    let (mut driver, slot, peer) = connected(&calm());
    driver.push(Op::Receive { slot }, A);
    driver.send_all(slot, b"unread", || ());
    drop(peer);
    let reset = ring::Errno(libc::ECONNRESET);
    assert_eq!(driver.next(A), Event::ReceiveEnded(ReceiveEnd::Failed(reset)));
}

#[test]
fn a_ring_is_idle_when_only_others_can_give_it_work() {
    let (mut driver, slot, mut peer) = connected(&calm());
    assert!(driver.ring.is_idle());
    driver.push(Op::Receive { slot }, A);
    assert!(!driver.ring.is_idle(), "queued");
    driver.enter(Wait::No);
    assert!(driver.ring.is_idle());
    driver.ring.waker().wake();
    assert!(!driver.ring.is_idle(), "woken");
    driver.enter(Wait::No);
    assert!(driver.ring.is_idle());
    peer.write(b"x");
    assert!(!driver.ring.is_idle(), "bytes came");
}

#[test]
fn a_wait_ends_with_what_is_due_first() {
    let late = Disturbances { late: 1000, late_enters_max: 9, ..Disturbances::NONE };
    let (mut driver, slot, _peer) = connected(&FakeNet::new(0, late));
    driver.push(Op::OutQueue { slot }, A);
    let mut out = Vec::new();
    driver.ring.enter(Wait::Forever, &mut out).unwrap();
    assert_eq!(out.len(), 1);
}

#[test]
fn what_is_not_delivered_is_held() {
    let late = Disturbances { late: 1000, late_enters_max: 1, ..Disturbances::NONE };
    let (mut driver, slot, mut peer) = connected(&FakeNet::new(0, late));
    peer.write(b"x");
    driver.push(Op::Receive { slot }, A);
    driver.enter(Wait::No);
    assert_eq!(driver.ring.held(), Held { descriptors: 1, buffers: 1, ops: 1 });
}

#[test]
fn a_dropped_ring_and_a_dropped_descriptor_close() {
    let net = calm();
    let (driver, _slot, peer) = connected(&net);
    drop(driver);
    assert!(peer.is_closed() && peer.has_fin());
    let (descriptor, peer) = net.connect();
    drop(descriptor);
    assert!(peer.is_closed() && peer.has_fin());
}

#[test]
fn a_dropped_listener_resets_who_waited() {
    let net = calm();
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 80));
    let listener = net.listen(addr);
    let mut driver = Driver::new(net.ring(&SMALL));
    let slot = driver.install(net.socket());
    driver.push(Op::Connect { slot, addr }, A);
    assert_eq!(driver.next(A), Event::Connected(Ok(())));
    drop(listener);
    driver.push(Op::Receive { slot }, A);
    let reset = ring::Errno(libc::ECONNRESET);
    assert_eq!(driver.next(A), Event::ReceiveEnded(ReceiveEnd::Failed(reset)));
}
