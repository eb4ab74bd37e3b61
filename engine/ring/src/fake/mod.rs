//! A ring and a network in memory: seeded, deterministic, and stricter than the kernel.
//!
//! The same seed and the same calls give the same run. Time does not pass: an enter that may wait returns at once, with
//! what the wait would have ended with, or with nothing if only a peer or a waker could end it.
//!
//! Like the kernel's ring it panics on a broken promise: two receives or two polls on a slot, any use of a slot that is
//! closed or closing, a close with ops in flight, a buffer recycled that the caller does not have. It is stricter: an
//! op counts as in flight until its last completion was *delivered*. And by its seed it does what the kernel may do but
//! seldom does ([`Disturbances`]).
//!
//! ```
//! use ring::fake::{Disturbances, FakeNet};
//! use ring::{Event, Key, Op, Outcome, Ring, Send, Setup, Wait};
//!
//! let net = FakeNet::new(7, Disturbances::NONE);
//! let mut ring = net.ring(&Setup::default());
//! let (descriptor, mut peer) = net.connect();
//! let slot = ring.install(descriptor).map_err(|(_, error)| error)?;
//! let key = Key::new(1, 1);
//! ring.push(Op::Receive { slot }, key).map_err(|_| "full")?;
//! peer.write(b"hello");
//!
//! let mut completions = Vec::new();
//! ring.enter(Wait::No, &mut completions)?;
//! let Some(Event::Received(buffer)) = completions.pop().map(|c| c.event) else { panic!() };
//! assert_eq!(ring.bytes(&buffer), b"hello");
//! ring.recycle(buffer);
//!
//! let mut outcomes = Vec::new();
//! ring.send(&[Send { slot, bytes: b"hi" }], &mut outcomes);
//! assert_eq!(outcomes, [Outcome::Sent(2)]);
//! assert_eq!(peer.read(), b"hi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod net;
mod peer;
mod ring;
mod rng;
mod socket;

pub use self::net::{FakeDescriptor, FakeListener, FakeNet};
pub use self::peer::FakePeer;
pub use self::ring::FakeRing;

/// How often things go differently than hoped, each in thousandths of the chances to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbances {
    /// A send takes only a part, though there is room.
    pub short_send: u32,
    /// A receive gets only a part of what is there.
    pub short_receive: u32,
    /// A receive finds no buffer though there are some.
    pub no_buffers: u32,
    /// A receive ends though nothing is wrong.
    pub rearm: u32,
    /// A push is refused; never twice in a row.
    pub push_refused: u32,
    /// A completion comes late, and so later than completions of other ops that happened after it.
    pub late: u32,
    /// By so many enters at most.
    pub late_enters_max: u32,
}

impl Disturbances {
    /// None: everything happens at the next enter and in order.
    pub const NONE: Self = Self {
        short_send: 0,
        short_receive: 0,
        no_buffers: 0,
        rearm: 0,
        push_refused: 0,
        late: 0,
        late_enters_max: 0,
    };
    /// All of them, now and then.
    pub const SOME: Self = Self {
        short_send: 100,
        short_receive: 200,
        no_buffers: 20,
        rearm: 50,
        push_refused: 20,
        late: 200,
        late_enters_max: 3,
    };
    /// All of them, all the time.
    pub const MANY: Self = Self {
        short_send: 500,
        short_receive: 500,
        no_buffers: 200,
        rearm: 300,
        push_refused: 300,
        late: 600,
        late_enters_max: 8,
    };
}
