//! The floor: the writer is about to reuse the oldest segment of the slab. Before a shard acknowledges that, nobody it
//! serves may be owed anything below: who can still take bytes is flushed, who cannot lags.

use proto::native::reply;
use ring::Ring;

use super::{Shard, pump::BATCH};
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
        if self.subscriptions.read() < floor {
            self.follow_index(floor);
        }
        debug_assert!(self.pump.batch.is_empty(), "a batch is flushed by whoever fills it");
        self.context.schedule.take_ready(&mut self.pump.batch, BATCH, floor);
        if !self.pump.batch.is_empty() {
            return self.flush_batch();
        }
        if self.clear_lists(floor) {
            self.reader.acknowledge(floor);
            self.gaps.forget_below(floor);
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
        let mut lagged = 0;
        while lagged < most
            && let Some((cursor, subscription)) = self.subscriptions.oldest(connection)
            && cursor < floor
        {
            let (chains, channel) =
                (self.subscriptions.chains(), self.subscriptions.channel_of(subscription));
            let missed = self.positions.missed_from(&self.reader, chains, cursor, channel);
            self.subscriptions.lag(connection, subscription, missed);
            self.context.metrics.lagged.add(1);
            lagged += 1;
        }
        let untold = self.connections.at(connection).and_then(|client| client.untold);
        let untold = untold.map(|untold| untold.sequence);
        if lagged < most && untold.is_some_and(|untold| lagged > 0 || untold < floor) {
            lagged += self.fold_gaps(connection);
            self.requeue(connection);
        } else {
            let oldest = self.subscriptions.oldest(connection).map(|(cursor, _)| cursor);
            self.list_at(connection, oldest.into_iter().chain(untold).min());
        }
        lagged
    }

    /// A lagged connection's socket takes bytes again: one gap notice a partition, and on at live. One subscription after
    /// the other while its control output is below the limit; the rest go on lagging, up to the next flush.
    pub(super) fn go_live(&mut self, connection: u32) {
        if self.gaps.is_within_truncation(self.subscriptions.read()) {
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
        let present = self.positions.present(&self.reader, self.subscriptions.read());
        while let Some(client) = self.connections.at_mut(connection)
            && client.control_bytes() <= limit
            && let Some((channel, mut missed)) = self.subscriptions.recover(connection)
        {
            missed.sort();
            let Some(name) = self.subscriptions.channel(channel).name() else { continue };
            let begun = self.subscriptions.chains().begun(channel);
            for (source, from) in missed.iter() {
                let Some((from, to, reason)) = present.gap(source, from, begun) else { continue };
                reply::gap(client.output.end(), name, &from, &to, reason);
                self.context.metrics.gaps.add(1);
            }
        }
        if let Some(client) = self.connections.at(connection) {
            self.count_held(client.key);
        }
    }
}
