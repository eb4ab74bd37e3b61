//! Places in the index as positions that a client can hand back.

use std::sync::Arc;

use proto::{native::reply::GapReason, position::Position};
use slab::Reader;

use super::{chains::Chains, owed::Missed};
use crate::catalog::{Catalog, SharedCatalog};

/// What the numbers in entries mean, and a list of offsets.
#[derive(Debug)]
pub(in crate::shard) struct Positions {
    catalog: SharedCatalog,
    /// Of one call, kept for its memory.
    next_offsets: Vec<i64>,
}

impl Positions {
    pub(in crate::shard) fn new(catalog: SharedCatalog) -> Self {
        Self { catalog, next_offsets: Vec::new() }
    }

    /// The present catalog.
    pub(in crate::shard) fn catalog(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    /// The topic-wide positions of these topics before `sequence`. Source and offset in `past` are past as well.
    pub(in crate::shard) fn vectors(
        &mut self,
        reader: &Reader,
        sequence: u64,
        topics: &[Arc<str>],
        past: Option<(u32, i64)>,
    ) -> Vec<String> {
        reader.positions_at(sequence, &mut self.next_offsets);
        if let Some((source, offset)) = past
            && let Some(next) = self.next_offsets.get_mut(source as usize)
        {
            *next = (*next).max(offset + 1);
        }
        let catalog = self.catalog.load();
        let known = topics.iter().filter_map(|name| catalog.topic(name));
        known.map(|(topic, _)| catalog.vector(topic, &self.next_offsets).to_string()).collect()
    }

    /// First offset owed by source, for a subscription to `channel` owed from `cursor` on, which is an entry of its own.
    pub(in crate::shard) fn missed_from(
        &mut self,
        reader: &Reader,
        chains: &Chains,
        cursor: u64,
        channel: u32,
    ) -> Missed {
        let mut sources = chains.sources(channel, reader.floor());
        let only = sources.next().filter(|_| sources.next().is_none());
        if let Some(source) = only {
            return Missed::from_iter([(source, reader.entry(cursor).offset)]);
        }
        self.missed_at(reader, chains, cursor, channel)
    }

    /// Next offset by source at any sequence, for a subscription to `channel`.
    pub(in crate::shard) fn missed_at(
        &mut self,
        reader: &Reader,
        chains: &Chains,
        sequence: u64,
        channel: u32,
    ) -> Missed {
        let next_offsets = &mut self.next_offsets;
        reader.positions_at(sequence, next_offsets);
        let catalog = self.catalog.load();
        // Of a log that was truncated before, the connection has been told.
        let goes_on = |source: &u32| catalog.truncation_before(*source, next_offsets).is_none();
        let missed = chains.sources(channel, reader.floor()).filter(goes_on).map(|source| {
            // One that took another's place later begins where that one was truncated, any other where its records do.
            let replaced = catalog.sources[source as usize].replaces;
            let begin = replaced
                .and_then(|earlier| catalog.sources[earlier as usize].truncation)
                .map_or(0, |truncation| truncation.at);
            let next = next_offsets.get(source as usize).copied().filter(|&next| next >= 0);
            (source, next.unwrap_or(begin))
        });
        missed.collect()
    }

    /// The present: where everything stands at `sequence`.
    pub(in crate::shard) fn present(&mut self, reader: &Reader, sequence: u64) -> Present<'_> {
        reader.positions_at(sequence, &mut self.next_offsets);
        Present { catalog: self.catalog.load(), next_offsets: &self.next_offsets }
    }
}

/// Next offsets at one sequence.
#[derive(Debug)]
pub(in crate::shard) struct Present<'p> {
    catalog: arc_swap::Guard<Arc<Catalog>>,
    next_offsets: &'p [i64],
}

impl Present<'_> {
    /// The gap of who lagged from `from` on and goes on here: its first and last position; none: nothing is missing. Of
    /// the record that has begun here, the channel's part is past.
    pub(in crate::shard) fn gap(
        &self,
        source: u32,
        from: i64,
        begun: Option<(u32, i64)>,
    ) -> Option<(Position, Position, GapReason)> {
        let catalog = &self.catalog;
        let (from, to, reason) = lagged_gap(catalog, source, from, self.next_offsets, begun)?;
        Some((catalog.position(source, from), catalog.position(source, to), reason))
    }
}

/// The gap of who lagged from `from` on up to these next offsets; none: nothing is missing.
fn lagged_gap(
    catalog: &Catalog,
    source: u32,
    from: i64,
    next_offsets: &[i64],
    begun: Option<(u32, i64)>,
) -> Option<(i64, i64, GapReason)> {
    // What was delivered of a log behind where it was truncated is void.
    if let Some(truncation) = catalog.truncation_before(source, next_offsets) {
        return Some((from.min(truncation.at), truncation.to, GapReason::Reset));
    }
    // Of an incarnation that is over, what was delivered is void as well.
    let reason = if catalog.is_retired(source) { GapReason::Reset } else { GapReason::Slow };
    let mut to = next_offsets.get(source as usize).copied().unwrap_or(-1) - 1;
    if let Some((_, offset)) = begun.filter(|&(begun, _)| begun == source) {
        to = to.max(offset);
    }
    (to >= from).then_some((from, to, reason))
}
