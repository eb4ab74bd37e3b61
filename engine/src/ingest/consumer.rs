//! The ingest thread over Kafka's consumer.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use flume::{Receiver, Sender};
use kafka::{BrokerEvent, Consumer};
use proto::{native::reply::GapReason, position::Epoch};
use tracing::{debug, error, info, warn};

use super::{
    bus::Bus,
    feed::Feed,
    jobs::Bounds,
    reach::Witness,
    watcher::{Ask, Finding, UNRESOLVED, Watcher},
};
use crate::{
    catalog::SharedCatalog,
    clock::Now,
    config::Config,
    error::Error,
    health::{Health, Reason},
    mail::{DataState, PartitionState, ToIngest, ToShard},
    metrics::IngestMetrics,
    slab::{Bell, Writer},
};

/// Records drained at once.
const BATCH: usize = 1_024;
/// Longest sleep: events of the connections are looked at this often.
const SLEEP_MAX: Duration = Duration::from_millis(200);
/// The same while letters wait for room in an inbox.
const SLEEP_SHORT: Duration = Duration::from_millis(1);
/// Time between two rounds of duties: positions, lag, CPU time.
const DUTY_INTERVAL_NS: u64 = 1_000_000_000;
/// Time between two words in the log about broken connections.
const LOST_INTERVAL_NS: u64 = 10_000_000_000;
/// Findings and asks under way.
const FINDINGS_MAX: usize = 1_024;

/// What ingest is built from.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The slab's writing end.
    pub writer: Writer,
    /// Inboxes and bells of the shards, by shard.
    pub links: Vec<(Sender<ToShard<OwnedFd>>, Arc<Bell>)>,
    /// Ingest's inbox.
    pub questions: Receiver<ToIngest>,
    /// Ingest's bell, unset: whoever puts something into its inbox rings it.
    pub bell: Arc<Bell>,
    /// Where the catalog is shown.
    pub catalog: SharedCatalog,
    /// Ingest's counters.
    pub metrics: Arc<IngestMetrics>,
    /// Where reasons are shown.
    pub health: Arc<Health>,
}

/// The ingest thread's state.
#[derive(Debug)]
pub struct Ingest {
    consumer: Consumer,
    feed: Feed,
    bell: Arc<Bell>,
    findings: Receiver<Finding>,
    asks: Sender<Ask>,
    duty_ns: u64,
    /// When a broken connection was last logged.
    lost_ns: u64,
}

/// Builds the two threads' states; connects to nothing yet.
///
/// # Errors
/// [`Error::Config`] for a property that librdkafka refuses.
pub fn new(setup: Setup<'_>) -> Result<(Ingest, Watcher), Error> {
    let Setup { config, writer, links, questions, bell, catalog, metrics, health } = setup;
    let client = || Consumer::new(&config.kafka).map_err(|error| Error::Config(error.to_string()));
    let (consumer, light) = (client()?, client()?);
    let waker = consumer.waker();
    bell.arm(Box::new(move || waker.wake()));
    let (tell, findings) = flume::bounded(FINDINGS_MAX);
    let (asks, asked) = flume::bounded(FINDINGS_MAX);
    let mut topics: Vec<Arc<str>> = Vec::new();
    for route in &config.routes {
        if !topics.iter().any(|topic| **topic == route.topic) {
            topics.push(Arc::from(route.topic.as_str()));
        }
    }
    let watcher = Watcher::new(
        light,
        consumer.lookup(),
        config.from,
        topics.into_iter(),
        asked,
        tell,
        Arc::clone(&bell),
    );
    let bus =
        Bus::new(writer, &config.routes, &config.limits, links, questions, catalog, Arc::clone(&metrics));
    let feed = Feed::new(bus, health, metrics);
    Ok((Ingest { consumer, feed, bell, findings, asks, duty_ns: 0, lost_ns: 0 }, watcher))
}

impl Ingest {
    /// Ingests until [`ToIngest::Stop`] comes, or nobody is left who could send it.
    pub fn run(mut self) {
        while !self.feed.stop {
            self.feed.now_ns = Now::read().mono_ns;
            self.feed.stop |= !self.feed.bus.answer_questions();
            while let Ok(finding) = self.findings.try_recv() {
                self.handle(finding);
            }
            self.watch_connections();
            self.duties();
            self.feed.turn();
            let feed = &mut self.feed;
            let drained = self.consumer.drain(BATCH, &mut |delivery| feed.take(delivery));
            self.feed.publish();
            self.follow_up();
            if drained == 0 {
                self.sleep();
            }
        }
        info!("ingest ends");
    }

    fn sleep(&self) {
        self.bell.about_to_sleep();
        if !self.feed.bus.is_idle() {
            self.consumer.wait(SLEEP_SHORT);
        } else if self.findings.is_empty() {
            self.consumer.wait(SLEEP_MAX);
        }
        self.bell.awake();
    }

    /// What a batch has led to beside entries.
    fn follow_up(&mut self) {
        if std::mem::take(&mut self.feed.took) && !self.feed.reach.is_heard() {
            let state = self.feed.reach.record();
            self.reached();
            if let Some(state) = state {
                self.feed.bus.state(state);
            }
        }
        let Feed { out_of_range, parts, lives, .. } = &mut self.feed;
        hand_over(out_of_range, |tag| {
            let part = &parts[tag as usize];
            let topic = Arc::clone(&lives[part.life].topic);
            self.asks.try_send(Ask::OutOfRange { topic, partition: part.partition }).is_ok()
        });
        for life in std::mem::take(&mut self.feed.stopped) {
            self.end_parts(life);
        }
        if std::mem::take(&mut self.feed.look) {
            let _full_means_it_looks_anyway = self.asks.try_send(Ask::Look);
        }
    }

    fn end_parts(&mut self, life: usize) {
        for &tag in &self.feed.lives[life].tags {
            let part = &mut self.feed.parts[tag as usize];
            if matches!(part.state, PartitionState::Reading | PartitionState::OutOfRange)
                && let Err(error) = self.consumer.unassign(tag)
            {
                error!(tag, %error, "the consumer does not let go of a partition");
            }
            part.state = PartitionState::Ended;
            self.feed.bus.note(part.source, part.state, None);
        }
    }

    /// Once a second.
    fn duties(&mut self) {
        if self.feed.now_ns - self.duty_ns < DUTY_INTERVAL_NS {
            return;
        }
        self.duty_ns = self.feed.now_ns;
        let mut lag = 0;
        for tag in 0..self.feed.parts.len() {
            let tag = u32::try_from(tag).expect("partitions are few");
            let (source, state) = {
                let part = &self.feed.parts[tag as usize];
                (part.source, part.state)
            };
            match state {
                PartitionState::Waiting => self.begin(tag),
                PartitionState::Reading => {
                    if let Some(position) = self.consumer.position(tag) {
                        self.feed.bus.skip(source, position);
                    }
                    let behind = self.consumer.end(tag).unwrap_or(0) - self.feed.bus.next_offset(source);
                    lag += u64::try_from(behind).unwrap_or(0);
                }
                PartitionState::OutOfRange | PartitionState::Ended => {}
            }
            let part = &self.feed.parts[tag as usize];
            self.feed.bus.note(part.source, part.state, self.consumer.end(tag));
        }
        self.feed.metrics.lag_records.set(lag);
        self.feed.metrics.cpu_ns.set(ring::thread_cpu_ns());
        let state = self.feed.reach.due(self.feed.now_ns);
        if let Some(state) = state {
            self.stale(state);
        }
    }

    /// Has the consumer read a partition whose start is known.
    fn begin(&mut self, tag: u32) {
        let part = &mut self.feed.parts[tag as usize];
        let life = &self.feed.lives[part.life];
        let next = self.feed.bus.next_offset(part.source);
        if next < 0 || life.stopped {
            return;
        }
        match self.consumer.assign(&life.topic, part.partition, next, tag) {
            Ok(()) => {
                part.state = PartitionState::Reading;
                self.feed.bus.note(part.source, part.state, None);
            }
            Err(error) => {
                let (topic, partition) = (&*life.topic, part.partition);
                error!(topic, partition, %error, "the consumer does not take a partition; tried again");
            }
        }
    }
}

/// What the watcher finds.
impl Ingest {
    fn handle(&mut self, finding: Finding) {
        match finding {
            Finding::Life { topic, epoch, starts } => self.begin_life(&topic, epoch, &starts),
            Finding::Starts { topic, first, starts } => self.add_starts(&topic, first, &starts),
            Finding::Ends { topic, epoch, partition, low, high } => {
                self.resume(&topic, epoch, partition, low, high);
            }
            Finding::Missing(topic) => {
                let reason = Reason::TopicUnknown(Arc::clone(&topic));
                if self.feed.health.set(&reason, "the cluster has no such topic") {
                    warn!(topic = &*topic, "unknown topic: it is read as soon as it is created");
                }
            }
            Finding::Refused(topic, text) => {
                let reason = Reason::TopicRefused(Arc::clone(&topic));
                if self.feed.health.set(&reason, &text) {
                    warn!(
                        topic = &*topic,
                        reason = text,
                        "the brokers do not tell about a topic; asked again"
                    );
                }
            }
            Finding::Present(topic) => {
                self.feed.health.clear(&Reason::TopicUnknown(Arc::clone(&topic)));
                self.feed.health.clear(&Reason::TopicRefused(topic));
            }
            Finding::Heard => self.heard(Witness::Watcher),
            Finding::Silent(text) => self.silent(Witness::Watcher, &text),
            Finding::Refusal(event) => self.refused(&event),
            Finding::Ready => {
                self.feed.turn();
                self.feed.publish();
                self.feed.health.set_ready();
                info!(
                    partitions = self.feed.metrics.partitions.get(),
                    "all start positions are known: ready"
                );
            }
        }
    }

    fn begin_life(&mut self, topic: &Arc<str>, epoch: Epoch, starts: &[i64]) {
        if let Some(old) = self.feed.life(topic) {
            warn!(topic = &**topic, %epoch, "the topic was created anew: clients get a gap notice, it is read from its beginning");
            let ends: Vec<i64> =
                self.feed.lives[old].tags.iter().map(|&tag| self.consumer.end(tag).unwrap_or(-1)).collect();
            self.end_parts(old);
            self.feed.bus.retire(self.feed.lives[old].number, &ends);
            self.feed.health.clear(&Reason::TopicStopped(Arc::clone(topic)));
        }
        info!(topic = &**topic, %epoch, partitions = starts.len(), "reads a topic");
        let life = self.feed.begin_life(topic, epoch);
        for &start in starts {
            let tag = self.feed.add_part(life, start);
            self.begin(tag);
        }
    }

    fn add_starts(&mut self, topic: &Arc<str>, first: u32, starts: &[i64]) {
        let Some(life) = self.feed.life(topic) else { return };
        for (partition, &start) in (first as usize..).zip(starts) {
            if let Some(&tag) = self.feed.lives[life].tags.get(partition) {
                if start != UNRESOLVED {
                    self.feed.bus.skip(self.feed.parts[tag as usize].source, start);
                    self.begin(tag);
                }
            } else {
                info!(topic = &**topic, partition, start, "reads a new partition");
                let tag = self.feed.add_part(life, start);
                self.begin(tag);
            }
        }
    }

    /// An offset was out of range, in the same life: goes on at the end of the log that is nearest.
    fn resume(&mut self, topic: &str, epoch: Epoch, partition: u32, low: i64, high: i64) {
        let Some(life) = self.feed.life(topic).filter(|&life| self.feed.lives[life].epoch == epoch) else {
            return;
        };
        let Some(&tag) = self.feed.lives[life].tags.get(partition as usize) else { return };
        let part = &self.feed.parts[tag as usize];
        if part.state != PartitionState::OutOfRange {
            return;
        }
        let next = self.feed.bus.next_offset(part.source);
        if next < low {
            warn!(
                topic,
                partition,
                from = next,
                to = low - 1,
                "retention was faster: clients get a gap notice"
            );
            let bounds = Bounds { source: part.source, from: next, to: low - 1 };
            self.feed.bus.gap(self.feed.lives[life].number, GapReason::Retention, vec![bounds]);
        } else if next > high {
            self.feed.cut(tag as usize, high);
        }
        let next = self.feed.bus.next_offset(self.feed.parts[tag as usize].source);
        match self.consumer.seek(tag, next) {
            Ok(()) => {
                let part = &mut self.feed.parts[tag as usize];
                part.state = PartitionState::Reading;
                self.feed.bus.note(part.source, part.state, None);
            }
            Err(error) => {
                error!(topic, partition, %error, "the consumer does not go on at another offset; asked again");
                self.feed.out_of_range.push(tag);
            }
        }
    }
}

/// The brokers.
impl Ingest {
    fn watch_connections(&mut self) {
        for event in self.consumer.news() {
            match &event {
                BrokerEvent::Down(text) => {
                    self.silent(Witness::Consumer, text);
                    let _full_means_it_looks_anyway = self.asks.try_send(Ask::Look);
                }
                BrokerEvent::Up => self.heard(Witness::Consumer),
                BrokerEvent::AuthFailed(_) | BrokerEvent::TlsFailed(_) => self.refused(&event),
                BrokerEvent::Lost(text) => self.lost_one(text),
                BrokerEvent::Other(text) => warn!(reason = text, "kafka"),
            }
        }
    }

    fn silent(&mut self, witness: Witness, text: &str) {
        if self.feed.reach.silent(witness, self.feed.now_ns) {
            if self.feed.metrics.broker_up.get() == 1 {
                self.feed.metrics.broker_losses.add(1);
            }
            self.feed.metrics.broker_up.set(0);
            if self.feed.health.set(&Reason::BrokersUnreachable, text) {
                warn!(reason = text, "no broker answers; tried until one does");
            }
        }
    }

    fn heard(&mut self, witness: Witness) {
        let state = self.feed.reach.heard(witness);
        if self.feed.reach.is_heard() {
            self.reached();
        }
        if let Some(state) = state {
            self.feed.bus.state(state);
        }
    }

    fn reached(&self) {
        self.feed.metrics.broker_up.set(1);
        self.feed.health.clear(&Reason::BrokersRefuse);
        if self.feed.health.clear(&Reason::BrokersUnreachable) {
            info!("the brokers answer again");
        }
    }

    fn stale(&mut self, state: DataState) {
        if let DataState::Stale { lag_ms } = state {
            warn!(lag_ms, "no broker answers: clients are told that data is stale");
        }
        self.feed.bus.state(state);
    }

    /// One connection broke. Said now and then, for it is tried twice a second; silence of all is said elsewhere.
    fn lost_one(&mut self, text: &str) {
        let quiet = self.feed.now_ns.saturating_sub(self.lost_ns) < LOST_INTERVAL_NS;
        if quiet || !self.feed.reach.is_heard() {
            debug!(reason = text, "a broker's connection broke");
        } else {
            self.lost_ns = self.feed.now_ns;
            warn!(reason = text, "a broker's connection broke; others may serve");
        }
    }

    /// Why the brokers refuse us, by whichever client learnt it.
    fn refused(&self, event: &BrokerEvent) {
        let (BrokerEvent::AuthFailed(text) | BrokerEvent::TlsFailed(text)) = event else { return };
        if self.feed.health.set(&Reason::BrokersRefuse, text) {
            error!(reason = text, "the brokers refuse us");
        }
    }
}

/// Takes from the front what `send` has room for; the rest waits for the next turn.
fn hand_over(waiting: &mut Vec<u32>, mut send: impl FnMut(u32) -> bool) {
    let sent = waiting.iter().take_while(|&&tag| send(tag)).count();
    waiting.drain(..sent);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partition that nobody asks about stands still for ever.
    #[test]
    fn what_finds_no_room_waits() {
        let (sender, receiver) = flume::bounded(2);
        let mut waiting = vec![7, 8, 9, 10];
        let mut seen = Vec::new();
        while !waiting.is_empty() {
            hand_over(&mut waiting, |tag| sender.try_send(tag).is_ok());
            seen.extend(receiver.try_iter());
        }
        assert_eq!(seen, [7, 8, 9, 10]);
    }
}
