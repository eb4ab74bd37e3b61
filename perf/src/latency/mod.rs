//! One message at a time through an idle server: what of its latency is the server's own.
//!
//! A subscriber of the server and a bare consumer of the same topic wait for the same records. What the bare
//! consumer needs is Kafka's share, which no server can save; the difference of the two, message by message,
//! is the server's: its consumer's wake, routing, encoding, the wake of a shard, the send, and the
//! subscriber's own wake. The two fetch from the broker by themselves, so a difference may be below zero.

mod distribution;
mod listener;
mod subscriber;
mod table;

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::distribution::{Bin, Distribution};
use self::listener::{Arrival, Listener};
use crate::{
    Clock, Error,
    figures::rounded,
    machine::{CpuTicks, Machine},
    measure::clock::ns,
    plan::Target,
    produce::Sender,
    random::Random,
};

/// Most messages: all arrivals are kept.
const COUNT_MAX: u32 = 1_000_000;
/// Sent before those that count, so that everything is connected and warm.
const WARM_UP: u64 = 20;
/// How long the first message may take to come to both.
const FIRST_MAX: Duration = Duration::from_secs(15);
/// How long the last messages may take.
const LAST_MAX: Duration = Duration::from_secs(5);
/// Between two looks at how far the listeners are.
const LOOK_NS: u64 = 5_000_000;

/// What shall be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where the subscriber connects.
    pub target: Target,
    /// `HOST:PORT,...`.
    pub brokers: String,
    /// librdkafka properties of producer and consumer. They may hold passwords and do not go into a report.
    #[serde(skip)]
    pub properties: Vec<(String, String)>,
    /// The topic, which the server must route.
    pub topic: String,
    /// Key of the records.
    pub key: String,
    /// Name of the channel that the route makes of it.
    pub channel: String,
    /// Messages that count.
    pub count: u32,
    /// Mean time between two; each is between a half and one and a half of it.
    pub interval: Duration,
    /// Bytes of a value.
    pub size: usize,
    /// The exact command, for the report.
    pub command: String,
}

impl Plan {
    /// Proves what no single value shows.
    ///
    /// # Errors
    /// [`Error::Plan`], naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        if self.count == 0 || self.count > COUNT_MAX {
            return Err(Error::Plan(format!("count must be 1 to {COUNT_MAX}")));
        }
        if self.interval.is_zero() || self.interval > Duration::from_secs(60) {
            return Err(Error::Plan("the interval must be longer than 0 and at most 60 s".to_owned()));
        }
        Ok(())
    }

    fn settings(&self) -> kafka::Settings {
        kafka::Settings { brokers: self.brokers.clone(), properties: self.properties.clone() }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The exact command.
    pub command: String,
    /// Version of the load generator.
    pub version: String,
    /// When it began, ms since 1970.
    pub begun_unix_ms: u64,
    /// What it ran on.
    pub machine: Machine,
    /// Percent of the machine's CPU time that the hypervisor gave to others.
    pub steal_percent: f64,
    /// Percent of the machine's CPU time that was not idle.
    pub busy_percent: f64,
    /// What was asked for.
    pub plan: Plan,
    /// From the producer to the bare consumer.
    pub bare: Distribution,
    /// From the producer to the subscriber, through the server.
    pub server: Distribution,
    /// The second less the first, message by message: the server's share.
    pub difference: Distribution,
    /// Messages that the subscriber had first.
    pub server_first: u64,
    /// All three by length.
    pub bins: Vec<Bin>,
    /// Why it failed; empty: it passed.
    pub failures: Vec<String>,
}

impl Report {
    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Only text as keys, and finite numbers: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What the listeners tell while they run.
#[derive(Debug, Default)]
struct Shared {
    /// Arrivals of each listener.
    arrived: [AtomicUsize; 2],
    stop: AtomicBool,
}

const BARE: usize = 0;
const SERVER: usize = 1;

/// Measures.
///
/// # Errors
/// It could not be made: a bad plan, no broker, no topic, no server, a channel that is refused.
pub fn run(plan: &Plan) -> Result<Report, Error> {
    plan.check()?;
    let clock = Clock::start();
    let settings = plan.settings();
    let options = kafka::ProducerOptions { idempotent: true, linger_ms: 0 };
    let sender = Sender::new(&settings, &options, &plan.topic, vec![plan.key.clone()], plan.size)?;
    let shared = Arc::new(Shared::default());
    let begun_ns = clock.now_ns();
    let listen = |which| Listener { clock, which, shared: Arc::clone(&shared), plan: plan.clone(), begun_ns };
    let mut listeners = vec![
        spawn("bare-consumer", listen(BARE), Listener::consume)?,
        spawn("subscriber", listen(SERVER), Listener::subscribe)?,
    ];
    let ticks = CpuTicks::now();
    let sent = send(plan, &sender, clock, &shared, &listeners);
    shared.stop.store(true, Relaxed);
    let later = CpuTicks::now();
    let mut arrivals = Vec::new();
    for listener in listeners.drain(..) {
        let found = listener.join().map_err(|_| Error::Kernel("a listener panicked".to_owned()))?;
        // Why a listener ended is more telling than that nothing came.
        arrivals.push(found?);
    }
    let sent = sent?;
    let mut report = report(plan, &sent, &arrivals);
    report.steal_percent = rounded(later.steal_percent_since(&ticks));
    report.busy_percent = rounded(later.busy_percent_since(&ticks));
    report.begun_unix_ms = begun_ns / 1_000_000;
    Ok(report)
}

type Listening = JoinHandle<Result<Vec<Arrival>, Error>>;

fn spawn(
    name: &str,
    listener: Listener,
    body: fn(&Listener) -> Result<Vec<Arrival>, Error>,
) -> Result<Listening, Error> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || body(&listener));
    spawned.map_err(|error| Error::Kernel(format!("no thread for the {name}: {error}")))
}

/// Sends all; gives the stamps of those that count, by number.
fn send(
    plan: &Plan,
    sender: &Sender,
    clock: Clock,
    shared: &Shared,
    listeners: &[Listening],
) -> Result<Vec<u64>, Error> {
    let mut random = Random::new(clock.now_ns());
    let mut value = Vec::with_capacity(plan.size + 128);
    let ended = || listeners.iter().any(JoinHandle::is_finished);
    let arrived = || shared.arrived.each_ref().map(|arrived| arrived.load(SeqCst));
    // The bare consumer begins at the end of the topic, the subscriber whenever it is subscribed: only what
    // is sent from then on comes to both.
    let until_ns = clock.now_ns() + ns(FIRST_MAX);
    let mut number = 0;
    while number < WARM_UP || arrived().contains(&0) {
        if ended() || clock.now_ns() > until_ns {
            return Err(Error::Server(format!("no message came to both within {FIRST_MAX:?}")));
        }
        sender.send_now(clock, &mut value, number)?;
        number += 1;
        clock.sleep_until(clock.now_ns() + ns(plan.interval).min(20_000_000));
    }
    clock.sleep_until(clock.now_ns() + 100_000_000);
    let before = arrived();
    let mut stamps = Vec::with_capacity(plan.count as usize);
    let mut due_ns = clock.now_ns();
    for _ in 0..plan.count {
        due_ns += jittered(plan.interval, &mut random);
        clock.sleep_until(due_ns);
        if ended() {
            break;
        }
        stamps.push(sender.send_now(clock, &mut value, number)?);
        number += 1;
    }
    let until_ns = clock.now_ns() + ns(LAST_MAX);
    let missing = || arrived().iter().zip(&before).any(|(now, before)| now - before < stamps.len());
    while missing() && !ended() && clock.now_ns() < until_ns {
        clock.sleep_until(clock.now_ns() + LOOK_NS);
    }
    Ok(stamps)
}

/// Between a half and one and a half of it: no rhythm of the broker's falls in with ours.
fn jittered(interval: Duration, random: &mut Random) -> u64 {
    let whole = ns(interval);
    let part = random.below(usize::try_from(whole).unwrap_or(usize::MAX).max(1));
    whole / 2 + part as u64
}

/// Joins the arrivals of both by stamp.
fn report(plan: &Plan, sent: &[u64], arrivals: &[Vec<Arrival>]) -> Report {
    let of = |which: usize| latencies(sent, arrivals.get(which).map_or(&[], Vec::as_slice));
    let (bare, server) = (of(BARE), of(SERVER));
    let known = |side: &[Option<i64>]| side.iter().flatten().copied().collect::<Vec<_>>();
    let both = bare.iter().zip(&server).filter_map(|(bare, server)| Some((*server)? - (*bare)?));
    let difference: Vec<i64> = both.collect();
    let mut failures = Vec::new();
    for (side, name) in [(&bare, "the bare consumer"), (&server, "the subscriber")] {
        let lost = side.iter().filter(|latency| latency.is_none()).count();
        if lost > 0 {
            failures.push(format!("{lost} messages never came to {name}"));
        }
    }
    if sent.len() < plan.count as usize {
        failures.push(format!("only {} of {} messages were sent", sent.len(), plan.count));
    }
    Report {
        command: plan.command.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        begun_unix_ms: 0,
        machine: Machine::describe(),
        steal_percent: 0.0,
        busy_percent: 0.0,
        plan: plan.clone(),
        server_first: difference.iter().filter(|ns| **ns < 0).count() as u64,
        bins: distribution::bins([&known(&bare), &known(&server), &difference]),
        bare: Distribution::of(known(&bare)),
        server: Distribution::of(known(&server)),
        difference: Distribution::of(difference),
        failures,
    }
}

/// The latency of each message sent, by its stamp. Stamps rise: no two messages are sent in the same ns.
fn latencies(sent: &[u64], arrivals: &[Arrival]) -> Vec<Option<i64>> {
    let mut latencies = vec![None; sent.len()];
    for arrival in arrivals {
        let Ok(index) = sent.binary_search(&arrival.t_ns) else { continue };
        let ns = i64::try_from(arrival.at_ns.saturating_sub(arrival.t_ns)).unwrap_or(i64::MAX);
        // A message that comes twice counts when it came first.
        latencies[index].get_or_insert(ns);
    }
    latencies
}

#[cfg(test)]
mod tests;
