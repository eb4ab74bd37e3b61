//! Every io_uring call of the project behind a small, safe face, and a stricter fake of it for tests.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("uringcast runs on 64-bit Linux: it is built on io_uring");

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
pub use op::{Completion, Event, Held, Op, Outcome, ReceiveEnd, Send, Shutdown, Wait};
pub use waker::Waker;

/// What a shard or a load generator needs of io_uring; implemented by the kernel's ring and by the fake.
pub trait Ring {
    /// What [`Ring::install`] takes: `OwnedFd` for the kernel, a handle for the fake.
    type Descriptor;

    /// Puts a descriptor into the ring's own table; the process's descriptor is closed.
    ///
    /// # Errors
    /// The descriptor comes back with the reason; a full table is named.
    fn install(&mut self, descriptor: Self::Descriptor) -> Result<Slot, (Self::Descriptor, InstallError)>;

    /// Queues `op` for the next enter, or submits once by itself when the queue is full.
    ///
    /// # Errors
    /// The op comes back when the queue is full all the same; try again after the next [`Ring::enter`].
    fn push(&mut self, op: Op, key: Key) -> Result<(), Op>;

    /// One non-blocking send for each of `batch`; `outcomes` is cleared and then holds one outcome each, in order.
    fn send(&mut self, batch: &[Send<'_>], outcomes: &mut Vec<Outcome>);

    /// Submits what is queued, runs the kernel's deferred work, and appends completions to `out`.
    ///
    /// # Errors
    /// The ring is of no more use.
    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), EnterError>;

    /// The bytes the kernel wrote into `buffer`.
    fn bytes<'r>(&'r mut self, buffer: &'r Buffer) -> &'r mut [u8];

    /// Gives `buffer` back to the kernel.
    fn recycle(&mut self, buffer: Buffer);

    /// A handle that makes a present or the next [`Ring::enter`] return.
    fn waker(&self) -> Waker;

    /// What the ring holds at this moment.
    fn held(&self) -> Held;
}
