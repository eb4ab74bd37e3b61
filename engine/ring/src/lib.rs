//! Every io_uring call of the project behind a small, safe face, and a stricter fake of it for tests.
//!
//! A [`Ring`] moves bytes for many connections in one thread. The caller gives it descriptors ([`Ring::install`]), asks
//! for things by [`Op`]s and gets [`Completion`]s; only sends are different, as they borrow:
//!
//! - **Receive** is armed once a connection and goes on by itself. The kernel picks a [`Buffer`] of the ring's group
//!   when bytes arrive, so an idle connection holds none. Look at it with [`Ring::bytes`], give it back with
//!   [`Ring::recycle`]. Each [`Op::Receive`] ends with exactly one [`Event::ReceiveEnded`], which says whether to push
//!   another.
//! - **Send** ([`Ring::send`]) takes a batch, hands the kernel the caller's bytes in place, and returns when every send
//!   was taken in full, in part, or not at all. [`Outcome::Blocked`] asks for an [`Op::PollWritable`].
//! - **Close** in this order: [`Op::Cancel`] what is armed (or [`Op::Shutdown`]), wait for the end of the receive and of all else
//!   in flight, then [`Op::Close`]. [`Op::ResetOnClose`] before it takes back what the peer does not take. Closing under an armed receive would send no FIN and go on delivering (tried), so it
//!   is a panic.
//!
//! The caller enters at least once a tick ([`Ring::enter`]), busy or not: the kernel's half of a completion runs there
//! and nowhere else. A promise broken by the caller is a panic, whatever a peer does is a value.
//!
//! [`KernelRing`] is the real one; [`fake`] is for simulation, and both pass the same suite (`tests/contract`).
//!
//! ```
//! use std::io::{Read, Write};
//! use ring::{Event, Key, KernelRing, Op, Outcome, Ring, Send, Setup, Wait};
//!
//! let mut ring = KernelRing::new(&Setup { descriptors: 16, ..Setup::default() })?;
//! let (ours, mut peer) = std::os::unix::net::UnixStream::pair()?;
//! let slot = ring.install(ours.into()).map_err(|(_, error)| error)?;
//! let key = Key::new(0, 1);
//! ring.push(Op::Receive { slot }, key).map_err(|_| "the queue is full")?;
//!
//! peer.write_all(b"hello")?;
//! let mut completions = Vec::new();
//! ring.enter(Wait::Forever, &mut completions)?;
//! for completion in completions.drain(..) {
//!     assert_eq!(completion.key, key);
//!     let Event::Received(buffer) = completion.event else { panic!() };
//!     assert_eq!(ring.bytes(&buffer), b"hello");
//!     ring.recycle(buffer);
//! }
//!
//! let mut outcomes = Vec::new();
//! ring.send(&[Send { slot, bytes: b"good" }, Send { slot, bytes: b"bye" }], &mut outcomes);
//! assert_eq!(outcomes, [Outcome::Sent(4), Outcome::Sent(3)]);
//! let mut read = [0; 7];
//! peer.read_exact(&mut read)?;
//! assert_eq!(&read, b"goodbye");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("uringcast runs on 64-bit Linux: it is built on io_uring");

pub mod counting;
mod cpu;
mod descriptors;
mod error;
pub mod fake;
mod kernel;
mod key;
mod op;
mod slots;
mod waker;

pub use cpu::thread_cpu_ns;
pub use descriptors::{duplicate, raise_descriptor_limit};
pub use error::{EnterError, InstallError, SetupError};
pub use kernel::{KernelRing, Setup, probe};
pub use key::{Buffer, Errno, Key, Slot};
pub use op::{Armed, Completion, Event, Held, Op, Outcome, ReceiveEnd, Send, Shutdown, Wait};
pub use waker::RingWaker;

/// What a shard or a load generator needs of io_uring; implemented by the kernel's ring and by the fake.
///
/// Both panic when a promise is broken: a slot that is closed or closing, two receives or two polls on one, a close with
/// ops in flight, a buffer that the caller does not have.
pub trait Ring {
    /// What [`Ring::install`] takes: `OwnedFd` for the kernel, a handle for the fake.
    type Descriptor;

    /// Puts a descriptor into the ring's own table; the process's descriptor is closed.
    ///
    /// # Errors
    /// The descriptor comes back with the reason; a full table is named.
    fn install(&mut self, descriptor: Self::Descriptor) -> Result<Slot, (Self::Descriptor, InstallError)>;

    /// Queues `op` for the next enter, send, or push that finds the queue full.
    ///
    /// # Errors
    /// The op comes back when the queue is full and the kernel takes none of it; try again after the next
    /// [`Ring::enter`].
    fn push(&mut self, op: Op, key: Key) -> Result<(), Op>;

    /// One send for each of `batch`, none of which waits, in one system call (one for each [`Setup::entries`] if there
    /// are more). `outcomes` is cleared and then holds one outcome each, in order. Sends on the same slot keep their
    /// order, but a later one may be taken after an earlier one was short.
    ///
    /// Completions met on the way are kept for the next [`Ring::enter`].
    fn send(&mut self, batch: &[Send<'_>], outcomes: &mut Vec<Outcome>);

    /// Submits what is queued, runs the kernel's deferred work, and appends completions to `out`. Sleeps as `wait`
    /// allows while there are none; returns early when woken, or by a signal, and then maybe with none.
    ///
    /// # Errors
    /// The ring is of no more use.
    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), EnterError>;

    /// The bytes the kernel wrote into `buffer`; to be changed in place as one likes (unmasking).
    fn bytes<'r>(&'r mut self, buffer: &'r Buffer) -> &'r mut [u8];

    /// Gives `buffer` back to the kernel.
    fn recycle(&mut self, buffer: Buffer);

    /// A handle that makes a present or the next [`Ring::enter`] return.
    fn waker(&self) -> RingWaker;

    /// What the ring holds at this moment, for the audit at the end of a drain.
    fn held(&self) -> Held;
}
