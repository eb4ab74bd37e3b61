//! What data is known to be behind, and by how much: all of it, or that of some topics.

use std::{collections::BTreeMap, sync::Arc};

use crate::inbox::{DataState, Status};

/// What is stale, and by how much, ms.
#[derive(Debug, Default)]
pub(super) struct Stale {
    all: Option<u64>,
    topics: BTreeMap<Arc<str>, u64>,
}

impl Stale {
    /// By how much all is stale; none: not all is.
    pub(super) fn all(&self) -> Option<u64> {
        self.all
    }

    /// By how much a channel of these topics is stale; none: it is live.
    pub(super) fn of(&self, topics: &[Arc<str>]) -> Option<u64> {
        let some = topics.iter().filter_map(|topic| self.topics.get(topic)).max().copied();
        self.all.max(some)
    }

    /// The state of some data has changed.
    pub(super) fn set(&mut self, status: &Status) {
        let lag_ms = match status.state {
            DataState::Stale { lag_ms } => Some(lag_ms),
            DataState::Live => None,
        };
        match (&status.topic, lag_ms) {
            (None, lag_ms) => self.all = lag_ms,
            (Some(topic), Some(lag_ms)) => drop(self.topics.insert(Arc::clone(topic), lag_ms)),
            (Some(topic), None) => drop(self.topics.remove(topic)),
        }
    }
}
