//! What the topic watcher knows of a topic, and what it concludes from what the cluster says. No calls here.

use std::sync::Arc;

use kafka::{Topic, TopicId};
use proto::position::Epoch;

use crate::config::From;

/// A topic of the routes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    /// Its present life, once seen.
    pub(super) life: Option<Life>,
    /// The cluster has said once that it is not there: what is created later is read from its beginning.
    pub(super) was_absent: bool,
}

/// A life of a topic, as told to ingest.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) id: Option<TopicId>,
    pub(super) epoch: Epoch,
    /// How many partitions ingest has been told.
    pub(super) partitions: u32,
    /// Those whose start is not known yet, and where they are to begin.
    pub(super) unresolved: Vec<(u32, From)>,
}

/// What a look at a topic means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As known.
    Same,
    /// It has this many partitions now.
    Grown(u32),
    /// A life that ingest does not know, the first or another.
    Life { id: Option<TopicId>, epoch: Epoch, partitions: u32 },
}

impl Watched {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, life: None, was_absent: false }
    }

    /// What the cluster's word about the topic means.
    pub(super) fn judge(&self, found: &Topic, cluster_id: &str) -> Verdict {
        let partitions = found.partitions.last().map_or(0, |last| last + 1);
        let fresh =
            || Verdict::Life { id: found.id, epoch: epoch(cluster_id, &self.name, found.id), partitions };
        match &self.life {
            None => fresh(),
            // Only a different id proves another life: one that is missing may be an answer that got lost.
            Some(Life { id: Some(known), .. }) if found.id.is_some_and(|id| id != *known) => fresh(),
            Some(life) if partitions > life.partitions => Verdict::Grown(partitions),
            Some(_) => Verdict::Same,
        }
    }

    /// Where the partitions of a life begin that is seen now.
    pub(super) fn start(&self, from: From) -> From {
        if self.was_absent || self.life.is_some() { From::Earliest } else { from }
    }
}

/// Identity of a life. Where the broker tells no topic id (the mock, Kafka before 2.8) the name stands in, and a topic
/// created anew cannot be told from the old one.
fn epoch(cluster_id: &str, name: &str, id: Option<TopicId>) -> Epoch {
    match id {
        Some(TopicId(bytes)) => Epoch::of(cluster_id, &bytes),
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
        watched.life = Some(Life { id, epoch: epoch("c", "t", id), partitions, unresolved: Vec::new() });
        watched
    }

    #[test]
    fn a_first_look_is_a_life() {
        let Verdict::Life { id, epoch, partitions } = Watched::new("t".into()).judge(&found(Some(1), 3), "c")
        else {
            panic!("a life")
        };
        assert_eq!((id, partitions), (Some(TopicId([1; 16])), 3));
        assert_eq!(epoch, Epoch::of("c", &[1; 16]));
    }

    #[test]
    fn only_another_id_is_another_life() {
        assert_eq!(known(Some(1), 3).judge(&found(Some(1), 3), "c"), Verdict::Same);
        assert!(matches!(
            known(Some(1), 3).judge(&found(Some(2), 3), "c"),
            Verdict::Life { partitions: 3, .. }
        ));
        assert_eq!(known(Some(1), 3).judge(&found(None, 3), "c"), Verdict::Same);
        assert_eq!(known(None, 3).judge(&found(None, 3), "c"), Verdict::Same);
    }

    #[test]
    fn topics_grow_and_never_shrink_within_a_life() {
        assert_eq!(known(Some(1), 3).judge(&found(Some(1), 5), "c"), Verdict::Grown(5));
        assert_eq!(known(Some(1), 3).judge(&found(Some(1), 2), "c"), Verdict::Same);
    }

    #[test]
    fn what_is_found_later_begins_at_its_beginning() {
        let mut first = Watched::new("t".into());
        assert_eq!(first.start(From::Latest), From::Latest);
        first.was_absent = true;
        assert_eq!(first.start(From::Latest), From::Earliest);
        assert_eq!(known(Some(1), 1).start(From::Timestamp(5)), From::Earliest);
    }

    #[test]
    fn without_ids_the_name_makes_the_epoch() {
        assert_eq!(epoch("c", "t", None), Epoch::of("c", b"t"));
        assert_ne!(epoch("c", "t", None), epoch("d", "t", None));
    }
}
