//! The contract, case by case.

use std::net::SocketAddr;
use std::time::Duration;

use ring::{
    Armed, Event, Held, InstallError, Key, Op, Outcome, ReceiveEnd, Ring, Send, Setup, Shutdown, Wait,
};

use crate::harness::{Driver, Peer, SMALL, World};

const A: Key = Key::new(1, 7);
const B: Key = Key::new(2, 7);

/// Defines every case as a test over a world.
macro_rules! cases {
    ($($name:ident,)*) => {
        macro_rules! contract {
            ($world:expr) => {
                $(
                    #[test]
                    fn $name() {
                        $crate::suite::$name(&$world);
                    }
                )*
            };
        }
        pub(crate) use contract;
    };
}

cases! {
    bytes_go_both_ways,
    a_batch_has_its_outcomes_in_order,
    a_batch_larger_than_the_queue_is_split,
    an_empty_batch_is_nothing,
    a_full_socket_takes_a_part_and_then_nothing,
    a_poll_tells_when_there_is_room_again,
    the_end_of_the_peers_bytes_is_told_once,
    a_reset_ends_the_receive_and_fails_sends,
    a_cancel_ends_what_is_armed,
    a_cancel_does_not_meet_what_is_pushed_after_it,
    a_cancel_of_nothing_is_answered,
    shutdown_sends_a_fin_after_what_was_sent,
    shutdown_of_reading_ends_the_receive,
    nothing_can_be_sent_after_a_shutdown,
    receives_end_without_buffers_and_begin_again,
    an_idle_receive_holds_no_buffer,
    many_bytes_through_few_buffers,
    a_woken_ring_returns,
    the_send_queue_of_a_reading_peer_becomes_empty,
    a_close_can_be_a_reset,
    a_closed_slot_is_used_again_under_another_name,
    a_full_table_says_so_and_gives_the_descriptor_back,
    a_connect_reaches_a_listener,
    a_connect_to_nobody_is_refused,
    more_pushes_than_entries_are_submitted_on_the_way,
    completions_of_others_are_kept_by_a_send,
    everything_is_given_back,
    two_receives_on_a_slot_panic,
    two_polls_on_a_slot_panic,
    a_close_under_an_armed_receive_panics,
    a_send_on_a_closed_slot_panics,
    an_op_on_a_closing_slot_panics,
    a_buffer_of_another_ring_panics,
}

pub(crate) fn bytes_go_both_ways<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    peer.write(b"to the ring");
    assert_eq!(driver.receive(slot, A, 11), b"to the ring");
    driver.send_all(slot, b"to the peer", || ());
    assert_eq!(peer.read_exactly(11), b"to the peer");
    peer.write(b"again");
    assert_eq!(driver.receive(slot, A, 5), b"again");
    driver.close(slot, A, true);
    driver.expect_nothing_held();
}

pub(crate) fn a_batch_has_its_outcomes_in_order<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (d0, mut p0) = world.connect();
    let (d1, _p1) = world.connect();
    let (d2, mut p2) = world.connect();
    let slots = [d0, d1, d2].map(|d| driver.install(d));
    driver.push(Op::Shutdown { slot: slots[1], how: Shutdown::Write }, B);
    assert_eq!(driver.next(B), Event::ShutDown(Ok(())));
    let batch = [
        Send { slot: slots[0], bytes: b"one" },
        Send { slot: slots[1], bytes: b"two" },
        Send { slot: slots[2], bytes: b"three" },
        Send { slot: slots[0], bytes: b"four" },
    ];
    let mut outcomes = vec![Outcome::Blocked; 9];
    driver.ring.send(&batch, &mut outcomes);
    assert_eq!(outcomes.len(), 4, "one each, what was there before is gone");
    let sent = |outcome: Outcome| match outcome {
        Outcome::Sent(bytes) if bytes > 0 => bytes,
        other => panic!("{other:?}"),
    };
    let (one, three, four) = (sent(outcomes[0]), sent(outcomes[2]), sent(outcomes[3]));
    assert!(matches!(outcomes[1], Outcome::Failed(ring::Errno(libc::EPIPE))), "{outcomes:?}");
    if !world.is_disturbed() {
        assert_eq!((one, three, four), (3, 5, 4));
    }
    assert_eq!(p0.read_exactly(one + four), [&b"one"[..one], &b"four"[..four]].concat());
    assert_eq!(p2.read_exactly(three), b"three"[..three]);
}

pub(crate) fn a_batch_larger_than_the_queue_is_split<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let mut peers = Vec::new();
    let mut slots = Vec::new();
    for _ in 0..SMALL.descriptors {
        let (descriptor, peer) = world.connect();
        slots.push(driver.install(descriptor));
        peers.push(peer);
    }
    // 16 connections, 6 each, in 8 entries.
    let bytes: Vec<[u8; 4]> = (0_u32..96).map(u32::to_be_bytes).collect();
    let batch: Vec<Send<'_>> =
        bytes.iter().enumerate().map(|(i, b)| Send { slot: slots[i % 16], bytes: b }).collect();
    let mut outcomes = Vec::new();
    driver.ring.send(&batch, &mut outcomes);
    assert_eq!(outcomes.len(), 96);
    let mut expected = vec![Vec::new(); 16];
    for (i, outcome) in outcomes.iter().enumerate() {
        let Outcome::Sent(count) = *outcome else { panic!("{i}: {outcome:?}") };
        expected[i % 16].extend_from_slice(&bytes[i][..count]);
    }
    for (peer, expected) in peers.iter_mut().zip(expected) {
        assert_eq!(peer.read_exactly(expected.len()), expected);
    }
}

pub(crate) fn an_empty_batch_is_nothing<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let mut outcomes = vec![Outcome::Blocked];
    driver.ring.send(&[], &mut outcomes);
    assert_eq!(outcomes, []);
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.ring.send(&[Send { slot, bytes: b"" }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Sent(0)]);
}

/// Fills the socket; how much it took, and whether a send was short on the way.
fn fill<R: Ring>(driver: &mut Driver<R>, slot: ring::Slot, pattern: &[u8]) -> (usize, bool) {
    let mut outcomes = Vec::new();
    let mut taken = 0;
    let mut was_short = false;
    loop {
        let bytes = &pattern[taken % 251..];
        driver.ring.send(&[Send { slot, bytes }], &mut outcomes);
        match outcomes[0] {
            Outcome::Sent(count) => {
                was_short |= count < bytes.len();
                taken += count;
                assert!(taken < 10_000_000, "the socket takes without end");
            }
            Outcome::Blocked => return (taken, was_short),
            Outcome::Failed(errno) => panic!("{errno:?}"),
        }
    }
}

/// Bytes that tell where they belong: 251 is prime, so no short repetition hides a loss.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

pub(crate) fn a_full_socket_takes_a_part_and_then_nothing<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect_tight();
    let slot = driver.install(descriptor);
    let (taken, was_short) = fill(&mut driver, slot, &pattern(300_000));
    assert!(was_short && taken > 0, "{taken}");
    let mut outcomes = Vec::new();
    driver.ring.send(&[Send { slot, bytes: b"x" }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Blocked], "still full");
    assert!(peer.read_exactly(taken) == pattern(taken), "all that was taken arrives, in order");
}

pub(crate) fn a_poll_tells_when_there_is_room_again<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect_tight();
    let slot = driver.install(descriptor);
    let (taken, _) = fill(&mut driver, slot, &pattern(300_000));
    driver.push(Op::PollWritable { slot }, A);
    driver.expect_silence(A);
    assert_eq!(driver.ring.held().ops, 1);
    let mut arrived = peer.read_exactly(taken);
    assert_eq!(driver.next(A), Event::Polled(Ok(())));
    driver.expect_silence(A);
    driver.send_all(slot, b"there is room", || ());
    arrived.extend(peer.read_exactly(13));
    assert_eq!(arrived[taken..], *b"there is room");
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn the_end_of_the_peers_bytes_is_told_once<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    peer.write(b"last words");
    peer.half_close();
    assert_eq!(driver.receive(slot, A, 10), b"last words");
    assert_eq!(driver.receive_end(slot, A), ReceiveEnd::Eof);
    driver.expect_silence(A);
    // The other direction is open.
    driver.send_all(slot, b"and mine", || ());
    assert_eq!(peer.read_exactly(8), b"and mine");
    driver.close(slot, A, false);
    assert!(peer.ends_with_fin());
    driver.expect_nothing_held();
}

pub(crate) fn a_reset_ends_the_receive_and_fails_sends<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    driver.enter(Wait::No);
    peer.reset();
    let end = driver.receive_end(slot, A);
    assert_eq!(end, ReceiveEnd::Failed(ring::Errno(libc::ECONNRESET)));
    driver.expect_silence(A);
    let mut outcomes = Vec::new();
    driver.ring.send(&[Send { slot, bytes: b"anybody?" }], &mut outcomes);
    assert!(matches!(outcomes[0], Outcome::Failed(_)), "{outcomes:?}");
    // A poll for room does not hang on a dead connection.
    driver.push(Op::PollWritable { slot }, B);
    assert_eq!(driver.next(B), Event::Polled(Ok(())));
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn a_cancel_ends_what_is_armed<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect_tight();
    let (bystander, mut other) = world.connect();
    let slot = driver.install(descriptor);
    let beside = driver.install(bystander);
    let (poll, cancel) = (Key::new(3, 0), Key::new(4, 0));
    fill(&mut driver, slot, &pattern(300_000));
    driver.push(Op::Receive { slot }, A);
    driver.push(Op::PollWritable { slot }, poll);
    driver.push(Op::Receive { slot: beside }, B);
    driver.enter(Wait::No);
    // One by one: the other goes on.
    driver.push(Op::Cancel { slot, armed: Armed::Receive }, cancel);
    assert_eq!(driver.next(A), Event::ReceiveEnded(ReceiveEnd::Cancelled));
    assert_eq!(driver.next(cancel), Event::Cancelled);
    driver.expect_silence(poll);
    driver.push(Op::Cancel { slot, armed: Armed::Poll }, cancel);
    assert_eq!(driver.next(poll), Event::Polled(Err(ring::Errno(libc::ECANCELED))));
    assert_eq!(driver.next(cancel), Event::Cancelled);
    driver.expect_silence(A);
    other.write(b"unharmed");
    assert_eq!(driver.receive(beside, B, 8), b"unharmed");
    driver.close(slot, A, false);
    driver.close(beside, B, true);
    driver.expect_nothing_held();
}

pub(crate) fn a_cancel_does_not_meet_what_is_pushed_after_it<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect_tight();
    let slot = driver.install(descriptor);
    let (taken, _) = fill(&mut driver, slot, &pattern(300_000));
    let (poll, cancel) = (Key::new(3, 0), Key::new(4, 0));
    driver.push(Op::Receive { slot }, A);
    driver.push(Op::Cancel { slot, armed: Armed::Receive }, B);
    driver.push(Op::Cancel { slot, armed: Armed::Poll }, cancel);
    driver.push(Op::PollWritable { slot }, poll);
    assert_eq!(driver.next(A), Event::ReceiveEnded(ReceiveEnd::Cancelled));
    assert_eq!(driver.next(B), Event::Cancelled);
    assert_eq!(driver.next(cancel), Event::Cancelled);
    driver.expect_silence(poll);
    peer.read_exactly(taken);
    assert_eq!(driver.next(poll), Event::Polled(Ok(())));
}

pub(crate) fn a_cancel_of_nothing_is_answered<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Cancel { slot, armed: Armed::Receive }, A);
    assert_eq!(driver.next(A), Event::Cancelled);
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn shutdown_sends_a_fin_after_what_was_sent<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    driver.send_all(slot, b"goodbye", || ());
    driver.push(Op::Shutdown { slot, how: Shutdown::Write }, B);
    assert_eq!(driver.next(B), Event::ShutDown(Ok(())));
    assert_eq!(peer.read_exactly(7), b"goodbye");
    assert!(peer.ends_with_fin());
    // It can still speak.
    peer.write(b"farewell");
    assert_eq!(driver.receive(slot, A, 8), b"farewell");
    peer.half_close();
    assert_eq!(driver.receive_end(slot, A), ReceiveEnd::Eof);
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn shutdown_of_reading_ends_the_receive<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    driver.enter(Wait::No);
    driver.push(Op::Shutdown { slot, how: Shutdown::Both }, B);
    assert_eq!(driver.next(B), Event::ShutDown(Ok(())));
    assert_eq!(driver.receive_end(slot, A), ReceiveEnd::Eof);
    assert!(peer.ends_with_fin());
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn nothing_can_be_sent_after_a_shutdown<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Shutdown { slot, how: Shutdown::Write }, A);
    assert_eq!(driver.next(A), Event::ShutDown(Ok(())));
    let mut outcomes = Vec::new();
    driver.ring.send(&[Send { slot, bytes: b"too late" }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Failed(ring::Errno(libc::EPIPE))]);
}

pub(crate) fn receives_end_without_buffers_and_begin_again<W: World>(world: &W) {
    let setup = Setup { buffers: 2, buffer_bytes: 64, ..SMALL };
    let mut driver = Driver::new(world.ring(&setup));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    let sent = pattern(1000);
    peer.write(&sent);
    let mut kept = Vec::new();
    let mut received = Vec::new();
    let mut starved = 0;
    while received.len() < sent.len() {
        match driver.next(A) {
            Event::Received(buffer) => {
                received.extend_from_slice(driver.ring.bytes(&buffer));
                kept.push(buffer);
                assert!(kept.len() <= 2, "no buffer is filled while the caller has it");
            }
            Event::ReceiveEnded(ReceiveEnd::NoBuffers) => {
                starved += 1;
                assert!(world.is_disturbed() || kept.len() == 2);
                for buffer in kept.drain(..) {
                    driver.ring.recycle(buffer);
                }
                driver.push(Op::Receive { slot }, A);
            }
            Event::ReceiveEnded(ReceiveEnd::Rearm) => driver.push(Op::Receive { slot }, A),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, sent);
    assert!(starved >= 7, "1,000 bytes do not fit into two buffers of 64: {starved}");
    for buffer in kept.drain(..) {
        driver.ring.recycle(buffer);
    }
    // Whatever state the receive is in: the peer's end ends it.
    peer.half_close();
    assert_eq!(driver.receive_end(slot, A), ReceiveEnd::Eof);
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn an_idle_receive_holds_no_buffer<W: World>(world: &W) {
    let setup = Setup { buffers: 1, ..SMALL };
    let mut driver = Driver::new(world.ring(&setup));
    let mut peers = Vec::new();
    for index in 0..4 {
        let (descriptor, peer) = world.connect();
        let slot = driver.install(descriptor);
        driver.push(Op::Receive { slot }, Key::new(index, 0));
        peers.push((slot, peer));
    }
    driver.enter(Wait::No);
    assert_eq!(driver.ring.held(), Held { descriptors: 4, buffers: 0, ops: 4 });
    for (index, (slot, peer)) in (0..).zip(&mut peers) {
        peer.write(b"ping");
        assert_eq!(driver.receive(*slot, Key::new(index, 0), 4), b"ping");
    }
}

pub(crate) fn many_bytes_through_few_buffers<W: World>(world: &W) {
    let setup = Setup { buffers: 4, buffer_bytes: 100, ..SMALL };
    let mut driver = Driver::new(world.ring(&setup));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    let sent = pattern(7_919);
    let mut received = Vec::new();
    for part in sent.chunks(1_013) {
        peer.write(part);
        received.extend(driver.receive(slot, A, part.len()));
    }
    assert_eq!(received, sent);
    assert_eq!(driver.ring.held().buffers, 0);
}

pub(crate) fn a_woken_ring_returns<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let waker = driver.ring.waker();
    for _ in 0..3 {
        // Two wakes before, and one enter that would sleep for ever.
        waker.wake();
        waker.clone().wake();
        driver.enter(Wait::Forever);
    }
    driver.expect_nothing_held();
    drop(driver);
    // Beyond the ring's life.
    waker.wake();
}

pub(crate) fn the_send_queue_of_a_reading_peer_becomes_empty<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.send_all(slot, b"a few bytes", || ());
    assert_eq!(peer.read_exactly(11), b"a few bytes");
    driver.push(Op::OutQueue { slot }, A);
    assert_eq!(driver.next(A), Event::OutQueue(Ok(0)));
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn a_close_can_be_a_reset<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    driver.send_all(slot, b"read in time", || ());
    assert_eq!(peer.read_exactly(12), b"read in time");
    driver.push(Op::ResetOnClose { slot }, B);
    assert_eq!(driver.next(B), Event::ResetOnClose(Ok(())));
    driver.expect_silence(A);
    driver.close(slot, A, true);
    assert!(!peer.ends_with_fin());
    driver.expect_nothing_held();
}

pub(crate) fn a_closed_slot_is_used_again_under_another_name<W: World>(world: &W) {
    let setup = Setup { descriptors: 1, ..SMALL };
    let mut driver = Driver::new(world.ring(&setup));
    let mut before = Vec::new();
    for generation in 0..20 {
        let key = Key::new(0, generation);
        let (descriptor, mut peer) = world.connect();
        let slot = driver.install(descriptor);
        assert_eq!(slot.index(), 0);
        assert!(!before.contains(&slot), "the same place, another slot");
        before.push(slot);
        driver.push(Op::Receive { slot }, key);
        peer.write(&generation.to_be_bytes());
        assert_eq!(driver.receive(slot, key, 4), generation.to_be_bytes());
        driver.close(slot, key, true);
        assert!(peer.ends_with_fin());
        driver.expect_nothing_held();
    }
}

pub(crate) fn a_full_table_says_so_and_gives_the_descriptor_back<W: World>(world: &W) {
    let setup = Setup { descriptors: 2, ..SMALL };
    let mut driver = Driver::new(world.ring(&setup));
    let (d0, _p0) = world.connect();
    let (d1, _p1) = world.connect();
    let (d2, mut p2) = world.connect();
    let first = driver.install(d0);
    driver.install(d1);
    let (d2, error) = driver.ring.install(d2).unwrap_err();
    assert_eq!(error, InstallError::TableFull { descriptors: 2 });
    assert_eq!(error.to_string(), "the ring's table of 2 descriptors is full");
    assert_eq!(driver.ring.held().descriptors, 2);
    driver.close(first, A, false);
    let slot = driver.install(d2);
    driver.send_all(slot, b"in after all", || ());
    assert_eq!(p2.read_exactly(12), b"in after all");
}

pub(crate) fn a_connect_reaches_a_listener<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let slot = driver.install(world.socket());
    let mut peer = world.listen(|addr: SocketAddr| {
        driver.push(Op::Connect { slot, addr }, A);
        assert_eq!(driver.next(A), Event::Connected(Ok(())));
    });
    driver.push(Op::Receive { slot }, A);
    peer.write(b"welcome");
    assert_eq!(driver.receive(slot, A, 7), b"welcome");
    driver.send_all(slot, b"thanks", || ());
    assert_eq!(peer.read_exactly(6), b"thanks");
    driver.close(slot, A, true);
    assert!(peer.ends_with_fin());
    driver.expect_nothing_held();
}

pub(crate) fn a_connect_to_nobody_is_refused<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let slot = driver.install(world.socket());
    driver.push(Op::Connect { slot, addr: world.nobody() }, A);
    assert_eq!(driver.next(A), Event::Connected(Err(ring::Errno(libc::ECONNREFUSED))));
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

pub(crate) fn more_pushes_than_entries_are_submitted_on_the_way<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    let mut accepted = 0;
    for index in 0..40 {
        accepted += u32::from(driver.ring.push(Op::OutQueue { slot }, Key::new(index, 0)).is_ok());
    }
    assert!(world.is_disturbed() || accepted == 40, "{accepted}");
    assert_eq!(driver.ring.held().ops, accepted as usize);
    let mut answers = Vec::new();
    while answers.len() < accepted as usize {
        driver.ring.enter(Wait::For(Duration::from_millis(10)), &mut answers).unwrap();
    }
    assert!(answers.iter().all(|c| c.event == Event::OutQueue(Ok(0))));
    answers.sort_by_key(|c| c.key);
    answers.dedup_by_key(|c| c.key);
    assert_eq!(answers.len(), accepted as usize, "one answer each");
    assert_eq!(driver.ring.held().ops, 0);
}

pub(crate) fn completions_of_others_are_kept_by_a_send<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (d0, mut p0) = world.connect();
    let (d1, mut p1) = world.connect();
    let (reader, writer) = (driver.install(d0), driver.install(d1));
    p0.write(b"already here");
    driver.push(Op::Receive { slot: reader }, A);
    driver.push(Op::OutQueue { slot: writer }, B);
    // Submits what is queued too; its completions are met on the way, or come later.
    driver.send_all(writer, b"first", || ());
    assert_eq!(p1.read_exactly(5), b"first");
    assert!(matches!(driver.next(B), Event::OutQueue(Ok(_))));
    assert_eq!(driver.receive(reader, A, 12), b"already here");
}

pub(crate) fn everything_is_given_back<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let mut open = Vec::new();
    for index in 0..SMALL.descriptors {
        let (descriptor, mut peer) = world.connect();
        let slot = driver.install(descriptor);
        let key = Key::new(index, index);
        driver.push(Op::Receive { slot }, key);
        peer.write(b"hello");
        open.push((slot, key, peer));
    }
    for (slot, key, _) in &open {
        assert_eq!(driver.receive(*slot, *key, 5), b"hello");
    }
    assert_eq!(driver.ring.held().descriptors, 16);
    for (slot, key, mut peer) in open {
        driver.close(slot, key, true);
        assert!(peer.ends_with_fin());
    }
    driver.expect_nothing_held();
}

/// Runs what must panic; gives the message.
fn panic_message(run: impl FnOnce()) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let payload = caught.expect_err("it must panic");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

pub(crate) fn two_receives_on_a_slot_panic<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    driver.enter(Wait::No);
    let message = panic_message(|| driver.push(Op::Receive { slot }, B));
    assert!(message.contains("two receives"), "{message}");
}

pub(crate) fn two_polls_on_a_slot_panic<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::PollWritable { slot }, A);
    let message = panic_message(|| driver.push(Op::PollWritable { slot }, B));
    assert!(message.contains("two polls"), "{message}");
}

pub(crate) fn a_close_under_an_armed_receive_panics<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    let message = panic_message(|| driver.push(Op::Close { slot }, A));
    assert!(message.contains("in flight"), "{message}");
}

pub(crate) fn a_send_on_a_closed_slot_panics<W: World>(world: &W) {
    let setup = Setup { descriptors: 1, ..SMALL };
    let mut driver = Driver::new(world.ring(&setup));
    let (descriptor, _peer) = world.connect();
    let old = driver.install(descriptor);
    driver.close(old, A, false);
    let (descriptor, mut next) = world.connect();
    let new = driver.install(descriptor);
    let mut outcomes = Vec::new();
    let message = panic_message(|| {
        driver
            .ring
            .send(&[Send { slot: new, bytes: b"yours" }, Send { slot: old, bytes: b"not" }], &mut outcomes);
    });
    assert!(message.contains("is not open"), "{message}");
    // Nothing of a batch with a wrong slot in it goes out.
    driver.send_all(new, b"only this", || ());
    assert_eq!(next.read_exactly(9), b"only this");
}

pub(crate) fn an_op_on_a_closing_slot_panics<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let (descriptor, _peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Close { slot }, A);
    let message = panic_message(|| driver.push(Op::OutQueue { slot }, A));
    assert!(message.contains("is not open"), "{message}");
}

pub(crate) fn a_buffer_of_another_ring_panics<W: World>(world: &W) {
    let mut driver = Driver::new(world.ring(&SMALL));
    let mut other = world.ring(&SMALL);
    let (descriptor, mut peer) = world.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    peer.write(b"mine");
    let event = driver.wait_for(A, |event| matches!(event, Event::Received(_)));
    let Event::Received(buffer) = event else { panic!("{event:?}") };
    let message = panic_message(|| drop(other.bytes(&buffer).to_vec()));
    assert!(message.contains("not the caller's"), "{message}");
    let message = panic_message(|| other.recycle(buffer));
    assert!(message.contains("not the caller's"), "{message}");
}
