//! A ring and a network in memory: seeded, deterministic, stricter than the kernel.

use std::net::SocketAddr;

use crate::{
    Buffer, Completion, EnterError, Held, InstallError, Key, Op, Outcome, Ring, Send, Setup, Slot, Wait,
    Waker,
};

/// How often things go differently than hoped, each in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbances {
    /// A send takes only a part.
    pub short_send: u32,
    /// A receive finds no buffer though there are some.
    pub no_buffers: u32,
    /// A receive ends without a reason.
    pub rearm: u32,
    /// A push is refused.
    pub push_refused: u32,
    /// A receive gets only a part of what is there.
    pub short_receive: u32,
    /// A completion comes late.
    pub late: u32,
    /// By so many enters at most.
    pub late_enters_max: u32,
}

impl Disturbances {
    /// None: everything happens at the next enter and in order.
    pub const NONE: Self = Self {
        short_send: 0,
        no_buffers: 0,
        rearm: 0,
        push_refused: 0,
        short_receive: 0,
        late: 0,
        late_enters_max: 0,
    };
    /// All of them, now and then.
    pub const SOME: Self = Self {
        short_send: 100,
        no_buffers: 20,
        rearm: 50,
        push_refused: 20,
        short_receive: 200,
        late: 200,
        late_enters_max: 3,
    };
}

/// A network in memory; clones are the same network.
#[derive(Clone, Debug)]
pub struct FakeNet(());

impl FakeNet {
    /// A network whose rings behave by `seed`.
    #[must_use]
    pub fn new(_seed: u64, _disturbances: Disturbances) -> Self {
        todo!()
    }
    /// A ring in this network.
    #[must_use]
    pub fn ring(&self, _setup: &Setup) -> FakeRing {
        todo!()
    }
    /// A connected pair: one end to install in a ring, the other driven by the test.
    #[must_use]
    pub fn connect(&self) -> (FakeDescriptor, FakePeer) {
        todo!()
    }
    /// An unconnected socket, for [`Op::Connect`].
    #[must_use]
    pub fn socket(&self) -> FakeDescriptor {
        todo!()
    }
    /// Accepts connects to `addr`.
    #[must_use]
    pub fn listen(&self, _addr: SocketAddr) -> FakeListener {
        todo!()
    }
}

/// A socket that is not installed yet; dropping it closes it.
#[derive(Debug)]
pub struct FakeDescriptor(());

/// Where connects arrive.
#[derive(Debug)]
pub struct FakeListener(());

impl FakeListener {
    /// The next peer that connected.
    pub fn accept(&mut self) -> Option<FakePeer> {
        todo!()
    }
}

/// The far end of a connection; dropping it closes it.
#[derive(Debug)]
pub struct FakePeer(());

impl FakePeer {
    /// Sends bytes to the ring's side.
    pub fn write(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// Takes all that has arrived.
    #[must_use]
    pub fn read(&mut self) -> Vec<u8> {
        todo!()
    }
    /// Bytes in flight that this side takes until it reads.
    pub fn set_window(&mut self, _bytes: usize) {
        todo!()
    }
    /// Acknowledges nothing more until [`FakePeer::resume`].
    pub fn stall(&mut self) {
        todo!()
    }
    /// Ends a stall.
    pub fn resume(&mut self) {
        todo!()
    }
    /// Sends a RST.
    pub fn reset(&mut self) {
        todo!()
    }
    /// Sends a FIN and goes on reading.
    pub fn half_close(&mut self) {
        todo!()
    }
    /// Whether a FIN arrived and all before it was read.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        todo!()
    }
    /// Whether a RST arrived.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        todo!()
    }
    /// Whether the ring's side has closed the descriptor.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}

/// The fake's ring.
#[derive(Debug)]
pub struct FakeRing(());

impl Ring for FakeRing {
    type Descriptor = FakeDescriptor;

    fn install(&mut self, _descriptor: FakeDescriptor) -> Result<Slot, (FakeDescriptor, InstallError)> {
        todo!()
    }
    fn push(&mut self, _op: Op, _key: Key) -> Result<(), Op> {
        todo!()
    }
    fn send(&mut self, _batch: &[Send<'_>], _outcomes: &mut Vec<Outcome>) {
        todo!()
    }
    fn enter(&mut self, _wait: Wait, _out: &mut Vec<Completion>) -> Result<(), EnterError> {
        todo!()
    }
    fn bytes<'r>(&'r mut self, _buffer: &'r Buffer) -> &'r mut [u8] {
        todo!()
    }
    fn recycle(&mut self, _buffer: Buffer) {
        todo!()
    }
    fn waker(&self) -> Waker {
        todo!()
    }
    fn held(&self) -> Held {
        todo!()
    }
}
