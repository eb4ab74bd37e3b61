//! What the ring reports.

use proto::ws::frame::put_close;
use ring::{Buffer, Completion, Event, Key, Op, ReceiveEnd, Ring};

use super::{
    Shard,
    connection::{Connection, Phase},
    inbound::Stop,
    lifecycle::CloseReason,
};

impl<R: Ring> Shard<R> {
    /// Books one completion and acts on it. One for a place that has been reused is counted and otherwise ignored.
    pub(super) fn handle(&mut self, completion: Completion) {
        let key = completion.key;
        if self.connections.get_mut(key).is_none() {
            self.context.metrics.late_completions.add(1);
            if let Event::Received(buffer) = completion.event {
                self.ring.recycle(buffer);
            }
            return;
        }
        // First the books: what ends the connection because this op has ended finds nothing of it to cancel.
        if !matches!(completion.event, Event::Received(_) | Event::Closed(_)) {
            self.op_done(key);
        }
        match completion.event {
            Event::Received(buffer) => self.received(key, buffer),
            Event::ReceiveEnded(end) => self.receive_ended(key, end),
            Event::Polled(_) => self.polled(key),
            Event::OutQueue(queued) => self.out_queue(key, queued.unwrap_or(u32::MAX)),
            Event::Closed(_) => self.closed(key),
            Event::ShutDown(_) | Event::Cancelled | Event::ResetOnClose(_) | Event::Connected(_) => {}
        }
    }

    /// Queues an op of the connection.
    pub(super) fn push(&mut self, op: Op, key: Key) {
        if let Some(client) = self.connections.get_mut(key) {
            client.ops += 1;
        }
        self.context.ops.push(op, key);
    }

    /// The shard's buffers are all back: receives that ended for want of one, or for no reason of the peer's, go on.
    pub(super) fn rearm_receives(&mut self) {
        for key in std::mem::take(&mut self.rearm) {
            self.receive(key);
        }
    }

    /// Arms the connection's receive, unless it is armed, stopped or past reading.
    pub(super) fn receive(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        if client.receiving || client.inbound.stop().is_some() || client.phase > Phase::Closing {
            return;
        }
        client.receiving = true;
        let slot = client.slot;
        self.push(Op::Receive { slot }, key);
    }

    fn received(&mut self, key: Key, buffer: Buffer) {
        // Client frames are short: copied out, so that the buffer goes back at once and a handler may use the ring.
        let mut bytes = std::mem::take(&mut self.received);
        bytes.clear();
        bytes.extend_from_slice(self.ring.bytes(&buffer));
        self.ring.recycle(buffer);
        self.context.metrics.received_bytes.add(bytes.len() as u64);
        self.hear(key, &mut bytes);
        self.received = bytes;
    }

    /// Appends to the connection's control output and queues it for a flush.
    pub(super) fn control(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        write(client.output.end());
        self.count_held(key);
        self.queue_flush(key.index());
    }

    /// The connection's own output has all left: a closing one gets its FIN, what an open one sent meanwhile goes on.
    pub(super) fn output_left(&mut self, connection: u32) {
        let Some(client) = self.connections.at_mut(connection) else { return };
        let (key, slot) = (client.key, client.slot);
        if client.phase == Phase::Closing && client.peer_finished {
            // Both sides are through: closing the descriptor sends the FIN.
            self.end(key, CloseReason::Client);
        } else if client.phase == Phase::Closing && !client.finished {
            client.finished = true;
            self.push(Op::Shutdown { slot, how: ring::Shutdown::Write }, key);
        } else if client.phase == Phase::Open
            && (client.inbound.stop().is_some() || client.pending.is_some())
            && !self.is_behind(connection)
        {
            self.complete(key);
            self.resume(key, Stop::Unread);
        }
    }

    fn receive_ended(&mut self, key: Key, end: ReceiveEnd) {
        let Some(client) = self.connections.get_mut(key) else { return };
        client.receiving = false;
        match end {
            ReceiveEnd::NoBuffers => {
                self.context.metrics.receive_starved.add(1);
                self.rearm.push(key);
            }
            // Cancelled: by a stop, which `receive` respects, or by the end.
            ReceiveEnd::Rearm | ReceiveEnd::Cancelled => self.rearm.push(key),
            // A FIN right behind a close frame does not cut off the answer to it.
            ReceiveEnd::Eof if client.phase == Phase::Closing && !client.output.is_empty() => {
                client.peer_finished = true;
            }
            ReceiveEnd::Eof if self.finishes_later(key) => {}
            ReceiveEnd::Eof => self.end(key, CloseReason::Client),
            ReceiveEnd::Failed(_) => self.end(key, CloseReason::Failure),
        }
    }

    /// The socket takes bytes again, or has failed: the next send tells.
    fn polled(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        client.polling = false;
        if client.phase <= Phase::Closing {
            self.context.schedule.unblock(key.index());
        }
    }

    /// Writes the close frame. The last of a connection's control output.
    pub(super) fn put_close(client: &mut Connection, code: proto::ws::close::CloseCode, text: &str) {
        put_close(client.output.end(), code, text);
    }
}
