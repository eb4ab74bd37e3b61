//! The kernel's own cost on this machine: what a server pays that does nothing but send, accept and be woken.
//!
//! No server can be cheaper than this, so the ratio of its CPU time to the baseline's at the same number of
//! messages a send says how much there is left to gain. What shapes the figures (docs/DESIGN.md, One send per
//! connection per turn): a send costs nearly the same whatever it carries, so messages that share one are
//! nearly free; and a reader that sleeps in the kernel is woken by nearly every send at the *sender's* cost,
//! so the reader here looks once a millisecond, as the load generator does with [`crate::Plan::poll`].

mod accept;
mod connections;
mod sends;
mod table;
mod wake;

use std::{thread, time::Duration};

use proto::{
    native::message::{self, Message, Payload},
    position::Epoch,
};
use serde::{Deserialize, Serialize};

use self::{connections::Connections, sends::Way};
use crate::{
    Clock, Error,
    figures::{ratio, real, rounded},
    histogram::{Summary, Times},
    machine::{CpuTicks, Machine, pin},
    payload,
    plan::Load,
};

/// Messages that share a send.
pub const MESSAGES: [u32; 4] = [1, 4, 16, 64];
/// The server gives no connection more in one send, unless one message is longer.
const SEND_BYTES_MAX: usize = 64 << 10;
/// What one source address and a table of descriptors carry on a usual machine.
const CONNECTIONS_MAX: u32 = 20_000;
/// More are not opened for a comparison: they would take longer to open than to measure.
const CONNECTIONS_BESIDE_MAX: u32 = 10_000;
/// Size of a value where others make them.
const VALUE_BYTES: usize = 256;

/// What shall be measured. Plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Loopback connections; a send costs more the more there are (caches).
    pub connections: u32,
    /// Bytes of a message with its frame.
    pub frame_bytes: usize,
    /// Core of the thread that sends, accepts and is woken.
    pub core: usize,
    /// Core of the other thread; none: the first other one.
    pub other_core: Option<usize>,
    /// Length of one measurement.
    pub step: Duration,
    /// Measurements of each kind, interleaved.
    pub repeats: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            connections: 1_000,
            frame_bytes: 256,
            core: 0,
            other_core: None,
            step: Duration::from_millis(300),
            repeats: 5,
        }
    }
}

impl Plan {
    /// What a run of the load generator shall be compared with: as many connections (as far as one process
    /// holds them) and messages of the same size.
    #[must_use]
    pub fn beside(run: &crate::Plan) -> Self {
        let value_bytes = match &run.load {
            Load::Produce(produce) => produce.size,
            Load::Listen | Load::Hold => VALUE_BYTES,
        };
        let keys = run.channel_names().unwrap_or_default();
        let channel = keys.first().map_or("", String::as_str);
        Self {
            connections: run.clients.clamp(1, CONNECTIONS_BESIDE_MAX),
            frame_bytes: frame_bytes(channel, value_bytes),
            ..Self::default()
        }
    }

    /// Proves what no single value shows.
    ///
    /// # Errors
    /// [`Error::Plan`], naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::Plan(text));
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return refuse(format!("connections must be 1 to {CONNECTIONS_MAX}"));
        }
        if self.frame_bytes == 0 || self.frame_bytes > 1 << 20 {
            return refuse("the size of a frame must be 1 to 1048576 bytes".to_owned());
        }
        if self.repeats == 0
            || self.repeats > 100
            || self.step.is_zero()
            || self.step > Duration::from_secs(60)
        {
            return refuse("repeats must be 1 to 100, and a step longer than 0 and at most 60 s".to_owned());
        }
        Ok(())
    }

    /// How many messages a send is measured with: those that the server would put into one.
    fn messages(&self) -> impl Iterator<Item = u32> + '_ {
        MESSAGES.into_iter().filter(|messages| {
            *messages == 1 || self.frame_bytes.saturating_mul(*messages as usize) <= SEND_BYTES_MAX
        })
    }

    /// About how long all of it takes, to tell people.
    #[must_use]
    pub fn length(&self) -> Duration {
        let kinds = u32::try_from(self.messages().count()).unwrap_or(u32::MAX).saturating_add(3);
        self.step.saturating_mul(kinds.saturating_mul(self.repeats))
    }
}

/// Bytes of a server's frame with a message of the load generator.
fn frame_bytes(channel: &str, value_bytes: usize) -> usize {
    let mut value = Vec::new();
    // As long as in a real run: a number of a few digits, ns since 1970.
    payload::write(&mut value, 10_000, 1_700_000_000_000_000_000, channel, value_bytes);
    let mut frame = Vec::new();
    let message = Message {
        channel,
        epoch: &Epoch::of("cluster", b"topic"),
        partition: 0,
        offset: 100_000,
        ts_ms: 1_700_000_000_000,
        value: Some(&value),
        headers: &[],
    };
    message::message(&mut frame, &message, Payload::Json);
    frame.len()
}

/// A figure over all repeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Half of the repeats were not above.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Figure {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else { return Self::default() };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { median: rounded(median), min: rounded(*min), max: rounded(*max) }
    }

    fn scaled(self, by: f64) -> Self {
        Self { median: rounded(self.median * by), min: rounded(self.min * by), max: rounded(self.max * by) }
    }
}

/// What sends cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SendPrice {
    /// Messages in one send.
    pub messages: u32,
    /// CPU time of the sender, ns.
    pub ns_per_send: Figure,
    /// The same for each message.
    pub ns_per_delivery: Figure,
    /// Messages for a second of its CPU time.
    pub deliveries_per_cpu_second: f64,
    /// Sends, over all repeats.
    pub sends: u64,
    /// Those that found the socket full.
    pub short: u64,
}

impl SendPrice {
    fn of(messages: u32, steps: &[sends::Step]) -> Self {
        let each = steps.iter().filter(|step| step.sends > 0);
        let ns_per_send = Figure::of(each.map(|step| ratio(real(step.cpu_ns), real(step.sends))).collect());
        let ns_per_delivery = ns_per_send.scaled(1.0 / f64::from(messages));
        Self {
            messages,
            ns_per_send,
            ns_per_delivery,
            deliveries_per_cpu_second: rounded(ratio(1e9, ns_per_delivery.median)),
            sends: steps.iter().map(|step| step.sends).sum(),
            short: steps.iter().map(|step| step.short).sum(),
        }
    }
}

/// What it costs to accept a connection and to close it again, by accept(2) in a loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptPrice {
    /// CPU time of the accepting thread for each connection, ns.
    pub ns_per_connection: Figure,
    /// Connections a second; on loopback the connecting thread is the limit.
    pub per_second: Figure,
    /// Connections, over all repeats.
    pub connections: u64,
}

/// What it costs to wake a ring that sleeps, by its eventfd, from another core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WakePrice {
    /// From the wake until the other thread runs, ms.
    pub latency: Summary,
    /// CPU time of the thread that is woken, ns, going back to sleep included.
    pub sleeper_ns: Figure,
    /// CPU time of the thread that wakes, ns.
    pub waker_ns: Figure,
}

/// The baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the load generator.
    pub version: String,
    /// The exact command, where it was measured alone.
    pub command: String,
    /// What it was measured on.
    pub machine: Machine,
    /// Percent of the machine's CPU time that the hypervisor gave to others meanwhile.
    pub steal_percent: f64,
    /// Percent of the machine's CPU time that was not idle.
    pub busy_percent: f64,
    /// What was measured.
    pub plan: Plan,
    /// A loop of send(2) with one message.
    pub bare: SendPrice,
    /// Batches of sends by io_uring from one contiguous range, by messages in a send.
    pub ring: Vec<SendPrice>,
    /// Accepting.
    pub accept: AcceptPrice,
    /// Waking.
    pub wake: WakePrice,
    /// What makes the figures doubtful.
    pub warnings: Vec<String>,
}

impl Baseline {
    /// CPU time of a delivery at so many messages a send, ns.
    ///
    /// The price of a send is nearly linear in its messages, so it is taken from a straight line between the
    /// two nearest that were measured, and so the mean number of messages of sends that differ gives their
    /// mean price. Beyond the last one the line goes on.
    #[must_use]
    pub fn ns_per_delivery(&self, messages_per_send: f64) -> f64 {
        let points: Vec<(f64, f64)> =
            self.ring.iter().map(|price| (f64::from(price.messages), price.ns_per_send.median)).collect();
        let messages = messages_per_send.max(1.0);
        ratio(on_line(&points, messages), messages)
    }

    /// The baseline as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Only text as keys, and finite numbers: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn warn(&mut self) {
        let prices = || self.ring.iter().chain([&self.bare]);
        let (sends, short) = prices().fold((0, 0), |(a, b), price| (a + price.sends, b + price.short));
        let mut warnings = Vec::new();
        if short * 1_000 > sends {
            warnings.push(format!("{short} of {sends} sends found the socket full: the reader is the limit"));
        }
        if self.steal_percent >= 5.0 {
            warnings.push(format!("the hypervisor took {:.1} % of the CPU time", self.steal_percent));
        }
        let noisiest =
            prices().map(|price| ratio(price.ns_per_send.max, price.ns_per_send.min)).fold(0.0, f64::max);
        if noisiest >= 1.5 {
            warnings.push(format!("repeats differ by up to {noisiest:.1} times: the machine is not quiet"));
        }
        if self.plan.other_core == Some(self.plan.core) {
            warnings.push("sender and reader share one core".to_owned());
        }
        self.warnings = warnings;
    }
}

/// The straight line through the two points next to `x`; beyond the ends that through the last two.
fn on_line(points: &[(f64, f64)], x: f64) -> f64 {
    match points {
        [] => 0.0,
        [(_, y)] => *y,
        _ => {
            let above = points.iter().position(|(at, _)| *at >= x).unwrap_or(points.len() - 1).max(1);
            let ((x0, y0), (x1, y1)) = (points[above - 1], points[above]);
            y0 + (y1 - y0) * ratio(x - x0, x1 - x0)
        }
    }
}

/// Measures the baseline; takes about [`Plan::length`].
///
/// # Errors
/// [`Error::Plan`]: what was asked for makes no sense. [`Error::Kernel`]: this machine lacks something.
pub fn measure(plan: &Plan) -> Result<Baseline, Error> {
    plan.check()?;
    let plan =
        Plan { other_core: Some(plan.other_core.map_or_else(|| other_than(plan.core), Ok)?), ..plan.clone() };
    // A thread of its own: pinned for good, and its CPU time is nobody else's.
    let body = move || measure_here(plan);
    let thread = thread::Builder::new().name("baseline".to_owned()).spawn(body);
    let thread = thread.map_err(|error| Error::Kernel(format!("no thread for the baseline: {error}")))?;
    thread.join().map_err(|_| Error::Kernel("the baseline's thread panicked".to_owned()))?
}

/// Another core that this process may use, or the same if there is none.
fn other_than(core: usize) -> Result<usize, Error> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if !cores.iter().any(|usable| usable.id == core) {
        return Err(Error::Kernel(format!("core {core} is not there to be pinned to")));
    }
    Ok(cores.iter().map(|usable| usable.id).find(|other| *other != core).unwrap_or(core))
}

fn measure_here(plan: Plan) -> Result<Baseline, Error> {
    pin(plan.core)?;
    let other_core = plan.other_core.unwrap_or(plan.core);
    let clock = Clock::start();
    let ticks = CpuTicks::now();
    let mut connections = Connections::open(&plan, other_core, clock)?;
    let mut ways = vec![(Way::Bare, 1)];
    ways.extend(plan.messages().map(|messages| (Way::Ring, messages)));
    let mut sends = vec![Vec::new(); ways.len()];
    let (mut accepts, mut wakes, mut latency) = (Vec::new(), Vec::new(), Times::default());
    for (way, messages) in &ways {
        // Once over all sockets: their first use is dearer.
        connections.send(*way, *messages, Duration::ZERO)?;
    }
    for _ in 0..plan.repeats {
        for ((way, messages), steps) in ways.iter().zip(&mut sends) {
            steps.push(connections.send(*way, *messages, plan.step)?);
        }
        connections.pause();
        accepts.push(accept::run(plan.step, other_core, clock)?);
        wakes.push(wake::run(plan.step, other_core, clock, &mut latency)?);
        connections.resume();
    }
    connections.close()?;
    let later = CpuTicks::now();
    let mut prices = ways.iter().zip(&sends).map(|((_, messages), steps)| SendPrice::of(*messages, steps));
    let bare = prices.next().ok_or_else(|| Error::Kernel("nothing was measured".to_owned()))?;
    let mut baseline = Baseline {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: String::new(),
        machine: Machine::describe(),
        steal_percent: rounded(later.steal_percent_since(&ticks)),
        busy_percent: rounded(later.busy_percent_since(&ticks)),
        bare,
        ring: prices.collect(),
        accept: accept::price(&accepts),
        wake: wake::price(&wakes, &latency),
        warnings: Vec::new(),
        plan,
    };
    baseline.warn();
    Ok(baseline)
}

#[cfg(test)]
pub(crate) mod tests;
