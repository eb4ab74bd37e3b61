//! The consumer's face: what librdkafka would deliver.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use kafka::{BrokerEvent, Delivery, Error, Flow, Headers, Record};

use super::{
    Kafka,
    cluster::{Cluster, TopicId},
    log::{Body, Kind},
};
use crate::model::Part;

/// Records of a partition that are fetched ahead.
const FETCHED_MAX: usize = 40;
/// How long all brokers must be gone before librdkafka says so.
const DOWN_AFTER_MS: u64 = 1_000;

/// A consumer over the modelled Kafka.
#[derive(Debug)]
pub(crate) struct Reader(pub(super) Kafka);

/// What the consumer has; the cluster holds it, for fetching goes on by itself.
#[derive(Debug, Default)]
pub(crate) struct Client {
    assigned: BTreeMap<u32, Assigned>,
    queue: VecDeque<(u32, Queued)>,
    news: Vec<BrokerEvent>,
    down_since_ms: Option<u64>,
    told_down: bool,
    /// As the metadata had it last: topics' ids, and the epochs of partitions' leaders.
    ids: BTreeMap<String, TopicId>,
    leaders: BTreeMap<(String, u32), i32>,
    /// Where the next fetch begins, so that everybody has its turn.
    turn: usize,
}

/// A partition that is read.
#[derive(Debug)]
struct Assigned {
    topic: String,
    partition: u32,
    /// The next offset to be fetched.
    fetch: i64,
    /// Where it was told last to begin.
    sought: i64,
    /// The next offset to be delivered, for all that was handed out.
    position: Option<i64>,
    end: Option<i64>,
    /// Leader epoch of the last record that was fetched.
    epoch: Option<i32>,
    /// The next fetch is to be preceded by a lookup about the last epoch.
    validate: bool,
    /// Nothing more is fetched until a seek.
    stopped: bool,
    /// That it is not there has been said.
    told_unknown: bool,
    /// Fetches are refused, which has been said.
    refused: bool,
}

/// What waits to be handed out.
#[derive(Debug, Clone)]
enum Queued {
    Record {
        part: Part,
        offset: i64,
        body: Rc<Body>,
        log: usize,
    },
    /// The position passes what is not delivered.
    Moved {
        part: Part,
        next: i64,
        log: usize,
    },
    OutOfRange(i64),
    Truncated(Option<i64>),
    Skipped {
        part: Part,
        from: i64,
        to: i64,
        log: usize,
    },
    Refused,
    Doubt(Option<TopicId>, &'static str),
    Error,
}

impl Reader {
    fn part(&self, tag: u32) -> Option<Part> {
        let cluster = self.0.get();
        let assigned = cluster.client.as_ref()?.assigned.get(&tag)?;
        Some((cluster.topic(&assigned.topic)?.epoch, assigned.partition))
    }
}

impl kafka::Read for Reader {
    fn assign(&mut self, topic: &str, partition: u32, offset: i64, tag: u32) -> Result<(), Error> {
        assert!(offset >= 0, "a negative offset is assigned");
        let mut cluster = self.0.get_mut();
        let client = cluster.client.as_mut().expect("it is there as long as this");
        let is_there = |held: &Assigned| held.topic == topic && held.partition == partition;
        if client.assigned.contains_key(&tag) || client.assigned.values().any(is_there) {
            return Err(Error::Tag(tag));
        }
        let assigned = Assigned {
            topic: topic.to_owned(),
            partition,
            fetch: offset,
            sought: offset,
            position: None,
            end: None,
            epoch: None,
            validate: false,
            stopped: false,
            told_unknown: false,
            refused: false,
        };
        client.assigned.insert(tag, assigned);
        cluster.show(|| format!("{topic}.{partition} is read from {offset}"));
        drop(cluster);
        if let Some(part) = self.part(tag) {
            self.0.get_mut().read_from(part, offset);
        }
        Ok(())
    }

    fn unassign(&mut self, tag: u32) -> Result<(), Error> {
        let mut cluster = self.0.get_mut();
        let client = cluster.client.as_mut().expect("it is there as long as this");
        let gone = client.assigned.remove(&tag).ok_or(Error::Tag(tag))?;
        client.queue.retain(|(of, _)| *of != tag);
        cluster.show(|| format!("{}.{} is read no more", gone.topic, gone.partition));
        Ok(())
    }

    fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error> {
        assert!(offset >= 0, "a negative offset is sought");
        let part = self.part(tag);
        let mut cluster = self.0.get_mut();
        let client = cluster.client.as_mut().expect("it is there as long as this");
        let assigned = client.assigned.get_mut(&tag).ok_or(Error::Tag(tag))?;
        if offset <= assigned.position.unwrap_or(assigned.sought) {
            assigned.validate = true;
        } else {
            // The epoch of the last record says nothing of a place that was never reached.
            assigned.epoch = None;
        }
        (assigned.fetch, assigned.sought) = (offset, offset);
        assigned.position = None;
        assigned.stopped = false;
        // Doubts are not fetched: they stay.
        client.queue.retain(|(of, queued)| *of != tag || matches!(queued, Queued::Doubt(..)));
        if let Some(part) = part {
            cluster.read_from(part, offset);
            cluster.show(|| format!("{}.{} is read on from {offset}", part.0, part.1));
        }
        Ok(())
    }

    fn drain(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> usize {
        let mut done = 0;
        self.0.get_mut().hurry_a_doubt();
        while done < max {
            let next = self.0.get_mut().client.as_mut().and_then(|client| client.queue.pop_front());
            let Some((tag, queued)) = next else { break };
            if let Some(flow) = hand_out(tag, &queued, on) {
                if flow == Flow::Again {
                    let mut cluster = self.0.get_mut();
                    let client = cluster.client.as_mut().expect("it is there as long as this");
                    client.queue.push_front((tag, queued));
                    return done;
                }
                done += 1;
                if flow == Flow::Last {
                    self.0.get_mut().taken(tag, &queued);
                    return done;
                }
            }
            self.0.get_mut().taken(tag, &queued);
        }
        done
    }

    fn position(&self, tag: u32) -> Option<i64> {
        self.0.get().client.as_ref()?.assigned.get(&tag)?.position
    }

    fn end(&self, tag: u32) -> Option<i64> {
        self.0.get().client.as_ref()?.assigned.get(&tag)?.end
    }

    fn reads(&self, tag: u32) -> Option<kafka::TopicId> {
        let cluster = self.0.get();
        let client = cluster.client.as_ref().filter(|_| cluster.options.new_brokers)?;
        let id = client.ids.get(&client.assigned.get(&tag)?.topic)?;
        Some(kafka::TopicId(*id))
    }

    fn news(&mut self) -> Vec<BrokerEvent> {
        let mut cluster = self.0.get_mut();
        cluster.notice_brokers();
        cluster.client.as_mut().map(|client| std::mem::take(&mut client.news)).unwrap_or_default()
    }
}

/// None: nothing is to be handed out.
fn hand_out(tag: u32, queued: &Queued, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> Option<Flow> {
    let text = "as the modelled Kafka has it";
    Some(match queued {
        Queued::Moved { .. } => return None,
        Queued::Record { offset, body, .. } => on(Delivery::Record(Record {
            tag,
            offset: *offset,
            ts_ms: body.ts_ms,
            key: body.key.as_deref(),
            value: body.value.as_deref(),
            headers: Headers::of(&[]),
        })),
        Queued::OutOfRange(offset) => on(Delivery::OffsetOutOfRange { tag, offset: *offset, text }),
        Queued::Truncated(at) => on(Delivery::Truncated { tag, at: *at, text }),
        Queued::Skipped { from, .. } => on(Delivery::Skipped { tag, offset: *from, text }),
        Queued::Refused => on(Delivery::Refused { tag, text }),
        Queued::Doubt(id, text) => on(Delivery::Doubt { tag, id: id.map(kafka::TopicId), text }),
        Queued::Error => on(Delivery::Error { tag, text }),
    })
}

impl Cluster {
    /// A delivery was taken.
    fn taken(&mut self, tag: u32, queued: &Queued) {
        let (part, next, log) = match queued {
            Queued::Record { part, offset, log, .. } => (*part, *offset + 1, *log),
            Queued::Moved { part, next, log } => (*part, *next, *log),
            Queued::Skipped { part, from, to, log } => {
                // The position waits for the next record.
                return self.model.unreadable(*part, *from, *to, *log);
            }
            Queued::OutOfRange(_)
            | Queued::Truncated(_)
            | Queued::Refused
            | Queued::Doubt(..)
            | Queued::Error => return,
        };
        self.model.read_to(part, next, log);
        let assigned = self.client.as_mut().and_then(|client| client.assigned.get_mut(&tag));
        // While it was handed out it may have been let go of, or sought elsewhere.
        if let Some(assigned) = assigned
            && next <= assigned.fetch
        {
            assigned.position = Some(next);
        }
    }

    fn read_from(&mut self, part: Part, next: i64) {
        self.model.read_from(part, next);
    }

    /// What the consumer has fetched of a partition at most, and of which epoch: a truncation below is one it can see.
    pub(crate) fn fetched(&self, topic: &str, partition: u32) -> Option<(i64, Option<i32>)> {
        let assigned = self.client.as_ref()?.assigned.values();
        let mut found =
            assigned.filter(|assigned| assigned.topic == topic && assigned.partition == partition);
        found.next().map(|assigned| (assigned.fetch, assigned.epoch))
    }

    /// Nothing is fetched that was not handed out, and nothing is left to fetch of what can be read.
    pub(crate) fn is_read(&self) -> bool {
        let Some(client) = &self.client else { return true };
        let all = |assigned: &Assigned| {
            let log = self.readable(&assigned.topic, assigned.partition);
            log.is_none_or(|log| !assigned.stopped && assigned.fetch >= log.stable())
        };
        client.queue.is_empty() && client.assigned.values().all(all)
    }

    /// Fetches of every partition a part of what is there. True: something came.
    pub(crate) fn fetch(&mut self) -> bool {
        let Some(mut client) = self.client.take() else { return false };
        let before = client.queue.len();
        let tags: Vec<u32> = client.assigned.keys().copied().collect();
        self.hear_of_ids(&mut client);
        client.turn += 1;
        for index in 0..tags.len() {
            let tag = tags[(index + client.turn) % tags.len()];
            let waiting = client.queue.iter().filter(|(of, _)| *of == tag).count();
            let Some(assigned) = client.assigned.get_mut(&tag) else { continue };
            if !assigned.stopped && waiting < FETCHED_MAX {
                self.fetch_one(tag, assigned, &mut client.leaders, &mut client.queue);
            }
        }
        let any = client.queue.len() > before;
        self.client = Some(client);
        any
    }

    /// What is doubtful is told as soon as it is heard, in front of what was fetched before: also of the record that the
    /// owner could not take.
    fn hurry_a_doubt(&mut self) {
        let hurries = self.rng.chance(300);
        let Some(client) = self.client.as_mut().filter(|_| hurries) else { return };
        let doubt = client.queue.iter().position(|(_, queued)| matches!(queued, Queued::Doubt(..)));
        if let Some(doubt) = doubt.and_then(|at| client.queue.remove(at)) {
            client.queue.push_front(doubt);
        }
    }

    /// The client hears that topics were made anew, before it fetches anything of their new incarnations.
    fn hear_of_ids(&mut self, client: &mut Client) {
        if !self.any_up() {
            return;
        }
        let mut topics: Vec<String> =
            client.assigned.values().map(|assigned| assigned.topic.clone()).collect();
        topics.dedup();
        for name in topics {
            let Some((id, epoch)) = self.topics.get(name.as_str()).map(|topic| (topic.id, topic.epoch))
            else {
                continue;
            };
            let known = client.ids.insert(name.clone(), id);
            if known.is_none() {
                self.model.unannounced.push(epoch);
            }
            if known.is_none_or(|known| known == id) {
                continue;
            }
            client.leaders.retain(|(topic, _), _| *topic != name);
            // It is told behind what was fetched before, or at once.
            let at_once = self.rng.chance(500);
            for (&tag, assigned) in client.assigned.iter_mut().filter(|(_, assigned)| assigned.topic == name)
            {
                // The leader epochs begin anew with the topic.
                assigned.epoch = assigned.epoch.filter(|_| self.rng.chance(500));
                assigned.validate = true;
                if !self.options.new_brokers {
                    continue;
                }
                let doubt = (tag, Queued::Doubt(Some(id), "another topic id"));
                if at_once {
                    client.queue.push_front(doubt);
                } else {
                    client.queue.push_back(doubt);
                }
                self.show(|| format!("{name}.{} is doubted for its id", assigned.partition));
            }
        }
    }

    fn fetch_one(
        &mut self,
        tag: u32,
        assigned: &mut Assigned,
        leaders: &mut BTreeMap<(String, u32), i32>,
        queue: &mut VecDeque<(u32, Queued)>,
    ) {
        if !self.any_up() || (self.is_lively && self.rng.chance(100)) {
            return;
        }
        let queued: &mut Vec<Queued> = &mut Vec::new();
        self.fetch_into(assigned, leaders, queued);
        for queued in
            queued.iter().filter(|queued| !matches!(queued, Queued::Record { .. } | Queued::Moved { .. }))
        {
            self.show(|| format!("{}.{} fetches {queued:?}", assigned.topic, assigned.partition));
        }
        queue.extend(queued.drain(..).map(|queued| (tag, queued)));
    }

    fn fetch_into(
        &mut self,
        assigned: &mut Assigned,
        leaders: &mut BTreeMap<(String, u32), i32>,
        out: &mut Vec<Queued>,
    ) {
        let doubts = self.options.new_brokers;
        let topic = self.topics.get(assigned.topic.as_str());
        let Some(topic) = topic.filter(|topic| topic.partitions.len() > assigned.partition as usize) else {
            if !std::mem::replace(&mut assigned.told_unknown, true) {
                out.push(if doubts { Queued::Doubt(None, "unknown topic") } else { Queued::Error });
            }
            return;
        };
        let epoch = topic.epoch;
        assigned.told_unknown = false;
        if !self.topics[assigned.topic.as_str()].read {
            // It is told once; a refused fetch takes the end of the partition with it.
            assigned.end = None;
            if !std::mem::replace(&mut assigned.refused, true) {
                out.push(Queued::Refused);
            }
            return;
        }
        let Some(log) = self.readable(&assigned.topic, assigned.partition) else { return };
        let (start, end) = (log.start, log.end);
        let key = (assigned.topic.clone(), assigned.partition);
        let known = leaders.insert(key, log.leader_epoch);
        if known.is_some_and(|known| known != log.leader_epoch) {
            if doubts {
                out.push(Queued::Doubt(None, "another leader"));
            }
            assigned.validate = true;
        }
        assigned.end = Some(end);
        if std::mem::take(&mut assigned.refused) && doubts {
            out.push(Queued::Doubt(None, "fetches are answered again"));
        }
        if std::mem::take(&mut assigned.validate)
            && let Some(epoch) = assigned.epoch
            && log.end_of_epoch(epoch).is_none_or(|end| end < assigned.fetch)
        {
            out.push(Queued::Truncated(log.end_of_epoch(epoch)));
            assigned.stopped = true;
            return;
        }
        if assigned.fetch < start || assigned.fetch > end {
            out.push(Queued::OutOfRange(assigned.fetch));
            assigned.stopped = true;
            return;
        }
        self.fetch_records(assigned, (epoch, assigned.partition), out);
    }

    /// What is there, up to where an open transaction begins; errors in between.
    fn fetch_records(&mut self, assigned: &mut Assigned, part: Part, out: &mut Vec<Queued>) {
        let most = self.rng.between(1, FETCHED_MAX);
        let fails = self.is_lively && self.rng.chance(30);
        let log = &self.topics[assigned.topic.as_str()].partitions[assigned.partition as usize];
        let (stable, truncations) = (log.stable(), log.truncations);
        let mut fetched = Vec::new();
        for (offset, entry) in log.from(assigned.fetch).take(most).take_while(|(offset, _)| *offset < stable)
        {
            assigned.epoch = Some(entry.leader_epoch);
            assigned.fetch = offset + 1;
            fetched.push(match &entry.kind {
                Kind::Record(body) | Kind::Open(body) => {
                    Queued::Record { part, offset, body: Rc::clone(body), log: entry.born }
                }
                Kind::Aborted | Kind::Control => Queued::Moved { part, next: offset + 1, log: entry.born },
                Kind::Unreadable => Queued::Skipped { part, from: offset, to: offset, log: entry.born },
            });
        }
        if fetched.len() < most && assigned.fetch < stable {
            // Compaction took the rest.
            assigned.fetch = stable;
            fetched.push(Queued::Moved { part, next: stable, log: truncations });
        }
        join_unreadable(&mut fetched);
        if fails {
            let at = self.rng.below(fetched.len() + 1);
            fetched.insert(at, Queued::Error);
        }
        out.append(&mut fetched);
    }

    /// librdkafka says when no broker is left, a while later, and when one is back.
    fn notice_brokers(&mut self) {
        let (any, now_ms) = (self.any_up(), self.now_ms);
        let Some(client) = &mut self.client else { return };
        if any {
            client.down_since_ms = None;
            if std::mem::take(&mut client.told_down) {
                client.news.push(BrokerEvent::Up);
            }
            return;
        }
        let since = *client.down_since_ms.get_or_insert(now_ms);
        if now_ms - since >= DOWN_AFTER_MS && !std::mem::replace(&mut client.told_down, true) {
            client.news.push(BrokerEvent::Down("no broker is connected".to_owned()));
        }
    }

    pub(crate) fn tell(&mut self, event: BrokerEvent) {
        if let Some(client) = &mut self.client {
            client.news.push(event);
        }
    }
}

/// A batch that cannot be read is told once.
fn join_unreadable(queued: &mut Vec<Queued>) {
    queued.dedup_by(|next, before| match (next, before) {
        (Queued::Skipped { to: next, .. }, Queued::Skipped { to, .. }) => {
            *to = *next;
            true
        }
        _ => false,
    });
}
