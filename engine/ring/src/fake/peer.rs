//! The far end of a connection, in the hands of a test.

use super::FakeNet;
use super::socket::Shared;
use crate::Errno;

/// The far end of a connection; dropping it closes it, with a RST if it did not read everything.
#[derive(Debug)]
pub struct FakePeer {
    net: FakeNet,
    socket: Shared,
}

impl FakePeer {
    pub(super) const fn new(net: FakeNet, socket: Shared) -> Self {
        Self { net, socket }
    }

    /// Sends bytes to the ring's side. They are lost, and answered by a RST, if that has closed.
    ///
    /// # Panics
    /// After [`FakePeer::half_close`].
    pub fn write(&mut self, bytes: &[u8]) {
        let mut socket = self.socket.borrow_mut();
        assert!(!socket.peer_fin, "a peer writes after its FIN");
        if socket.closed {
            socket.peer_was_reset = true;
        } else if !socket.reset {
            socket.inbound.extend(bytes);
        }
    }

    /// Takes all that has arrived, which makes room for more.
    #[must_use]
    pub fn read(&mut self) -> Vec<u8> {
        self.read_up_to(usize::MAX)
    }

    /// Takes so much of it.
    #[must_use]
    pub fn read_up_to(&mut self, bytes: usize) -> Vec<u8> {
        let mut socket = self.socket.borrow_mut();
        let bytes = bytes.min(socket.arrived.len());
        socket.arrived.drain(..bytes).collect()
    }

    /// Bytes that the ring's side may have in flight or unread; 64 KiB at first. More make a send short, or blocked.
    pub fn set_window(&mut self, bytes: usize) {
        self.socket.borrow_mut().window_bytes = bytes;
    }

    /// Acknowledges nothing more until [`FakePeer::resume`], like a peer behind a dead link: sends fill the window, stay
    /// in the send queue ([`crate::Op::OutQueue`]), and do not arrive.
    pub fn stall(&mut self) {
        self.socket.borrow_mut().stalled = true;
    }

    /// Ends a stall: all arrives.
    pub fn resume(&mut self) {
        let mut socket = self.socket.borrow_mut();
        socket.stalled = false;
        socket.acknowledge();
    }

    /// Sends a RST. What was written before and not received yet may be lost.
    pub fn reset(&mut self) {
        let lost = self.net.chance(500);
        let mut socket = self.socket.borrow_mut();
        socket.peer_gone = true;
        if lost {
            socket.inbound.clear();
        }
        socket.break_down(Errno(libc::ECONNRESET));
    }

    /// Sends a FIN and goes on reading.
    pub fn half_close(&mut self) {
        self.socket.borrow_mut().peer_fin = true;
    }

    /// Whether a FIN arrived and all before it was read.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        let socket = self.socket.borrow();
        socket.fin && !socket.peer_was_reset && socket.arrived.is_empty() && socket.unacknowledged.is_empty()
    }

    /// Whether a RST arrived.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        self.socket.borrow().peer_was_reset
    }

    /// Whether the ring's side has closed the descriptor.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.socket.borrow().closed
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        let mut socket = self.socket.borrow_mut();
        socket.peer_fin = true;
        socket.peer_gone = true;
        let all_read = socket.arrived.is_empty() && socket.unacknowledged.is_empty();
        if !all_read && !socket.reset {
            socket.break_down(Errno(libc::ECONNRESET));
        }
    }
}
