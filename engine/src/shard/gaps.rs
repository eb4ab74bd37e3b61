//! Gaps of whole topics: one entry of the slab each, told here to every subscription that the topic feeds.
//!
//! Following the index over such an entry notes it and marks the connections that hold a channel of its topic. A marked
//! connection is sent nothing from the gap on until nothing is owed in front of it and all its channels have been told;
//! its requests wait meanwhile, so that what it holds then is what it held when the gap was read. Whoever subscribes
//! later begins behind the gap, and its ack says so. A connection that lags, or that the floor catches up with, is told
//! by its lag: what it missed begins where the gap does.

use std::sync::Arc;

use proto::native::reply::{self, GapReason};
use ring::Ring;

use super::{
    Shard,
    connection::{Connection, Phase},
    subscriptions::{Noted, Owed},
};
/// Channels looked at for one connection in one flush.
const STEPS_A_FLUSH: usize = 4_096;

/// The first gap that a connection has not been told of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Untold {
    pub(crate) sequence: u64,
    /// The subscription it goes on with, of those it holds; none: the first.
    next: Option<u32>,
}

impl<R: Ring> Shard<R> {
    /// Marks whom the gaps concern that were noted since the reading place was `begin`: once for all of them. Before what
    /// else is new is marked.
    pub(super) fn mark_gaps(&mut self, begin: u64) {
        let mut new = self.gaps.from(begin).peekable();
        // From the first of them on, for another of a connection's channels may be fed by that one.
        let Some(&&Noted { sequence: first, .. }) = new.peek() else { return };
        // Of thousands of partitions there are few topics.
        let mut topics: Vec<Arc<str>> = new.map(|noted| Arc::clone(&noted.topic)).collect();
        topics.sort_unstable();
        topics.dedup();
        let segment = self.reader.entry(begin).segment;
        for connection in self.subscriptions.holders(&topics) {
            // One that lags is told by its lag, once it goes on or the floor passes the gap.
            if let Some(client) = self.connections.at_mut(connection)
                && client.untold.is_none()
            {
                client.untold = Some(Untold { sequence: first, next: None });
                self.context.schedule.mark(connection, begin, segment);
            }
        }
    }

    /// The connection is told of gaps, as far as nothing is owed in front of them and it reads what it is told.
    pub(super) fn tell_gaps(&mut self, connection: u32) {
        let limit = self.context.settings.limits.control_output_bytes;
        let (oldest, catalog) = (self.subscriptions.oldest(connection), self.positions.catalog());
        let mut steps = 0;
        while let Some(client) = self.connections.at_mut(connection)
            && let Some(untold) = &mut client.untold
        {
            let Some(noted) = self.gaps.from(untold.sequence).next() else {
                client.untold = None;
                break;
            };
            let Noted { sequence, gap, topic, .. } = noted;
            untold.sequence = *sequence;
            let is_owed_before = oldest.is_some_and(|(oldest, _)| oldest < *sequence);
            if is_owed_before || noted.is_open(self.subscriptions.read()) {
                break;
            }
            let (first, last) =
                (catalog.position(gap.source, gap.from), catalog.position(gap.source, gap.to));
            let reason = GapReason::from_code(gap.reason).unwrap_or(GapReason::Reset);
            let mut stopped = false;
            for (subscription, channel) in self.subscriptions.held_from(connection, untold.next) {
                let held = self.subscriptions.channel(channel);
                stopped = steps == STEPS_A_FLUSH || client.output.bytes().len() - client.partial > limit;
                if stopped {
                    untold.next = Some(subscription);
                    break;
                }
                steps += 1;
                if let Some(name) = held.name().filter(|_| held.topics().contains(topic)) {
                    reply::gap(client.output.end(), name, &first, &last, reason);
                    self.context.metrics.gaps.add(1);
                }
            }
            if stopped {
                break;
            }
            *untold = Untold { sequence: sequence + 1, next: None };
        }
        if let Some(client) = self.connections.at(connection) {
            self.count_held(client.key);
        }
    }

    /// The connection lags, or is about to: what it is not told of yet becomes a part of what it missed. How many
    /// subscriptions that made lag.
    pub(super) fn fold_gaps(&mut self, connection: u32) -> usize {
        let Some(untold) = self.connections.at_mut(connection).and_then(|client| client.untold.take()) else {
            return 0;
        };
        let noted: Vec<Noted> = self.gaps.from(untold.sequence).cloned().collect();
        let held: Vec<_> = self.subscriptions.held(connection).collect();
        // Those in front of the one it goes on with have been told of the first.
        let mut told = usize::from(untold.next.is_some());
        let mut lagged = 0;
        for (subscription, channel) in held {
            if Some(subscription) == untold.next {
                told = 0;
            }
            let topics = Arc::clone(self.subscriptions.channel(channel).topics());
            let feeds = |noted: &&Noted| topics.contains(&noted.topic);
            let mut concern = noted.iter().skip(told).filter(feeds).peekable();
            if concern.peek().is_some() {
                lagged += 1;
                self.lag_behind(connection, subscription, self.subscriptions.read(), concern);
            }
        }
        lagged
    }

    /// The subscription misses these gaps. If it does not lag yet it does from what it owes on, or, caught up, from
    /// `present`.
    fn lag_behind<'n>(
        &mut self,
        connection: u32,
        subscription: u32,
        present: u64,
        noted: impl Iterator<Item = &'n Noted>,
    ) {
        let (positions, chains) = (&mut self.positions, self.subscriptions.chains());
        let channel = self.subscriptions.channel_of(subscription);
        let missed = match self.subscriptions.owed(subscription) {
            Owed::CaughtUp => Some(positions.missed_at(&self.reader, chains, present, channel)),
            Owed::From(cursor) => Some(positions.missed_from(&self.reader, chains, cursor, channel)),
            Owed::Lagged => None,
        };
        if let Some(missed) = missed {
            self.subscriptions.lag(connection, subscription, missed);
            self.context.metrics.lagged.add(1);
        }
        for Noted { gap, .. } in noted {
            self.subscriptions.miss(subscription, gap.source, gap.from);
        }
    }

    /// The connection has yet to be told of something before it may go on.
    pub(super) fn is_behind(&self, connection: u32) -> bool {
        let untold = |client: &Connection| client.phase == Phase::Open && client.untold.is_some();
        self.subscriptions.lags(connection) || self.connections.at(connection).is_some_and(untold)
    }
}
