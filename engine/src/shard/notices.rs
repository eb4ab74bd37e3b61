//! Gaps of whole topics: one entry of the index, and a notice for every subscription of the topic's channels, made here.
//!
//! A subscription *stops* in front of a gap: what it is owed before leaves first, then its notice is written to the
//! connection's own bytes, then it goes on. So whoever is subscribed when the shard reads the entry is told, in order,
//! whatever it still owes and whenever it came; and a client that does not read holds a bounded part of its notices.

use std::{collections::VecDeque, sync::Arc};

use proto::native::reply;
use ring::Ring;

use super::{Shard, links::NONE, subscriptions::Missed};
use crate::{
    catalog::{Catalog, gap_reason},
    slab::Gap,
};

/// A gap that somebody may have yet to be told of.
#[derive(Debug, Clone)]
struct Noted {
    sequence: u64,
    gap: Gap,
    topic: Arc<str>,
}

/// The gaps between the floor and the shard's reading place, in their order.
#[derive(Debug, Default)]
pub(super) struct Notices {
    gaps: VecDeque<Noted>,
    /// How many of them have been expanded: everybody concerned stops there, or before.
    expanded: usize,
}

impl Notices {
    /// Notes the gap of an entry that was read. True: it is to be expanded; else an earlier one of the same topic will be,
    /// and who stops there will come to this one.
    pub(super) fn note(&mut self, sequence: u64, gap: Gap, catalog: &Catalog) -> bool {
        let topic = catalog.sources[gap.source as usize].topic;
        let topic = Arc::clone(&catalog.topics[topic as usize].name);
        let first = self.gaps.range(self.expanded..).all(|noted| noted.topic != topic);
        self.gaps.push_back(Noted { sequence, gap, topic });
        first
    }

    /// All that are noted have been expanded.
    pub(super) fn are_expanded(&mut self) {
        self.expanded = self.gaps.len();
    }

    /// Nobody is told any more of what lies below the floor: who was to be has lagged.
    pub(super) fn forget_below(&mut self, floor: u64) {
        while self.gaps.front().is_some_and(|noted| noted.sequence < floor) {
            self.gaps.pop_front();
            self.expanded = self.expanded.saturating_sub(1);
        }
    }

    /// The gaps of these topics from `sequence` on.
    fn of<'a>(&'a self, topics: &'a [Arc<str>], sequence: u64) -> impl Iterator<Item = &'a Noted> {
        let begin = self.gaps.partition_point(|noted| noted.sequence < sequence);
        self.gaps.range(begin..).filter(move |noted| topics.contains(&noted.topic))
    }
}

impl<R: Ring> Shard<R> {
    /// Has everybody who is subscribed to a channel of the topic of the gap at `sequence` stop in front of it; those who lag
    /// miss it, and all further ones that were read with it.
    pub(super) fn expand_gap(&mut self, sequence: u64) {
        let Self { subscriptions, notices, pump, reader, .. } = self;
        let Some(topic) = notices.gaps.iter().find(|noted| noted.sequence == sequence) else { return };
        let topic = Arc::clone(&topic.topic);
        let eighth = reader.entry(sequence).eighth;
        let topics = [Arc::clone(&topic)];
        subscriptions.stop(
            sequence,
            |channel| channel.topics.contains(&topic),
            |connection| pump.marked(connection, sequence, eighth),
            |missed| {
                notices.of(&topics, sequence).for_each(|noted| missed.add(noted.gap.source, noted.gap.from))
            },
        );
    }

    /// Writes the connection's notices of gaps in front of which nothing is owed any more, as far as its own bytes have
    /// room.
    pub(super) fn write_notices(&mut self, connection: u32) {
        let catalog = self.catalog.load();
        let limit = self.settings.limits.own_bytes;
        for (subscription, mut stop) in self.subscriptions.stopped(connection) {
            let channel = self.subscriptions.channel(self.subscriptions.channel_of(subscription));
            let Some(name) = &channel.name else { continue };
            let cursor = self.subscriptions.cursor(subscription);
            for noted in self.notices.of(&channel.topics, stop) {
                stop = noted.sequence;
                let Some(client) = self.connections.at_mut(connection) else { return };
                if cursor <= stop || client.own_answers() > limit {
                    break;
                }
                let Gap { source, from, to, reason } = noted.gap;
                let (from, to) = (catalog.position(source, from), catalog.position(source, to));
                reply::gap(client.own.end(), name, &from, &to, gap_reason(reason));
                self.metrics.gaps.add(1);
                stop = NONE;
            }
            self.subscriptions.pass(connection, subscription, stop);
        }
        if let Some(client) = self.connections.at(connection) {
            self.count_held(client.key);
        }
    }

    /// Adds the gaps in front of which the subscription stops to what it has missed.
    pub(super) fn add_gaps(&self, missed: &mut Missed, subscription: u32) {
        let stop = self.subscriptions.stop_of(subscription);
        if stop != NONE {
            let channel = self.subscriptions.channel(self.subscriptions.channel_of(subscription));
            self.notices
                .of(&channel.topics, stop)
                .for_each(|noted| missed.add(noted.gap.source, noted.gap.from));
        }
    }
}
