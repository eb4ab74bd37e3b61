//! What the topic watcher knows of a topic, and what it concludes from what the cluster says. No calls here.

use std::{ops::Range, sync::Arc};

use kafka::{Topic, TopicId};
use proto::position::Epoch;

use crate::config::From;

/// A topic of the routes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    /// Its present incarnation as ingest knows it, once seen.
    pub(super) told: Option<Told>,
    /// The cluster has said once that it is not there: what is created later is read from its beginning.
    pub(super) was_absent: bool,
    /// The look that is under way has seen that it is of the incarnation that is known.
    pub(super) is_seen: bool,
}

/// What ingest was last told of a topic, and what it is yet to be told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) id: Option<TopicId>,
    pub(super) epoch: Epoch,
    /// How many partitions it has.
    pub(super) partitions: u32,
    /// Those whose start is not known yet.
    pub(super) unresolved: Vec<Unresolved>,
    /// Those without a leader when the cluster was last asked.
    pub(super) leaderless: Vec<u32>,
}

/// A partition whose start is not known yet, and where it is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unresolved {
    pub(super) partition: u32,
    pub(super) from: From,
}

impl Told {
    /// These partitions' starts are yet to be found.
    pub(super) fn expect(&mut self, partitions: Range<u32>, from: From) {
        self.unresolved.extend(partitions.map(|partition| Unresolved { partition, from }));
    }
}

/// What a look at a topic means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As known.
    Same { epoch: Epoch },
    /// It has this many partitions now.
    Grown { epoch: Epoch, partitions: u32 },
    /// The broker that answered does not know ids yet, and the topic has one: which incarnation it speaks of is not
    /// known.
    Unsure,
    /// An incarnation that ingest does not know, the first or another. `goes_on`: it is the one before, and only its id
    /// is known now.
    Incarnation { epoch: Epoch, partitions: u32, goes_on: bool },
}

impl Watched {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, told: None, was_absent: false, is_seen: false }
    }

    /// What the cluster's word about the topic means.
    pub(super) fn judge(&self, found: &Topic, cluster_id: &str) -> Verdict {
        let partitions = found.partitions.last().map_or(0, |last| last + 1);
        let epoch = epoch(cluster_id, &self.name, found.id);
        let fresh = |goes_on| Verdict::Incarnation { epoch, partitions, goes_on };
        let Some(told) = &self.told else { return fresh(false) };
        match (told.id, found.id) {
            (Some(known), Some(id)) if known != id => fresh(false),
            // The brokers have been upgraded. Other nodes know the topic by its id from now on, and so must we.
            (None, Some(_)) => fresh(!self.was_absent),
            // Another cluster, without ids, behind the same address.
            (None, None) if epoch != told.epoch => fresh(false),
            // Not even that it is the same: it may have been created anew, with other partitions.
            (Some(_), None) => Verdict::Unsure,
            _ if partitions > told.partitions => Verdict::Grown { epoch: told.epoch, partitions },
            _ => Verdict::Same { epoch: told.epoch },
        }
    }

    /// Where the partitions of an incarnation begin that is seen now.
    pub(super) fn start(&self, from: From) -> From {
        if self.was_absent || self.told.is_some() { From::Earliest } else { from }
    }
}

/// Identity of an incarnation: the same on every node and at any hour. A topic's id (KIP-516) is unique by itself, so
/// the cluster's id, which some brokers and proxies do not tell, is not needed. Where brokers have no topic ids (Kafka
/// before 2.8) the name stands in, with the cluster's id where there is one, and a topic created anew cannot be told
/// from the old one.
fn epoch(cluster_id: &str, name: &str, id: Option<TopicId>) -> Epoch {
    match id {
        Some(TopicId(bytes)) => Epoch::of("", &bytes),
        None => Epoch::of(cluster_id, name.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: Option<u8>, partitions: u32) -> Topic {
        Topic {
            partitions: (0..partitions).collect(),
            leaderless: Vec::new(),
            id: id.map(|byte| TopicId([byte; 16])),
        }
    }

    fn known(id: Option<u8>, partitions: u32) -> Watched {
        let mut watched = Watched::new("t".into());
        let id = id.map(|byte| TopicId([byte; 16]));
        let epoch = epoch("c", "t", id);
        watched.told = Some(Told { id, epoch, partitions, unresolved: Vec::new(), leaderless: Vec::new() });
        watched
    }

    fn is_incarnation(verdict: &Verdict, follows: bool) -> bool {
        matches!(verdict, Verdict::Incarnation { goes_on, .. } if *goes_on == follows)
    }

    #[test]
    fn a_first_look_is_a_life() {
        let verdict = Watched::new("t".into()).judge(&found(Some(1), 3), "c");
        assert_eq!(
            verdict,
            Verdict::Incarnation { epoch: Epoch::of("", &[1; 16]), partitions: 3, goes_on: false }
        );
    }

    #[test]
    fn only_another_id_is_another_life() {
        let same = |id| Verdict::Same { epoch: epoch("c", "t", id) };
        let id = Some(TopicId([1; 16]));
        assert_eq!(known(Some(1), 3).judge(&found(Some(1), 3), "c"), same(id));
        assert!(is_incarnation(&known(Some(1), 3).judge(&found(Some(2), 3), "c"), false));
        assert_eq!(known(Some(1), 3).judge(&found(None, 3), "c"), Verdict::Unsure);
        assert_eq!(known(Some(1), 3).judge(&found(None, 5), "c"), Verdict::Unsure);
        assert_eq!(known(None, 3).judge(&found(None, 3), "c"), same(None));
    }

    #[test]
    fn an_epoch_depends_on_neither_node_nor_hour() {
        let epoch = |cluster: &str, id| {
            let verdict = Watched::new("t".into()).judge(&found(id, 1), cluster);
            let Verdict::Incarnation { epoch, .. } = verdict else { panic!("{verdict:?}") };
            epoch
        };
        assert_eq!(epoch("c", Some(1)), epoch("", Some(1)), "whether the cluster tells its id or not");
        assert_ne!(epoch("c", Some(1)), epoch("c", Some(2)));
        assert_ne!(epoch("c", None), epoch("d", None), "without ids the cluster and the name make it");
        // A node that met brokers before their upgrade comes to the same epoch as one that began later.
        let verdict = known(None, 3).judge(&found(Some(1), 3), "c");
        assert_eq!(
            verdict,
            Verdict::Incarnation { epoch: epoch("c", Some(1)), partitions: 3, goes_on: true }
        );
        // Another cluster behind the same address.
        assert!(is_incarnation(&known(None, 3).judge(&found(None, 3), "d"), false));
    }

    #[test]
    fn topics_grow_and_never_shrink_within_a_life() {
        let verdict = known(Some(1), 3).judge(&found(Some(1), 5), "c");
        assert!(matches!(verdict, Verdict::Grown { partitions: 5, .. }));
        assert!(matches!(known(Some(1), 3).judge(&found(Some(1), 2), "c"), Verdict::Same { .. }));
    }

    #[test]
    fn what_is_found_later_begins_at_its_beginning() {
        let mut first = Watched::new("t".into());
        assert_eq!(first.start(From::Latest), From::Latest);
        first.was_absent = true;
        assert_eq!(first.start(From::Latest), From::Earliest);
        assert_eq!(known(Some(1), 1).start(From::Timestamp(5)), From::Earliest);
    }
}
