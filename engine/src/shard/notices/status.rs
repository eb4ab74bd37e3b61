//! Whether what clients hold is known to be behind: of all topics, or of some.
//!
//! A channel is stale if all data is or one of its topics is. Each subscription has a bit that says what its client was
//! told of it, by an ack or a `status`; what differs is told at the connection's flushes, a bounded part at a time. So what
//! changed back before a client could be told is not told at all.

use std::slice;

use proto::native::reply::{self, State};

use crate::{inbox::Status, shard::clients::Clients};

/// Names in one message.
const NAMES_A_MESSAGE: usize = 50;

fn state(stale: bool) -> State {
    if stale { State::Stale } else { State::Live }
}

/// The state of the data has changed: whom it concerns is told with the next flush.
pub(in crate::shard) fn changed(clients: &mut Clients, status: &Status) {
    clients.stale.set(status);
    let concerned: Vec<u32> = match &status.topic {
        None => clients.connections.iter().map(|client| client.key().index()).collect(),
        Some(topic) => clients.subscriptions.holders(slice::from_ref(topic)).collect(),
    };
    for connection in concerned {
        owe(clients, connection);
    }
}

/// A connection begins: it is told if all is stale.
pub(in crate::shard) fn greet(clients: &mut Clients, connection: u32) {
    if clients.stale.all().is_some() {
        owe(clients, connection);
    }
}

fn owe(clients: &mut Clients, connection: u32) {
    if clients.connections.owe_status(connection) {
        clients.context.schedule.queue_output(connection);
    }
}

/// Whether the channel is stale now. It is told by whoever asks.
pub(in crate::shard) fn ack(clients: &mut Clients, connection: u32, channel: u32) -> bool {
    let stale = clients.stale.of(clients.subscriptions.channel(channel).topics()).is_some();
    if let Some(subscription) = clients.subscriptions.find(connection, channel) {
        clients.subscriptions.told_stale(subscription, stale);
    }
    stale
}

/// Tells the connection what it was told otherwise, as far as it reads what it is told.
pub(in crate::shard) fn tell(clients: &mut Clients, connection: u32) {
    let Clients { connections, subscriptions, stale: state_of, context, .. } = clients;
    let limit = context.settings.limits.control_output_bytes;
    let held: Vec<_> = subscriptions.held(connection).collect();
    let now = |channel: u32| state_of.of(subscriptions.channel(channel).topics());
    let differs = |&(subscription, channel): &(u32, u32)| {
        now(channel).is_some() != subscriptions.was_told_stale(subscription)
    };
    let mut changed: Vec<_> = held.iter().copied().filter(differs).collect();
    let Some(client) = connections.at(connection) else { return };
    // All that it holds has come to one state, or it holds nothing and all data has.
    let all_lag_ms = state_of.all();
    let all_stale = all_lag_ms.is_some();
    let one_state = held.first().map_or(all_stale, |&(_, channel)| now(channel).is_some());
    let is_one = held.iter().all(|&(_, channel)| now(channel).is_some() == one_state);
    let told_otherwise = held.is_empty() && client.told_stale() != all_stale;
    let all_changed = !held.is_empty() && changed.len() == held.len();
    let mut told = Vec::new();
    let mut told_all = None;
    if is_one && (told_otherwise || all_changed) {
        let lag_ms = held.iter().map(|&(_, channel)| now(channel)).min().unwrap_or(all_lag_ms);
        connections.append(connection, |out| reply::status(out, state(one_state), None, lag_ms));
        told_all = Some(one_state);
        told.extend(changed.drain(..).map(|(subscription, _)| (subscription, one_state)));
    }
    let told_at_once = told.len();
    // The stale ones first.
    let stale = |channel: u32| now(channel).is_some();
    changed.sort_by_key(|&(_, channel)| !stale(channel));
    for chunk in changed.chunk_by(|&(_, a), &(_, b)| stale(a) == stale(b)) {
        for some in chunk.chunks(NAMES_A_MESSAGE) {
            if connections.at(connection).is_none_or(|client| client.control_bytes() > limit) {
                break;
            }
            let channels: Vec<_> = some.iter().map(|&(_, at)| subscriptions.channel(at)).collect();
            let names: Vec<&str> = channels.iter().filter_map(|it| it.name()).map(|name| &**name).collect();
            let lag_ms = channels.iter().map(|channel| state_of.of(channel.topics())).min().flatten();
            let is_stale = stale(some[0].1);
            connections.append(connection, |out| {
                reply::status(out, state(is_stale), Some(&names), lag_ms);
            });
            told.extend(some.iter().map(|&(subscription, _)| (subscription, is_stale)));
        }
    }
    connections.told_status(connection, told.len() - told_at_once == changed.len(), told_all);
    told.into_iter().for_each(|(subscription, stale)| subscriptions.told_stale(subscription, stale));
}
