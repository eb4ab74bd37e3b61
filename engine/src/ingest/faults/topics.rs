//! What cannot be read, topic by topic.
//!
//! A fault is the trouble of one topic. It says in plain words which partitions it concerns. Clients hear `stale` for the
//! topic once a fault that keeps data from them has lasted, again now and then, and `live` when none is left.

use std::{collections::BTreeMap, sync::Arc};

use tracing::{info, warn};

use super::reach::{AGAIN_NS, FIRST_NS};
use crate::{
    health::{Health, Reason},
    inbox::{DataState, Status},
};

/// The kinds of trouble that a topic may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ingest) enum Kind {
    /// The cluster has no such topic.
    Unknown,
    /// The cluster does not let us look at it.
    Refused,
    /// A value above the limit ended it.
    Stopped,
    /// Partitions have no leader, or theirs does not answer.
    Leaderless,
    /// Partitions may not be read.
    ReadRefused,
    /// An open transaction holds partitions back.
    Transaction,
}

impl Kind {
    fn reason(self, topic: &Arc<str>) -> Reason {
        let topic = Arc::clone(topic);
        match self {
            Self::Unknown => Reason::TopicUnknown(topic),
            Self::Refused => Reason::TopicRefused(topic),
            Self::Stopped => Reason::TopicStopped(topic),
            Self::Leaderless => Reason::PartitionLeaderless(topic),
            Self::ReadRefused => Reason::ReadRefused(topic),
            Self::Transaction => Reason::TransactionOpen(topic),
        }
    }

    /// What the log says, once.
    fn words(self) -> &'static str {
        match self {
            Self::Unknown => "topic does not exist, waiting for it to be created",
            Self::Refused => "topic metadata unavailable, retrying",
            Self::Stopped => "record value above the limit, topic stopped as its route says",
            Self::Leaderless => "partitions without a leader, waiting for one",
            Self::ReadRefused => "not authorized to read topic, retrying",
            Self::Transaction => "records held back by an open transaction",
        }
    }

    /// Clients' data is behind while it lasts. (What an open transaction holds back is not there yet for anybody.)
    fn is_stale(self) -> bool {
        self != Self::Transaction
    }
}

#[derive(Debug)]
struct Fault {
    since_ns: u64,
    text: String,
}

#[derive(Debug, Default)]
struct Topic {
    faults: BTreeMap<Kind, Fault>,
    /// Its data reaches clients, or did: what never was there is not behind.
    was_read: bool,
    /// It has been without any: what is wrong from the first moment on is no passing trouble.
    was_well: bool,
    /// When clients were told last, while they think that its data is stale.
    told_ns: Option<u64>,
}

/// The faults of all topics.
#[derive(Debug)]
pub(super) struct TopicFaults {
    health: Arc<Health>,
    topics: BTreeMap<Arc<str>, Topic>,
}

impl TopicFaults {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self { health, topics: BTreeMap::new() }
    }

    /// The topic is there: from now on clients are told when it cannot be read.
    pub(super) fn is_read(&mut self, topic: &Arc<str>) {
        self.topics.entry(Arc::clone(topic)).or_default().was_read = true;
    }

    /// The topic has this trouble; `text` names the partitions and the cause.
    pub(super) fn set(&mut self, topic: &Arc<str>, kind: Kind, text: &str, now_ns: u64) {
        let faults = &mut self.topics.entry(Arc::clone(topic)).or_default().faults;
        let known = faults.get_mut(&kind);
        if known.as_ref().is_some_and(|fault| fault.text == text) {
            return;
        }
        self.health.set(&kind.reason(topic), text);
        if let Some(fault) = known {
            text.clone_into(&mut fault.text);
            return;
        }
        warn!(topic = &**topic, reason = text, "{}", kind.words());
        faults.insert(kind, Fault { since_ns: now_ns, text: text.to_owned() });
    }

    /// The topic does not have this trouble (any more).
    pub(super) fn clear(&mut self, topic: &Arc<str>, kind: Kind) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        if state.faults.remove(&kind).is_some() {
            self.health.clear(&kind.reason(topic));
            info!(topic = &**topic, reason = kind.reason(topic).word(), "over");
        }
    }

    /// What clients are to be told now.
    pub(super) fn due(&mut self, now_ns: u64) -> Vec<Status> {
        let mut due = Vec::new();
        for (name, topic) in &mut self.topics {
            let since = topic.faults.iter().filter(|(kind, _)| kind.is_stale() && topic.was_read);
            let since = since.map(|(_, fault)| fault.since_ns).min();
            let state = match (since, topic.told_ns) {
                (None, None) => {
                    topic.was_well |= topic.was_read;
                    continue;
                }
                (None, Some(_)) => {
                    topic.told_ns = None;
                    DataState::Live
                }
                (Some(since_ns), told_ns) => {
                    let lasted_ns = now_ns.saturating_sub(since_ns);
                    let is_due = match told_ns {
                        None => lasted_ns >= FIRST_NS || !topic.was_well,
                        Some(told_ns) => now_ns.saturating_sub(told_ns) >= AGAIN_NS,
                    };
                    if !is_due {
                        continue;
                    }
                    topic.told_ns = Some(now_ns);
                    DataState::Stale { lag_ms: lasted_ns / 1_000_000 }
                }
            };
            due.push(Status { topic: Some(Arc::clone(name)), state });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn told(faults: &mut TopicFaults, now_ns: u64) -> Vec<(String, DataState)> {
        let due = faults.due(now_ns).into_iter();
        due.map(|status| (status.topic.unwrap_or_default().to_string(), status.state)).collect()
    }

    #[test]
    fn clients_are_told_after_a_while_now_and_then_and_when_it_is_over() {
        let health = Arc::new(Health::new());
        let mut faults = TopicFaults::new(Arc::clone(&health));
        let (trades, prices): (Arc<str>, Arc<str>) = ("trades".into(), "prices".into());
        faults.is_read(&trades);
        assert_eq!(told(&mut faults, 0), []);
        faults.set(&trades, Kind::Leaderless, "partition 1: no leader", SECOND);
        faults.set(&prices, Kind::Unknown, "no such topic", SECOND);
        assert_eq!(told(&mut faults, 3 * SECOND), []);
        let stale = |lag_ms| vec![("trades".to_owned(), DataState::Stale { lag_ms })];
        assert_eq!(told(&mut faults, 4 * SECOND), stale(3_000), "and nothing of what never was there");
        assert_eq!(told(&mut faults, 5 * SECOND), []);
        faults.set(&trades, Kind::ReadRefused, "partition 0: refused", 6 * SECOND);
        faults.clear(&trades, Kind::Leaderless);
        assert_eq!(told(&mut faults, 14 * SECOND), stale(8_000));
        faults.clear(&trades, Kind::ReadRefused);
        assert_eq!(told(&mut faults, 15 * SECOND), [("trades".to_owned(), DataState::Live)]);
        assert_eq!(told(&mut faults, 60 * SECOND), []);
        let reasons: Vec<_> = health.snapshot().reasons.into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, [Reason::TopicUnknown(prices)]);
    }

    #[test]
    fn what_was_never_well_is_told_at_once() {
        let mut faults = TopicFaults::new(Arc::default());
        let topic: Arc<str> = "t".into();
        faults.is_read(&topic);
        faults.set(&topic, Kind::Leaderless, "partition 1: no leader", SECOND);
        assert_eq!(told(&mut faults, SECOND), [("t".to_owned(), DataState::Stale { lag_ms: 0 })]);
    }

    #[test]
    fn an_open_transaction_is_no_staleness() {
        let mut faults = TopicFaults::new(Arc::default());
        let topic: Arc<str> = "t".into();
        faults.is_read(&topic);
        faults.set(&topic, Kind::Transaction, "partition 0: open at 5", 0);
        assert_eq!(told(&mut faults, 60 * SECOND), []);
    }
}
