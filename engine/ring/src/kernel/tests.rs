//! What is not to be brought about by the public face.

use super::*;
use crate::Armed;

const SETUP: Setup = Setup { entries: 8, completions: 16, buffers: 1, buffer_bytes: 64, descriptors: 4 };

#[test]
fn a_wake_that_was_reaped_aside_ends_the_next_sleep() {
    let mut ring = KernelRing::new(&SETUP).unwrap();
    let mut out = Vec::new();
    ring.enter(Wait::No, &mut out).unwrap();
    ring.waker().wake();
    ring.enter_kernel(0, 0, EnterFlags::GETEVENTS, None).unwrap();
    ring.reap_aside(None);
    assert!(!ring.state.wake.is_armed(), "it was met");
    ring.enter(Wait::Forever, &mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn a_ring_without_its_waker_armed_does_not_sleep() {
    let mut ring = KernelRing::new(&SETUP).unwrap();
    let mut out = Vec::new();
    ring.waker().wake();
    ring.enter(Wait::Forever, &mut out).unwrap();
    // The queue is full of ops that the kernel does not take, so the waker finds no room.
    ring.submit_max = Some(0);
    let (reader, _writer) = std::io::pipe().unwrap();
    let slot = ring.install(reader.into()).unwrap();
    for index in 0..SETUP.entries {
        ring.push(Op::Cancel { slot, armed: Armed::Poll }, Key::new(index, 0)).unwrap();
    }
    ring.enter(Wait::Forever, &mut out).unwrap();
    assert!(out.is_empty());
    ring.submit_max = None;
    while out.len() < SETUP.entries as usize {
        ring.enter(Wait::Forever, &mut out).unwrap();
    }
}

#[test]
fn a_completion_of_nothing_in_flight_is_counted_in_a_release_and_found_in_a_test() {
    let mut ring = KernelRing::new(&SETUP).unwrap();
    // An op that nobody knows of: a cancel, which completes at once.
    let stray = entry::of(
        &Op::Cancel { slot: Slot { index: 0, generation: 0 }, armed: Armed::Receive },
        token::Token::new(token::Kind::Cancel, 5, 99),
        0,
        None,
    );
    // SAFETY: it points nowhere.
    assert!(unsafe { ring.push_entry(&stray) });
    let entered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ring.enter(Wait::No, &mut Vec::new()).unwrap();
    }));
    assert_eq!(entered.is_err(), cfg!(debug_assertions));
    if !cfg!(debug_assertions) {
        assert_eq!(ring.strays(), 1);
    }
}
