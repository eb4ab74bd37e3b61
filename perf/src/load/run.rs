//! A run from beginning to end: prime the producer, open the clients, make the load, wait for the rest, sum
//! up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use kafka::ProducerOptions;

use crate::{
    Clock, Error, Plan, Report,
    load::control::ToClients,
    load::coordinator::{Coordinator, Watch},
    machine::{self, CpuTicks, ThreadTimes},
    measure::clock::ns,
    plan::{Load, Produce},
    produce::{Produced, Sender},
    report::Findings,
    schedule::Schedule,
    series::{Grid, Moment, Sample, Sampler},
    server::{Observed, Snapshot},
    verify::Seen,
};

/// From the announcement of the load until it begins: client threads look for control messages at least every 20 ms, a
/// loaded machine may be slower.
const LEAD_NS: u64 = 300_000_000;

/// Makes a run. `watch` is told how far it is.
///
/// # Errors
/// The run could not be made. What it found out about the server is no error but stands in the report.
pub fn run<'a>(plan: &'a Plan, watch: Option<Watch<'a>>) -> Result<Report, Error> {
    plan.check()?;
    let clock = Clock::start();
    let begun_unix_ms = clock.now_ns() / 1_000_000;
    let sender = if let Load::Produce(produce) = &plan.load { Some(prime(plan, produce)?) } else { None };
    let ticks = CpuTicks::now();
    let before = Snapshot::take(&plan.server, clock.now_ns())?;
    let mut coordinator = Coordinator::start(plan, clock, watch)?;
    coordinator.settle()?;
    let ready = Snapshot::take(&plan.server, clock.now_ns())?;
    let mut observed =
        Observed { before, begin: ready.clone(), end: ready.clone(), ready, ..Observed::default() };
    observed.peak(&observed.ready.clone());
    let mut loaded = Loaded { ends: vec![None; plan.channel_count() as usize], ..Loaded::default() };
    if coordinator.ready() > 0 {
        loaded = load(plan, clock, &mut coordinator, sender, &mut observed)?;
    }
    let clients = coordinator.finish(loaded.ends, clock.now_ns() + ns(plan.drain_wait))?;
    let later = CpuTicks::now();
    let findings = Findings {
        clients,
        produced: loaded.produced,
        observed,
        client_used: loaded.client_used,
        received: loaded.received,
        grid: loaded.grid,
        samples: loaded.samples,
        begun_unix_ms,
        steal_percent: later.steal_percent_since(&ticks),
        busy_percent: later.busy_percent_since(&ticks),
    };
    Ok(Report::new(plan, findings))
}

#[derive(Default)]
struct Loaded {
    /// What every subscriber must have, by channel.
    ends: Vec<Option<Seen>>,
    produced: Option<Produced>,
    client_used: ThreadTimes,
    /// Messages received while it lasted.
    received: u64,
    grid: Grid,
    samples: Vec<Sample>,
}

fn load(
    plan: &Plan,
    clock: Clock,
    coordinator: &mut Coordinator<'_>,
    sender: Option<Sender>,
    observed: &mut Observed,
) -> Result<Loaded, Error> {
    let mark_ns = clock.now_ns() + LEAD_NS;
    let from_ns = mark_ns + ns(plan.warmup);
    let until_ns = from_ns + ns(plan.duration);
    coordinator.tell(&ToClients::Begin { mark_ns, from_ns, until_ns });
    let stop = Arc::new(AtomicBool::new(false));
    let producing = sender.map(|sender| spawn_producer(plan, sender, clock, mark_ns, &stop)).transpose()?;

    coordinator.enter("warming up", mark_ns - LEAD_NS, from_ns);
    coordinator.pump_until(mark_ns, Coordinator::all_closed)?;
    let grid = plan.grid(mark_ns);
    let mut lookout = Lookout { plan, clock, grid, sampler: None };
    lookout.watch(coordinator, from_ns, observed)?;
    observed.begin = Snapshot::take(&plan.server, clock.now_ns())?;
    let (client_before, received_before) = (coordinator.thread_times(), coordinator.received());

    coordinator.enter(if producing.is_some() { "load" } else { "listening" }, from_ns, until_ns);
    lookout.watch(coordinator, until_ns, observed)?;
    let client_used = machine::used(&client_before, &coordinator.thread_times());
    let received = coordinator.received() - received_before;
    stop.store(true, Relaxed);

    let samples = lookout.sampler.map(Sampler::finish).unwrap_or_default();
    let mut loaded = Loaded { client_used, received, grid, samples, ..Loaded::default() };
    coordinator.enter("the rest", until_ns, until_ns + ns(plan.drain_wait));
    if let Some(producing) = producing {
        let produced = coordinator.join(producing)?;
        let end = |next: &u64| (*next > 0).then_some(Seen { first: 0, next: *next });
        loaded.ends = produced.counts.iter().map(end).take(plan.channel_count() as usize).collect();
        loaded.produced = Some(produced);
    } else {
        loaded.ends = coordinator.ask_seen()?;
    }
    Ok(loaded)
}

/// Looks at the server and the machine once an interval.
struct Lookout<'a> {
    plan: &'a Plan,
    clock: Clock,
    grid: Grid,
    sampler: Option<Sampler>,
}

impl Lookout<'_> {
    /// Until a time, or until no connection is left. `observed` gets the last look and the peaks.
    fn watch(
        &mut self,
        coordinator: &mut Coordinator<'_>,
        until_ns: u64,
        observed: &mut Observed,
    ) -> Result<(), Error> {
        self.look(coordinator, observed);
        while self.clock.now_ns() < until_ns && !coordinator.all_closed() {
            let next_ns = self.grid.after(self.clock.now_ns()).min(until_ns);
            coordinator.pump_until(next_ns, Coordinator::all_closed)?;
            self.look(coordinator, observed);
        }
        Ok(())
    }

    /// A server that is being ended does not answer; the last look counts.
    fn look(&mut self, coordinator: &Coordinator<'_>, observed: &mut Observed) {
        let Ok(server) = Snapshot::take(&self.plan.server, self.clock.now_ns()) else { return };
        observed.peak(&server);
        observed.end = server.clone();
        let moment = Moment { server, ticks: CpuTicks::now(), client_threads: coordinator.thread_times() };
        match &mut self.sampler {
            Some(sampler) => sampler.look(moment),
            none => *none = Some(Sampler::new(self.grid, moment)),
        }
    }
}

fn prime(plan: &Plan, produce: &Produce) -> Result<Sender, Error> {
    let settings =
        kafka::Settings { brokers: produce.brokers.clone(), properties: produce.properties.clone() };
    let linger_ms = u32::try_from(produce.linger.as_millis()).unwrap_or(u32::MAX);
    let options = ProducerOptions { idempotent: produce.idempotent, linger_ms };
    Sender::new(&settings, &options, &plan.topic, plan.keys(), produce.size)
}

fn spawn_producer(
    plan: &Plan,
    sender: Sender,
    clock: Clock,
    begin_ns: u64,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<Produced>, Error> {
    let Load::Produce(produce) = &plan.load else { return Err(Error::Plan("nothing to produce".to_owned())) };
    let length = plan.warmup + plan.duration;
    let schedule = Schedule::new(plan.channels, produce.rate, produce.broadcast_rate, length);
    let stop = Arc::clone(stop);
    thread::Builder::new()
        .name("producer".to_owned())
        .spawn(move || sender.run(clock, schedule, begin_ns, &stop))
        .map_err(|error| Error::Kernel(format!("no thread for the producer: {error}")))
}
