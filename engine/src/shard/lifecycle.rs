//! How connections begin and end.
//!
//! The end has an order (tried: closing a direct descriptor under an armed multishot receive sends no FIN and goes on
//! delivering): the close frame is flushed, the FIN sent, the peer's end awaited for a bounded time; then whatever is in
//! flight is cancelled, the last completion awaited, the descriptor closed, and only then the place is free.
//!
//! Who does not take what it was sent is reset instead: after a plain close the kernel would go on holding its send
//! queue and offering it, for nobody.

use std::sync::atomic::Ordering;

use proto::{native::reply, ws::close::CloseCode};
use ring::{Armed, Key, Op, Ring};

use super::{
    Shard, Timer,
    connection::{Connection, Output, Phase},
    inbound::{Bucket, Inbound},
};
use crate::{
    config::{Keepalive, Service},
    inbox::Handover,
};

/// Time for the peer to answer a close, ms.
const CLOSE_MS: u64 = 2_000;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The client closed or went away.
    Client,
    /// The socket failed.
    Failure,
    /// It broke the WebSocket protocol.
    Violation,
    /// Flood, or too many failed requests.
    Policy,
    /// Its socket took nothing for too long.
    Blocked,
    /// No sign of life.
    Silence,
    /// We are draining.
    Drain,
}

/// The shard's own end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Drain {
    /// Not draining.
    No,
    /// Connections are closed one after the other over a time.
    Yes {
        since_ms: u64,
        jitter_ms: u64,
        /// Places below this one have been closed.
        next: u32,
        places: u32,
    },
    /// End at once.
    Stop,
}

impl<R: Ring> Shard<R> {
    /// A connection arrives from the accept ring.
    pub(super) fn begin(&mut self, handover: Handover<R::Descriptor>) {
        let slot = match self.ring.install(handover.descriptor) {
            Ok(slot) => slot,
            Err((_, error)) => {
                // The capacity is checked against the table's size at start; the kernel may refuse all the same.
                tracing::warn!(shard = self.context.shard, %error, "failed to register connection");
                self.context.metrics.closed_by_failure.add(1);
                return;
            }
        };
        let now_ms = self.context.now.mono_ms();
        let burst = self.context.settings.limits.request_burst;
        let key = self.connections.insert(|key| Connection {
            key,
            slot,
            phase: Phase::Open,
            ops: 0,
            receiving: false,
            polling: false,
            finished: false,
            peer_finished: false,
            stalled: false,
            took_ms: 0,
            blocked_timer: false,
            sent: 0,
            heard: false,
            owes_status: false,
            told_stale: false,
            untold: None,
            inbound: Inbound::default(),
            counted: 0,
            output: Output::default(),
            partial: 0,
            requests: Bucket::full(burst, now_ms),
            failed: (0, now_ms),
            pending: None,
            _reservation: handover.reservation,
        });
        self.assert_unattached(key.index());
        self.receive(key);
        if self.context.settings.keepalive == Keepalive::WebSocket {
            self.arm_keepalive(key);
        }
        if handover.welcome && self.context.settings.service == Service::Channels {
            self.welcome(key, handover.id);
        }
        self.greet_with_status(key);
        let mut leftover = handover.leftover;
        self.hear(key, &mut leftover);
        if !matches!(self.drain, Drain::No) {
            self.close(key, CloseCode::GOING_AWAY, "draining", CloseReason::Drain);
        }
    }

    fn welcome(&mut self, key: Key, id: u64) {
        let limits = &self.context.settings.limits;
        let shown = [
            ("channels", limits.channels_per_connection as u64),
            ("channels_per_request", limits.channels_per_request as u64),
            ("channel_name_bytes", limits.channel_name_bytes as u64),
            ("request_bytes", limits.client_message_bytes as u64),
            ("message_bytes", limits.server_message_bytes() as u64),
            ("request_burst", u64::from(limits.request_burst)),
            ("requests_per_second", u64::from(limits.requests_per_second)),
        ];
        let (ping_interval_ms, connection) = (self.context.settings.ping_interval_ms, format!("{id:x}"));
        self.control(key, |out| {
            let connection = connection.as_str();
            reply::welcome(out, &reply::Welcome { connection, ping_interval_ms, limits: &shown });
        });
    }

    /// Closes an open connection: what it is owed is dropped, its control output and a close frame still leave.
    pub(super) fn close(&mut self, key: Key, code: CloseCode, text: &str, reason: CloseReason) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        client.phase = Phase::Closing;
        Self::put_close(client, code, text);
        // Nothing may stand behind the close.
        client.owes_status = false;
        // What the peer sends from now on is read and dropped: unread bytes would turn our close into a reset.
        client.inbound = Inbound::default();
        self.count(reason);
        self.leave_channels(key);
        self.count_held(key);
        self.receive(key);
        self.context.timers.arm(self.context.now.mono_ms() + CLOSE_MS, key, Timer::Close);
        self.queue_flush(key.index());
    }

    /// The socket failed under a send.
    pub(super) fn fail(&mut self, connection: u32) {
        if let Some(client) = self.connections.at(connection) {
            let key = client.key;
            self.end(key, CloseReason::Failure);
        }
    }

    /// The time for the peer's answer to a close is over. If our close frame could not even leave, the socket is still
    /// full.
    pub(super) fn close_over(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        let reason = if client.output.is_empty() { CloseReason::Client } else { CloseReason::Blocked };
        self.end(key, reason);
    }

    /// Ends a connection without further ado: nothing more is sent. Who is blocked is reset.
    pub(super) fn end(&mut self, key: Key, reason: CloseReason) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase < Phase::Ending) else {
            return;
        };
        let was_open = client.phase == Phase::Open;
        client.phase = Phase::Ending;
        self.partial_bytes -= client.partial_bytes();
        client.partial = 0;
        self.block_holders -= usize::from(client.output.block.is_some());
        client.output = Output::default();
        client.inbound = Inbound::default();
        let (slot, ops) = (client.slot, client.ops);
        let (receiving, polling) = (client.receiving, client.polling);
        if was_open {
            self.count(reason);
        }
        self.leave_channels(key);
        self.count_held(key);
        self.context.schedule.forget(key.index());
        let reset = reason == CloseReason::Blocked;
        if reset {
            self.push(Op::ResetOnClose { slot }, key);
        }
        if receiving {
            self.push(Op::Cancel { slot, armed: Armed::Receive }, key);
        }
        if polling {
            self.push(Op::Cancel { slot, armed: Armed::Poll }, key);
        }
        if ops == 0 && !reset {
            self.close_descriptor(key);
        }
    }

    /// An op of the connection has completed for good.
    pub(super) fn op_done(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        client.ops -= 1;
        if client.ops == 0 && client.phase == Phase::Ending {
            self.close_descriptor(key);
        }
    }

    fn close_descriptor(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        client.phase = Phase::Closed;
        let slot = client.slot;
        self.push(Op::Close { slot }, key);
    }

    /// The descriptor is closed: the place is free, the reservation goes back.
    pub(super) fn closed(&mut self, key: Key) {
        self.connections.remove(key);
    }

    /// A place is handed out with nothing attached: what stayed with it would be its next client's, who never asked for
    /// it. Better no server than one that tells people what is not theirs.
    fn assert_unattached(&self, connection: u32) {
        assert_eq!(self.subscriptions.count(connection), 0, "place {connection} holds subscriptions");
        assert!(!self.subscriptions.owes(connection), "place {connection} owes");
        assert!(!self.subscriptions.lags(connection), "place {connection} lags");
        assert!(
            self.context.schedule.is_unknown(connection),
            "place {connection} is in a queue or in a list"
        );
    }

    /// Ends all that the connection holds or waits for.
    fn leave_channels(&mut self, key: Key) {
        self.drop_pending(key);
        if let Some(client) = self.connections.get_mut(key) {
            client.untold = None;
        }
        let mut left = Vec::new();
        self.subscriptions.remove_all(key.index(), |channel| left.push(channel));
        left.into_iter().for_each(|channel| self.give_back_if_unused(channel));
    }

    fn count(&self, reason: CloseReason) {
        let metrics = &self.context.metrics;
        match reason {
            CloseReason::Client => &metrics.closed_by_client,
            CloseReason::Failure => &metrics.closed_by_failure,
            CloseReason::Violation => &metrics.closed_by_violation,
            CloseReason::Policy => &metrics.closed_by_policy,
            CloseReason::Blocked => &metrics.closed_by_blocked,
            CloseReason::Silence => &metrics.closed_by_silence,
            CloseReason::Drain => &metrics.closed_by_drain,
        }
        .add(1);
    }

    /// Begins the drain: from now on connections are closed one after the other.
    pub(super) fn begin_drain(&mut self, jitter_ms: u64) {
        let places = u32::try_from(self.connections.places()).unwrap_or(u32::MAX);
        self.drain = Drain::Yes { since_ms: self.context.now.mono_ms(), jitter_ms, next: 0, places };
    }

    /// Ends at once.
    pub(super) fn stop(&mut self) {
        self.drain = Drain::Stop;
        for connection in 0..u32::try_from(self.connections.places()).unwrap_or(u32::MAX) {
            if let Some(client) = self.connections.at(connection) {
                let key = client.key;
                self.end(key, CloseReason::Drain);
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        !matches!(self.drain, Drain::No)
    }

    /// Closes the part of the connections whose time in the drain has come.
    pub(super) fn drain_some(&mut self) {
        let Drain::Yes { since_ms, jitter_ms, next, places } = self.drain else { return };
        let elapsed_ms = self.context.now.mono_ms().saturating_sub(since_ms);
        let due = if elapsed_ms >= jitter_ms {
            u64::from(places)
        } else {
            u64::from(places) * elapsed_ms / jitter_ms
        };
        let due = u32::try_from(due).unwrap_or(places);
        for connection in next..due {
            if let Some(client) = self.connections.at(connection) {
                let key = client.key;
                self.close(key, CloseCode::GOING_AWAY, "draining", CloseReason::Drain);
            }
        }
        self.drain = Drain::Yes { since_ms, jitter_ms, next: next.max(due), places };
    }

    /// Drained: nobody is here, and nobody is on the way.
    pub(super) fn has_ended(&self) -> bool {
        self.is_draining()
            && self.connections.len() == 0
            && self.inbox.is_empty()
            && self.outgoing.is_empty()
            // A stop does not wait for who is on the way: the accept ring finds the inbox gone and says goodbye itself.
            && (matches!(self.drain, Drain::Stop)
                || self.load.load(Ordering::Acquire) == 0 && !self.waits_for_ingest())
    }

    /// A lookup is open: the number it will be answered with would be held for ever by a shard that has ended.
    fn waits_for_ingest(&self) -> bool {
        self.names.waits() && !self.ingest.inbox.is_disconnected()
    }
}
