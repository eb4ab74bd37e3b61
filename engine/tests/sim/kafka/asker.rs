//! Lookups in the cluster: answers may be missing, or of a broker that is behind, and things happen between them.

use std::time::Duration;

use kafka::{Ask, At, Error, Topic, TopicError, TopicId, Wanted};

use super::{Kafka, cluster::Cluster, log::Kind};

/// An asker over the modelled Kafka.
#[derive(Debug, Clone)]
pub(crate) struct Asker(pub(super) Kafka);

impl Asker {
    /// The time until the answer: something may happen meanwhile. False: there is no answer.
    fn is_answered(&self) -> bool {
        let mut cluster = self.0.get_mut();
        if cluster.is_lively {
            if cluster.rng.chance(60) {
                cluster.happen();
            }
            if cluster.rng.chance(200) {
                cluster.produce(3);
                cluster.fetch();
            }
        }
        cluster.any_up() && !(cluster.is_lively && cluster.rng.chance(15))
    }
}

fn silence() -> Error {
    Error::Unreachable("the modelled Kafka is silent".to_owned())
}

impl Ask for Asker {
    fn cluster_id(&self, _timeout: Duration) -> Result<Option<String>, Error> {
        if self.is_answered() { Ok(self.0.get().id.clone()) } else { Err(silence()) }
    }

    fn topic(&self, name: &str, _timeout: Duration) -> Result<Topic, TopicError> {
        if !self.is_answered() {
            return Err(TopicError::Unreachable("the modelled Kafka is silent".to_owned()));
        }
        let mut cluster = self.0.get_mut();
        let is_there = cluster.topics.get(name).is_some_and(|topic| topic.describe);
        // A broker that does not know ids answers now and then. (Not at first: the epoch would be of the name, for a while.)
        let is_first = is_there && cluster.told.insert(name.to_owned());
        let knows_ids = is_first || !(cluster.upgrading && cluster.rng.chance(500));
        let topic = cluster.topics.get(name).ok_or(TopicError::Unknown)?;
        if !topic.describe {
            return Err(TopicError::Refused("TOPIC_AUTHORIZATION_FAILED".to_owned()));
        }
        let partitions = (0_u32..).zip(&topic.partitions);
        let is_leaderless = |log: &super::log::Log| log.leader.is_none_or(|leader| !cluster.up[leader]);
        Ok(Topic {
            partitions: partitions.clone().map(|(partition, _)| partition).collect(),
            leaderless: partitions
                .filter(|(_, log)| is_leaderless(log))
                .map(|(partition, _)| partition)
                .collect(),
            id: knows_ids.then_some(TopicId(topic.id)),
        })
    }

    fn offsets(&self, wanted: &[Wanted<'_>], _timeout: Duration) -> Vec<Result<i64, Error>> {
        let answered = self.is_answered();
        let mut cluster = self.0.get_mut();
        let one = |wanted: &Wanted<'_>| {
            if !answered {
                return Err(silence());
            }
            let offset = offset(&cluster, wanted)?;
            let key = (cluster.topics[wanted.topic].id, wanted.partition);
            let promised = cluster.promised.entry(key).or_default();
            *promised = offset.max(*promised);
            Ok(offset)
        };
        wanted.iter().map(one).collect()
    }

    fn probe(&self, _timeout: Duration) -> bool {
        self.is_answered()
    }
}

fn offset(cluster: &Cluster, wanted: &Wanted<'_>) -> Result<i64, Error> {
    let unknown = || Error::Unknown(format!("{}.{}", wanted.topic, wanted.partition));
    let topic = cluster.topic(wanted.topic).ok_or_else(unknown)?;
    if !topic.describe {
        return Err(Error::Refused("TOPIC_AUTHORIZATION_FAILED".to_owned()));
    }
    topic.partitions.get(wanted.partition as usize).ok_or_else(unknown)?;
    let log = cluster.readable(wanted.topic, wanted.partition).ok_or_else(silence)?;
    Ok(match wanted.at {
        At::Start => log.start,
        At::Stable => log.stable(),
        At::End => log.end,
        At::Time(ts_ms) => {
            let is_later = |kind: &Kind| match kind {
                Kind::Record(body) | Kind::Open(body) => body.ts_ms >= ts_ms,
                Kind::Aborted | Kind::Control | Kind::Unreadable => false,
            };
            let mut later = log.from(log.start).filter(|(_, entry)| is_later(&entry.kind));
            later.next().map_or_else(|| log.stable(), |(offset, _)| offset)
        }
    })
}
