//! Whether this process can serve, and why not or not well: what /health shows.
//!
//! Any thread sets and clears reasons; nobody waits for anybody (the set is small and changes rarely, so a change copies
//! it). A reason makes the server *degraded*: it keeps its clients, who may be behind. *Ready* is something else: it
//! comes once, when the brokers answer and the state of every partition is known: a partition whose start is not to be had is
//! a reason, and costs the others nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;

/// Why the server is degraded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No broker answers. They are asked again until one does.
    BrokersUnreachable,
    /// The brokers refuse us: user, password, certificate or permission. Retrying alone does not fix it.
    BrokersRefuse,
    /// A topic that a route names is not there. It is picked up when it is created.
    TopicUnknown(Arc<str>),
    /// The brokers do not let us look at a topic.
    TopicRefused(Arc<str>),
    /// Partitions of a topic have no leader, or theirs does not answer.
    PartitionLeaderless(Arc<str>),
    /// The brokers do not let us read a topic's partitions.
    ReadRefused(Arc<str>),
    /// An open transaction holds back what comes behind it.
    TransactionOpen(Arc<str>),
    /// A value above the limit stopped a topic whose route says so.
    TopicStopped(Arc<str>),
    /// Ingest has been waiting for a shard's acknowledgement for longer than a second.
    ShardBehind,
}

impl Reason {
    /// A word for machines: /health's `reason`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::BrokersUnreachable => "brokers_unreachable",
            Self::BrokersRefuse => "brokers_refuse",
            Self::TopicUnknown(_) => "topic_unknown",
            Self::TopicRefused(_) => "topic_refused",
            Self::PartitionLeaderless(_) => "partition_leaderless",
            Self::ReadRefused(_) => "read_refused",
            Self::TransactionOpen(_) => "transaction_open",
            Self::TopicStopped(_) => "topic_stopped",
            Self::ShardBehind => "shard_behind",
        }
    }

    /// The topic it is about.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::TopicUnknown(topic)
            | Self::TopicRefused(topic)
            | Self::TopicStopped(topic)
            | Self::PartitionLeaderless(topic)
            | Self::ReadRefused(topic)
            | Self::TransactionOpen(topic) => Some(topic),
            Self::BrokersUnreachable | Self::BrokersRefuse | Self::ShardBehind => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.topic() {
            Some(topic) => write!(f, "{} ({topic})", self.word()),
            None => f.write_str(self.word()),
        }
    }
}

/// The present state, shared by all threads.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
    open: AtomicBool,
    draining: AtomicBool,
    reasons: ArcSwap<BTreeMap<Reason, String>>,
}

/// The state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Clients are accepted; the start positions are known.
    pub ready: bool,
    /// The process is shutting down.
    pub draining: bool,
    /// Why it is degraded, with what was heard about it; empty: it is not.
    pub reasons: Vec<(Reason, String)>,
}

impl Health {
    /// Neither ready nor degraded.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The start positions are known.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether the start positions are known: cheap enough to ask often.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Clients are accepted: whoever sees it can connect.
    pub fn set_open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// The process is shutting down.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Adds a reason, or gives it a newer text. True if it is new: the caller logs it, once.
    pub fn set(&self, reason: &Reason, text: &str) -> bool {
        if self.reasons.load().get(reason).is_some_and(|present| present == text) {
            return false;
        }
        let before = self.reasons.rcu(|present| {
            let mut next = BTreeMap::clone(present);
            next.insert(reason.clone(), text.to_owned());
            next
        });
        !before.contains_key(reason)
    }

    /// Takes a reason away. True if it was there.
    pub fn clear(&self, reason: &Reason) -> bool {
        if !self.reasons.load().contains_key(reason) {
            return false;
        }
        let before = self.reasons.rcu(|present| {
            let mut next = BTreeMap::clone(present);
            next.remove(reason);
            next
        });
        before.contains_key(reason)
    }

    /// The state now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let reasons = self.reasons.load();
        Snapshot {
            ready: self.open.load(Ordering::Acquire),
            draining: self.draining.load(Ordering::Acquire),
            reasons: reasons.iter().map(|(reason, text)| (reason.clone(), text.clone())).collect(),
        }
    }
}

impl Snapshot {
    /// Serves, but not as it should.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.reasons.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_new_once_and_its_text_the_newest() {
        let health = Health::new();
        let unknown = Reason::TopicUnknown("trades".into());
        assert!(health.set(&unknown, "no such topic"));
        assert!(!health.set(&unknown, "still none"));
        assert!(health.set(&Reason::TopicUnknown("prices".into()), "no such topic"));
        let reasons = health.snapshot().reasons;
        assert_eq!(reasons.len(), 2);
        assert!(reasons.contains(&(unknown.clone(), "still none".to_owned())));
        assert!(health.clear(&unknown));
        assert!(!health.clear(&unknown));
        assert!(health.set(&unknown, "gone again"), "after it was cleared it is new");
    }

    #[test]
    fn ready_and_degraded_are_independent() {
        let health = Health::new();
        assert!(!health.is_ready() && !health.snapshot().is_degraded());
        health.set_ready();
        assert!(health.is_ready() && !health.snapshot().ready, "nobody is accepted yet");
        health.set_open();
        health.set(&Reason::BrokersUnreachable, "connection refused");
        let snapshot = health.snapshot();
        assert!(snapshot.ready && snapshot.is_degraded() && !snapshot.draining);
    }

    #[test]
    fn threads_lose_no_reason() {
        let health = Arc::new(Health::new());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let health = &health;
                scope.spawn(move || {
                    for n in 0..50 {
                        health.set(&Reason::TopicUnknown(format!("{thread}.{n}").into()), "none");
                    }
                });
            }
        });
        assert_eq!(health.snapshot().reasons.len(), 200);
    }
}
