//! What only the kernel can show: sleeping, other threads, overflow, descriptors of the process, the end of a ring.

use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ring::{Event, KernelRing, Key, Op, Outcome, Ring, Send, Setup, Wait, probe};
use socket2::SockRef;

use crate::harness::{Driver, Peer, SMALL, World};
use crate::kernel::Kernel;

const A: Key = Key::new(1, 7);

#[expect(clippy::disallowed_methods, reason = "this measures how long the kernel sleeps")]
fn timed(run: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    run();
    begin.elapsed()
}

#[test]
fn this_machine_can_run_a_ring() {
    assert_eq!(probe(), Ok(()));
}

#[test]
fn a_wait_with_nothing_to_deliver_ends_with_its_time() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (descriptor, _peer) = Kernel.connect();
    let slot = driver.install(descriptor);
    driver.push(Op::Receive { slot }, A);
    let slept = timed(|| driver.enter(Wait::For(Duration::from_millis(30))));
    assert!(slept >= Duration::from_millis(29), "{slept:?}");
    let polled = timed(|| driver.enter(Wait::No));
    assert!(polled < slept, "{polled:?}");
    driver.expect_silence(A);
}

#[test]
fn another_thread_wakes_a_sleeping_ring() {
    let (to_waker, waker) = mpsc::channel::<ring::RingWaker>();
    let (to_ring, work) = mpsc::channel();
    let shard = thread::spawn(move || {
        let mut ring = Kernel.ring(&SMALL);
        to_waker.send(ring.waker()).unwrap();
        let mut out = Vec::new();
        let mut got = Vec::new();
        while got.len() < 1000 {
            // Without the wake this never returns.
            ring.enter(Wait::Forever, &mut out).unwrap();
            got.extend(work.try_iter());
        }
        assert!(out.is_empty(), "wakes are not completions: {out:?}");
        got
    });
    let waker = waker.recv().unwrap();
    for number in 0..1000 {
        to_ring.send(number).unwrap();
        waker.wake();
    }
    assert_eq!(shard.join().unwrap(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_wake_met_by_a_send_is_not_lost() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (descriptor, mut peer) = Kernel.connect();
    let slot = driver.install(descriptor);
    // Arms the waker.
    driver.enter(Wait::No);
    driver.ring.waker().wake();
    let batch = [Send { slot, bytes: b"x" }; 20];
    let mut outcomes = Vec::new();
    // Larger than the queue, so it looks at completions in between.
    driver.ring.send(&batch, &mut outcomes);
    assert_eq!(outcomes, [Outcome::Sent(1); 20]);
    // Would sleep for ever.
    driver.enter(Wait::Forever);
    assert_eq!(peer.read_exactly(20), [b'x'; 20]);
}

#[test]
fn completions_met_while_arming_the_waker_are_not_slept_on() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (descriptor, _peer) = Kernel.connect();
    let slot = driver.install(descriptor);
    let mut out = Vec::new();
    // The waker is used up, and the queue full when it is to be armed again.
    driver.ring.waker().wake();
    driver.ring.enter(Wait::Forever, &mut out).unwrap();
    for index in 0..SMALL.entries {
        driver.ring.push(Op::OutQueue { slot }, Key::new(index, 0)).unwrap();
    }
    driver.ring.enter(Wait::Forever, &mut out).unwrap();
    assert_eq!(out.len(), SMALL.entries as usize);
}

#[test]
fn more_completions_than_places_are_all_delivered() {
    let setup = Setup { entries: 8, completions: 8, buffers: 64, descriptors: 64, ..SMALL };
    let mut driver = Driver::new(Kernel.ring(&setup));
    let mut open = Vec::new();
    for index in 0..64 {
        let (descriptor, peer) = Kernel.connect();
        let slot = driver.install(descriptor);
        driver.push(Op::Receive { slot }, Key::new(index, 0));
        open.push((slot, peer));
    }
    driver.enter(Wait::No);
    for _ in 0..3 {
        for (index, (_, peer)) in (0_u32..).zip(&mut open) {
            peer.write(&index.to_be_bytes());
        }
        // Their 64 completions happen in one turn, while a batch waits for its own.
        let batch: Vec<Send<'_>> = open.iter().map(|(slot, _)| Send { slot: *slot, bytes: b"out" }).collect();
        let mut outcomes = Vec::new();
        driver.ring.send(&batch, &mut outcomes);
        assert_eq!(outcomes, [Outcome::Sent(3); 64]);
        for (index, (slot, peer)) in (0..).zip(&mut open) {
            assert_eq!(driver.receive(*slot, Key::new(index, 0), 4), index.to_be_bytes());
            assert_eq!(peer.read_exactly(3), b"out");
        }
    }
    for (index, (slot, _)) in (0..).zip(&open) {
        driver.close(*slot, Key::new(index, 0), true);
    }
    driver.expect_nothing_held();
    assert_eq!(driver.ring.strays(), 0);
}

#[test]
fn the_send_queue_of_a_peer_that_never_reads_is_told() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (descriptor, peer) = Kernel.connect();
    let slot = driver.install(descriptor);
    let bytes = vec![7; 1 << 20];
    let mut outcomes = Vec::new();
    let mut sent = 0;
    loop {
        driver.ring.send(&[Send { slot, bytes: &bytes }], &mut outcomes);
        let Outcome::Sent(count) = outcomes[0] else { break };
        sent += u32::try_from(count).unwrap();
    }
    driver.push(Op::OutQueue { slot }, A);
    let Event::OutQueue(Ok(queued)) = driver.next(A) else { panic!() };
    // The rest lies in the peer's receive buffer.
    assert!((1..=sent).contains(&queued), "{queued} of {sent}");
    drop(peer);
}

/// Bytes in the send queue of the TCP socket at `local` that is connected to `peer`, in whatever state, closed by the
/// process or not; none: the kernel holds nothing of it.
fn kernel_send_queue(local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let in_hex = |addr: SocketAddr| {
        let SocketAddr::V4(addr) = addr else { panic!("{addr}") };
        format!("{:08X}:{:04X}", u32::from_le_bytes(addr.ip().octets()), addr.port())
    };
    let (local, peer) = (in_hex(local), in_hex(peer));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = fields.into_iter().find(|fields| fields.get(1..3) == Some(&[&*local, &*peer]))?;
    u64::from_str_radix(ours[4].split(':').next().unwrap(), 16).ok()
}

#[test]
fn a_reset_gives_back_what_a_peer_that_never_reads_left_in_the_kernel() {
    for reset in [false, true] {
        let mut driver = Driver::new(Kernel.ring(&SMALL));
        let (descriptor, mut peer) = Kernel.connect();
        let (local, remote) = (peer.peer_addr().unwrap(), peer.local_addr().unwrap());
        let slot = driver.install(descriptor);
        let bytes = vec![7; 1 << 20];
        let mut outcomes = vec![Outcome::Sent(0)];
        while outcomes[0] != Outcome::Blocked {
            driver.ring.send(&[Send { slot, bytes: &bytes }], &mut outcomes);
        }
        driver.push(Op::Receive { slot }, A);
        if reset {
            driver.push(Op::ResetOnClose { slot }, A);
            assert_eq!(driver.next(A), Event::ResetOnClose(Ok(())));
        }
        driver.close(slot, A, true);
        let left = kernel_send_queue(local, remote);
        if reset {
            assert_eq!(left, None);
            let error = std::io::copy(&mut peer, &mut std::io::sink()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        } else {
            assert!(left > Some(100_000), "without it megabytes stay: {left:?}");
        }
    }
}

#[test]
fn a_slow_peer_gets_every_byte() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (descriptor, mut peer) = Kernel.connect();
    SockRef::from(&descriptor).set_send_buffer_size(64 * 1024).unwrap();
    let slot = driver.install(descriptor);
    let sent: Vec<u8> = (0..8_000_000_u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
    let expected = sent.clone();
    let (begin, begun) = mpsc::channel();
    let reader = thread::spawn(move || {
        begun.recv().unwrap();
        let mut read = Vec::new();
        while read.len() < expected.len() {
            read.extend(peer.read_exactly((expected.len() - read.len()).min(50_000)));
        }
        read == expected
    });
    let mut blocked = 0;
    driver.send_all(slot, &sent, || {
        blocked += 1;
        // Later ones find nobody, or wait unread.
        let _ = begin.send(());
    });
    assert!(blocked > 0, "8 MB fit into the socket: this shows nothing");
    assert!(reader.join().unwrap(), "other bytes arrived");
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

#[test]
fn the_send_queue_of_no_socket_is_an_error_and_no_more() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (reader, _writer) = std::io::pipe().unwrap();
    let slot = driver.install(reader.into());
    driver.push(Op::OutQueue { slot }, A);
    assert!(matches!(driver.next(A), Event::OutQueue(Err(_))));
    driver.push(Op::ResetOnClose { slot }, A);
    assert!(matches!(driver.next(A), Event::ResetOnClose(Err(_))));
    let mut outcomes = Vec::new();
    driver.ring.send(&[Send { slot, bytes: b"no socket" }], &mut outcomes);
    assert_eq!(outcomes, [Outcome::Failed(ring::Errno(libc::ENOTSOCK))]);
    driver.close(slot, A, false);
    driver.expect_nothing_held();
}

/// Which of the process's descriptors refer to the same thing as `link`.
fn descriptors_to(link: &std::path::Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    all.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|l| l == link)).count()
}

#[test]
fn an_installed_descriptor_is_none_of_the_process() {
    let mut driver = Driver::new(Kernel.ring(&SMALL));
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let ours = OwnedFd::from(ours);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap();
    assert_eq!(descriptors_to(&link), 1);
    let slot = driver.install(ours);
    assert_eq!(descriptors_to(&link), 0);
    driver.send_all(slot, b"open all the same", || ());
    let mut read = [0; 17];
    peer.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"open all the same");
}

#[test]
fn dropping_a_ring_closes_its_connections_whatever_is_in_flight() {
    let mut ring = Kernel.ring(&SMALL);
    let mut peers = Vec::new();
    let mut out = Vec::new();
    for index in 0..4 {
        let (descriptor, peer) = Kernel.connect();
        let slot = ring.install(descriptor).unwrap();
        ring.push(Op::Receive { slot }, Key::new(index, 0)).unwrap();
        ring.push(Op::OutQueue { slot }, Key::new(index, 1)).unwrap();
        peers.push(peer);
    }
    ring.enter(Wait::No, &mut out).unwrap();
    let listener = std::net::TcpListener::bind(crate::kernel::LOOPBACK).unwrap();
    let slot = ring.install(Kernel.socket()).unwrap();
    // Queued and not submitted.
    ring.push(Op::Connect { slot, addr: listener.local_addr().unwrap() }, A).unwrap();
    let took = timed(|| drop(ring));
    assert!(took < Duration::from_millis(500), "nothing had to be given up: {took:?}");
    for mut peer in peers {
        assert!(peer.ends_with_fin());
    }
}

#[test]
fn rings_come_and_go_in_many_threads() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..10 {
                    let mut driver = Driver::new(Kernel.ring(&SMALL));
                    let (descriptor, mut peer) = Kernel.connect();
                    let slot = driver.install(descriptor);
                    driver.push(Op::Receive { slot }, A);
                    peer.write(b"round");
                    assert_eq!(driver.receive(slot, A, 5), b"round");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_setup_out_of_range_is_refused() {
    let error = KernelRing::new(&Setup { entries: 3, ..SMALL }).unwrap_err();
    assert_eq!(error.to_string(), "ring setup: entries must be a power of two up to 32768");
}
