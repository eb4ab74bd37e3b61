//! The run's side of its client threads: what they have said, and waiting for what they shall say.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use crate::{
    Clock, Error, Plan,
    load::control::{ClientReport, FromClients, Progress, ToClients},
    load::workers::Workers,
    machine::{self, ThreadTimes},
    measure::clock::ns,
    verify::Seen,
};

/// Longest wait for a control message before looking at the time.
const PUMP: Duration = Duration::from_millis(50);
/// Beyond its deadlines a client thread is given this long to answer.
const PATIENCE_NS: u64 = 30_000_000_000;

/// How far a run is; for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// What is going on.
    pub stage: &'static str,
    /// How much of it is done, 0 to 1.
    pub done: f64,
    /// Connections that are ready and not closed.
    pub ready: u64,
    /// Messages received.
    pub messages: u64,
    /// Failed and closed connections, and lost, repeated, disordered or foreign messages.
    pub wrong: u64,
}

/// Is told several times a second how far a run is.
pub type Watch<'a> = &'a mut dyn FnMut(Moment);

pub(crate) struct Coordinator<'a> {
    plan: &'a Plan,
    clock: Clock,
    workers: Workers,
    watch: Option<Watch<'a>>,
    stage: &'static str,
    stage_ns: (u64, u64),
    progress: Vec<Progress>,
    settled: usize,
    seen: Vec<Vec<Option<Seen>>>,
    reported: Vec<bool>,
    report: ClientReport,
}

impl<'a> Coordinator<'a> {
    /// Starts the client threads; they begin to connect.
    pub(crate) fn start(plan: &'a Plan, clock: Clock, watch: Option<Watch<'a>>) -> Result<Self, Error> {
        let workers = Workers::start(&Arc::new(plan.clone()))?;
        let progress = vec![Progress::default(); plan.workers() as usize];
        Ok(Self {
            plan,
            clock,
            workers,
            watch,
            stage: "connecting",
            stage_ns: (0, 0),
            progress,
            settled: 0,
            seen: Vec::new(),
            reported: vec![false; plan.workers() as usize],
            report: ClientReport::default(),
        })
    }

    /// A new stage, for the watcher.
    pub(crate) fn enter(&mut self, stage: &'static str, from_ns: u64, until_ns: u64) {
        (self.stage, self.stage_ns) = (stage, (from_ns, until_ns));
    }

    pub(crate) fn tell(&mut self, message: &ToClients) {
        self.workers.tell(message);
    }

    /// Waits until every connection is ready or has failed.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.pump_until(u64::MAX, |coordinator| coordinator.settled == coordinator.progress.len())
    }

    /// Reads control messages until a time, or until `enough`.
    pub(crate) fn pump_until(&mut self, until_ns: u64, enough: impl Fn(&Self) -> bool) -> Result<(), Error> {
        while !enough(self) {
            let left_ns = until_ns.saturating_sub(self.clock.now_ns());
            if left_ns == 0 {
                break;
            }
            if let Some((worker, message)) = self.workers.next(PUMP.min(Duration::from_nanos(left_ns))) {
                self.take(worker, message)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, worker: u32, message: FromClients) -> Result<(), Error> {
        match message {
            FromClients::Progress(progress) => {
                self.progress[worker as usize] = progress;
                self.show();
            }
            FromClients::Ready => self.settled += 1,
            FromClients::Seen(seen) => self.seen.push(seen),
            FromClients::Report(report) => {
                self.progress[worker as usize] = report.progress;
                self.reported[worker as usize] = true;
                self.report.merge(*report);
            }
            // A process ends as it should after its threads have reported.
            FromClients::Failed(_) if self.reported[worker as usize] => {}
            FromClients::Failed(reason) => return Err(Error::Worker { worker, reason }),
        }
        Ok(())
    }

    fn show(&mut self) {
        let sum = self.sum();
        let (from_ns, until_ns) = self.stage_ns;
        #[expect(clippy::cast_precision_loss, reason = "a bar has a few dozen steps")]
        let done = if from_ns == until_ns {
            (sum.ready + sum.failed) as f64 / f64::from(self.plan.clients)
        } else {
            self.clock.now_ns().saturating_sub(from_ns) as f64 / until_ns.saturating_sub(from_ns) as f64
        };
        let Some(watch) = &mut self.watch else { return };
        watch(Moment {
            stage: self.stage,
            done: done.clamp(0.0, 1.0),
            ready: sum.ready - sum.closed,
            messages: sum.messages,
            wrong: sum.failed + sum.closed + sum.wrong,
        });
    }

    fn sum(&self) -> Progress {
        let mut sum = Progress::default();
        for progress in &self.progress {
            sum.add(progress);
        }
        sum
    }

    /// Connections that became ready.
    pub(crate) fn ready(&self) -> u64 {
        self.sum().ready
    }

    /// Messages received, by what the client threads have told so far.
    pub(crate) fn received(&self) -> u64 {
        self.sum().messages
    }

    /// Every connection that became ready is closed.
    pub(crate) fn all_closed(&self) -> bool {
        let sum = self.sum();
        sum.closed >= sum.ready
    }

    /// CPU times of the client threads and of this process's others.
    pub(crate) fn thread_times(&self) -> ThreadTimes {
        let mut pids = self.workers.pids();
        if !pids.contains(&std::process::id()) {
            pids.push(std::process::id());
        }
        pids.into_iter().flat_map(machine::thread_times).collect()
    }

    /// Waits for a thread while control messages go on being read.
    pub(crate) fn join<T>(&mut self, thread: JoinHandle<T>) -> Result<T, Error> {
        while !thread.is_finished() {
            let soon_ns = self.clock.now_ns() + ns(PUMP);
            self.pump_until(soon_ns, |_| false)?;
        }
        thread.join().map_err(|_| Error::Kernel("the producer's thread panicked".to_owned()))
    }

    /// What others have sent, as far as any client has seen it.
    pub(crate) fn ask_seen(&mut self) -> Result<Vec<Option<Seen>>, Error> {
        self.tell(&ToClients::TellSeen);
        let until_ns = self.clock.now_ns() + PATIENCE_NS;
        self.pump_until(until_ns, |coordinator| coordinator.seen.len() == coordinator.progress.len())?;
        let mut all: Vec<Option<Seen>> = vec![None; self.plan.channel_count() as usize];
        for seen in &self.seen {
            for (all, one) in all.iter_mut().zip(seen) {
                *all = match (*all, *one) {
                    (Some(all), Some(one)) => {
                        Some(Seen { first: all.first.min(one.first), next: all.next.max(one.next) })
                    }
                    (all, one) => all.or(one),
                };
            }
        }
        Ok(all)
    }

    /// Tells what must have come by `deadline_ns`, and takes the reports.
    pub(crate) fn finish(mut self, ends: Vec<Option<Seen>>, deadline_ns: u64) -> Result<ClientReport, Error> {
        self.enter("the rest", self.clock.now_ns(), deadline_ns);
        self.tell(&ToClients::End { ends, deadline_ns });
        self.pump_until(deadline_ns + PATIENCE_NS, |coordinator| {
            coordinator.reported.iter().all(|reported| *reported)
        })?;
        match (0..).zip(&self.reported).find(|(_, reported)| !**reported) {
            Some((worker, _)) => Err(Error::Worker { worker, reason: "does not report".to_owned() }),
            None => Ok(self.report),
        }
    }
}
