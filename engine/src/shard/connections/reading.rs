//! What is received, and when a client is read.

use proto::ws::{close::CloseCode, decoder::Decoder};
use ring::{Key, ReceiveEnd};

use super::{
    Connections,
    inbound::{Backlog, Stop},
    pending::{ItemState, Pending},
    reason::CloseReason,
};
use crate::{
    config::Service,
    shard::{context::Context, timers::Timer},
};

/// Connections whose backlog is worked off in one turn.
const BACKLOGS_A_TURN: usize = 64;

impl Connections {
    /// Arms the connection's receive, unless it is armed, stopped or past reading.
    pub(in crate::shard) fn receive(&mut self, context: &mut Context, key: Key) {
        let Some(client) = self.table.get_mut(key) else { return };
        if client.inbound.stop().is_none()
            && let Some(op) = client.socket.receive()
        {
            context.ops.push(op, key);
        }
    }

    /// The shard's buffers are all back: receives that ended for want of one, or for no reason of the peer's, go on.
    pub(in crate::shard) fn rearm(&mut self, context: &mut Context) {
        for key in std::mem::take(&mut self.rearm) {
            self.receive(context, key);
        }
    }

    /// The connection's receive has ended.
    pub(in crate::shard) fn receive_ended(&mut self, context: &mut Context, key: Key, end: ReceiveEnd) {
        let Some(client) = self.table.get_mut(key) else { return };
        client.socket.receive_ended();
        match end {
            ReceiveEnd::NoBuffers => {
                context.metrics.receive_starved.add(1);
                self.rearm.push(key);
            }
            // Cancelled: by a stop, which `receive` respects, or by the end.
            ReceiveEnd::Rearm | ReceiveEnd::Cancelled => self.rearm.push(key),
            // A FIN right behind a close frame does not cut off the answer to it.
            ReceiveEnd::Eof if client.socket.peer_finished(!client.output.is_empty()) => {}
            // Behind what still waits, after which it is dealt with.
            ReceiveEnd::Eof if client.is_open() && client.inbound.finish() => self.resume(key, Stop::Tokens),
            ReceiveEnd::Eof => self.end(context, key, CloseReason::Client),
            ReceiveEnd::Failed(_) => self.end(context, key, CloseReason::Failure),
        }
    }

    /// Bytes of a client have come. True: they may be worked off now.
    pub(in crate::shard) fn heard(&mut self, key: Key, bytes: &[u8]) -> bool {
        let Some(client) = self.table.get_mut(key) else { return false };
        client.heard = true;
        // What is received of a closing connection is dropped.
        if !client.is_open() {
            return false;
        }
        if client.inbound.stop().is_none() {
            return true;
        }
        self.totals.change(client, |client| client.inbound.append(bytes));
        false
    }

    /// What a client has sent, to be worked off; it is put back by [`Self::put_back`].
    pub(in crate::shard) fn take_input(&mut self, key: Key) -> Option<(Decoder, Option<Box<Backlog>>)> {
        Some(self.table.get_mut(key)?.inbound.take())
    }

    /// What is left, and why it is not gone on with.
    pub(in crate::shard) fn put_back(
        &mut self,
        context: &mut Context,
        key: Key,
        decoder: Decoder,
        backlog: Option<Box<Backlog>>,
        stop: Option<Stop>,
    ) {
        // The close has let go of all there was.
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else { return };
        self.totals.change(client, |client| client.inbound.put_back(decoder, backlog));
        let Some(stop) = stop else { return };
        client.inbound.set_stop(Some(stop));
        match stop {
            Stop::Answer | Stop::Unread => {}
            Stop::Tokens => {
                let wait_ms = client.inbound.wait_ms(&context.settings.limits);
                context.timers.arm(context.now.mono_ms() + wait_ms, key, Timer::Tokens);
            }
            Stop::Turn => self.backlogs.push_back(key),
        }
        client.socket.pause().into_iter().for_each(|op| context.ops.push(op, key));
    }

    /// A frame or a further request of the client may be worked off now; else why not: none if it does not serve any more.
    pub(in crate::shard) fn next_frame(
        &mut self,
        context: &Context,
        key: Key,
        unread: bool,
    ) -> Result<(), Option<Stop>> {
        let Some(client) = self.table.get_mut(key).filter(|client| client.is_open()) else {
            return Err(None);
        };
        let limits = Some(&context.settings.limits).filter(|_| context.settings.service != Service::Echo);
        let stop = client.inbound.next_frame(unread, context.turn, limits, context.now.mono_ms());
        stop.map_or(Ok(()), |stop| Err(Some(stop)))
    }

    /// Takes tokens for what the client sent.
    pub(in crate::shard) fn spend(&mut self, key: Key, tokens: usize) {
        if let Some(client) = self.table.get_mut(key) {
            client.inbound.spend(tokens);
        }
    }

    /// So many bytes of the client were decoded.
    pub(in crate::shard) fn spend_bytes(&mut self, key: Key, bytes: usize) {
        if let Some(client) = self.table.get_mut(key) {
            client.inbound.spend_bytes(bytes);
        }
    }

    /// What the client was stopped for is over: it goes on with the next turn.
    pub(in crate::shard) fn resume(&mut self, key: Key, stopped: Stop) {
        let Some(client) = self.table.get_mut(key) else { return };
        if client.inbound.stop() == Some(stopped) {
            client.inbound.set_stop(Some(Stop::Turn));
            self.backlogs.push_back(key);
        }
    }

    /// Some client goes on in the next turn.
    pub(in crate::shard) fn has_backlogs(&self) -> bool {
        !self.backlogs.is_empty()
    }

    /// How many backlogs are worked off in this turn.
    pub(in crate::shard) fn backlogs_of_turn(&self) -> usize {
        self.backlogs.len().min(BACKLOGS_A_TURN)
    }

    /// The next place in the queue of backlogs, and who goes on with what it sent; nobody: it is gone, or stopped anew.
    pub(in crate::shard) fn next_backlog(&mut self) -> Option<Key> {
        let key = self.backlogs.pop_front()?;
        let client = self.table.get_mut(key).filter(|client| client.is_open())?;
        if client.inbound.stop() != Some(Stop::Turn) {
            return None;
        }
        client.inbound.set_stop(None);
        Some(key)
    }

    /// A backlog was worked off: if nothing of it is left, the client is read again, or has come to its end.
    pub(in crate::shard) fn worked_off(&mut self, context: &mut Context, key: Key) {
        let Some(client) = self.open(key).filter(|client| client.stop().is_none()) else { return };
        if client.inbound.is_finished() {
            self.end(context, key, CloseReason::Client);
        } else {
            self.receive(context, key);
        }
    }

    /// A request waits for ingest.
    pub(in crate::shard) fn wait_for_answers(&mut self, key: Key, pending: Pending) {
        if let Some(client) = self.table.get_mut(key) {
            self.totals.change(client, |client| *client.inbound.pending_mut() = Some(Box::new(pending)));
        }
    }

    /// Ingest has answered for a name that the client's request waits for: whether for the last; none: it does not.
    pub(in crate::shard) fn answer(&mut self, key: Key, name: &str, state: ItemState) -> Option<bool> {
        self.table.get_mut(key)?.inbound.pending_mut().as_mut()?.answer(name, state)
    }

    /// The client's request, if all answers are there.
    pub(in crate::shard) fn take_complete(&mut self, key: Key) -> Option<Box<Pending>> {
        let client = self.table.get_mut(key)?;
        client.pending().filter(|pending| pending.is_complete())?;
        self.totals.change(client, |client| client.inbound.pending_mut().take())
    }

    /// A request has failed. Too many within a minute close the connection.
    pub(in crate::shard) fn request_failed(&mut self, context: &mut Context, key: Key) {
        context.metrics.failed_requests.add(1);
        let (most, now_ms) = (context.settings.limits.failed_requests_per_minute, context.now.mono_ms());
        let Some(client) = self.table.get_mut(key) else { return };
        if client.inbound.fail(most, now_ms) {
            self.close(context, key, CloseCode::POLICY, "too many failed requests", CloseReason::Policy);
        }
    }
}
