//! The network: chance, and who listens where.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use super::peer::FakePeer;
use super::rng::Rng;
use super::socket::{Shared, Socket};
use super::{Disturbances, FakeRing};
use crate::{Errno, Setup};

/// A network in memory; clones are the same network. It belongs to one thread, only wakers may leave it.
#[derive(Clone, Debug)]
pub struct FakeNet(Rc<RefCell<Net>>);

#[derive(Debug)]
struct Net {
    rng: Rng,
    disturbances: Disturbances,
    listeners: BTreeMap<SocketAddr, VecDeque<Shared>>,
}

impl FakeNet {
    /// A network whose rings behave by `seed`.
    #[must_use]
    pub fn new(seed: u64, disturbances: Disturbances) -> Self {
        let net = Net { rng: Rng::new(seed), disturbances, listeners: BTreeMap::new() };
        Self(Rc::new(RefCell::new(net)))
    }

    /// From now on.
    pub fn set_disturbances(&self, disturbances: Disturbances) {
        self.0.borrow_mut().disturbances = disturbances;
    }

    /// A ring in this network.
    ///
    /// # Panics
    /// If a number of `setup` is out of the range that [`Setup`] gives.
    #[must_use]
    pub fn ring(&self, setup: &Setup) -> FakeRing {
        FakeRing::new(self.clone(), setup)
    }

    /// A connected pair: one end to install in a ring, the other driven by the test.
    #[must_use]
    pub fn connect(&self) -> (FakeDescriptor, FakePeer) {
        let socket = Socket::shared(true);
        (FakeDescriptor::new(Rc::clone(&socket)), FakePeer::new(self.clone(), socket))
    }

    /// An unconnected socket, for [`crate::Op::Connect`].
    #[must_use]
    pub fn socket(&self) -> FakeDescriptor {
        FakeDescriptor::new(Socket::shared(false))
    }

    /// Accepts connects to `addr` until the listener is dropped.
    ///
    /// # Panics
    /// If somebody listens there.
    #[must_use]
    pub fn listen(&self, addr: SocketAddr) -> FakeListener {
        let before = self.0.borrow_mut().listeners.insert(addr, VecDeque::new());
        assert!(before.is_none(), "two listeners at {addr}");
        FakeListener { net: self.clone(), addr }
    }

    pub(super) fn disturbances(&self) -> Disturbances {
        self.0.borrow().disturbances
    }

    pub(super) fn chance(&self, thousandths: u32) -> bool {
        self.0.borrow_mut().rng.chance(thousandths)
    }

    pub(super) fn up_to(&self, max: usize) -> usize {
        self.0.borrow_mut().rng.up_to(max)
    }

    pub(super) fn dial(&self, socket: &Shared, addr: SocketAddr) -> Result<(), Errno> {
        if socket.borrow().connected {
            return Err(Errno(libc::EISCONN));
        }
        let mut net = self.0.borrow_mut();
        let backlog = net.listeners.get_mut(&addr).ok_or(Errno(libc::ECONNREFUSED))?;
        socket.borrow_mut().connected = true;
        backlog.push_back(Rc::clone(socket));
        Ok(())
    }
}

/// A socket that is not installed yet; dropping it closes it.
#[derive(Debug)]
pub struct FakeDescriptor {
    socket: Option<Shared>,
}

impl FakeDescriptor {
    fn new(socket: Shared) -> Self {
        Self { socket: Some(socket) }
    }

    /// The ring's from here on.
    pub(super) fn into_socket(mut self) -> Shared {
        self.socket.take().unwrap_or_else(|| unreachable!("taken once, here"))
    }
}

impl Drop for FakeDescriptor {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            socket.borrow_mut().close();
        }
    }
}

/// Where connects arrive.
#[derive(Debug)]
pub struct FakeListener {
    net: FakeNet,
    addr: SocketAddr,
}

impl FakeListener {
    /// The next peer that connected.
    pub fn accept(&mut self) -> Option<FakePeer> {
        let socket = self.net.0.borrow_mut().listeners.get_mut(&self.addr)?.pop_front()?;
        Some(FakePeer::new(self.net.clone(), socket))
    }
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        let backlog = self.net.0.borrow_mut().listeners.remove(&self.addr).unwrap_or_default();
        for socket in backlog {
            socket.borrow_mut().break_down(Errno(libc::ECONNRESET));
        }
    }
}
