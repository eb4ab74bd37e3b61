//! The hot path allocates nothing: sends, receives, polls and enters reuse what is there once it has its size.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use ring::counting::allocations;
use ring::{Completion, Event, KernelRing, Key, Op, Outcome, Ring, Send, Setup, Wait};

#[test]
fn the_hot_path_allocates_nothing() {
    const CONNECTIONS: usize = 50;
    let setup = Setup { entries: 16, completions: 256, buffers: 64, buffer_bytes: 256, descriptors: 64 };
    let mut ring = KernelRing::new(&setup).unwrap();
    let mut connections = Vec::new();
    for index in 0..50 {
        let (ours, peer) = UnixStream::pair().unwrap();
        let slot = ring.install(ours.into()).unwrap();
        ring.push(Op::Receive { slot }, Key::new(index, 0)).unwrap();
        connections.push((slot, peer));
    }
    let bytes = [7; 100];
    let batch: Vec<Send<'_>> =
        connections.iter().map(|(slot, _)| Send { slot: *slot, bytes: &bytes }).collect();
    let mut outcomes = Vec::new();
    let mut out: Vec<Completion> = Vec::with_capacity(4 * CONNECTIONS);
    let mut read = [0; 100];
    let mut round = |ring: &mut KernelRing| {
        for (slot, peer) in &connections {
            (&*peer).write_all(b"something").unwrap();
            ring.push(Op::PollWritable { slot: *slot }, Key::new(0, 1)).unwrap();
        }
        ring.send(&batch, &mut outcomes);
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Sent(100)));
        let mut received = 0;
        while received < CONNECTIONS {
            ring.enter(Wait::Forever, &mut out).unwrap();
            for completion in out.drain(..) {
                if let Event::Received(buffer) = completion.event {
                    assert_eq!(ring.bytes(&buffer), b"something");
                    ring.recycle(buffer);
                    received += 1;
                }
            }
        }
        for (_, peer) in &connections {
            (&*peer).read_exact(&mut read).unwrap();
        }
    };
    for _ in 0..3 {
        round(&mut ring);
    }
    let before = allocations();
    assert!(before > 0, "nothing is counted");
    for _ in 0..100 {
        round(&mut ring);
    }
    assert_eq!(allocations() - before, 0);
}
