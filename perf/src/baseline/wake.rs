//! What it costs to wake a ring that sleeps: this thread sleeps in it, one on another core wakes it each
//! millisecond.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread,
    time::Duration,
};

use ring::{KernelRing, Ring, RingWaker, Setup, Wait, thread_cpu_ns};

use super::{Figure, WakePrice};
use crate::{
    Clock, Error,
    figures::{ratio, real},
    histogram::Times,
    machine::pin,
    measure::clock::ns,
};

/// Between two wakes: the other thread is asleep again long before.
const BETWEEN: Duration = Duration::from_millis(1);
/// Longest sleep without a wake.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// What was measured in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    sleeper_cpu_ns: u64,
    waker_cpu_ns: u64,
    wakes: u64,
}

pub(super) fn price(steps: &[Step], latency: &Times) -> WakePrice {
    let each = |part: fn(&Step) -> u64| {
        Figure::of(steps.iter().map(|step| ratio(real(part(step)), real(step.wakes))).collect())
    };
    WakePrice {
        latency: latency.summary(),
        sleeper_ns: each(|step| step.sleeper_cpu_ns),
        waker_ns: each(|step| step.waker_cpu_ns),
    }
}

pub(super) fn run(
    length: Duration,
    other_core: usize,
    clock: Clock,
    latency: &mut Times,
) -> Result<Step, Error> {
    let fails = |what: String| Error::Kernel(format!("waking: {what}"));
    let setup = Setup { entries: 8, completions: 64, buffers: 1, buffer_bytes: 4_096, descriptors: 1 };
    let mut ring = KernelRing::new(&setup).map_err(|error| fails(error.to_string()))?;
    let stamp = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (waker, of_waker, flag) = (ring.waker(), Arc::clone(&stamp), Arc::clone(&stop));
    let other = thread::Builder::new()
        .name("baseline-waker".to_owned())
        .spawn(move || pin(other_core).map(|()| wake(&waker, &of_waker, &flag, clock)))
        .map_err(|error| fails(error.to_string()))?;
    let mut step = Step::default();
    let mut completions = Vec::new();
    let until_ns = clock.now_ns() + ns(length);
    let before_ns = thread_cpu_ns();
    let mut slept = Ok(());
    while slept.is_ok() {
        slept = ring.enter(Wait::For(SLEEP_MAX), &mut completions).map_err(|error| fails(error.to_string()));
        let now_ns = clock.now_ns();
        let stamp_ns = stamp.swap(0, AcqRel);
        if stamp_ns > 0 {
            latency.record(now_ns.saturating_sub(stamp_ns));
            step.wakes += 1;
        }
        if now_ns >= until_ns {
            break;
        }
    }
    step.sleeper_cpu_ns = thread_cpu_ns() - before_ns;
    stop.store(true, Relaxed);
    let woken = other.join().map_err(|_| fails("the other thread panicked".to_owned()))?;
    step.waker_cpu_ns = woken?;
    slept.map(|()| step)
}

/// CPU time of the wakes alone, ns.
fn wake(waker: &RingWaker, stamp: &AtomicU64, stop: &AtomicBool, clock: Clock) -> u64 {
    let mut cpu_ns = 0;
    while !stop.load(Relaxed) {
        clock.sleep_until(clock.now_ns() + ns(BETWEEN));
        if stamp.load(Acquire) > 0 {
            // It has not run yet: this machine is busy with something else.
            continue;
        }
        let before_ns = thread_cpu_ns();
        stamp.store(clock.now_ns(), Release);
        waker.wake();
        cpu_ns += thread_cpu_ns() - before_ns;
    }
    cpu_ns
}
