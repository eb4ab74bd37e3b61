//! The write pump: one send a connection a turn, of everything it is owed, straight from the slab where that lies back
//! to back.
//!
//! A flush has three steps, each over a batch of connections: *plan* what each is sent (its own output first, then
//! frames in the order of the index), *send* the batch in one enter, *commit* what the sockets took. Nothing else
//! happens in between, so a plan cannot go stale. Nothing here allocates once its lists have grown. Here are the
//! batches and the bookkeeping; `plan.rs` decides what is sent, `turn.rs` who is flushed when.

mod plan;
pub(super) mod reclaim;
pub(super) mod turn;

use ring::{Outcome, Ring, Send};
use slab::{Frame, NATIVE, Reader};

use self::plan::{Planned, Plans, What};
use super::{
    clients::Clients,
    connections::{Stop, bounds},
    notices, requests,
    schedule::Schedule,
};

/// Connections in one enter: deeper batches hurt the caches (tried: a send costs a tenth more in one enter for 4,000).
const BATCH: usize = 100;
/// Subscriptions made to lag between two batches of sends.
const LAGGED_BETWEEN_BATCHES: usize = 1_024;

/// The lists of a batch, kept for their memory.
#[derive(Debug, Default)]
pub(super) struct Pump {
    /// Who is flushed next.
    batch: Vec<u32>,
    plans: Plans,
    outcomes: Vec<Outcome>,
}

impl Pump {
    /// Plans, sends and commits the connections of the batch.
    fn flush(&mut self, clients: &mut Clients, reader: &Reader, ring: &mut impl Ring) {
        let mut folds_left = LAGGED_BETWEEN_BATCHES;
        for &connection in &self.batch {
            if clients.connections.at(connection).is_some_and(|client| client.is_alive()) {
                tell(clients, reader, connection, &mut folds_left);
                self.plans.add(clients, reader, connection);
            }
        }
        self.send(clients, reader, ring);
        for (plan, &outcome) in self.plans.planned.iter().zip(&self.outcomes) {
            commit(&self.plans, clients, reader, plan, outcome);
        }
        for &connection in &self.batch {
            settle(clients, reader, connection);
        }
        bounds::limit_partial_frames(&mut clients.connections, &mut clients.context);
        bounds::limit_client_bytes(&mut clients.connections, &mut clients.context);
        clients.reap();
        self.batch.clear();
        self.plans.clear();
    }

    /// Sends the batch's plans in one enter.
    fn send(&mut self, clients: &mut Clients, reader: &Reader, ring: &mut impl Ring) {
        let planned = &self.plans.planned;
        self.outcomes.clear();
        if planned.is_empty() {
            return;
        }
        let mut sends = [Send { slot: planned[0].slot, bytes: &[] }; BATCH];
        for (send, plan) in sends.iter_mut().zip(planned) {
            send.slot = plan.slot;
            send.bytes = match plan.what {
                What::Arena { from, to } => &self.plans.arena[from..to],
                What::Run { first, last } => {
                    reader.run(first, last, NATIVE).expect("planned as back to back")
                }
                What::Block { sequence } => reader.bytes(sequence, NATIVE).bytes(),
                What::PartialBlock => {
                    let client = clients.connections.at(plan.connection);
                    client.and_then(|client| client.block()).unwrap_or(&[])
                }
            };
        }
        let sends = &sends[..planned.len()];
        clients.context.ops.hand_to(ring);
        ring.send(sends, &mut self.outcomes);
        assert_eq!(self.outcomes.len(), planned.len(), "one outcome a send");
        clients.context.metrics.sends.add(sends.len() as u64);
    }
}

/// Tells a connection that is about to be flushed what it is to be told: that leaves with the flush.
fn tell(clients: &mut Clients, reader: &Reader, connection: u32, folds_left: &mut usize) {
    let Some(client) = clients.connections.at(connection) else { return };
    let (is_untold, owes_status) = (client.untold().is_some(), client.owes_status());
    if clients.subscriptions.lags(connection) {
        notices::go_live(clients, reader, connection, folds_left);
    } else if is_untold {
        notices::tell_gaps(clients, connection);
    }
    if owes_status {
        notices::status::tell(clients, connection);
    }
}

/// Books what a socket took.
fn commit(plans: &Plans, clients: &mut Clients, reader: &Reader, plan: &Planned, outcome: Outcome) {
    let connection = plan.connection;
    let sent = match outcome {
        Outcome::Sent(sent) => sent,
        Outcome::Blocked => {
            clients.context.metrics.full_sends.add(1);
            return clients.connections.block(&mut clients.context, connection, false);
        }
        Outcome::Failed(_) => return clients.connections.fail(&mut clients.context, connection),
    };
    clients.context.metrics.sent_bytes.add(sent as u64);
    let given = book(plans, clients, reader, plan, sent);
    clients.connections.took(connection, sent, given);
    if sent < given {
        clients.context.metrics.short_sends.add(1);
        clients.connections.block(&mut clients.context, connection, true);
    }
}

/// Advances the cursors of the frames that were taken and keeps the rest of a partial one. Gives the bytes there were.
fn book(plans: &Plans, clients: &mut Clients, reader: &Reader, plan: &Planned, sent: usize) -> usize {
    if let What::PartialBlock = plan.what {
        return clients.connections.took_block(plan.connection, sent);
    }
    if plan.output > 0 {
        clients.connections.took_output(plan.connection, sent.min(plan.output));
    }
    let steps = &plans.steps[plan.steps.clone()];
    let mut begin = plan.output;
    for step in steps {
        if sent <= begin {
            break;
        }
        clients.subscriptions.delivered(step.subscription, step.sequence);
        clients.context.metrics.deliveries.add(1);
        if sent < step.end {
            keep_partial(clients, reader, plan.connection, step.sequence, sent - begin);
            break;
        }
        begin = step.end;
    }
    if let Some(step) = steps.first() {
        sample_delay(clients, reader, step.sequence);
    }
    steps.last().map_or(plan.output, |step| step.end)
}

/// The socket took `taken` bytes of the frame at `sequence`: the rest is the connection's own from now on.
fn keep_partial(clients: &mut Clients, reader: &Reader, connection: u32, sequence: u64, taken: usize) {
    match reader.bytes(sequence, NATIVE) {
        Frame::Region(bytes) => clients.connections.keep_rest(connection, &bytes[taken..]),
        Frame::Block(block) => clients.connections.keep_block(connection, block, taken),
    }
}

/// One sample a send: from ingest to the socket.
fn sample_delay(clients: &Clients, reader: &Reader, sequence: u64) {
    let since = clients.context.now.mono_ns.saturating_sub(reader.entry(sequence).ingest_ns);
    clients.context.metrics.delay_ns.add(since);
    clients.context.metrics.delay_samples.add(1);
}

/// After a flush: finds the connection its queue and its list.
fn settle(clients: &mut Clients, reader: &Reader, connection: u32) {
    let Clients { connections, subscriptions, context, .. } = clients;
    let Some(client) = connections.at(connection).filter(|client| client.is_alive()) else {
        return context.schedule.list(connection, None);
    };
    let untold = client.untold().map(|untold| untold.sequence);
    let oldest = earliest(subscriptions.settle(connection), untold);
    let (key, is_flushed) = (client.key(), client.is_flushed());
    let more = oldest.is_some() || !is_flushed || client.owes_status() || subscriptions.lags(connection);
    list(&mut context.schedule, reader, connection, oldest);
    context.schedule.settle(connection, more);
    if is_flushed {
        output_left(clients, reader, key);
    }
}

/// Puts the connection into the list of the segment in which the oldest that it owes lies; none: into none.
fn list(schedule: &mut Schedule, reader: &Reader, connection: u32, oldest: Option<u64>) {
    schedule.list(connection, oldest.map(|oldest| reader.entry(oldest).segment));
}

/// The earlier of two sequences that there may be.
fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

/// The connection's own output has all left: a closing one gets its FIN, what an open one sent meanwhile goes on.
fn output_left(clients: &mut Clients, reader: &Reader, key: ring::Key) {
    let Some(client) = clients.connections.get(key) else { return };
    if !client.is_open() {
        clients.connections.flushed(&mut clients.context, key);
    } else if (client.stop().is_some() || client.pending().is_some()) && !clients.is_behind(key.index()) {
        requests::complete(clients, reader, key);
        clients.connections.resume(key, Stop::Unread);
    }
}
