//! When the kernel refuses io_uring: a seccomp filter on one thread plays the policy, or the kernel short of memory.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::thread;

use ring::{Armed, Errno, Event, KernelRing, Key, Op, Outcome, Ring, Send, SetupError, Wait, probe};

use crate::harness::{Driver, SMALL};

const A: Key = Key::new(1, 7);

/// From now on, `call` (with `second` as its second argument, if given) fails with `errno` in this thread.
fn refuse(call: libc::c_long, second: Option<u32>, errno: i32) {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let unless = |k, skip| libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: skip, k };
    let call = u32::try_from(call).unwrap();
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap();
    // Offsets in struct seccomp_data: the number of the call at 0, its second argument at 24.
    let mut filter = vec![statement(LOAD, 0)];
    match second {
        None => filter.push(unless(call, 1)),
        Some(second) => filter.extend([unless(call, 3), statement(LOAD, 24), unless(second, 1)]),
    }
    filter.push(statement(RETURN, refusal));
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_mut_ptr() };
    // SAFETY: no pointers involved.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    // SAFETY: `program` is a filter program, and read during the call only.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn in_a_thread_of_its_own(run: impl FnOnce() + std::marker::Send + 'static) {
    thread::spawn(run).join().unwrap();
}

#[test]
fn a_policy_that_forbids_io_uring_is_named() {
    in_a_thread_of_its_own(|| {
        refuse(libc::SYS_io_uring_setup, None, libc::EPERM);
        let error = probe().unwrap_err();
        assert!(matches!(error, SetupError::Disabled(_)));
        assert!(error.to_string().contains("seccomp"), "{error}");
    });
}

#[test]
fn a_kernel_without_io_uring_is_named() {
    in_a_thread_of_its_own(|| {
        refuse(libc::SYS_io_uring_setup, None, libc::ENOSYS);
        let error = probe().unwrap_err();
        assert!(error.to_string().starts_with("io_uring is disabled: the kernel has none"), "{error}");
    });
}

#[test]
fn a_kernel_that_knows_no_flag_is_told_from_one_that_lacks_the_last() {
    in_a_thread_of_its_own(|| {
        refuse(libc::SYS_io_uring_setup, None, libc::EINVAL);
        let error = probe().unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel lacks io_uring with a sized completion queue, which Linux 5.5 has"
        );
    });
}

#[test]
fn another_refusal_names_the_call() {
    in_a_thread_of_its_own(|| {
        refuse(libc::SYS_io_uring_register, None, libc::EPERM);
        let call = "IORING_REGISTER_PROBE";
        assert_eq!(probe(), Err(SetupError::Kernel { call, errno: Errno(libc::EPERM) }));
    });
}

/// A ring whose waker is armed, so that the queue holds only what a test puts there.
fn ring_and_peer() -> (Driver<KernelRing>, ring::Slot, UnixStream) {
    let mut driver = Driver::new(KernelRing::new(&SMALL).unwrap());
    let (ours, peer) = UnixStream::pair().unwrap();
    let slot = driver.install(ours.into());
    driver.enter(Wait::No);
    peer.set_nonblocking(true).unwrap();
    (driver, slot, peer)
}

fn expect_nothing_arrived(peer: &mut UnixStream) {
    assert_eq!(peer.read(&mut [0; 99]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_refused_batch_leaves_nothing_behind() {
    in_a_thread_of_its_own(|| {
        let (mut driver, slot, mut peer) = ring_and_peer();
        refuse(libc::SYS_io_uring_enter, Some(3), libc::EAGAIN);
        let mut outcomes = Vec::new();
        let borrowed = vec![b'!'; 3000];
        let batch = [Send { slot, bytes: &borrowed }; 3];
        driver.ring.send(&batch, &mut outcomes);
        assert_eq!(outcomes, [Outcome::Blocked; 3]);
        drop(borrowed);
        // Four entries are let through: what was taken back, and this.
        driver.push(Op::Cancel { slot, armed: Armed::Poll }, A);
        assert_eq!(driver.next(A), Event::Cancelled);
        expect_nothing_arrived(&mut peer);
        // And it goes on.
        driver.send_all(slot, b"later", || ());
        let mut read = [0; 99];
        assert_eq!(peer.read(&mut read).unwrap(), 5);
        driver.close(slot, A, false);
        driver.expect_nothing_held();
        assert_eq!(driver.ring.strays(), 0);
    });
}

#[test]
fn ops_queued_before_a_refused_batch_stay_queued() {
    in_a_thread_of_its_own(|| {
        let (mut driver, slot, mut peer) = ring_and_peer();
        refuse(libc::SYS_io_uring_enter, Some(3), libc::EPERM);
        driver.push(Op::PollWritable { slot }, A);
        let mut outcomes = Vec::new();
        driver.ring.send(&[Send { slot, bytes: b"refused" }; 2], &mut outcomes);
        assert_eq!(outcomes, [Outcome::Failed(Errno(libc::EPERM)); 2]);
        assert_eq!(driver.ring.held().ops, 1);
        let b = Key::new(2, 0);
        driver.push(Op::Cancel { slot, armed: Armed::Poll }, b);
        // The poll is submitted first, so it is not met by the cancel: there was room.
        assert_eq!(driver.next(A), Event::Polled(Ok(())));
        assert_eq!(driver.next(b), Event::Cancelled);
        expect_nothing_arrived(&mut peer);
        driver.close(slot, A, false);
        driver.expect_nothing_held();
    });
}

#[test]
fn an_enter_that_is_refused_for_good_is_an_error() {
    in_a_thread_of_its_own(|| {
        let (mut driver, _slot, _peer) = ring_and_peer();
        refuse(libc::SYS_io_uring_enter, None, libc::EPERM);
        let error = driver.ring.enter(Wait::Forever, &mut Vec::new()).unwrap_err();
        assert_eq!(error, ring::EnterError::Kernel(Errno(libc::EPERM)));
    });
}
