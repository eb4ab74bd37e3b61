//! Messages from other threads.

use ring::Ring;
use slab::Reader;

use super::{
    clients::Clients,
    connections::{
        Connections,
        drain::{self, Drain},
    },
    hear, notices, requests,
};
use crate::{
    config::{Keepalive, Service},
    inbox::{ExplainChannels, Handover, ShardFacts, ToShard},
};

/// Inbox messages read in one turn: a storm of connections must not hold up those that are there.
const MESSAGES_A_TURN: usize = 256;

/// Reads a turn's worth of messages.
pub(super) fn read<R: Ring>(
    clients: &mut Clients,
    reader: &Reader,
    ring: &mut R,
    inbox: &flume::Receiver<ToShard<R::Descriptor>>,
    drain: &mut Drain,
) {
    for _ in 0..MESSAGES_A_TURN {
        match inbox.try_recv() {
            Ok(ToShard::Connection(handover)) => arrive(clients, reader, ring, handover, *drain),
            Ok(ToShard::Channel(answer)) => requests::answered(clients, reader, answer),
            Ok(ToShard::Status(status)) => notices::status::changed(clients, &status),
            Ok(ToShard::Explain(asked)) => explain(clients, &asked),
            Ok(ToShard::Drain { jitter_ms }) => {
                *drain = Drain::begin(&clients.connections, &clients.context, jitter_ms);
            }
            Ok(ToShard::Stop) => *drain = Drain::stop(&mut clients.connections, &mut clients.context),
            Err(flume::TryRecvError::Empty | flume::TryRecvError::Disconnected) => return,
        }
        clients.reap();
    }
}

/// A connection arrives from the accept ring.
fn arrive<R: Ring>(
    clients: &mut Clients,
    reader: &Reader,
    ring: &mut R,
    handover: Handover<R::Descriptor>,
    drain: Drain,
) {
    let slot = match ring.install(handover.descriptor) {
        Ok(slot) => slot,
        Err((_, error)) => {
            // The capacity is checked against the table's size at start; the kernel may refuse all the same.
            tracing::warn!(shard = clients.context.shard, %error, "failed to register connection");
            clients.context.metrics.closed_by_failure.add(1);
            return;
        }
    };
    let key = clients.connections.arrive(&clients.context, slot, handover.reservation);
    clients.assert_unattached(key.index());
    clients.connections.receive(&mut clients.context, key);
    if clients.context.settings.keepalive == Keepalive::WebSocket {
        Connections::arm_keepalive(&mut clients.context, key);
    }
    if handover.welcome && clients.context.settings.service == Service::Channels {
        notices::welcome(clients, key, handover.id);
    }
    notices::status::greet(clients, key.index());
    let mut leftover = handover.leftover;
    hear::hear(clients, reader, key, &mut leftover);
    if drain.is_on() {
        drain::close(&mut clients.connections, &mut clients.context, key);
    }
}

/// Tells how many are subscribed: two numbers a channel, whatever their number.
fn explain(clients: &Clients, asked: &ExplainChannels) {
    let subscribers = |name: &std::sync::Arc<str>| {
        let held = clients.lookups.held(name);
        held.map_or((0, 0), |channel| clients.subscriptions.channel(channel).subscribers())
    };
    let subscribers = asked.channels.iter().map(subscribers).collect();
    // The asker may have given up.
    let _ = asked.reply.try_send(ShardFacts { shard: clients.context.shard, subscribers });
}
