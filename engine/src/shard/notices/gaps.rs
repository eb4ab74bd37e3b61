//! Gaps of whole topics: one entry of the slab each, told here to every subscription that the topic feeds.
//!
//! Following the index over such an entry notes it and marks the connections that hold a channel of its topic. A marked
//! connection is sent nothing from the gap on until nothing is owed in front of it and all its channels have been told;
//! its requests wait meanwhile, so that what it holds then is what it held when the gap was read. Whoever subscribes
//! later begins behind the gap, and its ack says so. A connection that lags, or that the floor catches up with, is told
//! by its lag: what it missed begins where the gap does.

use std::sync::Arc;

use proto::native::reply::{self, GapReason};
use slab::Reader;

use crate::shard::{
    clients::Clients,
    connections::Untold,
    subscriptions::{Noted, Owed},
};

/// Channels looked at for one connection in one flush.
const STEPS_A_FLUSH: usize = 4_096;

/// Marks whom the gaps concern that were noted since the reading place was `begin`: once for all of them. Before what else
/// is new is marked.
pub(super) fn mark(clients: &mut Clients, reader: &Reader, begin: u64) {
    let mut new = clients.gaps.from(begin).peekable();
    // From the first of them on, for another of a connection's channels may be fed by that one.
    let Some(&&Noted { sequence: first, .. }) = new.peek() else { return };
    // Of thousands of partitions there are few topics.
    let mut topics: Vec<Arc<str>> = new.map(|noted| Arc::clone(&noted.topic)).collect();
    topics.sort_unstable();
    topics.dedup();
    let segment = reader.entry(begin).segment;
    for connection in clients.subscriptions.holders(&topics) {
        // One that lags is told by its lag, once it goes on or the floor passes the gap.
        if clients.connections.at(connection).is_some_and(|client| client.untold().is_none()) {
            clients.connections.set_untold(connection, Some(Untold { sequence: first, next: None }));
            clients.context.schedule.mark(connection, begin, segment);
        }
    }
}

/// The connection is told of gaps, as far as nothing is owed in front of them and it reads what it is told.
pub(in crate::shard) fn tell(clients: &mut Clients, connection: u32) {
    let Clients { connections, subscriptions, positions, gaps, context, .. } = clients;
    let limit = context.settings.limits.control_output_bytes;
    let (oldest, catalog) = (subscriptions.oldest(connection), positions.catalog());
    let mut steps = 0;
    while let Some(untold) = connections.at(connection).and_then(|client| client.untold()) {
        let Some(noted) = gaps.from(untold.sequence).next() else {
            connections.set_untold(connection, None);
            return;
        };
        let Noted { sequence, gap, topic, .. } = noted;
        let mut untold = Untold { sequence: *sequence, ..untold };
        connections.set_untold(connection, Some(untold));
        let is_owed_before = oldest.is_some_and(|(oldest, _)| oldest < *sequence);
        if is_owed_before || noted.is_open(subscriptions.read()) {
            return;
        }
        let (first, last) = (catalog.position(gap.source, gap.from), catalog.position(gap.source, gap.to));
        let reason = GapReason::from_code(gap.reason).unwrap_or(GapReason::Reset);
        for (subscription, channel) in subscriptions.held_from(connection, untold.next) {
            let is_full = connections.at(connection).is_none_or(|client| client.control_bytes() > limit);
            if steps == STEPS_A_FLUSH || is_full {
                untold.next = Some(subscription);
                connections.set_untold(connection, Some(untold));
                return;
            }
            steps += 1;
            let held = subscriptions.channel(channel);
            if let Some(name) = held.name().filter(|_| held.topics().contains(topic)) {
                connections.append(connection, |out| reply::gap(out, name, &first, &last, reason));
                context.metrics.gaps.add(1);
            }
        }
        connections.set_untold(connection, Some(Untold { sequence: sequence + 1, next: None }));
    }
}

/// The connection lags, or is about to: what it is not told of yet becomes a part of what it missed. How many
/// subscriptions that made lag.
pub(in crate::shard) fn fold(clients: &mut Clients, reader: &Reader, connection: u32) -> usize {
    let Some(untold) = clients.connections.set_untold(connection, None) else { return 0 };
    let noted: Vec<Noted> = clients.gaps.from(untold.sequence).cloned().collect();
    let held: Vec<_> = clients.subscriptions.held(connection).collect();
    // Those in front of the one it goes on with have been told of the first.
    let mut told = usize::from(untold.next.is_some());
    let mut lagged = 0;
    for (subscription, channel) in held {
        if Some(subscription) == untold.next {
            told = 0;
        }
        let topics = Arc::clone(clients.subscriptions.channel(channel).topics());
        let feeds = |noted: &&Noted| topics.contains(&noted.topic);
        let mut concern = noted.iter().skip(told).filter(feeds).peekable();
        if concern.peek().is_some() {
            lagged += 1;
            lag_behind(clients, reader, connection, subscription, concern);
        }
    }
    lagged
}

/// The subscription misses these gaps. If it does not lag yet it does from what it owes on, or, caught up, from the
/// present.
fn lag_behind<'n>(
    clients: &mut Clients,
    reader: &Reader,
    connection: u32,
    subscription: u32,
    noted: impl Iterator<Item = &'n Noted>,
) {
    let Clients { subscriptions, positions, .. } = clients;
    let (chains, channel) = (subscriptions.chains(), subscriptions.channel_of(subscription));
    let missed = match subscriptions.owed(subscription) {
        Owed::CaughtUp => Some(positions.missed_at(reader, chains, subscriptions.read(), channel)),
        Owed::From(cursor) => Some(positions.missed_from(reader, chains, cursor, channel)),
        Owed::Lagged => None,
    };
    if let Some(missed) = missed {
        subscriptions.lag(connection, subscription, missed);
        clients.context.metrics.lagged.add(1);
    }
    for Noted { gap, .. } in noted {
        subscriptions.miss(subscription, gap.source, gap.from);
    }
}
