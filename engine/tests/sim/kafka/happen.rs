//! What chance does to a cluster, and how it is set right again.

use kafka::BrokerEvent;

use super::{
    cluster::{Cluster, PARTITIONS_MAX, TOPICS},
    log::Log,
};

/// Weight, name, and what it does.
type Happening = (usize, &'static str, fn(&mut Cluster));

/// What can happen; of all these, as often as the weight says.
const HAPPENINGS: [Happening; 14] = [
    (6, "retention", Cluster::some_retention),
    (5, "election", Cluster::some_election),
    (6, "truncation", Cluster::some_truncation),
    (3, "leader_lost", Cluster::some_leader_lost),
    (5, "leader_found", Cluster::some_leader_found),
    (2, "new_incarnation", Cluster::some_new_incarnation),
    (1, "deletion", Cluster::some_deletion),
    (2, "creation", Cluster::some_creation),
    (2, "growth", Cluster::some_growth),
    (6, "transaction", Cluster::some_transaction),
    (3, "right", Cluster::some_right),
    (3, "broker", Cluster::some_broker),
    (2, "bad_batch", Cluster::some_bad_batch),
    (1, "upgrade", Cluster::some_upgrade),
];

impl Cluster {
    /// Something happens.
    pub(crate) fn happen(&mut self) {
        let weights: Vec<usize> = HAPPENINGS.iter().map(|(weight, ..)| *weight).collect();
        let (_, name, happen) = HAPPENINGS[self.rng.weighted(&weights)];
        self.show(|| name.to_owned());
        happen(self);
    }

    /// All that hinders is over: leaders, rights, brokers and topics are there, no transaction is open.
    pub(crate) fn calm(&mut self) {
        self.show(|| "calm".to_owned());
        self.is_lively = false;
        self.upgrading = false;
        self.up.fill(true);
        for name in TOPICS {
            if !self.topics.contains_key(name) {
                self.create(name, &[0]);
            }
            let Some(topic) = self.topics.get_mut(name) else { continue };
            (topic.describe, topic.read) = (true, true);
            let partitions = topic.partitions.len();
            for partition in 0..partitions {
                self.find_leader(name, partition);
                self.end_transaction(name, partition, true);
            }
        }
    }

    /// Some partition that there is.
    fn some_partition(&mut self) -> Option<(&'static str, usize)> {
        let names: Vec<&'static str> = self.topics.keys().copied().collect();
        let name = *names.get(self.rng.below(names.len().max(1)))?;
        Some((name, self.rng.below(self.topics[name].partitions.len())))
    }

    fn log(&mut self, name: &str, partition: usize) -> Option<&mut Log> {
        self.topics.get_mut(name)?.partitions.get_mut(partition)
    }

    fn find_leader(&mut self, name: &str, partition: usize) {
        let leader = self.rng.below(self.up.len());
        if let Some(log) = self.log(name, partition)
            && log.leader.is_none()
        {
            log.elect(leader);
        }
    }

    fn some_retention(&mut self) {
        let Some((name, partition)) = self.some_partition() else { return };
        let (held, beyond) = (self.rng.below(30), self.rng.chance(300));
        let fetched = self.fetched(name, u32::try_from(partition).expect("few"));
        let Some(log) = self.log(name, partition) else { return };
        let back = i64::try_from(held).expect("small");
        // Most often behind the reader, now and then ahead of it.
        let start = match fetched {
            Some((fetched, _)) if !beyond => fetched - back,
            _ => log.end - back / 4,
        };
        self.trim(name, partition, start);
    }

    fn some_election(&mut self) {
        let Some((name, partition)) = self.some_partition() else { return };
        let leader = self.rng.below(self.up.len());
        if let Some(log) = self.log(name, partition) {
            log.elect(leader);
        }
    }

    /// An unclean election; the log grows again to below, to or past where it was.
    fn some_truncation(&mut self) {
        let Some((name, partition)) = self.some_partition() else { return };
        let (lost, grown) = (self.rng.below(12), self.rng.below(16));
        let Some(log) = self.log(name, partition) else { return };
        let at = log.end - i64::try_from(lost).expect("small");
        self.truncate(name, partition, at);
        for _ in 0..grown {
            let key = self.some_key();
            self.produce_at(name, partition, key);
        }
    }

    fn some_leader_lost(&mut self) {
        let Some((name, partition)) = self.some_partition() else { return };
        if let Some(log) = self.log(name, partition) {
            log.leader = None;
        }
    }

    fn some_leader_found(&mut self) {
        for name in TOPICS {
            for partition in 0..PARTITIONS_MAX {
                self.find_leader(name, partition);
            }
        }
    }

    /// Deleted, created and filled, before anybody looks.
    fn some_new_incarnation(&mut self) {
        let Some((name, _)) = self.some_partition() else { return };
        self.begin_anew(name);
        let old = self.rng.below(60);
        for _ in 0..old {
            let key = self.some_key();
            self.produce_one(name, key);
        }
    }

    pub(crate) fn begin_anew(&mut self, name: &'static str) {
        let partitions = self.rng.between(1, PARTITIONS_MAX);
        self.create(name, &vec![0; partitions]);
    }

    fn some_deletion(&mut self) {
        if let Some((name, _)) = self.some_partition() {
            self.topics.remove(name);
        }
    }

    fn some_creation(&mut self) {
        let missing = TOPICS.into_iter().find(|name| !self.topics.contains_key(name));
        if let Some(name) = missing {
            self.begin_anew(name);
        }
    }

    fn some_growth(&mut self) {
        let Some((name, _)) = self.some_partition() else { return };
        if self.topics[name].partitions.len() < PARTITIONS_MAX {
            self.add_partition(name, 0);
        }
    }

    fn some_transaction(&mut self) {
        let Some((name, partition)) = self.some_partition() else { return };
        let commit = self.rng.chance(600);
        let Some(log) = self.log(name, partition) else { return };
        if log.has_open() {
            self.end_transaction(name, partition, commit);
        } else {
            self.begin_transaction(name, partition);
        }
    }

    fn some_right(&mut self) {
        let Some((name, _)) = self.some_partition() else { return };
        let (read, describe) = (self.rng.chance(600), self.rng.chance(700));
        if let Some(topic) = self.topics.get_mut(name) {
            (topic.read, topic.describe) = (read, describe);
        }
    }

    /// A broker goes, all go, or all are back.
    fn some_broker(&mut self) {
        match self.rng.below(4) {
            0 => self.up.fill(false),
            1 => {
                let one = self.rng.below(self.up.len());
                self.up[one] = false;
                self.tell(BrokerEvent::Lost("a broker went".to_owned()));
            }
            _ => self.up.fill(true),
        }
    }

    fn some_bad_batch(&mut self) {
        if !self.options.bad_batches {
            return;
        }
        let Some((name, partition)) = self.some_partition() else { return };
        let (back, records) = (self.rng.below(20), self.rng.between(1, 5));
        let Some(log) = self.log(name, partition) else { return };
        log.spoil(log.end - i64::try_from(back).expect("small"), records);
    }

    fn some_upgrade(&mut self) {
        self.upgrading = !self.upgrading;
    }
}
