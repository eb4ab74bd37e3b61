//! The clients of a shard: who there is, what each is sent of its own, and what all of them make the shard hold.
//!
//! What ends a connection here changes only it; what it held elsewhere is given back by `Clients::reap`.

pub(super) mod bounds;
mod connection;
pub(super) mod drain;
mod inbound;
mod liveness;
mod output;
mod pending;
mod rate;
mod reading;
mod reason;
mod socket;
mod table;

use std::{collections::VecDeque, sync::Arc};

use proto::ws::{close::CloseCode, frame::put_close};
use ring::{Key, Op, Slot};
use slab::Block;

pub(super) use self::{
    connection::{Connection, Untold},
    inbound::{Backlog, Stop},
    pending::{Item, ItemState, Pending},
    reason::CloseReason,
};
use self::{
    inbound::Inbound,
    output::Output,
    socket::{Flushed, Socket},
    table::Table,
};
use super::{context::Context, timers::Timer};
use crate::inbox::Reservation;

/// Time for the peer to answer a close, ms.
const CLOSE_MS: u64 = 2_000;

/// The connections, and what they hold.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Table,
    totals: Totals,
    /// Receives to arm again once this turn's buffers are recycled.
    rearm: Vec<Key>,
    /// Who goes on in the next turn with what it sent.
    backlogs: VecDeque<Key>,
    /// Who has closed or ended since the last reaping, and the request that waited.
    left: Vec<(Key, Option<Box<Pending>>)>,
}

/// What all connections hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Bytes of partial frames.
    pub(super) partial_bytes: usize,
    /// Bytes that clients make the shard hold, partial frames apart: what they sent and is not worked off, requests that
    /// wait, answers that have not left.
    pub(super) client_bytes: usize,
    /// Connections that hold a block.
    pub(super) block_holders: usize,
}

impl Totals {
    /// Changes a connection, and counts what it holds by now.
    fn change<T>(&mut self, client: &mut Connection, change: impl FnOnce(&mut Connection) -> T) -> T {
        self.partial_bytes -= client.output.partial_bytes();
        self.block_holders -= usize::from(client.output.block().is_some());
        let result = change(client);
        self.partial_bytes += client.output.partial_bytes();
        self.block_holders += usize::from(client.output.block().is_some());
        let held = client.held_bytes();
        self.client_bytes += held;
        self.client_bytes -= std::mem::replace(&mut client.counted, held);
        result
    }
}

impl Connections {
    /// Connections there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The connection in this place, if any.
    #[inline]
    pub(super) fn at(&self, connection: u32) -> Option<&Connection> {
        self.table.at(connection)
    }

    /// The connection of this key, unless its place has been reused.
    pub(super) fn get(&self, key: Key) -> Option<&Connection> {
        self.at(key.index()).filter(|client| client.key == key)
    }

    /// The connection of this key, if it serves.
    pub(super) fn open(&self, key: Key) -> Option<&Connection> {
        self.get(key).filter(|client| client.is_open())
    }

    /// All connections.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.table.iter()
    }

    /// What all hold.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// What all hold, by counting.
    pub(super) fn recounted(&self) -> Totals {
        let mut totals = Totals::default();
        for client in self.iter() {
            totals.partial_bytes += client.output.partial_bytes();
            totals.client_bytes += client.held_bytes();
            totals.block_holders += usize::from(client.output.block().is_some());
        }
        totals
    }

    /// A connection begins.
    pub(super) fn arrive(&mut self, context: &Context, slot: Slot, reservation: Reservation) -> Key {
        let inbound = Inbound::new(context.settings.limits.request_burst, context.now.mono_ms());
        self.table.insert(|key| Connection {
            key,
            socket: Socket::new(slot),
            inbound,
            output: Output::default(),
            sent: 0,
            heard: false,
            owes_status: false,
            told_stale: false,
            untold: None,
            counted: 0,
            _reservation: reservation,
        })
    }

    /// Closes an open connection: what it is owed is dropped, its control output and a close frame still leave.
    pub(super) fn close(
        &mut self,
        context: &mut Context,
        key: Key,
        code: CloseCode,
        text: &str,
        reason: CloseReason,
    ) {
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else { return };
        let pending = self.totals.change(client, |client| {
            client.socket.close();
            // The last of its output: nothing may stand behind the close.
            put_close(client.output.end(), code, text);
            (client.owes_status, client.untold) = (false, None);
            // What the peer sends from now on is read and dropped: unread bytes would turn our close into a reset.
            client.inbound.end()
        });
        self.left.push((key, pending));
        reason.count(&context.metrics);
        self.receive(context, key);
        context.timers.arm(context.now.mono_ms() + CLOSE_MS, key, Timer::Close);
        context.schedule.queue_output(key.index());
    }

    /// Ends a connection without further ado: nothing more is sent. Who is blocked is reset.
    pub(super) fn end(&mut self, context: &mut Context, key: Key, reason: CloseReason) {
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_alive()) else { return };
        if client.is_open() {
            reason.count(&context.metrics);
        }
        let (pending, ops) = self.totals.change(client, |client| {
            (client.output, client.untold) = (Output::default(), None);
            (client.inbound.end(), client.socket.end(reason == CloseReason::Blocked))
        });
        self.left.push((key, pending));
        context.schedule.forget(key.index());
        ops.for_each(|op| context.ops.push(op, key));
    }

    /// The socket failed under a send.
    pub(super) fn fail(&mut self, context: &mut Context, connection: u32) {
        if let Some(client) = self.at(connection) {
            self.end(context, client.key, CloseReason::Failure);
        }
    }

    /// The time for the peer's answer to a close is over. If our close frame could not even leave, the socket is still
    /// full.
    pub(super) fn close_over(&mut self, context: &mut Context, key: Key) {
        let Some(client) = self.get(key) else { return };
        let reason = if client.is_flushed() { CloseReason::Client } else { CloseReason::Blocked };
        self.end(context, key, reason);
    }

    /// Somebody who has closed or ended, and the request of it that waited.
    pub(super) fn next_left(&mut self) -> Option<(Key, Option<Box<Pending>>)> {
        self.left.pop()
    }

    /// Nobody has closed or ended since the last reaping.
    pub(super) fn is_reaped(&self) -> bool {
        self.left.is_empty()
    }

    /// An op of the connection has completed for good.
    pub(super) fn op_done(&mut self, context: &mut Context, key: Key) {
        let op = self.table.get_mut(key).and_then(|client| client.socket.op_done());
        op.into_iter().for_each(|op| context.ops.push(op, key));
    }

    /// The descriptor is closed: the place is free, the reservation goes back.
    pub(super) fn closed(&mut self, key: Key) {
        self.table.remove(key);
    }

    /// The socket takes bytes again, or has failed: the next send tells.
    pub(super) fn polled(&mut self, context: &mut Context, key: Key) {
        let Some(client) = self.table.get_mut(key) else { return };
        client.socket.polled();
        if client.is_alive() {
            context.schedule.unblock(key.index());
        }
    }

    /// Appends to the control output of a connection that serves, and queues it for a flush.
    pub(super) fn write(&mut self, context: &mut Context, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else { return };
        self.totals.change(client, |client| write(client.output.end()));
        context.schedule.queue_output(key.index());
    }

    /// Appends to the control output of a connection that is flushed.
    pub(super) fn append(&mut self, connection: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(client) = self.table.at_mut(connection) {
            self.totals.change(client, |client| write(client.output.end()));
        }
    }

    /// All output has left: a closing one gets its FIN, or its end.
    pub(super) fn flushed(&mut self, context: &mut Context, key: Key) {
        let Some(client) = self.table.get_mut(key) else { return };
        match client.socket.flushed() {
            Flushed::Finish(op) => context.ops.push(op, key),
            Flushed::End => self.end(context, key, CloseReason::Client),
            Flushed::Nothing => {}
        }
    }

    /// The socket took so many bytes of the block: how many there were.
    pub(super) fn took_block(&mut self, connection: u32, taken: usize) -> usize {
        let Some(client) = self.table.at_mut(connection) else { return taken };
        self.totals.change(client, |client| client.output.consume_block(taken))
    }

    /// The socket took so many bytes of the output.
    pub(super) fn took_output(&mut self, connection: u32, taken: usize) {
        if let Some(client) = self.table.at_mut(connection) {
            self.totals.change(client, |client| client.output.consume(taken));
        }
    }

    /// The socket took a part of a frame: the rest is the connection's own from now on.
    pub(super) fn keep_rest(&mut self, connection: u32, rest: &[u8]) {
        if let Some(client) = self.table.at_mut(connection) {
            self.totals.change(client, |client| client.output.keep_rest(rest));
        }
    }

    /// The socket took so many bytes of a large frame.
    pub(super) fn keep_block(&mut self, connection: u32, block: &Arc<Block>, taken: usize) {
        if let Some(client) = self.table.at_mut(connection) {
            self.totals.change(client, |client| client.output.keep_block(block, taken));
        }
    }

    /// The socket took so many bytes of those that it was given.
    pub(super) fn took(&mut self, connection: u32, taken: usize, given: usize) {
        if let Some(client) = self.table.at_mut(connection) {
            client.sent = client.sent.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
            client.socket.took(taken, given);
        }
    }

    /// The socket is full: a poll is armed, and a timer looks whether it moves.
    pub(super) fn block(&mut self, context: &mut Context, connection: u32, took_some: bool) {
        let Some(client) = self.table.at_mut(connection) else { return };
        let (now_ms, timeout_ms) = (context.now.mono_ms(), context.settings.blocked_timeout_ms());
        let (poll, look_ms) = client.socket.full(took_some, now_ms, timeout_ms);
        context.schedule.block(connection);
        if let Some(due_ms) = look_ms {
            context.timers.arm(due_ms, client.key, Timer::Blocked);
        }
        poll.into_iter().for_each(|op: Op| context.ops.push(op, client.key));
    }

    /// Notes from which gap on a connection is to be told; none: it has been told of all. What stood there before.
    pub(super) fn set_untold(&mut self, connection: u32, untold: Option<Untold>) -> Option<Untold> {
        let client = self.table.at_mut(connection)?;
        std::mem::replace(&mut client.untold, untold)
    }

    /// The connection may have been told otherwise of what it holds than it is. False: that was known, or it is closing.
    pub(super) fn owe_status(&mut self, connection: u32) -> bool {
        let Some(client) = self.table.at_mut(connection).filter(|client| client.is_open()) else {
            return false;
        };
        !std::mem::replace(&mut client.owes_status, true)
    }

    /// The connection was told what it was owed of states, if not all; and of all it holds, that it is stale or live.
    pub(super) fn told_status(&mut self, connection: u32, all: bool, stale: Option<bool>) {
        if let Some(client) = self.table.at_mut(connection) {
            client.owes_status = !all;
            client.told_stale = stale.unwrap_or(client.told_stale);
        }
    }
}
