//! The naive model: what was produced, by channel and partition, and what was lost on the way.

use std::collections::BTreeMap;

use proto::position::Epoch;

use crate::rng::Hash;

/// A partition of one life of a topic, and how often its log had been cut: offsets from the cut on come again.
pub(crate) type Part = (Epoch, u32, u32);

/// What a subscriber of a channel should see for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A message: hash of timestamp, encoding and data.
    Message(Hash),
    /// A gap notice `oversized`.
    Oversized,
}

/// A range of offsets that Kafka lost, or that ended with its topic's life; inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) part: Part,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) reason: &'static str,
}

/// One life of a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) topic: &'static str,
    pub(crate) epoch: Epoch,
}

/// A topic and the names its records' channels get: everything in front of and behind the key, or a fixed name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    pub(crate) topic: &'static str,
    /// As the route's template has it.
    pub(crate) template: &'static str,
}

/// Every route of the simulated server. One topic feeds a fixed channel over all its partitions, and does so by two routes
/// (a channel gets a record once); two topics share names.
pub(crate) const NAMINGS: [Naming; 6] = [
    Naming { topic: "alpha", template: "{key}.a" },
    Naming { topic: "beta", template: "{key}.b" },
    Naming { topic: "beta", template: "beta.all" },
    Naming { topic: "beta", template: "beta.all" },
    Naming { topic: "gamma", template: "shared.{key}" },
    Naming { topic: "delta", template: "shared.{key}" },
];

/// Longest name of a channel.
pub(crate) const NAME_BYTES_MAX: usize = 255;

impl Naming {
    /// The channel of a record with this key.
    fn name(&self, key: Option<&[u8]>) -> Option<String> {
        let Some((before, after)) = self.template.split_once("{key}") else {
            return Some(self.template.to_owned());
        };
        let key = std::str::from_utf8(key?).ok()?;
        let name = format!("{before}{key}{after}");
        (name.len() <= NAME_BYTES_MAX).then_some(name)
    }

    fn could_make(&self, name: &str) -> bool {
        match self.template.split_once("{key}") {
            None => name == self.template,
            Some((before, after)) => {
                name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            }
        }
    }
}

/// The channels of a record.
pub(crate) fn channels_of(topic: &str, key: Option<&[u8]>) -> Vec<String> {
    NAMINGS.iter().filter(|naming| naming.topic == topic).filter_map(|naming| naming.name(key)).collect()
}

/// The topics that could fill a channel of this name, each once.
pub(crate) fn topics_of(name: &str) -> Vec<&'static str> {
    let mut topics = Vec::new();
    for naming in NAMINGS.iter().filter(|naming| naming.could_make(name)) {
        if !topics.contains(&naming.topic) {
            topics.push(naming.topic);
        }
    }
    topics
}

#[derive(Debug, Default)]
struct Line {
    /// One past the newest offset that was produced or lost.
    next: i64,
    /// What each channel is to see, by offset.
    channels: BTreeMap<String, BTreeMap<i64, Expect>>,
}

/// All that was produced.
#[derive(Debug, Default)]
pub(crate) struct Model {
    lives: Vec<Life>,
    lines: BTreeMap<Part, Line>,
    lost: Vec<Lost>,
}

impl Model {
    /// A topic begins, or begins anew.
    pub(crate) fn begin_life(&mut self, topic: &'static str, epoch: Epoch) {
        assert!(self.life(epoch).is_none(), "a life begins once");
        self.lives.push(Life { topic, epoch });
    }

    /// A life has one more partition, read from this offset on.
    pub(crate) fn add_part(&mut self, part: Part, next: i64) {
        self.lines.insert(part, Line { next, ..Line::default() });
    }

    /// A record is about to be handed to the bus.
    pub(crate) fn produce(&mut self, part: Part, offset: i64, channels: &[String], expect: Expect) {
        let line = self.lines.get_mut(&part).expect("a partition that was added");
        assert!(offset >= line.next, "records are produced in order");
        line.next = offset + 1;
        for channel in channels {
            line.channels.entry(channel.clone()).or_default().insert(offset, expect);
        }
    }

    /// The partition's log is cut: what was produced from there on is void, and comes anew in the part this gives.
    pub(crate) fn cut(&mut self, part: Part, at: i64) -> Part {
        let to = self.lines[&part].next - 1;
        self.lose(Lost { part, from: at, to, reason: "reset" });
        let next = (part.0, part.1, part.2 + 1);
        self.add_part(next, at);
        next
    }

    /// The partition moved without records for anybody.
    pub(crate) fn skip(&mut self, part: Part, next: i64) {
        let line = self.lines.get_mut(&part).expect("a partition that was added");
        line.next = line.next.max(next);
    }

    /// A range is lost.
    pub(crate) fn lose(&mut self, lost: Lost) {
        self.skip(lost.part, lost.to + 1);
        self.lost.push(lost);
    }

    /// One past the newest offset of a partition.
    pub(crate) fn next(&self, part: Part) -> Option<i64> {
        self.lines.get(&part).map(|line| line.next)
    }

    /// What a channel is to see at this offset.
    pub(crate) fn at(&self, channel: &str, part: Part, offset: i64) -> Option<Expect> {
        self.lines.get(&part)?.channels.get(channel)?.get(&offset).copied()
    }

    /// The channel's first offset in the partition within these bounds (`from` included, `end` not).
    pub(crate) fn first(&self, channel: &str, part: Part, from: i64, end: i64) -> Option<i64> {
        if from >= end {
            return None;
        }
        let line = self.lines.get(&part)?.channels.get(channel)?;
        line.range(from..end).next().map(|(offset, _)| *offset)
    }

    /// Number and description of a life.
    pub(crate) fn life(&self, epoch: Epoch) -> Option<(usize, Life)> {
        let index = self.lives.iter().position(|life| life.epoch == epoch)?;
        Some((index, self.lives[index]))
    }

    pub(crate) fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// A later life has taken the place of this one.
    pub(crate) fn is_past(&self, epoch: Epoch) -> bool {
        let Some((index, life)) = self.life(epoch) else { return false };
        self.lives[index + 1..].iter().any(|later| later.topic == life.topic)
    }

    /// Partitions of a life.
    pub(crate) fn parts(&self, epoch: Epoch) -> impl Iterator<Item = Part> + '_ {
        self.lines.range((epoch, 0, 0)..=(epoch, u32::MAX, u32::MAX)).map(|(part, _)| *part)
    }

    /// The partition goes on as another part.
    pub(crate) fn is_cut(&self, part: Part) -> bool {
        self.lines.contains_key(&(part.0, part.1, part.2 + 1))
    }

    /// The part that a partition is now.
    pub(crate) fn part(&self, epoch: Epoch, partition: u32) -> Part {
        let parts = self.lines.range((epoch, partition, 0)..=(epoch, partition, u32::MAX));
        parts.last().map_or((epoch, partition, 0), |(part, _)| *part)
    }

    /// Ranges lost so far; the index tells how long ago.
    pub(crate) fn lost(&self) -> &[Lost] {
        &self.lost
    }
}
