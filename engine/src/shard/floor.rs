//! The floor: the writer is about to reuse the oldest segment of the slab. Before a shard acknowledges that, nobody it
//! serves may be owed anything below: who can still take bytes is flushed, who cannot lags.

use proto::native::reply::{self, GapReason};
use ring::Ring;

use super::{Shard, links::NONE, owed::Missed, pump::BATCH};
use crate::catalog::Catalog;

/// Subscriptions made to lag between two batches of sends.
pub(super) const LAGGED_BETWEEN_BATCHES: usize = 1_024;

impl<R: Ring> Shard<R> {
    /// Works towards the floor the writer asks for; acknowledges it when nobody is owed anything below. Bounded: what is
    /// not done is done in the next call.
    pub(super) fn deal_with_floor(&mut self) {
        let floor = self.reader.asked_floor();
        if floor <= self.reader.floor() {
            return;
        }
        // The shard's own reading place is a cursor like any other.
        if self.links.read() < floor {
            self.follow_index(floor);
        }
        debug_assert!(self.pump.batch.is_empty(), "a batch is flushed by whoever fills it");
        self.context.schedule.take_ready(&mut self.pump.batch, BATCH, floor);
        if !self.pump.batch.is_empty() {
            return self.flush_batch();
        }
        if self.clear_lists(floor) {
            self.reader.acknowledge(floor);
            let passed = self.gaps.partition_point(|noted| noted.sequence < floor);
            self.gaps.drain(..passed);
        }
    }

    /// Clears the lists of the segments below the floor, as far as one batch and the bound on conversions go. True: they
    /// are clear.
    fn clear_lists(&mut self, floor: u64) -> bool {
        let (oldest, newest) = (self.reader.floor(), floor - 1);
        let segments = self.reader.entry(oldest).segment..=self.reader.entry(newest).segment;
        let mut left = LAGGED_BETWEEN_BATCHES;
        for segment in segments {
            while let Some(connection) = self.context.schedule.first_of(segment) {
                if self.context.schedule.is_blocked(connection) {
                    if left == 0 {
                        // Nobody stays behind in the batch: the next one counts on an empty one.
                        self.flush_batch();
                        return false;
                    }
                    left = left.saturating_sub(self.lag(connection, floor, left));
                } else {
                    self.context.schedule.take(connection);
                    self.pump.batch.push(connection);
                    if self.pump.batch.len() == BATCH {
                        self.flush_batch();
                        return false;
                    }
                }
            }
        }
        if !self.pump.batch.is_empty() {
            self.flush_batch();
            return false;
        }
        true
    }

    /// The floor passes the cursors of a blocked connection: each subscription keeps what its gap begins with. At most so
    /// many now; how many it were. What it owes is in order, so only those are looked at: a million subscriptions are out of
    /// every cache.
    fn lag(&mut self, connection: u32, floor: u64, most: usize) -> usize {
        let (mut at, mut lagged, mut oldest) = (self.subscriptions.first_owing(connection), 0, NONE);
        while let Some((subscription, cursor)) = at {
            if cursor >= floor || lagged == most {
                oldest = cursor;
                break;
            }
            at = self.subscriptions.next_owing(subscription);
            let missed = self.missed_from(cursor, self.subscriptions.channel_of(subscription));
            self.subscriptions.lag(connection, subscription, missed);
            self.context.metrics.lagged.add(1);
            lagged += 1;
        }
        let untold = self.connections.at(connection).and_then(|client| client.untold);
        let untold = untold.map_or(NONE, |untold| untold.sequence);
        if lagged < most && untold != NONE && (lagged > 0 || untold < floor) {
            lagged += self.fold_gaps(connection);
            self.requeue(connection);
        } else {
            self.list_at(connection, oldest.min(untold));
        }
        lagged
    }

    /// First offset owed by source, for a subscription to `channel` owed from `cursor` on, which is an entry of its own.
    pub(super) fn missed_from(&mut self, cursor: u64, channel: u32) -> Missed {
        let mut sources = self.links.sources(channel, self.reader.floor());
        let only = sources.next().filter(|_| sources.next().is_none());
        drop(sources);
        if let Some(source) = only {
            return Missed::from_iter([(source, self.reader.entry(cursor).offset)]);
        }
        self.missed_at(cursor, channel)
    }

    /// Next offset by source at any sequence, for a subscription to `channel`.
    pub(super) fn missed_at(&mut self, sequence: u64, channel: u32) -> Missed {
        let sources: Vec<u32> = self.links.sources(channel, self.reader.floor()).collect();
        let mut next_offsets = std::mem::take(&mut self.next_offsets);
        self.reader.positions_at(sequence, &mut next_offsets);
        let catalog = self.catalog.load();
        // Of a log that was truncated before, the connection has been told.
        let goes_on = |source: &u32| catalog.truncation_before(*source, &next_offsets).is_none();
        let missed = sources.into_iter().filter(goes_on).map(|source| {
            // One that took another's place later begins where that one was truncated, any other where its records do.
            let replaced = catalog.sources[source as usize].replaces;
            let begin = replaced
                .and_then(|earlier| catalog.sources[earlier as usize].truncation)
                .map_or(0, |truncation| truncation.at);
            let next = next_offsets.get(source as usize).copied().filter(|&next| next >= 0);
            (source, next.unwrap_or(begin))
        });
        let missed = missed.collect();
        self.next_offsets = next_offsets;
        missed
    }

    /// A lagged connection's socket takes bytes again: one gap notice a partition, and on at live. One subscription after
    /// the other while its control output is below the limit; the rest go on lagging, up to the next flush.
    pub(super) fn go_live(&mut self, connection: u32) {
        if self.is_within_truncation() {
            return;
        }
        // What it is not told of yet makes all that it holds lag: of many connections in a batch, not at once.
        if self.connections.at(connection).is_some_and(|client| client.untold.is_some()) {
            if self.folds_left == 0 {
                return;
            }
            self.folds_left = self.folds_left.saturating_sub(self.fold_gaps(connection));
        }
        let limit = self.context.settings.limits.control_output_bytes;
        let mut next_offsets = std::mem::take(&mut self.next_offsets);
        self.reader.positions_at(self.links.read(), &mut next_offsets);
        let catalog = self.catalog.load();
        while let Some(client) = self.connections.at_mut(connection)
            && client.control_bytes() <= limit
            && let Some((channel, mut missed)) = self.subscriptions.recover(connection)
        {
            missed.sort();
            let Some(name) = &self.subscriptions.channel(channel).name else { continue };
            let begun = self.links.begun(channel);
            for (source, from) in missed.iter() {
                let Some((from, to, reason)) = lagged_gap(&catalog, source, from, &next_offsets, begun)
                else {
                    continue;
                };
                let (from, to) = (catalog.position(source, from), catalog.position(source, to));
                reply::gap(client.output.end(), name, &from, &to, reason);
                self.context.metrics.gaps.add(1);
            }
        }
        self.next_offsets = next_offsets;
        if let Some(client) = self.connections.at(connection) {
            self.count_held(client.key);
        }
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
