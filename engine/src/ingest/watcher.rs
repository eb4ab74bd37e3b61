//! The topic watcher: a thread that asks the cluster, so that ingest never waits for an answer.
//!
//! It has a client of its own. On the consumer's connections a lookup would wait behind a fetch that waits for
//! records. A look asks about every topic, one answer each, and then for all offsets that are wanted, in one request a
//! broker: what one topic or partition lacks costs the others nothing.

use std::{sync::Arc, time::Duration};

use flume::{Receiver, RecvTimeoutError, Sender};
use kafka::{Ask, At, BrokerEvent, Topic, TopicError, TopicId, Wanted};
use proto::position::Epoch;
use tracing::debug;

use super::{
    incarnations::Marks,
    watch::{Incarnation, Unresolved, Verdict, Watched},
};
use crate::{config::From, slab::Waker};

/// A lookup that takes longer is made again. Also the longest that the watcher's end takes.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time between two looks at all topics.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The same while something is missing: brokers, start positions, an answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Looks in which starts may be missing although there is a leader, until the node is ready all the same: what such a
/// partition brings in the meantime begins where reading of it will begin.
const TRIES_BEFORE_READY: u32 = 3;

/// What the watcher tells ingest.
#[derive(Debug)]
pub(super) enum Finding {
    /// A topic's incarnation that was not known: the first or another. Its partitions' starts follow.
    Incarnation {
        /// The topic.
        topic: Arc<str>,
        /// Its id; none: the cluster has none, the name stands in.
        id: Option<TopicId>,
        /// Identity of this incarnation.
        epoch: Epoch,
        /// How many partitions it has.
        partitions: u32,
        /// How they begin.
        begin: Begin,
    },
    /// A known incarnation has this many partitions now.
    Grown {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// How many partitions it has.
        partitions: u32,
    },
    /// The topic is as known.
    Same {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// Ingest's newest mark when the lookup was made.
        mark: u64,
        /// Its partitions without a leader.
        leaderless: Vec<u32>,
    },
    /// Starts of partitions.
    Starts {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// Partition and start: found, or the leader does not answer.
        starts: Vec<(u32, Option<i64>)>,
    },
    /// Ends of a partition whose offset was out of range, in the same incarnation.
    Ends {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// The partition.
        partition: u32,
        /// The first offset that is held.
        low: i64,
        /// The next that will be written.
        high: i64,
    },
    /// How far a partition may be read, and where it ends.
    Standstill {
        /// The topic.
        topic: Arc<str>,
        /// Its incarnation.
        epoch: Epoch,
        /// The partition.
        partition: u32,
        /// The next offset that a reader of committed records may get.
        stable: i64,
        /// The next that will be written.
        end: i64,
    },
    /// The topic is not there.
    Missing(Arc<str>),
    /// The cluster does not let us look at the topic.
    Refused(Arc<str>, String),
    /// The cluster answered.
    Heard,
    /// It did not.
    Silent(String),
    /// The brokers refuse the watcher's client.
    Refusal(BrokerEvent),
    /// The state of all topics and partitions has been told.
    Ready,
}

/// Where the partitions of an incarnation that was not known begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// At their beginning.
    AtStart,
    /// Where the settings say: told when it is found.
    Elsewhere,
    /// Where the incarnation before stands: the topic is the same, only its identity is known better.
    GoesOn,
}

/// The brokers refuse us: retrying alone does not fix it.
pub(super) fn is_refusal(event: &BrokerEvent) -> bool {
    matches!(event, BrokerEvent::AuthFailed(_) | BrokerEvent::TlsFailed(_))
}

/// What ingest asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicLookup {
    /// The partition's offset is not there: what are its ends?
    Ends {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The partition stands still although there is more: why?
    Standstill {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// Something is going on: look now.
    Look,
}

/// The thread's state.
#[derive(Debug)]
pub struct Watcher<A, M> {
    client: A,
    /// The connections of ingest's consumer: they are back only once a lookup on them is answered.
    main: M,
    /// They did not answer last time.
    main_silent: bool,
    from: From,
    topics: Vec<Watched>,
    /// Lookups of ingest about partitions, until answered.
    open: Vec<TopicLookup>,
    tries: u32,
    ready: bool,
    lookups: Receiver<TopicLookup>,
    findings: Sender<Finding>,
    waker: Arc<Waker>,
    marks: Marks,
}

/// What a watcher is made of, apart from its connections.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) lookups: Receiver<TopicLookup>,
    pub(super) findings: Sender<Finding>,
    pub(super) waker: Arc<Waker>,
    pub(super) marks: Marks,
}

/// Why a look ends early.
enum Interrupted {
    /// No broker answered: the rest is put off.
    Silent(String),
    /// Ingest has ended.
    Ended,
}

/// An offset that is wanted, and what for.
#[derive(Debug, Clone, Copy)]
struct Due {
    topic: usize,
    partition: u32,
    at: At,
}

impl<A: Ask, M: Ask> Watcher<A, M> {
    pub(super) fn new(
        client: A,
        main: M,
        from: From,
        topics: impl Iterator<Item = Arc<str>>,
        links: Links,
    ) -> Self {
        let Links { lookups, findings, waker, marks } = links;
        Self {
            client,
            main,
            main_silent: false,
            from,
            topics: topics.map(Watched::new).collect(),
            open: Vec::new(),
            tries: 0,
            ready: false,
            lookups,
            findings,
            waker,
            marks,
        }
    }

    /// Watches until ingest has ended; then returns within about two timeouts (3 s).
    pub fn run(mut self) {
        while self.look() {
            match self.lookups.recv_timeout(self.interval()) {
                Ok(lookup) => self.note(lookup),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Time until the next look, unless ingest asks.
    #[must_use]
    pub fn interval(&self) -> Duration {
        // (A partition that has no start by now has no leader: that takes its time.)
        let settled = self.ready && !self.main_silent && self.open.is_empty();
        if settled { LOOK_INTERVAL } else { RETRY_INTERVAL }
    }

    /// Ingest has asked: a look is due.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        !self.lookups.is_empty()
    }

    fn note(&mut self, lookup: TopicLookup) {
        if lookup != TopicLookup::Look && !self.open.contains(&lookup) {
            self.open.push(lookup);
        }
    }

    /// One look at everything. False once ingest has ended.
    pub fn look(&mut self) -> bool {
        while let Ok(lookup) = self.lookups.try_recv() {
            self.note(lookup);
        }
        let looked = self.look_at_topics().and_then(|()| self.ask_offsets());
        let refusals = self.client.news().into_iter().filter(is_refusal);
        let mut findings: Vec<_> = refusals.map(Finding::Refusal).collect();
        match looked {
            Ok(complete) => {
                self.main_silent = !self.main.probe(ANSWER_TIMEOUT);
                self.tries += 1;
                findings.push(Finding::Heard);
                if !self.ready && (complete || self.tries >= TRIES_BEFORE_READY) {
                    self.ready = true;
                    findings.push(Finding::Ready);
                }
            }
            Err(Interrupted::Silent(text)) => {
                debug!(reason = text, "brokers do not respond");
                findings.push(Finding::Silent(text));
            }
            Err(Interrupted::Ended) => return false,
        }
        findings.into_iter().all(|finding| self.tell(finding).is_ok())
    }

    fn look_at_topics(&mut self) -> Result<(), Interrupted> {
        for index in 0..self.topics.len() {
            let name = Arc::clone(&self.topics[index].name);
            self.topics[index].is_seen = false;
            let mark = self.marks.newest();
            match self.client.topic(&name, ANSWER_TIMEOUT) {
                Ok(found) => self.found(index, found, mark)?,
                Err(TopicError::Unknown) => {
                    self.topics[index].was_absent = true;
                    self.tell(Finding::Missing(name))?;
                }
                Err(TopicError::Refused(text)) => self.tell(Finding::Refused(name, text))?,
                Err(TopicError::Unreachable(text)) => return Err(Interrupted::Silent(text)),
            }
        }
        Ok(())
    }

    /// The cluster described a topic.
    fn found(&mut self, index: usize, found: Topic, mark: u64) -> Result<(), Interrupted> {
        let cluster_id = match found.id {
            Some(_) => String::new(),
            // Only what has no id of its own needs the cluster's; and not every cluster has one.
            None => match self.client.cluster_id(ANSWER_TIMEOUT) {
                Ok(id) => id.unwrap_or_default(),
                Err(error) => return Err(Interrupted::Silent(error.to_string())),
            },
        };
        self.judge(index, found, mark, &cluster_id)
    }

    fn judge(&mut self, index: usize, found: Topic, mark: u64, cluster_id: &str) -> Result<(), Interrupted> {
        let watched = &mut self.topics[index];
        let topic = Arc::clone(&watched.name);
        let verdict = watched.judge(&found, cluster_id);
        watched.is_seen = verdict != Verdict::Unsure;
        let Topic { id, leaderless, .. } = found;
        match verdict {
            Verdict::Incarnation { epoch, partitions, goes_on } => {
                let from = watched.start(self.from);
                let begin = match from {
                    _ if goes_on => Begin::GoesOn,
                    From::Earliest => Begin::AtStart,
                    From::Latest | From::Timestamp(_) => Begin::Elsewhere,
                };
                let before = watched.incarnation.take().filter(|_| goes_on);
                let (known, unresolved) = before.map_or_else(Default::default, |incarnation| {
                    (incarnation.partitions, incarnation.unresolved)
                });
                let mut incarnation =
                    Incarnation { id, epoch, partitions, unresolved, leaderless: leaderless.clone() };
                // (`from` is the beginning where there was an incarnation before.)
                incarnation.expect(known..partitions, from);
                watched.incarnation = Some(incarnation);
                watched.was_absent = false;
                self.forget_lookups(&topic);
                self.tell(Finding::Incarnation { topic: Arc::clone(&topic), id, epoch, partitions, begin })?;
                self.tell(Finding::Same { topic, epoch, mark, leaderless })
            }
            Verdict::Grown { epoch, partitions } => {
                if let Some(incarnation) = &mut watched.incarnation {
                    incarnation.expect(incarnation.partitions..partitions, From::Earliest);
                    incarnation.partitions = partitions;
                    incarnation.leaderless.clone_from(&leaderless);
                }
                self.tell(Finding::Grown { topic: Arc::clone(&topic), epoch, partitions })?;
                self.tell(Finding::Same { topic, epoch, mark, leaderless })
            }
            Verdict::Unsure => Ok(()),
            Verdict::Same { epoch } => {
                if let Some(incarnation) = &mut watched.incarnation {
                    incarnation.leaderless.clone_from(&leaderless);
                }
                self.tell(Finding::Same { topic, epoch, mark, leaderless })
            }
        }
    }

    /// What was asked of an earlier incarnation means nothing any more.
    fn forget_lookups(&mut self, name: &str) {
        self.open.retain(|lookup| match lookup {
            TopicLookup::Ends { topic, .. } | TopicLookup::Standstill { topic, .. } => **topic != *name,
            TopicLookup::Look => false,
        });
    }

    /// Asks for every offset that is wanted, at once, and tells what was found. True if no start is missing that could be
    /// had.
    fn ask_offsets(&mut self) -> Result<bool, Interrupted> {
        let open = std::mem::take(&mut self.open);
        let mut due = self.starts_due();
        let starts = due.len();
        let mut asked = Vec::new();
        for lookup in open {
            let (topic, partition, first) = match &lookup {
                TopicLookup::Ends { topic, partition } => (topic, *partition, At::Start),
                TopicLookup::Standstill { topic, partition } => (topic, *partition, At::Stable),
                TopicLookup::Look => continue,
            };
            // A topic that is not there has nothing to tell; its incarnation's end will be.
            let Some(index) = self.topics.iter().position(|watched| watched.name == *topic) else { continue };
            // Nor has one of which it is not known whether it is still the same.
            if !self.topics[index].is_seen {
                self.open.push(lookup);
                continue;
            }
            due.extend([first, At::End].map(|at| Due { topic: index, partition, at }));
            asked.push((index, lookup));
        }
        if due.is_empty() {
            return Ok(true);
        }
        let wanted: Vec<Wanted<'_>> = due
            .iter()
            .map(|due| Wanted { topic: &self.topics[due.topic].name, partition: due.partition, at: due.at })
            .collect();
        let found = self.client.offsets(&wanted, ANSWER_TIMEOUT);
        assert_eq!(found.len(), due.len(), "an outcome for each offset asked for");
        let (found, answers) = found.split_at(starts);
        let complete = self.tell_starts(&due[..starts], found)?;
        for ((index, lookup), answer) in asked.into_iter().zip(answers.chunks(2)) {
            match answer {
                [Ok(first), Ok(end)] => self.tell_ends(index, &lookup, *first, *end)?,
                _ => self.open.push(lookup),
            }
        }
        Ok(complete)
    }

    /// Starts that can be asked for: a partition without a leader has nobody who knows.
    fn starts_due(&self) -> Vec<Due> {
        let mut due = Vec::new();
        for (topic, watched) in self.topics.iter().enumerate() {
            let Some(incarnation) = watched.incarnation.as_ref().filter(|_| watched.is_seen) else {
                continue;
            };
            for &Unresolved { partition, from } in &incarnation.unresolved {
                if incarnation.leaderless.contains(&partition) {
                    continue;
                }
                let at = match from {
                    From::Latest => At::Stable,
                    From::Earliest => At::Start,
                    From::Timestamp(ts_ms) => At::Time(ts_ms),
                };
                due.push(Due { topic, partition, at });
            }
        }
        due
    }

    fn tell_starts(&mut self, due: &[Due], found: &[Result<i64, kafka::Error>]) -> Result<bool, Interrupted> {
        let mut complete = true;
        for topic in 0..self.topics.len() {
            let of_topic = || due.iter().zip(found).filter(|(due, _)| due.topic == topic);
            let Watched { name, incarnation: Some(incarnation), .. } = &mut self.topics[topic] else {
                continue;
            };
            let mut starts = Vec::new();
            for (due, found) in of_topic() {
                if let Err(error) = found {
                    complete = false;
                    debug!(topic = &**name, due.partition, %error, "start position not known yet");
                }
                starts.push((due.partition, found.as_ref().ok().copied()));
            }
            let is_found = |partition| starts.iter().any(|&(of, start)| of == partition && start.is_some());
            incarnation.unresolved.retain(|unresolved| !is_found(unresolved.partition));
            if !starts.is_empty() {
                let (topic, epoch) = (Arc::clone(name), incarnation.epoch);
                self.tell(Finding::Starts { topic, epoch, starts })?;
            }
        }
        Ok(complete)
    }

    fn tell_ends(&self, index: usize, lookup: &TopicLookup, first: i64, end: i64) -> Result<(), Interrupted> {
        let Some(incarnation) = &self.topics[index].incarnation else { return Ok(()) };
        let epoch = incarnation.epoch;
        self.tell(match lookup {
            TopicLookup::Ends { topic, partition } => {
                let (topic, partition) = (Arc::clone(topic), *partition);
                Finding::Ends { topic, epoch, partition, low: first, high: end }
            }
            TopicLookup::Standstill { topic, partition } => {
                let (topic, partition) = (Arc::clone(topic), *partition);
                Finding::Standstill { topic, epoch, partition, stable: first, end }
            }
            TopicLookup::Look => return Ok(()),
        })
    }

    /// Waits for room: nothing may be lost, and this thread has time.
    fn tell(&self, finding: Finding) -> Result<(), Interrupted> {
        self.findings.send(finding).map_err(|_| Interrupted::Ended)?;
        self.waker.wake();
        Ok(())
    }
}
