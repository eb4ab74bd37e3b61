//! The supervisor's inbox and who writes to it.

use std::{net::SocketAddr, time::Duration};

use super::notice::Notice;

/// What the supervisor tells the handle.
#[derive(Debug)]
pub(super) enum Event {
    Listening(Addresses),
    Ready,
}

/// Where the server listens; ports that were 0 are known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Clients.
    pub public: SocketAddr,
    /// /health, /metrics and /explain.
    pub admin: Option<SocketAddr>,
}

/// What an orderly run has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Connections handed to shards.
    pub connections: u64,
    /// Messages accepted by sockets.
    pub deliveries: u64,
    /// From start to the begin of the drain, ms.
    pub served_ms: u64,
    /// The drain, ms.
    pub drained_ms: u64,
}

/// The supervisor's end; made by [`control`], used by [`super::run`].
#[derive(Debug)]
pub struct Control {
    inbox: flume::Receiver<Notice>,
    sender: flume::Sender<Notice>,
    events: flume::Sender<Event>,
}

/// The caller's end. Dropping it does not end the server.
#[derive(Debug, Clone)]
pub struct Handle {
    sender: flume::Sender<Notice>,
    events: flume::Receiver<Event>,
}

/// Both ends.
#[must_use]
pub fn control() -> (Control, Handle) {
    // Unbounded, for its senders are few and rare: each thread once, and the operator.
    let (sender, inbox) = flume::unbounded();
    let (tell, events) = flume::unbounded();
    (Control { inbox, sender: sender.clone(), events: tell }, Handle { sender, events })
}

impl Control {
    pub(super) fn sender(&self) -> flume::Sender<Notice> {
        self.sender.clone()
    }

    /// The next notice; waits for ever without a limit.
    pub(super) fn next(&self, limit: Option<Duration>) -> Option<Notice> {
        match limit {
            Some(limit) => self.inbox.recv_timeout(limit).ok(),
            None => self.inbox.recv().ok(),
        }
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}

impl Handle {
    /// Ends the server in order: see `docs/DESIGN.md`, drain.
    pub fn drain(&self) {
        let _ = self.sender.send(Notice::Drain);
    }

    /// Ends it at once: connections are closed without notice. Cuts a drain short, too.
    pub fn stop(&self) {
        let _ = self.sender.send(Notice::Stop);
    }

    /// Waits until the server listens. `None`: not in time, or it could not start.
    #[must_use]
    pub fn addresses(&self, limit: Duration) -> Option<Addresses> {
        match self.events.recv_timeout(limit).ok()? {
            Event::Listening(addresses) => Some(addresses),
            Event::Ready => None,
        }
    }

    /// Waits until clients are let in; after [`Self::addresses`].
    #[must_use]
    pub fn is_ready_within(&self, limit: Duration) -> bool {
        matches!(self.events.recv_timeout(limit), Ok(Event::Ready))
    }
}
