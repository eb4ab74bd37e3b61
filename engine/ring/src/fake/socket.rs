//! One connection: what lies between the ring's side and the peer's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::{Errno, Outcome, Shutdown};

pub(super) type Shared = Rc<RefCell<Socket>>;

/// As much as a socket with TCP_NOTSENT_LOWAT at 64 KiB takes from us.
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) connected: bool,
    /// From the peer, not received yet.
    pub(super) inbound: VecDeque<u8>,
    /// The peer sends no more.
    pub(super) peer_fin: bool,
    /// The peer reads no more: its descriptor is closed.
    pub(super) peer_gone: bool,
    /// The connection is dead.
    pub(super) reset: bool,
    /// What the next call on our side will be told, once.
    pub(super) error: Option<Errno>,
    /// Sent by us, not acknowledged: SIOCOUTQ.
    pub(super) unacknowledged: VecDeque<u8>,
    /// With the peer, not read yet.
    pub(super) arrived: VecDeque<u8>,
    /// Bytes in flight or unread that the peer's and our side hold together.
    pub(super) window_bytes: usize,
    pub(super) stalled: bool,
    /// We send no more.
    pub(super) fin: bool,
    /// We receive no more.
    read_shut: bool,
    /// Our descriptor is closed.
    pub(super) closed: bool,
    /// Our close is a RST.
    pub(super) reset_on_close: bool,
    /// The peer was sent a RST.
    pub(super) peer_was_reset: bool,
}

/// What a receive finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Bytes,
    Eof,
    Failed(Errno),
}

impl Socket {
    pub(super) fn shared(connected: bool) -> Shared {
        Rc::new(RefCell::new(Self {
            connected,
            inbound: VecDeque::new(),
            peer_fin: false,
            peer_gone: false,
            reset: false,
            error: None,
            unacknowledged: VecDeque::new(),
            arrived: VecDeque::new(),
            window_bytes: WINDOW_BYTES,
            stalled: false,
            fin: false,
            read_shut: false,
            closed: false,
            reset_on_close: false,
            peer_was_reset: false,
        }))
    }

    fn room(&self) -> usize {
        self.window_bytes.saturating_sub(self.unacknowledged.len() + self.arrived.len())
    }

    /// How many of `wanted` bytes fit; the error if the connection is broken.
    pub(super) fn may_send(&mut self, wanted: usize) -> Result<usize, Errno> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if !self.connected || self.fin || self.reset {
            return Err(Errno(libc::EPIPE));
        }
        Ok(wanted.min(self.room()))
    }

    /// Takes bytes for which there is room.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Outcome {
        debug_assert!(bytes.len() <= self.room());
        if self.peer_gone {
            // The kernel takes them, and is answered with a RST.
            self.break_down(Errno(libc::EPIPE));
        } else if self.stalled {
            self.unacknowledged.extend(bytes);
        } else {
            self.arrived.extend(bytes);
        }
        Outcome::Sent(bytes.len())
    }

    pub(super) fn is_writable(&self) -> bool {
        !self.connected || self.error.is_some() || self.fin || self.reset || self.room() > 0
    }

    pub(super) fn find(&self) -> Found {
        if !self.inbound.is_empty() {
            Found::Bytes
        } else if let Some(error) = self.error {
            Found::Failed(error)
        } else if !self.connected {
            Found::Failed(Errno(libc::ENOTCONN))
        } else if self.peer_fin || self.reset || self.read_shut {
            Found::Eof
        } else {
            Found::Nothing
        }
    }

    pub(super) fn shut_down(&mut self, how: Shutdown) -> Result<(), Errno> {
        if !self.connected || self.reset {
            return Err(Errno(libc::ENOTCONN));
        }
        self.read_shut |= how != Shutdown::Write;
        self.fin |= how != Shutdown::Read;
        Ok(())
    }

    /// Our descriptor is closed. Bytes that were not received make it a RST, and so does the wish for one; that drops
    /// what has not arrived.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.fin = true;
        if !self.inbound.is_empty() || self.reset_on_close {
            self.inbound.clear();
            self.unacknowledged.clear();
            self.peer_was_reset = true;
        }
    }

    /// A RST came.
    pub(super) fn break_down(&mut self, error: Errno) {
        self.reset = true;
        self.error = Some(error);
        self.unacknowledged.clear();
    }

    /// A stall is over, all arrives.
    pub(super) fn acknowledge(&mut self) {
        self.arrived.append(&mut self.unacknowledged);
    }
}
