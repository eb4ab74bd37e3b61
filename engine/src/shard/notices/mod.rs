//! What clients are told unasked: where they stand, what they missed, what is behind.

mod gaps;
mod lagged;
pub(super) mod status;

use std::sync::Arc;

use proto::native::reply;
use ring::Key;
use slab::Reader;

pub(super) use self::{
    gaps::{fold, tell as tell_gaps},
    lagged::go_live,
};
use super::clients::Clients;

/// Tells a client what it may do here.
pub(super) fn welcome(clients: &mut Clients, key: Key, id: u64) {
    let limits = &clients.context.settings.limits;
    let shown = [
        ("channels", limits.channels_per_connection as u64),
        ("channels_per_request", limits.channels_per_request as u64),
        ("channel_name_bytes", limits.channel_name_bytes as u64),
        ("request_bytes", limits.client_message_bytes as u64),
        ("message_bytes", limits.server_message_bytes() as u64),
        ("request_burst", u64::from(limits.request_burst)),
        ("requests_per_second", u64::from(limits.requests_per_second)),
    ];
    let (ping_interval_ms, connection) = (clients.context.settings.ping_interval_ms, format!("{id:x}"));
    clients.connections.write(&mut clients.context, key, |out| {
        let connection = connection.as_str();
        reply::welcome(out, &reply::Welcome { connection, ping_interval_ms, limits: &shown });
    });
}

/// Writes a position notice, if the connection holds subscriptions and owes nothing: what it says then leaves right behind
/// everything it speaks of.
pub(super) fn put_position(clients: &mut Clients, reader: &Reader, key: Key) -> bool {
    let (connection, subscriptions) = (key.index(), &clients.subscriptions);
    if clients.connections.get(key).is_none()
        || clients.context.schedule.is_blocked(connection)
        || subscriptions.count(connection) == 0
        || subscriptions.owes(connection)
        || clients.is_behind(connection)
    {
        return false;
    }
    let mut topics = Vec::new();
    for (_, channel) in subscriptions.held(connection) {
        for topic in subscriptions.channel(channel).topics().iter() {
            if !topics.contains(topic) {
                topics.push(Arc::clone(topic));
            }
        }
    }
    let positions = clients.positions.vectors(reader, subscriptions.read(), &topics, None);
    clients.connections.write(&mut clients.context, key, |out| reply::position(out, &positions));
    true
}

/// Follows the index up to `tail`, and beyond it to the end of its record, and marks whom that concerns: the subscribers of
/// the channels that have new entries, each once, and before them those who are to be told of a gap.
pub(super) fn follow(clients: &mut Clients, reader: &Reader, tail: u64) {
    let Clients { subscriptions, gaps, positions, .. } = clients;
    let begin = subscriptions.read();
    subscriptions.follow(reader, tail, |sequence, gap, is_part| {
        gaps.note(&positions.catalog(), sequence, gap, is_part);
    });
    clients.context.schedule.moved_to(clients.subscriptions.read());
    gaps::mark(clients, reader, begin);
    clients.subscriptions.mark_touched(reader, &mut clients.context.schedule);
}
