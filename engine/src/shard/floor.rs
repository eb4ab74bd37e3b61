//! The floor: the writer is about to reuse the oldest eighth of the slab. Before a shard acknowledges that, nobody it
//! serves may be owed anything below: who can still take bytes is flushed, who cannot lags.

use proto::native::reply::{self, GapReason};
use ring::Ring;

use super::{
    Shard,
    links::NONE,
    pump::{BATCH, Standing},
    subscriptions::Missed,
};

/// Connections made to lag between two batches of sends.
const LAGGED_BETWEEN_BATCHES: usize = 1_024;

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
        debug_assert_eq!(self.pump.batch_len(), 0, "a batch is flushed by whoever fills it");
        self.pump.take_first(BATCH, floor);
        if self.pump.batch_len() > 0 {
            return self.flush_batch();
        }
        if self.clear_lists(floor) {
            self.notices.forget_below(floor);
            self.reader.acknowledge(floor);
        }
    }

    /// Clears the lists of the eighths below the floor, as far as one batch and the bound on conversions go. True: they
    /// are clear.
    fn clear_lists(&mut self, floor: u64) -> bool {
        let (oldest, newest) = (self.reader.floor(), floor - 1);
        let eighths = self.reader.entry(oldest).eighth..=self.reader.entry(newest).eighth;
        let mut lagged = 0;
        for eighth in eighths {
            while let Some(connection) = self.pump.lists.first(eighth) {
                match self.pump.standing(connection) {
                    Standing::Blocked => {
                        if lagged == LAGGED_BETWEEN_BATCHES {
                            // Nobody stays behind in the batch: the next one counts on an empty one.
                            self.flush_batch();
                            return false;
                        }
                        lagged += 1;
                        self.lag(connection, floor);
                    }
                    Standing::None | Standing::First | Standing::Second => {
                        self.pump.lists.remove(connection);
                        self.pump.take_listed(connection);
                        if self.pump.batch_len() == BATCH {
                            self.flush_batch();
                            return false;
                        }
                    }
                }
            }
        }
        if self.pump.batch_len() > 0 {
            self.flush_batch();
            return false;
        }
        true
    }

    /// The floor passes the cursors of a blocked connection: each subscription keeps what its gap begins with.
    fn lag(&mut self, connection: u32, floor: u64) {
        let mut passed: Vec<_> =
            self.subscriptions.owing(connection).filter(|&(cursor, _)| cursor < floor).collect();
        if self.subscriptions.has_stops(connection) {
            let stopped = self.subscriptions.stopped(connection).into_iter().filter(|&(_, at)| at < floor);
            // Those that owe nothing below, but have yet to be told of a gap there.
            let behind = stopped.map(|(at, _)| (self.subscriptions.cursor(at), at));
            passed.extend(behind.filter(|&(cursor, _)| cursor >= floor).collect::<Vec<_>>());
        }
        for (cursor, subscription) in passed {
            let channel = self.subscriptions.channel_of(subscription);
            let mut missed = if cursor == NONE { Missed::new() } else { self.missed_from(cursor, channel) };
            self.add_gaps(&mut missed, subscription);
            self.subscriptions.lag(connection, subscription, missed);
            self.metrics.lagged.add(1);
        }
        self.stand(connection);
    }

    /// First offset owed by source, for a subscription to `channel` owed from `cursor` on.
    fn missed_from(&mut self, cursor: u64, channel: u32) -> Missed {
        let sources: Vec<u32> = self.links.sources(channel).collect();
        if let [source] = sources[..] {
            return vec![(source, self.reader.entry(cursor).offset)];
        }
        let mut next_offsets = std::mem::take(&mut self.next_offsets);
        self.reader.positions_at(cursor, &mut next_offsets);
        let catalog = self.catalog.load();
        // Of a log that was cut before, the connection has been told.
        let goes_on = |source: &u32| catalog.cut_before(*source, &next_offsets).is_none();
        let missed = sources.into_iter().filter(goes_on).map(|source| {
            // One that took another's place later begins where that one was cut, any other where its records do.
            let replaced = catalog.sources[source as usize].replaces;
            let begin =
                replaced.and_then(|earlier| catalog.sources[earlier as usize].cut).map_or(0, |cut| cut.at);
            let next = next_offsets.get(source as usize).copied().filter(|&next| next >= 0);
            (source, next.unwrap_or(begin))
        });
        let missed = missed.collect();
        self.next_offsets = next_offsets;
        missed
    }

    /// A lagged connection's socket takes bytes again: one gap notice a partition, and on at live.
    pub(super) fn go_live(&mut self, connection: u32) {
        let mut next_offsets = std::mem::take(&mut self.next_offsets);
        self.reader.positions_at(self.links.read(), &mut next_offsets);
        let catalog = self.catalog.load();
        let mut recovered = Vec::new();
        self.subscriptions.recover(connection, |channel, missed| recovered.push((channel, missed)));
        for (channel, missed) in recovered {
            let Some(name) = &self.subscriptions.channel(channel).name else { continue };
            let begun = self.links.begun(channel);
            for (source, mut from) in missed {
                // Of a life that is over, what was delivered is void as well.
                let mut reason = if catalog.is_retired(source) { GapReason::Reset } else { GapReason::Slow };
                let mut to = next_offsets.get(source as usize).copied().unwrap_or(-1) - 1;
                if let Some((_, offset)) = begun.filter(|&(begun, _)| begun == source) {
                    to = to.max(offset);
                }
                // So is what was delivered of a log behind where it was cut.
                if let Some(cut) = catalog.cut_before(source, &next_offsets) {
                    (from, to, reason) = (from.min(cut.at), cut.to, GapReason::Reset);
                }
                if to >= from {
                    let (from, to) = (catalog.position(source, from), catalog.position(source, to));
                    let Some(client) = self.connections.at_mut(connection) else { return };
                    reply::gap(client.own.end(), name, &from, &to, reason);
                    self.metrics.gaps.add(1);
                }
            }
        }
        self.next_offsets = next_offsets;
    }
}
