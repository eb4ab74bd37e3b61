//! Where a subscription is in one partition of one incarnation of a topic, for all that its client was told.
//!
//! The client sees offsets only. Which *log* of the partition they are of (see [`Line`]) follows from what it hears: a
//! message is of those logs that have it, a notice of those it is true of. So a place is a next offset in each of the logs
//! it may be of; what fits none of them is wrong.

use crate::{
    model::{Line, Part},
    oracle::Wrong,
};

/// Where a client begins that has heard nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At this offset.
    At(i64),
    /// Wherever the reader began, which the client was not told.
    Began,
    /// Anything may be the first: an ack names the newest incarnation that is known, and the end of the one before may
    /// still come.
    Any,
    /// At the first that there was when the reader began: the partition was added, or made anew, behind the client's back.
    Held,
}

/// A log it may be of, and the first offset of it that is still to come: all below was delivered, or called lost or void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) log: usize,
    pub(crate) next: i64,
}

/// A place.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    begin: Begin,
    /// None: nothing was heard yet.
    spots: Vec<Spot>,
    /// What lies between here and the spot was called void: it may come again, or not.
    floor: i64,
    /// The newest delivered offset that was not called void.
    pub(crate) delivered: Option<i64>,
    /// What was called void ended here.
    void_end: i64,
    /// It was told of a gap.
    pub(crate) gapped: bool,
    /// The client was told that this incarnation is over.
    pub(crate) over: bool,
    /// From here on it took records of a later incarnation for those of this one.
    pub(crate) confused: Option<i64>,
}

impl Place {
    /// Begins, in whichever log there is.
    pub(crate) fn begin(begin: Begin, line: &Line) -> Self {
        let spots = match begin {
            Begin::At(next) => (0..=line.log()).map(|log| Spot { log, next }).collect(),
            Begin::Began | Begin::Any | Begin::Held => Vec::new(),
        };
        Self {
            begin,
            spots,
            floor: i64::MAX,
            delivered: None,
            void_end: 0,
            gapped: false,
            over: false,
            confused: None,
        }
    }

    /// It has been told of, or something came of it.
    pub(crate) fn is_known(&self) -> bool {
        !self.spots.is_empty()
    }

    /// Where it may be. None: anywhere.
    pub(crate) fn spots(&self, line: &Line) -> Vec<Spot> {
        let everywhere = |next: i64| (0..=line.log()).map(|log| Spot { log, next }).collect();
        match (self.begin, line.read) {
            _ if self.is_known() => self.spots.clone(),
            (Begin::Began, Some(read)) => everywhere(read.began),
            (Begin::Held, Some(read)) => everywhere(read.held),
            _ => Vec::new(),
        }
    }

    /// The first offset that is still to come, at least.
    fn next(&self, line: &Line) -> Option<i64> {
        self.spots(line).iter().map(|spot| spot.next).min()
    }

    /// Where it may be once everything below `to` has come, and why nowhere else.
    fn reaches(
        &self,
        line: &Line,
        channel: &str,
        to: i64,
        in_log: impl Fn(usize) -> bool,
    ) -> Result<Vec<Spot>, Wrong> {
        let logs = (0..=line.log()).filter(|log| in_log(*log));
        let spots = self.spots(line);
        if spots.is_empty() {
            return Ok(logs.map(|log| Spot { log, next: to }).collect());
        }
        let (mut reached, mut why) = (Vec::new(), None);
        for log in logs {
            for spot in &spots {
                let next = spot.next;
                if !line.survives(next, spot.log, log) {
                    let truncated =
                        || format!("what was there below {next} was truncated, and no notice said so");
                    why.get_or_insert_with(truncated);
                } else if let Some(lost) = line.first_lost(log, next, to) {
                    why = Some(format!("without a notice of {lost:?}"));
                } else if let Some(missing) = line.first(channel, log, next, to) {
                    why = Some(format!("{missing} of {channel:?} is missing"));
                } else {
                    reached.push(Spot { log, next: next.max(to) });
                    break;
                }
            }
        }
        if reached.is_empty() {
            Err(why.unwrap_or_else(|| "of no log that there was".to_owned()))
        } else {
            Ok(reached)
        }
    }

    /// Goes on there.
    fn go(&mut self, spots: Vec<Spot>, to: i64) {
        self.spots = spots;
        for spot in &mut self.spots {
            spot.next = spot.next.max(to);
        }
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
            && offset < next.min(self.floor)
        {
            return Err(format!("delivered or covered up to {next} already"));
        }
        let spots = self.reaches(line, channel, offset, |log| line.is_in(offset, born, log))?;
        // What was there before may not have been passed: a message behind it is not what comes next.
        let fits = |spot: &Spot| spot.next == offset || offset >= self.floor;
        let spots: Vec<Spot> = spots.into_iter().filter(fits).collect();
        if spots.is_empty() {
            return Err(format!("delivered or covered beyond {offset} already"));
        }
        self.spots = spots.into_iter().map(|spot| Spot { next: offset + 1, ..spot }).collect();
        self.floor = i64::MAX;
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
        let spots = self.reaches(line, channel, from, |log| to < line.end_of(log))?;
        self.go(spots, to + 1);
        self.gapped = true;
        Ok(())
    }

    /// The client was told that what it had from `from` on is void, up to `to`, for the log was truncated.
    pub(crate) fn truncated(&mut self, line: &Line, channel: &str, from: i64, to: i64) -> Result<(), Wrong> {
        if let Some(delivered) = self.delivered
            && delivered > to
        {
            return Err(format!("{delivered} has been delivered, and would stay"));
        }
        let mut spots = self.spots(line);
        if spots.is_empty() {
            spots = (0..=line.log()).map(|log| Spot { log, next: from }).collect();
        }
        let (mut reached, mut why) = (Vec::<Spot>::new(), "nothing was truncated there".to_owned());
        for spot in spots {
            // It may have gone on to a later log without a word, if its place is in both.
            for before in (spot.log..line.log()).filter(|before| line.survives(spot.next, spot.log, *before))
            {
                if let Some(missing) = line.first(channel, before, spot.next, from) {
                    why = format!("{missing} of {channel:?} is missing before the truncation");
                    continue;
                }
                for log in before + 1..=line.log() {
                    let first = line.truncations[before..log]
                        .iter()
                        .map(|truncation| truncation.at)
                        .min()
                        .unwrap_or(i64::MAX);
                    let is_known = reached.iter().any(|known| known.log == log && known.next >= first);
                    if from <= first && first <= to && !is_known {
                        reached.retain(|known| known.log != log);
                        reached.push(Spot { log, next: first });
                    }
                }
            }
        }
        if reached.is_empty() {
            return Err(why);
        }
        self.spots = reached;
        (self.floor, self.void_end, self.gapped) = (from, to + 1, true);
        self.delivered = self.delivered.map(|delivered| delivered.min(from - 1)).filter(|at| *at >= 0);
        self.confused = self.confused.filter(|at| *at < from);
        Ok(())
    }

    /// The client was told that the incarnation is over, and what it had from `from` on is void.
    pub(crate) fn end(&mut self, line: &Line, channel: &str, from: i64, to: i64) -> Result<(), Wrong> {
        // A reset before this one may have told of a truncation or of the end: no client could tell.
        if let Some(next) = self.next(line)
            && from > next.max(self.void_end)
        {
            self.spots = self.reaches(line, channel, from, |_| true)?;
        }
        (self.over, self.gapped) = (true, true);
        // What was delivered from there on is void.
        self.delivered = self.delivered.map(|delivered| delivered.min(from));
        let spots = if self.is_known() { std::mem::take(&mut self.spots) } else { self.spots(line) };
        self.go(spots, to + 1);
        if self.spots.is_empty() {
            self.spots = vec![Spot { log: line.log(), next: to + 1 }];
        }
        self.confused = self.confused.filter(|at| *at < from);
        Ok(())
    }

    /// The same, whatever else was heard: records of another incarnation may have come in between.
    pub(crate) fn void_from(&mut self, from: i64) {
        self.over = true;
        // What was delivered from there on is void.
        self.delivered = self.delivered.map(|delivered| delivered.min(from));
        self.confused = self.confused.filter(|at| *at < from);
    }

    /// The server says that everything before `to` has been sent.
    pub(crate) fn claim(&mut self, line: &Line, channel: &str, to: i64) -> Result<(), Wrong> {
        if to > (0..=line.log()).map(|log| line.end_of(log)).max().unwrap_or(0) {
            return Err(format!("there was no offset before {to}"));
        }
        if let Some(delivered) = self.delivered
            && delivered > to
        {
            // It owes the notice of a truncation, and says where it goes on behind that.
            let first = self.spots(line).first().map_or(0, |spot| spot.log);
            if line.truncations[first..].iter().any(|truncation| truncation.at <= to && to <= truncation.end)
            {
                return Ok(());
            }
            return Err(format!("{delivered} has been delivered, and it stands at {to}"));
        }
        let spots = self.reaches(line, channel, to, |log| to <= line.end_of(log))?;
        self.go(spots, to);
        self.floor = self.floor.max(to);
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
            return Err(format!("it takes what came from {at} on for records of this incarnation"));
        }
        // (Or of a later log that is the same so far.)
        self.reaches(line, channel, read.next, |log| log >= read.log).map(drop)
    }
}

/// For people.
pub(crate) fn at(part: Part, wrong: Wrong) -> Wrong {
    format!("{}.{}: {wrong}", part.0, part.1)
}
