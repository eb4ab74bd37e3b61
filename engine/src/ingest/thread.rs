//! The ingest thread: one turn.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use flume::{Receiver, Sender};
use kafka::{Ask, Consumer, Lookup, Read};
use slab::Writer;
use sync::Waker;
use tracing::info;

use super::{
    bus::Bus,
    faults::Faults,
    reading::Reading,
    records::{Intake, Records},
    watcher::{Asks, Finding, Links, Watcher},
};
use crate::{
    catalog::SharedCatalog,
    clock::Now,
    config::Config,
    error::Error,
    health::Health,
    inbox::{ToIngest, ToShard},
    metrics::IngestMetrics,
};

/// Deliveries drained at once.
const BATCH: usize = 1_024;
/// Longest sleep: events of the connections are looked at this often.
const SLEEP_MAX: Duration = Duration::from_millis(200);
/// The same while messages wait for room in an inbox.
const SLEEP_SHORT: Duration = Duration::from_millis(1);
/// Time between two rounds of duties: positions, lag, faults, CPU time.
const DUTY_INTERVAL_NS: u64 = 1_000_000_000;
/// Findings and lookups under way.
const FINDINGS_MAX: usize = 1_024;

/// What ingest is built from. `D` is the ring's kind of descriptor.
#[derive(Debug)]
pub struct Setup<'a, D> {
    /// The settings.
    pub config: &'a Config,
    /// The slab's writing end.
    pub writer: Writer,
    /// Inboxes and wakers of the shards, by shard.
    pub links: Vec<(Sender<ToShard<D>>, Arc<Waker>)>,
    /// Ingest's inbox.
    pub lookups: Receiver<ToIngest>,
    /// Ingest's waker, unset: whoever puts something into its inbox wakes it.
    pub waker: Arc<Waker>,
    /// Where the catalog is shown.
    pub catalog: SharedCatalog,
    /// Ingest's counters.
    pub metrics: Arc<IngestMetrics>,
    /// Where reasons are shown.
    pub health: Arc<Health>,
}

/// What ingest does after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// There is more: another turn at once.
    No,
    /// The slab is full up to the floor that a shard has yet to acknowledge: another turn after this pause, or when a shard
    /// writes.
    Full(Duration),
    /// Nothing to do until something arrives, or for this long.
    Sleep(Duration),
    /// It has ended.
    Ended,
}

/// Whether clients may be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// The state of some topic or partition is not known.
    No,
    /// All are known; the places where reading begins are yet to be published.
    Found,
    /// It has been told.
    Told,
}

/// The ingest thread's state, over whatever reads Kafka.
#[derive(Debug)]
pub struct Ingest<R, D> {
    reader: R,
    bus: Bus<D>,
    faults: Faults,
    records: Records,
    asks: Asks,
    findings: Receiver<Finding>,
    ready: Ready,
    /// When partitions were last looked after.
    duty_ns: u64,
    waker: Arc<Waker>,
    metrics: Arc<IngestMetrics>,
}

/// The two threads' states over librdkafka.
pub type OverKafka = (Ingest<Consumer, OwnedFd>, Watcher<Consumer, Lookup>);

/// Builds the two threads' states over librdkafka; connects to nothing yet.
///
/// # Errors
/// [`Error::Config`] for a property that librdkafka refuses.
pub fn new(setup: Setup<'_, OwnedFd>) -> Result<OverKafka, Error> {
    let client = || Consumer::new(&setup.config.kafka).map_err(|error| Error::Config(error.to_string()));
    let (consumer, light) = (client()?, client()?);
    let (consumer_waker, lookup) = (consumer.waker(), consumer.lookup());
    setup.waker.arm(Box::new(move || consumer_waker.wake()));
    Ok(over(setup, consumer, light, lookup))
}

/// Builds the two threads' states over these: what reads, what asks, and what asks on the reader's own connections. Whoever
/// drives them arms the waker.
pub fn over<R: Read, D, A: Ask, M: Ask>(
    setup: Setup<'_, D>,
    reader: R,
    client: A,
    main: M,
) -> (Ingest<R, D>, Watcher<A, M>) {
    let Setup { config, writer, links, lookups, waker, catalog, metrics, health } = setup;
    let (tell, findings) = flume::bounded(FINDINGS_MAX);
    let (asks, asked) = flume::bounded(FINDINGS_MAX);
    let mut topics: Vec<Arc<str>> = Vec::new();
    for route in &config.routes {
        if !topics.iter().any(|topic| **topic == route.topic) {
            topics.push(Arc::from(route.topic.as_str()));
        }
    }
    let bus = Bus::new(writer, &config.routes, &config.limits, links, lookups, catalog, Arc::clone(&metrics));
    let marks = bus.topics().marks().clone();
    let watching = Links { lookups: asked, findings: tell, waker: Arc::clone(&waker), marks };
    let watcher = Watcher::new(client, main, config.from, topics.into_iter(), watching);
    let ingest = Ingest {
        reader,
        bus,
        faults: Faults::new(health, Arc::clone(&metrics)),
        records: Records::new(Arc::clone(&metrics)),
        asks: Asks::new(asks),
        findings,
        ready: Ready::No,
        duty_ns: 0,
        waker,
        metrics,
    };
    (ingest, watcher)
}

impl Ingest<Consumer, OwnedFd> {
    /// Ingests until [`ToIngest::Stop`] comes, or nobody is left who could send it.
    pub fn run(mut self) {
        loop {
            match self.turn(Now::read().mono_ns) {
                Rest::No => {}
                Rest::Full(pause) => self.bus.await_message(pause),
                Rest::Sleep(longest) => self.sleep(longest),
                Rest::Ended => break,
            }
        }
        info!("ingest stopped");
    }

    fn sleep(&self, longest: Duration) {
        self.waker.about_to_sleep();
        if self.findings.is_empty() {
            let busy = !self.bus.is_idle();
            self.reader.wait(if busy { longest.min(SLEEP_SHORT) } else { longest });
        }
        self.waker.awake();
    }
}

impl<R: Read, D> Ingest<R, D> {
    /// One turn: answers the shards, applies what the watcher found, takes what the consumer has, publishes. Never waits.
    pub fn turn(&mut self, now_ns: u64) -> Rest {
        if !self.bus.answer_lookups() {
            return Rest::Ended;
        }
        // A record of which a part is in the slab is finished before anything else.
        if !self.bus.is_mid_record() {
            while let Ok(finding) = self.findings.try_recv() {
                self.apply(finding, now_ns);
            }
            self.watch_connections(now_ns);
            self.duties(now_ns);
            self.tell_clients();
        }
        let drained = self.drain(now_ns);
        self.bus.publish();
        if !self.bus.is_mid_record() {
            self.follow_up(now_ns);
        }
        if self.records.is_full() {
            // (A client that came now would not be told where it begins.)
            return Rest::Full(self.faults.slab_full(self.bus.behind(), now_ns));
        }
        self.faults.slab_took_all();
        if self.ready == Ready::Found {
            self.ready = Ready::Told;
            // Before anybody is let in: the first ack says what is stale.
            self.reading(now_ns).look_at_faults();
            self.tell_clients();
            self.faults.ready();
            info!(partitions = self.metrics.partitions.get(), "state of all partitions known, ready");
        }
        if drained > 0 { Rest::No } else { Rest::Sleep(SLEEP_MAX) }
    }

    pub(super) fn apply(&mut self, finding: Finding, now_ns: u64) {
        if self.reading(now_ns).apply(finding) {
            self.ready = Ready::Found;
        }
    }

    fn watch_connections(&mut self, now_ns: u64) {
        for event in self.reader.news() {
            if self.faults.connection(&event, now_ns) {
                self.asks.look();
            }
        }
    }

    /// Once a second.
    fn duties(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.duty_ns) < DUTY_INTERVAL_NS {
            return;
        }
        self.duty_ns = now_ns;
        let mut reading = self.reading(now_ns);
        let lag = reading.look_after_all();
        reading.look_at_faults();
        self.metrics.lag_records.set(lag);
        self.metrics.cpu_ns.set(ring::thread_cpu_ns());
        self.faults.look_at_brokers(now_ns);
    }

    /// Appends what is due without a record, then takes deliveries, as far as the slab has room.
    fn drain(&mut self, now_ns: u64) -> usize {
        let Self { reader, records, bus, faults, asks, .. } = self;
        records.begin_turn(bus.turn(now_ns).is_err());
        if records.is_full() {
            return 0;
        }
        let mut intake = Intake { records, bus, faults, asks, now_ns };
        reader.drain(BATCH, &mut |delivery| intake.take(delivery))
    }

    /// What a turn has led to beside entries.
    fn follow_up(&mut self, now_ns: u64) {
        if self.records.take_came() {
            self.faults.records_came();
            self.tell_clients();
        }
        for number in self.records.take_stopped() {
            self.reading(now_ns).end(number);
        }
        self.asks.send();
    }

    /// Tells clients what is stale and what is live again.
    fn tell_clients(&mut self) {
        for status in self.faults.take_due() {
            self.bus.status(&status);
        }
    }

    fn reading(&mut self, now_ns: u64) -> Reading<'_, R, D> {
        let Self { reader, bus, faults, asks, .. } = self;
        Reading { reader, bus, faults, asks, now_ns }
    }

    /// The bus, for whoever drives the turns.
    #[must_use]
    pub fn bus(&self) -> &Bus<D> {
        &self.bus
    }

    /// The reader, for whoever drives the turns.
    pub fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Nothing waits but what the reader has: no inbox message, no finding, no notice.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.bus.is_idle() && self.findings.is_empty()
    }
}
