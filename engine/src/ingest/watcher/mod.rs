//! The topic watcher: a thread that asks the cluster, so that ingest never waits for an answer.
//!
//! It has a client of its own. On the consumer's connections a lookup would wait behind a fetch that waits for
//! records. A look asks about every topic, one answer each, and then for all offsets that are wanted, in one request a
//! broker: what one topic or partition lacks costs the others nothing.

mod asks;
mod finding;
mod topic;

use std::{sync::Arc, time::Duration};

use flume::{Receiver, RecvTimeoutError, Sender};
use kafka::{Ask, At, Topic, TopicError, Wanted};
use sync::Waker;
use tracing::debug;

pub(super) use self::asks::Asks;
use self::finding::is_refusal;
pub(super) use self::finding::{Begin, Finding, Links, Marks, TopicLookup};
use self::topic::{Told, Unresolved, Verdict, Watched};
use crate::config::From;

/// A lookup that takes longer is made again. Also the longest that the watcher's end takes.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time between two looks at all topics.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The same while something is missing: brokers, start positions, an answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Looks in which starts may be missing although there is a leader, until the node is ready all the same: what such a
/// partition brings in the meantime begins where reading of it will begin.
const TRIES_BEFORE_READY: u32 = 3;

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
                let before = watched.told.take().filter(|_| goes_on);
                let (known, unresolved) =
                    before.map_or_else(Default::default, |told| (told.partitions, told.unresolved));
                let mut told = Told { id, epoch, partitions, unresolved, leaderless: leaderless.clone() };
                // (`from` is the beginning where there was an incarnation before.)
                told.expect(known..partitions, from);
                watched.told = Some(told);
                watched.was_absent = false;
                self.forget_lookups(&topic);
                self.tell(Finding::Incarnation { topic: Arc::clone(&topic), id, epoch, partitions, begin })?;
                self.tell(Finding::Same { topic, epoch, mark, leaderless })
            }
            Verdict::Grown { epoch, partitions } => {
                if let Some(told) = &mut watched.told {
                    told.expect(told.partitions..partitions, From::Earliest);
                    told.partitions = partitions;
                    told.leaderless.clone_from(&leaderless);
                }
                self.tell(Finding::Grown { topic: Arc::clone(&topic), epoch, partitions })?;
                self.tell(Finding::Same { topic, epoch, mark, leaderless })
            }
            Verdict::Unsure => Ok(()),
            Verdict::Same { epoch } => {
                if let Some(told) = &mut watched.told {
                    told.leaderless.clone_from(&leaderless);
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
            let Some(told) = watched.told.as_ref().filter(|_| watched.is_seen) else { continue };
            for &Unresolved { partition, from } in &told.unresolved {
                if told.leaderless.contains(&partition) {
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
            let Watched { name, told: Some(told), .. } = &mut self.topics[topic] else { continue };
            let mut starts = Vec::new();
            for (due, found) in of_topic() {
                if let Err(error) = found {
                    complete = false;
                    debug!(topic = &**name, due.partition, %error, "start position not known yet");
                }
                starts.push((due.partition, found.as_ref().ok().copied()));
            }
            let is_found = |partition| starts.iter().any(|&(of, start)| of == partition && start.is_some());
            told.unresolved.retain(|unresolved| !is_found(unresolved.partition));
            if !starts.is_empty() {
                let (topic, epoch) = (Arc::clone(name), told.epoch);
                self.tell(Finding::Starts { topic, epoch, starts })?;
            }
        }
        Ok(complete)
    }

    fn tell_ends(&self, index: usize, lookup: &TopicLookup, first: i64, end: i64) -> Result<(), Interrupted> {
        let Some(told) = &self.topics[index].told else { return Ok(()) };
        let epoch = told.epoch;
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
