//! The partitions that are read: who has which tag, and how far each was handed out.
//!
//! librdkafka has a position of its own, but raises it for whatever it hands over, a batch at once and errors too. What
//! was handed out is therefore counted here; its position is believed only where nothing else can have raised it.

use std::collections::HashMap;
use std::ffi::CString;

use crate::Error;
use crate::native::{Partition, TopicHandle};

/// A partition that is read.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) tag: u32,
    pub(crate) name: CString,
    pub(crate) handle: TopicHandle,
    pub(crate) number: i32,
    progress: Progress,
    /// A fetch was refused, and nothing has told since that it is over.
    pub(crate) refused: bool,
}

/// How far a partition was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Where reading began, or one behind the last record.
    next: i64,
    /// Whether a record was handed out since reading began.
    began: bool,
    /// The leader epoch of the record before `next`: what the log is checked against (KIP-320).
    epoch: Option<i32>,
    /// The highest leader epoch of the records since reading began: within one incarnation of a topic it never falls.
    highest: Option<i32>,
    /// librdkafka's position is believed above this one only: an error has raised it so far.
    tainted: i64,
}

impl Progress {
    /// Reading begins at `offset`.
    pub(crate) fn from(offset: i64) -> Self {
        Self { next: offset, began: false, epoch: None, highest: None, tainted: i64::MIN }
    }

    /// A record was handed out.
    pub(crate) fn took(&mut self, offset: i64, epoch: Option<i32>) {
        self.next = offset + 1;
        self.began = true;
        self.epoch = epoch;
        self.highest = self.highest.max(epoch);
    }

    /// An error was handed over, which says to be of `offset`.
    pub(crate) fn failed(&mut self, offset: i64) {
        self.tainted = self.tainted.max(offset.saturating_add(1));
    }

    /// Whether a record of this epoch cannot be of the log that was read before.
    pub(crate) fn falls(&self, epoch: Option<i32>) -> bool {
        epoch.is_some() && epoch < self.highest
    }

    /// It was told that the epoch falls.
    pub(crate) fn forget_epochs(&mut self) {
        (self.epoch, self.highest) = (None, None);
    }

    /// The next offset; None before the first record. `theirs` is librdkafka's position, which passes control and
    /// aborted records; None while records that it has counted wait to be handed out.
    pub(crate) fn position(&self, theirs: Option<i64>) -> Option<i64> {
        let theirs = theirs.filter(|&theirs| theirs > self.tainted && theirs > self.next);
        theirs.or_else(|| self.began.then_some(self.next))
    }

    /// Where reading goes on with another client that knows nothing of this one.
    pub(crate) fn go_on(&self, theirs: Option<i64>) -> Self {
        let next = self.position(theirs).unwrap_or(self.next);
        Self { next, tainted: i64::MIN, ..*self }
    }

    /// Where reading goes on at `offset` by the owner's wish. Behind what was read the epoch says nothing: the log may
    /// have passed through others since, and the end of an old one would look like a truncation.
    pub(crate) fn seek(&self, offset: i64, theirs: Option<i64>) -> Self {
        let reached = self.go_on(theirs).next;
        let epoch = self.epoch.filter(|_| offset <= reached);
        let highest = self.highest.filter(|_| offset >= reached);
        Self { epoch, highest, ..Self::from(offset) }
    }

    /// Where to begin, and the leader epoch to check the log against.
    pub(crate) fn start(&self) -> (i64, Option<i32>) {
        (self.next, self.epoch)
    }
}

/// All partitions that are read.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    parts: Vec<Assigned>,
    by_tag: HashMap<u32, usize>,
    by_key: HashMap<Partition, usize>,
    /// The partition met last, and where it is: records of a partition come in runs.
    last: Option<(Partition, usize)>,
}

impl Assignment {
    pub(crate) fn add(
        &mut self,
        tag: u32,
        name: CString,
        handle: TopicHandle,
        number: i32,
        progress: Progress,
    ) -> Result<&mut Assigned, Error> {
        let key = handle.partition(number);
        if self.by_tag.contains_key(&tag) || self.by_key.contains_key(&key) {
            return Err(Error::Tag(tag));
        }
        let at = self.parts.len();
        self.by_tag.insert(tag, at);
        self.by_key.insert(key, at);
        self.parts.push(Assigned { tag, name, handle, number, progress, refused: false });
        Ok(&mut self.parts[at])
    }

    pub(crate) fn remove(&mut self, tag: u32) -> Result<Assigned, Error> {
        let at = self.by_tag.remove(&tag).ok_or(Error::Tag(tag))?;
        self.last = None;
        let removed = self.parts.swap_remove(at);
        self.by_key.remove(&removed.key());
        if let Some(moved) = self.parts.get(at) {
            self.by_tag.insert(moved.tag, at);
            self.by_key.insert(moved.key(), at);
        }
        Ok(removed)
    }

    pub(crate) fn get(&self, tag: u32) -> Option<&Assigned> {
        self.by_tag.get(&tag).map(|&at| &self.parts[at])
    }

    pub(crate) fn get_mut(&mut self, tag: u32) -> Result<&mut Assigned, Error> {
        let at = *self.by_tag.get(&tag).ok_or(Error::Tag(tag))?;
        Ok(&mut self.parts[at])
    }

    /// The partition a message is of; None if it was unassigned since.
    pub(crate) fn of(&mut self, key: Partition) -> Option<&mut Assigned> {
        let at = match self.last {
            Some((last, at)) if last == key => at,
            _ => {
                let at = *self.by_key.get(&key)?;
                self.last = Some((key, at));
                at
            }
        };
        Some(&mut self.parts[at])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Assigned> {
        self.parts.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Assigned> {
        self.parts.iter_mut()
    }
}

impl Assigned {
    pub(crate) fn key(&self) -> Partition {
        self.handle.partition(self.number)
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_move_the_position() {
        let mut progress = Progress::from(0);
        assert_eq!(progress.position(None), None);
        progress.took(2, Some(5));
        // librdkafka counts the error at 3 as taken.
        progress.failed(3);
        assert_eq!(progress.position(Some(4)), Some(3));
        assert_eq!(progress.go_on(Some(4)).start(), (3, Some(5)));
        progress.took(3, Some(5));
        assert_eq!(progress.position(Some(4)), Some(4));
        // Control records behind it.
        assert_eq!(progress.position(Some(6)), Some(6));
        assert_eq!(progress.position(None), Some(4), "records wait");
        assert_eq!(progress.go_on(Some(6)).start(), (6, Some(5)));
        // An error without an offset of its own moves nothing at all.
        progress.failed(-1001);
        assert_eq!(progress.position(Some(6)), Some(6));
    }

    #[test]
    fn an_epoch_is_given_back_up_to_where_it_was_read() {
        let mut progress = Progress::from(7);
        assert_eq!(progress.seek(7, None).start(), (7, None));
        progress.took(99, Some(3));
        assert_eq!(progress.seek(100, None).start(), (100, Some(3)));
        assert_eq!(progress.seek(80, None).start(), (80, Some(3)));
        assert_eq!(progress.seek(101, None).start(), (101, None), "behind retention");
        assert_eq!(progress.seek(101, Some(101)).start(), (101, Some(3)), "behind a control record");
    }

    #[test]
    fn epochs_fall_only_where_the_log_was_read_before() {
        let mut progress = Progress::from(0);
        assert!(!progress.falls(Some(0)));
        progress.took(0, Some(3));
        assert!(progress.falls(Some(2)) && !progress.falls(Some(3)) && !progress.falls(None));
        assert!(progress.seek(1, None).falls(Some(2)));
        assert!(!progress.seek(0, None).falls(Some(2)), "it was written by an earlier leader");
        progress.forget_epochs();
        assert!(!progress.falls(Some(2)));
    }
}
