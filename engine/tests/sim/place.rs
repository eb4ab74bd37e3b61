//! Where a subscription is in one partition of one life of a topic, for all that its client was told.
//!
//! The client sees offsets only. Which *log* of the partition they are of (see [`Line`]) follows from what it hears: a
//! message is of those logs that have it, a notice of those it is true of. So a place is a next offset and the logs it may
//! be of; what fits none of them is wrong.

use proto::position::Epoch;

use crate::{
    model::{Line, Part},
    oracle::Wrong,
};

/// The first offset that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// This one: everything below has been delivered, or was covered by a gap notice.
    At(i64),
    /// Wherever the reader began, which the client was not told.
    Began,
    /// Anything may be the first: an ack names the newest life that is known, and the end of the one before may still come.
    Any,
    /// The first that there was when the reader began: the partition was added, or made anew, behind the client's back.
    Held,
}

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    next: Next,
    /// What lies between here and `next` was called void: it may come again, or not.
    floor: Option<i64>,
    /// The logs it may be of, a bit each.
    logs: u64,
    /// The newest delivered offset that was not called void.
    pub(crate) delivered: Option<i64>,
    /// What was called void ended here.
    void_end: i64,
    /// It was told of a gap.
    pub(crate) gapped: bool,
    /// The client was told that this life is over.
    pub(crate) over: bool,
    /// From here on it took records of a later life for those of this one.
    pub(crate) confused: Option<i64>,
}

/// Every log that a line has had so far.
fn all_logs(line: &Line) -> u64 {
    (2 << line.log()) - 1
}

impl Place {
    /// Begins at this offset, of whichever log there is.
    pub(crate) fn begin(next: Next, line: &Line) -> Self {
        Self {
            next,
            floor: None,
            logs: all_logs(line),
            delivered: None,
            void_end: 0,
            gapped: false,
            over: false,
            confused: None,
        }
    }

    /// The first offset that is still to come.
    pub(crate) fn next(&self, line: &Line) -> Option<i64> {
        match self.next {
            Next::At(next) => Some(next),
            Next::Any => None,
            Next::Began => line.read.map(|read| read.began),
            Next::Held => line.read.map(|read| read.held),
        }
    }

    /// It has been told of, or something came of it.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.next, Next::At(_))
    }

    /// The logs it may be of: any, as long as nothing has been heard.
    pub(crate) fn logs(&self, line: &Line) -> impl Iterator<Item = usize> + use<> {
        let logs = if self.is_known() { self.logs } else { all_logs(line) };
        (0..64).filter(move |log| logs & (1 << log) != 0)
    }

    /// The logs it may be of once everything below `to` has come, and why not of any other.
    fn reaches(
        &self,
        line: &Line,
        channel: &str,
        to: i64,
        in_log: impl Fn(usize) -> bool,
    ) -> Result<u64, Wrong> {
        let Some(next) = self.next(line) else { return Ok(all_logs(line)) };
        let (mut logs, mut why) = (0, None);
        for log in (0..=line.log()).filter(|log| in_log(*log)) {
            if !self.logs(line).any(|from| line.survives(next, from, log)) {
                why.get_or_insert_with(|| {
                    format!("what was there below {next} was cut off, and no notice said so")
                });
            } else if let Some(lost) = line.first_lost(log, next, to) {
                why = Some(format!("without a notice of {lost:?}"));
            } else if let Some(missing) = line.first(channel, log, next, to) {
                why = Some(format!("{missing} of {channel:?} is missing"));
            } else {
                logs |= 1 << log;
            }
        }
        if logs == 0 { Err(why.unwrap_or_else(|| "of no log that there was".to_owned())) } else { Ok(logs) }
    }

    /// A message at this offset came, which was written to log `born`.
    pub(crate) fn message(
        &mut self,
        line: &Line,
        channel: &str,
        offset: i64,
        born: usize,
    ) -> Result<(), Wrong> {
        if let Some(next) = self.next(line)
            && offset < self.floor.unwrap_or(next)
        {
            return Err(format!("delivered or covered up to {next} already"));
        }
        self.logs = self.reaches(line, channel, offset, |log| line.is_in(offset, born, log))?;
        self.next = Next::At(offset + 1);
        self.floor = None;
        self.delivered = Some(offset);
        self.over = false;
        Ok(())
    }

    /// The client was told that it does not get these.
    pub(crate) fn gap(&mut self, line: &Line, channel: &str, from: i64, to: i64) -> Result<(), Wrong> {
        if let Some(delivered) = self.delivered
            && from <= delivered
        {
            return Err(format!("{delivered} has been delivered"));
        }
        self.logs = self.reaches(line, channel, from, |log| to < line.end_of(log))?;
        self.gapped = true;
        self.next = Next::At(self.next(line).unwrap_or(0).max(to + 1));
        Ok(())
    }

    /// The client was told that what it had from `from` on is void, up to `to`, for the log was cut.
    pub(crate) fn cut(&mut self, line: &Line, channel: &str, from: i64, to: i64) -> Result<(), Wrong> {
        if let Some(delivered) = self.delivered
            && delivered > to
        {
            return Err(format!("{delivered} has been delivered, and would stay"));
        }
        let next = self.next(line).unwrap_or(from);
        let (mut logs, mut goes_on) = (0, from);
        let mut why = "nothing was cut there".to_owned();
        for log in 1..=line.log() {
            // It may have gone on to a later log without a word, if its place is in both.
            let is_before = |before: &usize| self.logs(line).any(|of| line.survives(next, of, *before));
            for before in (0..log).filter(is_before) {
                let first = line.cuts[before..log].iter().map(|cut| cut.at).min().unwrap_or(i64::MAX);
                if from > first || to < first {
                    continue;
                }
                if let Some(missing) = line.first(channel, before, next, from) {
                    why = format!("{missing} of {channel:?} is missing before the cut");
                    continue;
                }
                logs |= 1 << log;
                goes_on = goes_on.max(first);
            }
        }
        if logs == 0 {
            return Err(why);
        }
        self.logs = logs;
        self.gapped = true;
        self.void_end = to + 1;
        (self.next, self.floor) = (Next::At(goes_on), Some(from));
        self.delivered = self.delivered.map(|delivered| delivered.min(from - 1)).filter(|at| *at >= 0);
        self.confused = self.confused.filter(|at| *at < from);
        Ok(())
    }

    /// The client was told that the life is over, and what it had from `from` on is void.
    pub(crate) fn end(&mut self, line: &Line, channel: &str, from: i64, to: i64) -> Result<(), Wrong> {
        // A reset before this one may have told of a cut or of the end: no client could tell.
        if let Some(next) = self.next(line)
            && from > next.max(self.void_end)
        {
            self.logs = self.reaches(line, channel, from, |_| true)?;
        }
        (self.over, self.gapped) = (true, true);
        self.next = Next::At(self.next(line).unwrap_or(0).max(to + 1));
        self.confused = self.confused.filter(|at| *at < from);
        Ok(())
    }

    /// The server says that everything before `to` has been sent.
    pub(crate) fn claim(&mut self, line: &Line, channel: &str, to: i64) -> Result<(), Wrong> {
        if to > (0..=line.log()).map(|log| line.end_of(log)).max().unwrap_or(0) {
            return Err(format!("there was no offset before {to}"));
        }
        if let Some(delivered) = self.delivered
            && delivered > to
        {
            // It owes the notice of a cut, and says where it goes on behind that.
            let first = self.logs(line).next().unwrap_or(0);
            if line.cuts[first..].iter().any(|cut| cut.at <= to && to <= cut.end) {
                return Ok(());
            }
            return Err(format!("{delivered} has been delivered, and it stands at {to}"));
        }
        self.logs = self.reaches(line, channel, to, |log| to <= line.end_of(log))?;
        let next = self.next(line).unwrap_or(to).max(to);
        self.next = Next::At(next);
        self.floor = self.floor.map(|floor| floor.max(to)).filter(|floor| *floor < next);
        Ok(())
    }

    /// Nothing below this offset is missing, of whatever log it is.
    pub(crate) fn is_complete_to(&self, line: &Line, channel: &str, to: i64) -> Result<(), Wrong> {
        let is_ahead = self.confused.is_some() || self.next(line).is_none_or(|next| next >= to);
        if is_ahead { Ok(()) } else { self.reaches(line, channel, to, |_| true).map(drop) }
    }

    /// Nothing is missing that the reader has: what the end of a quiet run demands.
    pub(crate) fn is_complete(&self, line: &Line, channel: &str) -> Result<(), Wrong> {
        let Some(read) = line.read else { return Ok(()) };
        if let Some(at) = self.confused {
            return Err(format!("it takes what came from {at} on for records of this life"));
        }
        self.reaches(line, channel, read.next, |log| log == read.log).map(drop)
    }
}

/// For people.
pub(crate) fn at(part: Part, wrong: Wrong) -> Wrong {
    let (epoch, partition): (Epoch, u32) = part;
    format!("{epoch}.{partition}: {wrong}")
}
