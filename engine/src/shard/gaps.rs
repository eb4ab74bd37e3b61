//! Gaps of whole topics: one entry of the slab each, told here to every subscription that the topic feeds.
//!
//! Following the index over such an entry notes it and marks the connections that hold a channel of its topic. A marked
//! connection is sent nothing from the gap on until nothing is owed in front of it and all its channels have been told;
//! its requests wait meanwhile, so that what it holds then is what it held when the gap was read. Whoever subscribes
//! later begins behind the gap, and its ack says so. A connection that lags, or that the floor catches up with, is told
//! by its lag: what it missed begins where the gap does.

use std::{collections::VecDeque, sync::Arc};

use proto::native::reply::{self, GapReason};
use ring::Ring;
use slab::Gap;

use super::{
    Shard,
    connection::{Connection, Phase},
    links::NONE,
    subscriptions::NIL,
};

/// Channels looked at for one connection in one flush.
const STEPS_A_FLUSH: usize = 4_096;

/// A gap that was read and may still be untold to somebody.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) sequence: u64,
    pub(super) gap: Gap,
    /// It is a part: where its partition goes on stands right behind it, and nobody is told in between.
    is_part: bool,
    /// Name of its topic.
    topic: Arc<str>,
}

/// The first gap that a connection has not been told of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Untold {
    pub(crate) sequence: u64,
    /// The subscription it goes on with, of those it holds; [`NIL`]: the first.
    next: u32,
}

/// Gaps at or above the floor, in their order.
pub(super) type Gaps = VecDeque<Noted>;

impl<R: Ring> Shard<R> {
    /// The reading place has passed the entry of a gap.
    pub(super) fn note_gap(&mut self, sequence: u64, gap: Gap, is_part: bool) {
        let catalog = self.catalog.load();
        let topic = catalog.sources[gap.source as usize].topic;
        let topic = Arc::clone(&catalog.topics[topic as usize].name);
        self.gaps.push_back(Noted { sequence, gap, is_part, topic });
    }

    /// Marks whom the gaps concern that were noted since the reading place was `begin`: once for all of them. Before what
    /// else is new is marked.
    pub(super) fn mark_gaps(&mut self, begin: u64) {
        let new = self.gaps.iter().rev().take_while(|noted| noted.sequence >= begin).count();
        if new == 0 {
            return;
        }
        let noted = self.gaps.range(self.gaps.len() - new..);
        // Of thousands of partitions there are few topics.
        let mut topics: Vec<Arc<str>> = noted.map(|noted| Arc::clone(&noted.topic)).collect();
        topics.sort_unstable();
        topics.dedup();
        // From the first of them on, for another of a connection's channels may be fed by that one.
        let first = self.gaps[self.gaps.len() - new].sequence;
        let segment = self.reader.entry(begin).segment;
        for channel in 0..self.subscriptions.channel_count() {
            if !self.subscriptions.channel(channel).topics.iter().any(|topic| topics.contains(topic)) {
                continue;
            }
            for place in 0.. {
                let Some((connection, _)) = self.subscriptions.member(channel, place) else { break };
                // One that lags is told by its lag, once it goes on or the floor passes the gap.
                if let Some(client) = self.connections.at_mut(connection)
                    && client.untold.is_none()
                {
                    client.untold = Some(Untold { sequence: first, next: NIL });
                    self.context.schedule.mark(connection, begin, segment);
                }
            }
        }
    }

    /// The connection is told of gaps, as far as nothing is owed in front of them and it reads what it is told.
    pub(super) fn tell_gaps(&mut self, connection: u32) {
        let limit = self.context.settings.limits.control_output_bytes;
        let (oldest, catalog) = (self.subscriptions.oldest(connection), self.catalog.load());
        let mut steps = 0;
        while let Some(client) = self.connections.at_mut(connection)
            && let Some(untold) = &mut client.untold
        {
            let from = self.gaps.partition_point(|noted| noted.sequence < untold.sequence);
            let Some(Noted { sequence, gap, is_part, topic }) = self.gaps.get(from) else {
                client.untold = None;
                break;
            };
            untold.sequence = *sequence;
            if oldest < *sequence || *is_part && self.links.read() <= sequence + 1 {
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
                    untold.next = subscription;
                    break;
                }
                steps += 1;
                if let Some(name) = held.name.as_ref().filter(|_| held.topics.contains(topic)) {
                    reply::gap(client.output.end(), name, &first, &last, reason);
                    self.context.metrics.gaps.add(1);
                }
            }
            if stopped {
                break;
            }
            *untold = Untold { sequence: sequence + 1, next: NIL };
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
        let from = self.gaps.partition_point(|noted| noted.sequence < untold.sequence);
        let noted: Vec<Noted> = self.gaps.range(from..).cloned().collect();
        let held: Vec<_> = self.subscriptions.held_from(connection, NIL).collect();
        // Those in front of the one it goes on with have been told of the first.
        let mut told = usize::from(untold.next != NIL);
        let mut lagged = 0;
        for (subscription, channel) in held {
            if subscription == untold.next {
                told = 0;
            }
            let topics = Arc::clone(&self.subscriptions.channel(channel).topics);
            let feeds = |noted: &&Noted| topics.contains(&noted.topic);
            let mut concern = noted.iter().skip(told).filter(feeds).peekable();
            if concern.peek().is_some() {
                lagged += 1;
                self.lag_behind(connection, subscription, self.links.read(), concern);
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
        if !self.subscriptions.is_lagging(subscription) {
            let channel = self.subscriptions.channel_of(subscription);
            let missed = match self.subscriptions.cursor(subscription) {
                NONE => self.missed_at(present, channel),
                cursor => self.missed_from(cursor, channel),
            };
            self.subscriptions.lag(connection, subscription, missed);
            self.context.metrics.lagged.add(1);
        }
        for Noted { gap, .. } in noted {
            self.subscriptions.miss(subscription, gap.source, gap.from);
        }
    }

    /// The reading place lies between a gap and the place where its partition goes on: positions there are of both.
    pub(super) fn is_within_truncation(&self) -> bool {
        self.gaps.back().is_some_and(|last| last.is_part && self.links.read() <= last.sequence + 1)
    }

    /// The connection has yet to be told of something before it may go on.
    pub(super) fn is_behind(&self, connection: u32) -> bool {
        let untold = |client: &Connection| client.phase == Phase::Open && client.untold.is_some();
        self.subscriptions.lags(connection) || self.connections.at(connection).is_some_and(untold)
    }
}
