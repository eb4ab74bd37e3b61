//! The topic watcher: a thread that asks the cluster, so that ingest never waits for an answer.
//!
//! It has a client of its own. On the consumer's connections a question would stand behind a fetch that waits for
//! records, and start-up would take half a second a partition.

use std::{sync::Arc, time::Duration};

use flume::{Receiver, RecvTimeoutError, Sender};
use kafka::{BrokerEvent, Consumer, Lookup, Topic, TopicError};
use proto::position::Epoch;
use tracing::debug;

use super::watch::{Life, Verdict, Watched};
use crate::{config::From, slab::Bell};

/// A question that takes longer is asked again. Also the longest that the watcher's end takes.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time between two looks at all topics.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The same while something is missing: brokers, start positions, an answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Where a partition begins that has no start yet.
pub(super) const UNRESOLVED: i64 = -1;

/// What the watcher tells ingest.
#[derive(Debug)]
pub(super) enum Finding {
    /// A topic's life that was not known: the first or another. `starts` by partition.
    Life { topic: Arc<str>, epoch: Epoch, starts: Vec<i64> },
    /// Starts of this and the following partitions of a known life: new ones, and those that were unresolved.
    Starts { topic: Arc<str>, first: u32, starts: Vec<i64> },
    /// Ends of a partition whose offset was out of range, in the same life.
    Ends { topic: Arc<str>, epoch: Epoch, partition: u32, low: i64, high: i64 },
    /// The topic is not there.
    Missing(Arc<str>),
    /// The cluster does not let us look at the topic, or cannot at present.
    Refused(Arc<str>, String),
    /// The topic is there after all.
    Present(Arc<str>),
    /// The cluster answered.
    Heard,
    /// It did not.
    Silent(String),
    /// The brokers refuse the watcher's client.
    Refusal(BrokerEvent),
    /// The starts of all topics that are there have been told.
    Ready,
}

/// The brokers do not want us: waiting alone does not mend it.
pub(super) fn is_refusal(event: &BrokerEvent) -> bool {
    matches!(event, BrokerEvent::AuthFailed(_) | BrokerEvent::TlsFailed(_))
}

/// What ingest asks.
#[derive(Debug)]
pub(super) enum Ask {
    /// The partition's offset is not there: is it another life, or what are the partition's ends?
    OutOfRange { topic: Arc<str>, partition: u32 },
    /// Something is going on: look now.
    Look,
}

/// The thread's state.
#[derive(Debug)]
pub struct Watcher {
    client: Consumer,
    /// The connections of ingest's consumer: they are back only once a question on them is answered.
    main: Lookup,
    /// They did not answer last time.
    main_silent: bool,
    from: From,
    topics: Vec<Watched>,
    cluster_id: Option<String>,
    /// Partitions out of range, until answered.
    asked: Vec<(Arc<str>, u32)>,
    ready: bool,
    asks: Receiver<Ask>,
    findings: Sender<Finding>,
    bell: Arc<Bell>,
}

/// Why a look ends early.
enum Cut {
    /// No broker answered: the rest is put off.
    Silent(String),
    /// Ingest has ended.
    Ended,
}

/// Partitions that may fail to tell their start in one look: each costs up to the timeout.
const FAILURES_MAX: usize = 2;

impl Watcher {
    pub(super) fn new(
        client: Consumer,
        main: Lookup,
        from: From,
        topics: impl Iterator<Item = Arc<str>>,
        asks: Receiver<Ask>,
        findings: Sender<Finding>,
        bell: Arc<Bell>,
    ) -> Self {
        let topics = topics.map(Watched::new).collect();
        Self {
            client,
            main,
            main_silent: false,
            from,
            topics,
            cluster_id: None,
            asked: Vec::new(),
            ready: false,
            asks,
            findings,
            bell,
        }
    }

    /// Watches until ingest has ended; then returns within about two timeouts (3 s).
    pub fn run(mut self) {
        while self.look() {
            let interval = if self.is_settled() { LOOK_INTERVAL } else { RETRY_INTERVAL };
            match self.asks.recv_timeout(interval) {
                Ok(ask) => self.note(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(ask) = self.asks.try_recv() {
                self.note(ask);
            }
        }
    }

    fn is_settled(&self) -> bool {
        let resolved = |topic: &Watched| topic.life.as_ref().is_none_or(|life| life.unresolved.is_empty());
        self.ready && !self.main_silent && self.asked.is_empty() && self.topics.iter().all(resolved)
    }

    fn note(&mut self, ask: Ask) {
        if let Ask::OutOfRange { topic, partition } = ask
            && !self.asked.contains(&(Arc::clone(&topic), partition))
        {
            self.asked.push((topic, partition));
        }
    }

    /// One look at everything. False once ingest has ended.
    fn look(&mut self) -> bool {
        let looked = self.look_at_topics();
        let refusals = self.client.news().into_iter().filter(is_refusal);
        let mut findings: Vec<_> = refusals.map(Finding::Refusal).collect();
        match looked {
            Ok(complete) => {
                self.main_silent = !self.main.probe(ANSWER_TIMEOUT);
                findings.push(Finding::Heard);
                if complete && !self.ready {
                    self.ready = true;
                    findings.push(Finding::Ready);
                }
            }
            Err(Cut::Silent(text)) => {
                debug!(reason = text, "the brokers do not answer");
                findings.push(Finding::Silent(text));
            }
            Err(Cut::Ended) => return false,
        }
        findings.into_iter().all(|finding| self.tell(finding).is_ok())
    }

    /// True if the start of every partition that is there has been told.
    fn look_at_topics(&mut self) -> Result<bool, Cut> {
        if self.cluster_id.is_none() {
            self.cluster_id = self.client.cluster_id(ANSWER_TIMEOUT);
        }
        let silent = || Cut::Silent("no broker answers".to_owned());
        let cluster_id = self.cluster_id.clone().ok_or_else(silent)?;
        let mut complete = true;
        for index in 0..self.topics.len() {
            let name = Arc::clone(&self.topics[index].name);
            match self.client.topic(&name, ANSWER_TIMEOUT) {
                Ok(found) => {
                    self.tell(Finding::Present(name))?;
                    self.found(index, &found, &cluster_id)?;
                    self.answer(index)?;
                    complete &=
                        self.topics[index].life.as_ref().is_some_and(|life| life.unresolved.is_empty());
                }
                Err(TopicError::Unknown) => {
                    self.topics[index].was_absent = true;
                    self.tell(Finding::Missing(name))?;
                }
                Err(TopicError::Refused(text)) => {
                    complete = false;
                    self.tell(Finding::Refused(name, text))?;
                }
                Err(TopicError::Unreachable(text)) => return Err(Cut::Silent(text)),
            }
        }
        Ok(complete)
    }

    /// The cluster described a topic.
    fn found(&mut self, index: usize, found: &Topic, cluster_id: &str) -> Result<(), Cut> {
        let watched = &self.topics[index];
        let topic = Arc::clone(&watched.name);
        match watched.judge(found, cluster_id) {
            Verdict::Life { id, epoch, partitions } => {
                let from = watched.start(self.from);
                let (starts, unresolved) =
                    self.resolve(&topic, (0..partitions).map(|partition| (partition, from)));
                self.topics[index].life = Some(Life { id, epoch, partitions, unresolved });
                self.asked.retain(|(asked, _)| *asked != topic);
                self.tell(Finding::Life { topic, epoch, starts })
            }
            Verdict::Grown(partitions) => {
                let first = watched.life.as_ref().map_or(0, |life| life.partitions);
                let new = (first..partitions).map(|partition| (partition, From::Earliest));
                let (starts, unresolved) = self.resolve(&topic, new);
                if let Some(life) = &mut self.topics[index].life {
                    life.partitions = partitions;
                    life.unresolved.extend(unresolved);
                }
                self.tell(Finding::Starts { topic, first, starts })
            }
            Verdict::Same => self.resolve_rest(index),
        }
    }

    /// Asks again for the starts that were not to be had.
    fn resolve_rest(&mut self, index: usize) -> Result<(), Cut> {
        let topic = Arc::clone(&self.topics[index].name);
        let Some(life) = &mut self.topics[index].life else { return Ok(()) };
        let wanted = std::mem::take(&mut life.unresolved);
        if wanted.is_empty() {
            return Ok(());
        }
        let (starts, unresolved) = self.resolve(&topic, wanted.iter().copied());
        if let Some(life) = &mut self.topics[index].life {
            life.unresolved = unresolved;
        }
        for ((partition, _), start) in wanted.into_iter().zip(starts) {
            if start != UNRESOLVED {
                self.tell(Finding::Starts {
                    topic: Arc::clone(&topic),
                    first: partition,
                    starts: vec![start],
                })?;
            }
        }
        Ok(())
    }

    /// Starts of the partitions, and those that are to be asked for again: the ones that failed behind the ones that were
    /// not asked for, so that a dead leader does not keep the others waiting for ever.
    fn resolve(
        &self,
        topic: &str,
        partitions: impl Iterator<Item = (u32, From)>,
    ) -> (Vec<i64>, Vec<(u32, From)>) {
        let (mut failed, mut put_off) = (Vec::new(), Vec::new());
        let start = |(partition, from)| {
            if failed.len() >= FAILURES_MAX || self.asks.is_disconnected() {
                put_off.push((partition, from));
                return UNRESOLVED;
            }
            match self.start(topic, partition, from) {
                Ok(start) => start,
                Err(error) => {
                    debug!(topic, partition, %error, "no start position yet");
                    failed.push((partition, from));
                    UNRESOLVED
                }
            }
        };
        let starts = partitions.map(start).collect();
        put_off.extend(failed);
        (starts, put_off)
    }

    fn start(&self, topic: &str, partition: u32, from: From) -> Result<i64, kafka::Error> {
        match from {
            From::Latest => Ok(self.client.watermarks(topic, partition, ANSWER_TIMEOUT)?.1),
            From::Earliest => Ok(self.client.watermarks(topic, partition, ANSWER_TIMEOUT)?.0),
            From::Timestamp(ts_ms) => self.client.offset_for_time(topic, partition, ts_ms, ANSWER_TIMEOUT),
        }
    }

    /// Answers what ingest asked about a topic.
    fn answer(&mut self, index: usize) -> Result<(), Cut> {
        let Some(life) = &self.topics[index].life else { return Ok(()) };
        let epoch = life.epoch;
        let name = &self.topics[index].name;
        let (mine, others) =
            std::mem::take(&mut self.asked).into_iter().partition(|(asked, _)| asked == name);
        self.asked = others;
        let unanswered = self.asked.len();
        for (topic, partition) in mine {
            let give_up = self.asked.len() >= unanswered + FAILURES_MAX;
            let asked = (!give_up).then(|| self.client.watermarks(&topic, partition, ANSWER_TIMEOUT));
            let Some(Ok((low, high))) = asked else {
                self.asked.push((topic, partition));
                continue;
            };
            self.tell(Finding::Ends { topic, epoch, partition, low, high })?;
        }
        Ok(())
    }

    /// Waits for room: nothing may be lost, and this thread has time.
    fn tell(&self, finding: Finding) -> Result<(), Cut> {
        self.findings.send(finding).map_err(|_| Cut::Ended)?;
        self.bell.ring();
        Ok(())
    }
}
