//! One partition of one incarnation of a topic, as its leader has it.

use std::{collections::BTreeMap, rc::Rc};

/// What a record holds.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) ts_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What is at an offset.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A record for everybody.
    Record(Rc<Body>),
    /// A record of a transaction that is open.
    Open(Rc<Body>),
    /// A record of a transaction that was aborted.
    Aborted,
    /// The end of a transaction.
    Control,
    /// A record of a batch that nobody can read.
    Unreadable,
}

/// An offset that is taken.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) leader_epoch: i32,
    /// The log it was written to: how often the partition had been truncated.
    pub(crate) born: usize,
}

/// A partition.
#[derive(Debug)]
pub(crate) struct Log {
    entries: BTreeMap<i64, Entry>,
    /// The first offset that is held, and the high watermark.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The broker that leads it.
    pub(crate) leader: Option<usize>,
    pub(crate) leader_epoch: i32,
    /// First offsets of the leader epochs.
    epochs: Vec<(i32, i64)>,
    /// How often it was truncated.
    pub(crate) truncations: usize,
}

impl Log {
    pub(crate) fn new(next: i64, leader: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            start: next,
            end: next,
            leader: Some(leader),
            leader_epoch: 0,
            epochs: vec![(0, next)],
            truncations: 0,
        }
    }

    /// Writes at the end, behind a hole of this size; gives the offset.
    pub(crate) fn append(&mut self, kind: Kind, hole: i64) -> i64 {
        let offset = self.end + hole;
        let entry = Entry { kind, leader_epoch: self.leader_epoch, born: self.truncations };
        self.entries.insert(offset, entry);
        self.end = offset + 1;
        offset
    }

    /// The next offset that a reader of committed records may get to.
    pub(crate) fn stable(&self) -> i64 {
        self.open().next().map_or(self.end, |(offset, _)| offset)
    }

    /// Records of the open transaction.
    fn open(&self) -> impl Iterator<Item = (i64, &Rc<Body>)> {
        self.entries.iter().filter_map(|(offset, entry)| match &entry.kind {
            Kind::Open(body) => Some((*offset, body)),
            Kind::Record(_) | Kind::Aborted | Kind::Control | Kind::Unreadable => None,
        })
    }

    /// The open transaction ends. What it brings, if it is committed.
    pub(crate) fn end_transaction(&mut self, commit: bool) -> Vec<(i64, Rc<Body>)> {
        let brought: Vec<_> = self.open().map(|(offset, body)| (offset, Rc::clone(body))).collect();
        for (offset, body) in &brought {
            if let Some(entry) = self.entries.get_mut(offset) {
                entry.kind = if commit { Kind::Record(Rc::clone(body)) } else { Kind::Aborted };
            }
        }
        if !brought.is_empty() {
            self.append(Kind::Control, 0);
        }
        if commit { brought } else { Vec::new() }
    }

    pub(crate) fn has_open(&self) -> bool {
        self.stable() < self.end
    }

    /// What is held from this offset on.
    pub(crate) fn from(&self, offset: i64) -> impl Iterator<Item = (i64, &Entry)> {
        self.entries.range(offset..).map(|(offset, entry)| (*offset, entry))
    }

    /// The disk spoils so many records, from this offset on.
    pub(crate) fn spoil(&mut self, from: i64, records: usize) {
        for (_, entry) in self.entries.range_mut(from..).take(records) {
            if matches!(entry.kind, Kind::Record(_)) {
                entry.kind = Kind::Unreadable;
            }
        }
    }

    /// Retention, up to this offset.
    pub(crate) fn trim(&mut self, start: i64) {
        self.start = self.start.max(start);
        self.entries = self.entries.split_off(&self.start);
    }

    /// A replica without the newest records leads from now on.
    pub(crate) fn truncate(&mut self, at: i64) {
        self.entries.split_off(&at);
        self.epochs.retain(|(_, first)| *first < at);
        self.end = at;
        self.truncations += 1;
    }

    /// Another leader, of the next epoch.
    pub(crate) fn elect(&mut self, leader: usize) {
        self.leader = Some(leader);
        self.leader_epoch += 1;
        self.epochs.push((self.leader_epoch, self.end));
    }

    /// Where the newest epoch ends that is not above this one, as a leader answers OffsetForLeaderEpoch. None: it knows no
    /// epoch as high.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<i64> {
        if epoch >= self.leader_epoch {
            return (epoch == self.leader_epoch).then_some(self.end);
        }
        let higher = self.epochs.iter().find(|(there, _)| *there > epoch);
        higher.map(|(_, first)| *first)
    }
}
