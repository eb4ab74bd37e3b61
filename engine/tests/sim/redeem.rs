//! The model client that comes back: what it keeps (docs/PROTOCOL.md, "Positions"), and what it would get for it.
//!
//! It keeps the newest position of each key, per channel, and hands back all it keeps. What a server does with them is
//! written down here against the log that the modelled Kafka kept, so that every position that a server ever says can be
//! judged at once: redeemed now, would it lose or repeat anything without a word?

use std::collections::BTreeMap;

use proto::position::{Epoch, Position, Vector};

use crate::{
    model::{Line, Model, Part},
    oracle::Wrong,
    place::Place,
};

/// What a client keeps of a channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Of acks and notices: key `EPOCH.*`.
    vectors: BTreeMap<Epoch, Vec<i64>>,
    /// Of messages: key `EPOCH.PARTITION`.
    records: BTreeMap<Part, i64>,
}

/// Where reading a partition goes on for who comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// At this offset, without a word.
    At(i64),
    /// It is told that what it had from this offset on is void; reading goes on there.
    Truncated(i64),
    /// It is told that what it had is void, for the topic was made anew.
    Over,
    /// Where reading began.
    Began,
    /// At the first that is held.
    Start,
    /// The list says nothing of the topic.
    Unknown,
}

impl Kept {
    pub(crate) fn vector(&mut self, vector: &Vector) {
        self.vectors.insert(vector.epoch, vector.next.clone());
    }

    pub(crate) fn record(&mut self, position: Position) {
        self.records.insert((position.epoch, position.partition), position.offset);
    }

    /// What becomes of a partition.
    pub(crate) fn resume(&self, model: &Model, part: Part) -> Resumed {
        let Some(line) = model.line(part) else { return Resumed::Unknown };
        let record = self.records.get(&part).map(|offset| offset + 1);
        let vector = self.vectors.get(&part.0);
        let told = vector.map(|next| next.get(part.1 as usize).copied());
        let known = match (record, told) {
            (Some(record), Some(Some(next))) => Some(record.max(next)),
            (Some(record), _) => Some(record),
            (None, Some(Some(next))) => Some(next).filter(|next| *next >= 0),
            (None, _) => None,
        };
        if let Some(next) = known {
            return if model.is_past(part.0) { Resumed::Over } else { valid(line, next) };
        }
        match told {
            Some(Some(_)) => Resumed::Began,
            // Beyond the vector: it was added later.
            Some(None) => Resumed::Start,
            // No vector of this incarnation. Where the list has an earlier incarnation's, this one is read from its
            // start.
            None if self.has_earlier(model, part.0) => Resumed::Start,
            None => Resumed::Unknown,
        }
    }

    fn has_earlier(&self, model: &Model, epoch: Epoch) -> bool {
        let of = |known: &Epoch| model.later(*known).any(|later| later == epoch);
        self.vectors.keys().any(of) || self.records.keys().any(|(known, _)| of(known))
    }
}

/// A position of the present incarnation. One that was good before a truncation, and may be again, is void: nothing
/// tells which.
fn valid(line: &Line, next: i64) -> Resumed {
    let void = line
        .truncations
        .iter()
        .filter(|truncation| truncation.at < next && next <= truncation.end)
        .map(|truncation| truncation.at)
        .min();
    void.map_or(Resumed::At(next), Resumed::Truncated)
}

/// Whether who comes back with these gets what it lacks, no more and no less, or is told. `place` is what it has.
pub(crate) fn check(
    kept: &Kept,
    model: &Model,
    channel: &str,
    part: Part,
    place: &Place,
) -> Result<(), Wrong> {
    let Some(line) = model.line(part) else { return Ok(()) };
    if place.confused.is_some() {
        return Ok(());
    }
    let resumed = kept.resume(model, part);
    let at = match resumed {
        // It is told.
        Resumed::Truncated(_) | Resumed::Over => return Ok(()),
        Resumed::Unknown => return Ok(()),
        Resumed::At(at) => at,
        Resumed::Began => line.read.map_or(0, |read| read.began),
        // What retention took of it is told.
        Resumed::Start => 0,
    };
    let spots = place.spots(line);
    let Some(first) = spots.first() else { return Ok(()) };
    if let Some(delivered) = place.delivered
        && let Some(again) = line.first(channel, first.log, at, delivered + 1)
    {
        return Err(format!("who comes back with {resumed:?} gets {again} of {channel:?} again"));
    }
    if place.delivered.is_none() && !place.gapped {
        // (What a truncation has put there since is news.)
        let same =
            line.truncations[first.log..].iter().map(|truncation| truncation.at).min().unwrap_or(i64::MAX);
        if let Some(early) = line.first(channel, first.log, at.max(line.start), first.next.min(same)) {
            return Err(format!(
                "who comes back with {resumed:?} gets {early} of {channel:?}, from before it came"
            ));
        }
    }
    // What lies between is lost in every log that it may be of.
    let lost: Vec<i64> =
        spots.iter().filter_map(|spot| line.first(channel, spot.log, spot.next, at)).collect();
    if lost.len() == spots.len() {
        return Err(format!("who comes back with {resumed:?} never gets {} of {channel:?}", lost[0]));
    }
    Ok(())
}
