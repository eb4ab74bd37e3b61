//! Whether the brokers are heard, and what clients are told about it.
//!
//! Two witnesses: the consumer's own connections, and the topic watcher's lookups. One that is silent is enough to
//! doubt; a record that arrives proves both wrong.

use crate::inbox::DataState;

/// Silence before clients are told: a broker that restarts its connection is no news.
pub(super) const FIRST_NS: u64 = 2_500_000_000;
/// Time between two tellings.
pub(super) const AGAIN_NS: u64 = 10_000_000_000;

/// Who says that the brokers are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Witness {
    /// The consumer's connections.
    Consumer,
    /// The topic watcher.
    Watcher,
}

/// What is known about it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    consumer_silent: bool,
    watcher_silent: bool,
    /// Since when no broker is heard, while so.
    since_ns: Option<u64>,
    /// When clients were told last, while they think that data is stale.
    told_ns: Option<u64>,
}

impl Reach {
    /// A witness does not hear them. True if that is news.
    pub(super) fn silent(&mut self, witness: Witness, now_ns: u64) -> bool {
        *self.of(witness) = true;
        let news = self.since_ns.is_none();
        self.since_ns.get_or_insert(now_ns);
        news
    }

    /// A witness hears them. What clients are to be told, if they were told the opposite.
    pub(super) fn heard(&mut self, witness: Witness) -> Option<DataState> {
        *self.of(witness) = false;
        if self.consumer_silent || self.watcher_silent {
            return None;
        }
        self.since_ns = None;
        self.told_ns.take().map(|_| DataState::Live)
    }

    /// A record came: whoever doubted was wrong.
    pub(super) fn record(&mut self) -> Option<DataState> {
        self.since_ns?;
        self.watcher_silent = false;
        self.heard(Witness::Consumer)
    }

    /// Nobody doubts.
    pub(super) fn is_heard(&self) -> bool {
        self.since_ns.is_none()
    }

    /// What clients are to be told now: first after a while of silence, then now and then.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<DataState> {
        let silent_ns = now_ns.saturating_sub(self.since_ns?);
        let due = match self.told_ns {
            None => silent_ns >= FIRST_NS,
            Some(told_ns) => now_ns.saturating_sub(told_ns) >= AGAIN_NS,
        };
        due.then(|| {
            self.told_ns = Some(now_ns);
            DataState::Stale { lag_ms: silent_ns / 1_000_000 }
        })
    }

    fn of(&mut self, witness: Witness) -> &mut bool {
        match witness {
            Witness::Consumer => &mut self.consumer_silent,
            Witness::Watcher => &mut self.watcher_silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn clients_are_told_after_a_while_then_seldom_then_that_it_is_over() {
        let mut reach = Reach::default();
        assert!(reach.silent(Witness::Consumer, SECOND));
        assert!(!reach.silent(Witness::Watcher, 2 * SECOND), "it is known");
        assert_eq!(reach.due(3 * SECOND), None);
        assert_eq!(reach.due(4 * SECOND), Some(DataState::Stale { lag_ms: 3_000 }));
        assert_eq!(reach.due(13 * SECOND), None);
        assert_eq!(reach.due(14 * SECOND), Some(DataState::Stale { lag_ms: 13_000 }));
        assert_eq!(reach.heard(Witness::Watcher), None, "the consumer still hears nothing");
        assert!(!reach.is_heard());
        assert_eq!(reach.heard(Witness::Consumer), Some(DataState::Live));
        assert_eq!(reach.heard(Witness::Consumer), None, "told once");
        assert_eq!(reach.due(60 * SECOND), None);
    }

    #[test]
    fn a_short_silence_is_no_news_to_clients() {
        let mut reach = Reach::default();
        reach.silent(Witness::Consumer, 0);
        assert_eq!(reach.due(2 * SECOND), None);
        assert_eq!(reach.heard(Witness::Consumer), None);
        reach.silent(Witness::Watcher, 3 * SECOND);
        assert_eq!(reach.due(5 * SECOND), None, "counted anew");
    }

    #[test]
    fn a_record_overrules_both_witnesses() {
        let mut reach = Reach::default();
        assert_eq!(reach.record(), None);
        reach.silent(Witness::Consumer, 0);
        reach.silent(Witness::Watcher, 0);
        assert!(reach.due(3 * SECOND).is_some());
        assert_eq!(reach.record(), Some(DataState::Live));
        assert!(reach.is_heard());
    }
}
