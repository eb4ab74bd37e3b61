//! What clients ask, and what they are answered.

use std::sync::Arc;

use proto::native::{
    reply,
    request::{Command, ErrorCode, Request, RequestError, Wanted},
};
use ring::Key;
use slab::Reader;

use super::{
    clients::Clients,
    connections::{Item, ItemState, Pending, Stop, bounds},
    lookups::{Asked, Found},
    notices,
    subscriptions::Owed,
};
use crate::inbox::{Answer, Refused};

/// Where a channel's subscription begins, if that differs from the answer's `pos`, and whether it is stale; or why there is
/// none.
type Begins = Result<(Vec<String>, bool), ErrorCode>;

/// Channels held that one token pays for, where a request looks at all of them.
const CHANNELS_A_TOKEN: usize = 250;

/// Does one request.
pub(super) fn request(
    clients: &mut Clients,
    reader: &Reader,
    key: Key,
    request: Result<Request, RequestError>,
) {
    match request {
        Ok(Request { id, command: Command::Subscribe(wanted) }) => {
            subscribe(clients, reader, key, id, &wanted);
        }
        Ok(Request { id, command: Command::Unsubscribe(names) }) => unsubscribe(clients, key, id, &names),
        Ok(Request { id, command: Command::Heartbeat }) => {
            let now = clients.context.now.unix_ms;
            clients.connections.write(&mut clients.context, key, |out| reply::pong(out, id, now));
            // A position is put together from all channels held.
            let held = clients.subscriptions.count(key.index());
            clients.connections.spend(key, held / CHANNELS_A_TOKEN);
            notices::put_position(clients, reader, key);
        }
        Err(RequestError { id, code, message }) => {
            let error = |out: &mut Vec<u8>| reply::error(out, id, code, &message);
            clients.connections.write(&mut clients.context, key, error);
            clients.connections.request_failed(&mut clients.context, key);
        }
    }
}

fn subscribe(clients: &mut Clients, reader: &Reader, key: Key, id: Option<i64>, wanted: &[Wanted]) {
    let limits = &clients.context.settings.limits;
    let share = (limits.empty_channels / 2 / limits.connections.max(1)).max(1);
    let held = clients.subscriptions.count(key.index());
    let look_up = |(nth, wanted)| look_up(clients, key, wanted, held + nth < share);
    let items: Vec<_> = wanted.iter().enumerate().map(look_up).collect();
    let pending = Pending::new(id, items);
    if pending.is_complete() {
        return acknowledge(clients, reader, key, &pending);
    }
    clients.connections.wait_for_answers(key, pending);
}

/// The number of a wanted channel, or a lookup by ingest. Modest: see [`super::lookups::Lookups::find`].
fn look_up(clients: &mut Clients, key: Key, wanted: &Wanted, modest: bool) -> Item {
    let name = || Arc::from(wanted.channel.as_str());
    if let Some(code) = wanted.refused {
        return Item { name: name(), state: ItemState::Refused(code) };
    }
    match clients.lookups.find(&wanted.channel, key, modest) {
        Found::Asked(name) => Item { name, state: ItemState::Asked },
        Found::Held(channel) => {
            let held = clients.subscriptions.channel_mut(channel);
            held.reserve();
            Item { name: held.name().cloned().unwrap_or_else(name), state: ItemState::Known(channel) }
        }
    }
}

/// Ingest has answered for a name.
pub(super) fn answered(clients: &mut Clients, reader: &Reader, answer: Answer) {
    let Asked { mut waiting, modest } = clients.lookups.answered(&answer.name);
    // It was asked for one that holds much. Those that wait with it and hold little are not refused for that.
    if matches!(answer.outcome, Err(Refused::TooMany)) && !modest {
        let (kept, refused): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|&(_, modest)| modest);
        waiting = refused;
        if !kept.is_empty() {
            clients.lookups.ask(Arc::clone(&answer.name), Asked { waiting: kept, modest: true });
        }
    }
    let state = match answer.outcome {
        Ok(grant) => {
            let channel = clients.subscriptions.channel_mut(grant.channel);
            channel.hold(Arc::clone(&answer.name), grant.topics);
            // Held while the waiting requests are gone through.
            channel.reserve();
            clients.lookups.hold(Arc::clone(&answer.name), grant.channel);
            ItemState::Known(grant.channel)
        }
        Err(Refused::Unknown) => ItemState::Refused(ErrorCode::UnknownChannel),
        Err(Refused::TooMany) => ItemState::Refused(ErrorCode::TooManyChannels),
    };
    for (key, _) in waiting {
        settle_item(clients, reader, key, &answer.name, state);
    }
    bounds::limit_client_bytes(&mut clients.connections, &mut clients.context);
    if let ItemState::Known(channel) = state {
        clients.unreserve(channel);
    }
}

/// One of a waiting request's channels is answered; the last one completes the request.
fn settle_item(clients: &mut Clients, reader: &Reader, key: Key, name: &str, state: ItemState) {
    let Some(is_complete) = clients.connections.answer(key, name, state) else { return };
    if let ItemState::Known(channel) = state {
        clients.subscriptions.channel_mut(channel).reserve();
    }
    if is_complete {
        complete(clients, reader, key);
    }
}

/// Acknowledges the request whose answers are all there. Not while the connection lags or a gap is yet to be told: what is
/// acknowledged is true of the present, where it is not yet.
pub(super) fn complete(clients: &mut Clients, reader: &Reader, key: Key) {
    if clients.is_behind(key.index()) {
        return;
    }
    let Some(pending) = clients.connections.take_complete(key) else { return };
    acknowledge(clients, reader, key, &pending);
    clients.connections.resume(key, Stop::Answer);
}

/// Subscribes to what is known and answers. The answer is queued before anything is marked, and says where the
/// subscriptions begin: at the present, the shard's reading place.
fn acknowledge(clients: &mut Clients, reader: &Reader, key: Key, pending: &Pending) {
    let connection = key.index();
    let mut outcomes: Vec<(Arc<str>, Begins)> = Vec::with_capacity(pending.items().len());
    let mut topics: Vec<Arc<str>> = Vec::new();
    for item in pending.items() {
        let outcome = match item.state {
            ItemState::Known(channel) => add(clients, reader, connection, channel, &mut topics),
            ItemState::Refused(code) => Err(code),
            ItemState::Asked => unreachable!("a complete request has no open lookup"),
        };
        outcomes.push((Arc::clone(&item.name), outcome));
        if let ItemState::Known(channel) = item.state {
            clients.unreserve(channel);
        }
    }
    let failed = outcomes.iter().any(|(_, outcome)| outcome.is_err());
    let pos = clients.positions.vectors(reader, clients.subscriptions.read(), &topics, None);
    let subscribed: Vec<&str> = outcomes.iter().filter(|(_, o)| o.is_ok()).map(|(name, _)| &**name).collect();
    let results: Vec<_> = outcomes.iter().map(|(name, outcome)| (&**name, result(outcome))).collect();
    let count = clients.subscriptions.count(connection);
    clients.connections.write(&mut clients.context, key, |out| {
        reply::subscription_ack(out, pending.id(), &subscribed, count, &pos, &results);
    });
    if failed {
        clients.connections.request_failed(&mut clients.context, key);
    }
}

/// Subscribes to one channel. For one that is held already and still owes, gives where it stands; where else it does not
/// begin at the reading place of all, where it begins.
fn add(
    clients: &mut Clients,
    reader: &Reader,
    connection: u32,
    channel: u32,
    topics: &mut Vec<Arc<str>>,
) -> Begins {
    let Clients { subscriptions, positions, context, .. } = clients;
    let its_topics = Arc::clone(subscriptions.channel(channel).topics());
    let mut begins = Vec::new();
    if let Some(held) = subscriptions.find(connection, channel) {
        if let Owed::From(cursor) = subscriptions.owed(held) {
            begins = positions.vectors(reader, cursor, &its_topics, None);
        }
    } else if subscriptions.count(connection) < context.settings.limits.channels_per_connection {
        subscriptions.add(connection, channel);
        let begun = subscriptions.chains().begun(channel);
        if begun.is_some() {
            begins = positions.vectors(reader, subscriptions.read(), &its_topics, begun);
        }
    } else {
        return Err(ErrorCode::TooManyChannels);
    }
    for topic in its_topics.iter() {
        if !topics.contains(topic) {
            topics.push(Arc::clone(topic));
        }
    }
    Ok((begins, notices::status::ack(clients, connection, channel)))
}

fn unsubscribe(clients: &mut Clients, key: Key, id: Option<i64>, names: &[String]) {
    let connection = key.index();
    let mut ended: Vec<&str> = Vec::new();
    for name in names {
        let Some(channel) = clients.lookups.held(name) else { continue };
        if clients.subscriptions.remove(connection, channel) {
            ended.push(name);
            clients.give_back_if_unused(channel);
        }
    }
    let count = clients.subscriptions.count(connection);
    clients.connections.write(&mut clients.context, key, |out| {
        reply::unsubscription_ack(out, id, &ended, count);
    });
}

fn result(outcome: &Begins) -> reply::Outcome<'_> {
    match outcome {
        Ok((pos, stale)) => reply::Outcome { pos, stale: *stale, ..reply::Outcome::default() },
        Err(code) => reply::Outcome { error: Some(*code), ..reply::Outcome::default() },
    }
}
