//! The floor: the writer is about to reuse the oldest segment of the slab. Before a shard acknowledges that, nobody it
//! serves may be owed anything below: who can still take bytes is flushed, who cannot lags.

use ring::Ring;
use slab::Reader;

use super::{BATCH, LAGGED_BETWEEN_BATCHES, Pump, earliest, list, settle};
use crate::shard::{clients::Clients, notices};

/// Works towards the floor the writer asks for; acknowledges it when nobody is owed anything below. Bounded: what is not
/// done is done in the next call.
pub(in crate::shard) fn reclaim(
    pump: &mut Pump,
    clients: &mut Clients,
    reader: &mut Reader,
    ring: &mut impl Ring,
) {
    let floor = reader.asked_floor();
    if floor <= reader.floor() {
        return;
    }
    // The shard's own reading place is a cursor like any other.
    if clients.subscriptions.read() < floor {
        notices::follow(clients, reader, floor);
    }
    debug_assert!(pump.batch.is_empty(), "a batch is flushed by whoever fills it");
    clients.context.schedule.take_ready(&mut pump.batch, BATCH, floor);
    if !pump.batch.is_empty() {
        return pump.flush(clients, reader, ring);
    }
    if clear(pump, clients, reader, ring, floor) {
        reader.acknowledge(floor);
        clients.gaps.forget_below(floor);
    }
}

/// Clears the lists of the segments below the floor, as far as one batch and the bound on conversions go. True: they are
/// clear.
fn clear(pump: &mut Pump, clients: &mut Clients, reader: &Reader, ring: &mut impl Ring, floor: u64) -> bool {
    let (oldest, newest) = (reader.floor(), floor - 1);
    let segments = reader.entry(oldest).segment..=reader.entry(newest).segment;
    let mut left = LAGGED_BETWEEN_BATCHES;
    for segment in segments {
        while let Some(connection) = clients.context.schedule.first_of(segment) {
            if clients.context.schedule.is_blocked(connection) {
                if left == 0 {
                    // Nobody stays behind in the batch: the next one counts on an empty one.
                    pump.flush(clients, reader, ring);
                    return false;
                }
                left = left.saturating_sub(lag(clients, reader, connection, floor, left));
            } else {
                clients.context.schedule.take(connection);
                pump.batch.push(connection);
                if pump.batch.len() == BATCH {
                    pump.flush(clients, reader, ring);
                    return false;
                }
            }
        }
    }
    if !pump.batch.is_empty() {
        pump.flush(clients, reader, ring);
        return false;
    }
    true
}

/// The floor passes the cursors of a blocked connection: each subscription keeps what its gap begins with. At most so
/// many now; how many it were. What it owes is in order, so only those are looked at: a million subscriptions are out of
/// every cache.
fn lag(clients: &mut Clients, reader: &Reader, connection: u32, floor: u64, most: usize) -> usize {
    let Clients { connections, subscriptions, positions, context, .. } = clients;
    let mut lagged = 0;
    while lagged < most
        && let Some((cursor, subscription)) = subscriptions.oldest(connection)
        && cursor < floor
    {
        let (chains, channel) = (subscriptions.chains(), subscriptions.channel_of(subscription));
        let missed = positions.missed_from(reader, chains, cursor, channel);
        subscriptions.lag(connection, subscription, missed);
        context.metrics.lagged.add(1);
        lagged += 1;
    }
    let untold = connections.at(connection).and_then(|client| client.untold());
    let untold = untold.map(|untold| untold.sequence);
    if lagged < most && untold.is_some_and(|untold| lagged > 0 || untold < floor) {
        lagged += notices::fold(clients, reader, connection);
        settle(clients, reader, connection);
    } else {
        let oldest = subscriptions.oldest(connection).map(|(cursor, _)| cursor);
        list(&mut context.schedule, reader, connection, earliest(oldest, untold));
    }
    lagged
}
