//! The truth: what was ever written, by channel and partition, what was truncated, and what nobody can read any more.
//! The modelled Kafka writes it down, the oracle judges by it.

use std::collections::{BTreeMap, BTreeSet};

use proto::position::Epoch;

use crate::rng::Hash;

/// A partition of one incarnation of a topic.
pub(crate) type Part = (Epoch, u32);

/// What a subscriber of a channel should see for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A message: hash of timestamp, encoding and data.
    Message(Hash),
    /// A gap notice `oversized`.
    Oversized,
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

/// A partition's log lost its end (an unclean election): offsets from `at` on come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncation {
    /// The first void offset.
    pub(crate) at: i64,
    /// The end of the log before.
    pub(crate) end: i64,
}

/// Offsets that the reader passed over: what was there will never be read. Inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// The log they were lost from.
    pub(crate) log: usize,
}

/// How far the one who feeds the server has read a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// Where it began, and the first offset there was at that time.
    pub(crate) began: i64,
    pub(crate) held: i64,
    /// The next offset, and of which log.
    pub(crate) next: i64,
    pub(crate) log: usize,
}

/// All that ever was in a partition of one incarnation of a topic.
///
/// A truncation makes another *log* of it: log 0 until the first truncation, then log 1, and so on. A record that was
/// written to log 2 is in log 3 as well if the truncation between them left it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) truncations: Vec<Truncation>,
    /// The first offset that is held; it only rises.
    pub(crate) start: i64,
    /// One past the newest of the present log.
    pub(crate) end: i64,
    /// What each channel is to see, by offset and the log it was written to.
    channels: BTreeMap<String, BTreeMap<(i64, usize), Expect>>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) read: Option<Read>,
}

impl Line {
    /// The present log.
    pub(crate) fn log(&self) -> usize {
        self.truncations.len()
    }

    /// One past the newest offset that a log had.
    pub(crate) fn end_of(&self, log: usize) -> i64 {
        self.truncations.get(log).map_or(self.end, |truncation| truncation.end)
    }

    /// What was written to log `born` at this offset is in `log`.
    pub(crate) fn is_in(&self, offset: i64, born: usize, log: usize) -> bool {
        born <= log && self.truncations[born..log].iter().all(|truncation| truncation.at > offset)
    }

    /// All below `next` of one log is the same in a later one.
    pub(crate) fn survives(&self, next: i64, from: usize, to: usize) -> bool {
        from <= to && self.truncations[from..to].iter().all(|truncation| truncation.at >= next)
    }

    /// The log that a channel's record with this content was written to.
    pub(crate) fn born(&self, channel: &str, offset: i64, expect: Expect) -> Option<usize> {
        let records = self.channels.get(channel)?.range((offset, 0)..=(offset, usize::MAX));
        records.filter(|(_, there)| **there == expect).map(|((_, born), _)| *born).next_back()
    }

    /// The channel's first record in a log within these bounds (`from` included, `end` not).
    pub(crate) fn first(&self, channel: &str, log: usize, from: i64, end: i64) -> Option<i64> {
        if from >= end {
            return None;
        }
        let mut records = self.channels.get(channel)?.range((from, 0)..(end, 0));
        records.find(|((offset, born), _)| self.is_in(*offset, *born, log)).map(|((offset, _), _)| *offset)
    }

    /// In some log nobody can read some of these, and of the channel there is nothing else.
    pub(crate) fn is_unreadable(&self, channel: &str, from: i64, to: i64) -> bool {
        (0..=self.log()).any(|log| {
            let within =
                |lost: &&Lost| from <= lost.from && lost.to <= to && self.is_in(lost.from, lost.log, log);
            let lost: Vec<&Lost> = self.lost.iter().filter(within).collect();
            let is_lost = |record| lost.iter().any(|lost| (lost.from..=lost.to).contains(&record));
            let mut at = from;
            while let Some(record) = self.first(channel, log, at, to + 1).filter(|record| is_lost(*record)) {
                at = record + 1;
            }
            !lost.is_empty() && self.first(channel, log, at, to + 1).is_none()
        })
    }

    /// A range that was lost from the log within these bounds.
    pub(crate) fn first_lost(&self, log: usize, from: i64, end: i64) -> Option<Lost> {
        // What a truncation took of it is void: of the later log it is no part.
        let last = |lost: &Lost| {
            let truncations = self.truncations.get(lost.log..log).unwrap_or_default();
            truncations.iter().map(|truncation| truncation.at - 1).fold(lost.to, i64::min)
        };
        let mut within = self.lost.iter().filter(|lost| last(lost) >= from && lost.from.max(from) < end);
        within.find(|lost| self.is_in(lost.from, lost.log, log)).copied()
    }
}

/// One incarnation of a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incarnation {
    pub(crate) topic: &'static str,
    pub(crate) epoch: Epoch,
}

/// All that was produced, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Model {
    incarnations: Vec<Incarnation>,
    lines: BTreeMap<Part, Line>,
    /// Brokers are so old that nothing shows when a topic is made anew: its first records may pass for the old
    /// incarnation's.
    pub(crate) confuses_incarnations: bool,
    /// Incarnations that ingest has begun to read.
    pub(crate) adopted: BTreeSet<Epoch>,
    /// Incarnations of which nothing has shown: the first id that the consumer heard of the topic is theirs.
    pub(crate) unannounced: Vec<Epoch>,
}

impl Model {
    pub(crate) fn new(confuses_incarnations: bool) -> Self {
        Self { confuses_incarnations, ..Self::default() }
    }

    /// A topic begins, or begins anew.
    pub(crate) fn begin_incarnation(&mut self, topic: &'static str, epoch: Epoch) {
        assert!(self.incarnation(epoch).is_none(), "an incarnation begins once");
        self.incarnations.push(Incarnation { topic, epoch });
    }

    /// An incarnation has one more partition, empty, whose next offset is this one.
    pub(crate) fn add_part(&mut self, part: Part, next: i64) {
        self.lines.insert(part, Line { start: next, end: next, ..Line::default() });
    }

    /// A record is written, or its transaction is committed.
    pub(crate) fn produce(&mut self, part: Part, offset: i64, channels: &[String], expect: Expect) {
        let line = self.line_mut(part);
        let log = line.log();
        line.end = line.end.max(offset + 1);
        for channel in channels {
            line.channels.entry(channel.clone()).or_default().insert((offset, log), expect);
        }
    }

    /// The partition's log is truncated: what was produced from there on is void, and its offsets come again.
    pub(crate) fn truncate(&mut self, part: Part, at: i64) {
        let line = self.line_mut(part);
        assert!(line.start <= at && at <= line.end, "a truncation is in the log");
        line.truncations.push(Truncation { at, end: line.end });
        line.end = at;
    }

    /// Retention, or somebody who deletes records.
    pub(crate) fn trim(&mut self, part: Part, start: i64) {
        let line = self.line_mut(part);
        line.start = line.start.max(start);
    }

    /// The log is longer, without records for anybody.
    pub(crate) fn extend(&mut self, part: Part, end: i64) {
        let line = self.line_mut(part);
        line.end = line.end.max(end);
    }

    /// Somebody begins to read the partition, or goes on elsewhere.
    pub(crate) fn read_from(&mut self, part: Part, next: i64) {
        // (Of a partition that the topic's new incarnation does not have.)
        let Some(line) = self.lines.get_mut(&part) else { return };
        let Some(mut read) = line.read else {
            line.read = Some(Read { began: next, held: line.start, next, log: line.log() });
            return;
        };
        // As far as it can know: a truncation below where it goes on shows when it fetches.
        let least = next.min(read.next);
        let known = (read.log..=line.log()).rev().find(|log| line.survives(least, read.log, *log));
        let log = known.unwrap_or(read.log);
        // It may have begun at the next offset of an earlier incarnation, for want of better knowledge.
        read.began = read.began.min(next);
        if next > read.next {
            line.lost.push(Lost { from: read.next, to: next - 1, log: read.log });
        }
        (read.next, read.log) = (next, log);
        line.read = Some(read);
    }

    /// The reader has everything of the partition before this offset, of the log that had this.
    pub(crate) fn read_to(&mut self, part: Part, next: i64, log: usize) {
        if let Some(read) = &mut self.line_mut(part).read {
            read.next = read.next.max(next);
            read.log = read.log.max(log);
        }
    }

    /// The reader was told that it does not get these; what comes next lies behind them.
    pub(crate) fn unreadable(&mut self, part: Part, from: i64, to: i64, log: usize) {
        let line = self.line_mut(part);
        let lost = Lost { from, to, log };
        if !line.lost.contains(&lost) {
            line.lost.push(lost);
        }
    }

    fn line_mut(&mut self, part: Part) -> &mut Line {
        self.lines.get_mut(&part).expect("a partition that was added")
    }

    pub(crate) fn line(&self, part: Part) -> Option<&Line> {
        self.lines.get(&part)
    }

    /// Number and description of an incarnation.
    pub(crate) fn incarnation(&self, epoch: Epoch) -> Option<(usize, Incarnation)> {
        let index = self.incarnations.iter().position(|incarnation| incarnation.epoch == epoch)?;
        Some((index, self.incarnations[index]))
    }

    pub(crate) fn incarnations(&self) -> &[Incarnation] {
        &self.incarnations
    }

    /// The incarnations of the same topic that came after this one.
    pub(crate) fn later(&self, epoch: Epoch) -> impl Iterator<Item = Epoch> + '_ {
        let (index, topic) = self
            .incarnation(epoch)
            .map_or((usize::MAX, ""), |(index, incarnation)| (index, incarnation.topic));
        let later = self.incarnations.iter().enumerate();
        later
            .filter(move |(at, incarnation)| *at > index && incarnation.topic == topic)
            .map(|(_, incarnation)| incarnation.epoch)
    }

    /// Records of a later incarnation may have passed for this one's.
    pub(crate) fn may_confuse(&self, epoch: Epoch) -> bool {
        self.confuses_incarnations || self.later(epoch).any(|later| self.unannounced.contains(&later))
    }

    /// A later incarnation has taken the place of this one.
    pub(crate) fn is_past(&self, epoch: Epoch) -> bool {
        self.later(epoch).next().is_some()
    }

    /// Partitions of an incarnation.
    pub(crate) fn parts(&self, epoch: Epoch) -> impl Iterator<Item = Part> + '_ {
        self.lines.range((epoch, 0)..=(epoch, u32::MAX)).map(|(part, _)| *part)
    }
}
