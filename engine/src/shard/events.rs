//! What the ring reports, and timers that have fired.

use ring::{Completion, Event, Key, Ring};
use slab::Reader;

use super::{
    clients::Clients,
    connections::{Connections, Stop},
    hear, notices,
    timers::Timer,
};

/// Books one completion and acts on it. One for a place that has been reused is counted and otherwise ignored. `received`
/// is kept for its memory.
pub(super) fn completed(
    clients: &mut Clients,
    reader: &Reader,
    ring: &mut impl Ring,
    received: &mut Vec<u8>,
    completion: Completion,
) {
    let key = completion.key;
    if clients.connections.get(key).is_none() {
        clients.context.metrics.late_completions.add(1);
        if let Event::Received(buffer) = completion.event {
            ring.recycle(buffer);
        }
        return;
    }
    let Clients { connections, context, .. } = clients;
    // First the books: what ends the connection because this op has ended finds nothing of it to cancel.
    if !matches!(completion.event, Event::Received(_) | Event::Closed(_)) {
        connections.op_done(context, key);
    }
    match completion.event {
        Event::Received(buffer) => {
            // Client frames are short: copied out, so that the buffer goes back at once and a handler may use the ring.
            received.clear();
            received.extend_from_slice(ring.bytes(&buffer));
            ring.recycle(buffer);
            context.metrics.received_bytes.add(received.len() as u64);
            hear::hear(clients, reader, key, received);
        }
        Event::ReceiveEnded(end) => connections.receive_ended(context, key, end),
        Event::Polled(_) => connections.polled(context, key),
        Event::OutQueue(queued) => connections.out_queue(context, key, queued.unwrap_or(u32::MAX)),
        Event::Closed(_) => connections.closed(key),
        Event::ShutDown(_) | Event::Cancelled | Event::ResetOnClose(_) | Event::Connected(_) => {}
    }
    clients.reap();
}

/// A timer has fired.
pub(super) fn fired(clients: &mut Clients, reader: &Reader, key: Key, timer: Timer) {
    let Clients { connections, context, .. } = clients;
    match timer {
        Timer::KeepAlive => keepalive_turn(clients, reader, key),
        Timer::Grace => connections.grace_over(context, key),
        Timer::Blocked => connections.blocked_timer(context, key),
        Timer::Tokens => connections.resume(key, Stop::Tokens),
        Timer::Close => connections.close_over(context, key),
    }
    clients.reap();
}

fn keepalive_turn(clients: &mut Clients, reader: &Reader, key: Key) {
    if !clients.connections.begin_turn(key) {
        return;
    }
    if !notices::put_position(clients, reader, key) {
        clients.connections.ping(&mut clients.context, key);
    }
    Connections::arm_grace(&mut clients.context, key);
}
