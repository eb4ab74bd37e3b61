//! The suite on the fake, undisturbed and by a few seeds with disturbances.

use std::net::SocketAddr;

use ring::Setup;
use ring::fake::{Disturbances, FakeDescriptor, FakeNet, FakePeer, FakeRing};

use crate::harness::{Peer, World};

pub(crate) struct Fake {
    net: FakeNet,
    disturbances: Disturbances,
}

impl Fake {
    pub(crate) fn new(seed: u64, disturbances: Disturbances) -> Self {
        Self { net: FakeNet::new(seed, disturbances), disturbances }
    }
}

impl World for Fake {
    type Ring = FakeRing;
    type Peer = FakePeer;

    fn ring(&self, setup: &Setup) -> FakeRing {
        self.net.ring(setup)
    }

    fn connect(&self) -> (FakeDescriptor, FakePeer) {
        self.net.connect()
    }

    fn socket(&self) -> FakeDescriptor {
        self.net.socket()
    }

    fn listen(&self, dial: impl FnOnce(SocketAddr)) -> FakePeer {
        let addr = SocketAddr::from(([10, 0, 0, 1], 80));
        let mut listener = self.net.listen(addr);
        dial(addr);
        listener.accept().unwrap()
    }

    fn nobody(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 2], 80))
    }

    fn is_disturbed(&self) -> bool {
        self.disturbances != Disturbances::NONE
    }
}

impl Peer for FakePeer {
    fn write(&mut self, bytes: &[u8]) {
        Self::write(self, bytes);
    }

    fn read_exactly(&mut self, bytes: usize) -> Vec<u8> {
        let read = self.read_up_to(bytes);
        assert_eq!(read.len(), bytes, "all that was sent has arrived");
        read
    }

    fn half_close(&mut self) {
        Self::half_close(self);
    }

    fn reset(mut self) {
        Self::reset(&mut self);
    }

    fn ends_with_fin(&mut self) -> bool {
        assert!(self.has_fin() || self.was_reset());
        self.has_fin()
    }
}

mod undisturbed {
    use super::{Disturbances, Fake};

    crate::suite::contract!(Fake::new(1, Disturbances::NONE));
}

mod disturbed {
    use super::{Disturbances, Fake};

    crate::suite::contract!(Fake::new(2, Disturbances::SOME));
}

mod much_disturbed {
    use super::{Disturbances, Fake};

    crate::suite::contract!(Fake::new(3, Disturbances::MANY));
}
