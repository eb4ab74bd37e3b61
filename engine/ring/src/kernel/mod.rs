//! The kernel's ring.
//!
//! Set up with SINGLE_ISSUER (one thread; checked by the kernel, and [`KernelRing`] is not `Send`), DEFER_TASKRUN (the
//! kernel's half of a completion runs in our enter and nowhere else), TASKRUN_FLAG, SUBMIT_ALL (one bad entry does not
//! hold up those behind it) and NO_SQARRAY. No SQPOLL: nobody but this thread's io_uring_enter reads the queue, which
//! [`window`] rests on.
//!
//! Who owns what the kernel may touch:
//! - receive buffers, the word a wake is read into and the addresses of connects are in [`State`], which is freed only
//!   when every op was reaped, else never (see the `Drop`);
//! - what [`Ring::send`] sends is borrowed, and the kernel is done with it before that call ends (see [`send`]).

mod address;
mod buffers;
mod complete;
mod entry;
mod send;
mod setup;
mod token;
mod wake;
mod window;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring};

pub use self::setup::Setup;

use self::buffers::{BufferGroup, GROUP};
use self::send::Batch;
use self::token::OpTable;
use self::wake::Wake;
use self::window::Window;
use crate::slots::SlotTable;
use crate::{
    Buffer, Completion, EnterError, Errno, Event, Held, InstallError, Key, Op, Outcome, Ring, RingWaker,
    Send, SetupError, Slot, Wait,
};

/// The kernel's ring; it stays in the thread that made it.
///
/// Dropping it cancels what is in flight, waits for the last completions, closes every installed descriptor (a peer
/// sees a FIN, or a RST if bytes of it were not received), and frees its memory.
///
/// The kernel takes submissions from that thread only:
///
/// ```compile_fail,E0277
/// fn send_away<T: std::marker::Send>() {}
/// send_away::<ring::KernelRing>();
/// ```
pub struct KernelRing {
    ring: IoUring,
    window: Window,
    /// What the kernel may point into: dropped by hand, in `drop`, or not at all.
    state: ManuallyDrop<State>,
    /// Entries pushed so far, modulo 2^32: the submission queue's tail.
    pushed: u32,
    /// Completions met outside of `enter`.
    ready: Vec<Completion>,
    batches: u32,
    /// The kernel takes no more than so many entries at once.
    #[cfg(test)]
    submit_max: Option<u32>,
    /// SINGLE_ISSUER: neither `Send` nor `Sync`.
    _thread: PhantomData<*const ()>,
}

/// What completions change, apart from the ring itself so that both can be borrowed at a time.
#[derive(Debug)]
struct State {
    slots: SlotTable,
    ops: OpTable,
    buffers: BufferGroup,
    wake: Wake,
    /// Completions that belong to no op in flight.
    strays: u64,
}

impl KernelRing {
    /// Makes a ring; call it in the thread that will use it.
    ///
    /// # Errors
    /// [`SetupError`] names the number that is out of range, the feature that is missing with the kernel that has it,
    /// what forbids io_uring, or the limit of descriptors.
    pub fn new(setup: &Setup) -> Result<Self, SetupError> {
        setup.check()?;
        let kernel = |call| move |errno| SetupError::Kernel { call, errno };
        let ring = setup::build(setup)?;
        // Shutdowns run in the kernel's worker threads; two are plenty, the default is as many as the user may have.
        // If it cannot be limited, nothing is lost.
        let _ = ring.submitter().register_iowq_max_workers(&mut [2, 2]);
        setup::register_descriptors(&ring, setup.descriptors)?;
        let window =
            Window::new(&ring, ring.params().sq_entries()).map_err(kernel("mmap of the submission queue"))?;
        let state = State {
            slots: SlotTable::new(setup.descriptors),
            ops: OpTable::default(),
            buffers: BufferGroup::new(setup.buffers, setup.buffer_bytes),
            wake: Wake::new().map_err(kernel("eventfd"))?,
            strays: 0,
        };
        state.buffers.register(&ring.submitter()).map_err(kernel("IORING_REGISTER_PBUF_RING"))?;
        let mut made = Self {
            ring,
            window,
            state: ManuallyDrop::new(state),
            pushed: 0,
            ready: Vec::new(),
            batches: 0,
            #[cfg(test)]
            submit_max: None,
            _thread: PhantomData,
        };
        made.try_socket_commands()?;
        Ok(made)
    }

    /// Completions that belonged to no op in flight; always 0 unless the kernel or this crate is wrong.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.state.strays
    }

    /// Tries the commands for sockets on one made for that: whether the kernel can is not to be seen otherwise.
    fn try_socket_commands(&mut self) -> Result<(), SetupError> {
        // A datagram socket has a send queue too, and needs nobody to talk to. Without IPv4 loopback there is nothing
        // to try on, and a shard would notice at its first lookup.
        let Ok(socket) = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else {
            return Ok(());
        };
        let slot = self.install(socket.into()).map_err(|(_, error)| SetupError::Kernel {
            call: "IORING_REGISTER_FILES_UPDATE",
            errno: match error {
                InstallError::Kernel(errno) => errno,
                InstallError::TableFull { .. } => Errno(libc::ENFILE),
            },
        })?;
        let out_queue = self.call(Op::OutQueue { slot })?;
        let reset_on_close = self.call(Op::ResetOnClose { slot })?;
        self.call(Op::Close { slot })?;
        if let Event::OutQueue(Err(Errno(libc::EOPNOTSUPP | libc::EINVAL))) = out_queue {
            return Err(setup::OUT_QUEUE_MISSING);
        }
        if let Event::ResetOnClose(Err(Errno(libc::EOPNOTSUPP | libc::EINVAL))) = reset_on_close {
            return Err(setup::SET_OPTION_MISSING);
        }
        Ok(())
    }

    /// Pushes one op and waits for its answer; only while no other op is in flight.
    fn call(&mut self, op: Op) -> Result<Event, SetupError> {
        let failed = |errno| SetupError::Kernel { call: "io_uring_enter", errno };
        self.push(op, Key::new(0, 0)).map_err(|_| failed(Errno(libc::EBUSY)))?;
        let mut out = Vec::with_capacity(1);
        while out.is_empty() {
            self.enter(Wait::Forever, &mut out).map_err(|error| match error {
                EnterError::Kernel(errno) => failed(errno),
                EnterError::CompletionsLost => failed(Errno(libc::EBADR)),
            })?;
        }
        out.pop().map(|completion| completion.event).ok_or_else(|| failed(Errno(libc::EIO)))
    }

    /// Entries the kernel has not consumed.
    fn queued(&mut self) -> u32 {
        let len = self.ring.submission().len();
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    fn room(&mut self) -> usize {
        let queue = self.ring.submission();
        queue.capacity() - queue.len()
    }

    /// Puts an entry into the queue; `false` if it is full.
    ///
    /// # Safety
    /// What the entry points at stays as it is, and nobody else touches it, until its last completion was reaped or it
    /// was withdrawn.
    unsafe fn push_entry(&mut self, entry: &Entry) -> bool {
        // SAFETY: this function's contract.
        let pushed = unsafe { self.ring.submission().push(entry) }.is_ok();
        self.pushed = self.pushed.wrapping_add(u32::from(pushed));
        pushed
    }

    /// Makes room for one entry, by one submit at most.
    fn make_room(&mut self) -> bool {
        if self.room() > 0 {
            return true;
        }
        let queued = self.queued();
        // A refusal shows in the room that is left; enter() names it if it lasts.
        let _ = self.enter_kernel(queued, 0, EnterFlags::empty(), None);
        self.reap_aside(None);
        self.room() > 0
    }

    /// The one call of io_uring_enter.
    fn enter_kernel(
        &self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
        timeout: Option<Duration>,
    ) -> Result<(), Errno> {
        #[cfg(test)]
        let to_submit = self.submit_max.map_or(to_submit, |max| to_submit.min(max));
        let submitter = self.ring.submitter();
        let entered = if let Some(timeout) = timeout {
            let timespec = Timespec::from(timeout);
            let args = SubmitArgs::new().timespec(&timespec);
            let flags = (flags | EnterFlags::EXT_ARG).bits();
            // SAFETY: EXT_ARG goes with such an argument, which lives through the call; `to_submit` is at most the
            // number of entries in the queue, all put there by `push_entry`.
            unsafe { submitter.enter(to_submit, min_complete, flags, Some(&args)) }
        } else {
            // SAFETY: no argument; and as above.
            unsafe { submitter.enter::<libc::sigset_t>(to_submit, min_complete, flags.bits(), None) }
        };
        entered.map(drop).map_err(|error| errno_of(&error))
    }

    /// Takes all completions out of the queue into `out`.
    fn reap(&mut self, out: &mut Vec<Completion>) {
        for entry in self.ring.completion() {
            self.state.complete(&entry, None, out);
        }
    }

    /// The same, but keeps them for the next `enter`.
    fn reap_aside(&mut self, mut batch: Option<&mut Batch<'_>>) {
        for entry in self.ring.completion() {
            self.state.complete(&entry, batch.as_deref_mut(), &mut self.ready);
        }
    }

    fn arm_wake(&mut self) {
        if self.state.wake.is_armed() || !self.make_room() {
            return;
        }
        let entry = self.state.wake.entry();
        // SAFETY: it points at the wake's word, in `state`, which outlives every op and is read only after its completion.
        if unsafe { self.push_entry(&entry) } {
            self.state.wake.armed();
        }
    }

    /// Ends everything that is in flight; whether that was possible.
    fn settle(&mut self) -> bool {
        let mut dropped = Vec::new();
        for _ in 0..SETTLE_ROUNDS {
            // First all that is queued: entries that are not submitted cannot be cancelled.
            let queued = self.queued();
            let _ = self.enter_kernel(queued, 0, EnterFlags::GETEVENTS, None);
            self.reap(&mut dropped);
            if self.state.ops.len() == 0 && !self.state.wake.is_armed() && self.queued() == 0 {
                return true;
            }
            // ENOENT: nothing to cancel. Anything else shows in what is left.
            let brief = Some(Timespec::from(SETTLE_WAIT));
            let _ = self.ring.submitter().register_sync_cancel(brief, CancelBuilder::any());
            let _ = self.enter_kernel(0, 1, EnterFlags::GETEVENTS, Some(SETTLE_WAIT));
            self.reap(&mut dropped);
            dropped.clear();
        }
        false
    }
}

/// A ring that is dropped waits at most so often
const SETTLE_ROUNDS: usize = 50;
/// times so long for the kernel to end what was cancelled.
const SETTLE_WAIT: Duration = Duration::from_millis(20);

impl Drop for KernelRing {
    /// The order: cancel, reap to empty, then let the kernel forget the descriptors and the buffers, free the memory,
    /// and close the ring.
    ///
    /// Closing the ring first would not do: the kernel tears it down later, in a thread of its own, and until then ops
    /// in flight may write into the buffers. If something cannot be ended (nothing known), the memory is leaked.
    fn drop(&mut self) {
        if !self.settle() {
            return;
        }
        // Without this the sockets would be closed by that thread too, some time later.
        let _ = self.ring.submitter().unregister_files();
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
        // SAFETY: `state` is not used again, and no op is in flight that points into it. Had the kernel not let go of the
        // buffers (it fails only for a group that is not registered), it would still look at them for a receive alone,
        // and nobody can submit one any more; their pages stay pinned until the ring is closed, right behind this.
        unsafe { ManuallyDrop::drop(&mut self.state) };
    }
}

impl fmt::Debug for KernelRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelRing")
            .field("fd", &self.ring.as_raw_fd())
            .field("held", &self.held())
            .field("strays", &self.strays())
            .finish_non_exhaustive()
    }
}

/// Whether this machine can run a ring: makes a small one.
///
/// # Errors
/// As of [`KernelRing::new`].
pub fn probe() -> Result<(), SetupError> {
    let small = Setup { entries: 8, completions: 16, buffers: 1, buffer_bytes: 4096, descriptors: 1 };
    KernelRing::new(&small).map(drop)
}

impl Ring for KernelRing {
    type Descriptor = OwnedFd;

    fn install(&mut self, descriptor: OwnedFd) -> Result<Slot, (OwnedFd, InstallError)> {
        let Some(slot) = self.state.slots.take() else {
            let descriptors = self.state.slots.descriptors();
            return Err((descriptor, InstallError::TableFull { descriptors }));
        };
        let updated = self.ring.submitter().register_files_update(slot.index, &[descriptor.as_raw_fd()]);
        match updated {
            // The table holds the socket; the process's descriptor is closed here.
            Ok(_) => Ok(slot),
            Err(error) => {
                self.state.slots.release(slot);
                Err((descriptor, InstallError::Kernel(errno_of(&error))))
            }
        }
    }

    fn push(&mut self, op: Op, key: Key) -> Result<(), Op> {
        self.state.slots.check_may_begin(&op);
        if !self.make_room() {
            return Err(op);
        }
        let target = self.state.ops.target(&op);
        let token = self.state.ops.insert(&op, key);
        let entry = entry::of(&op, token, target, self.state.ops.address(token));
        // SAFETY: it points nowhere, at a static (`entry::NO_LINGER`), or at a connect's address, which `ops`, in `state`,
        // keeps until the op is removed: after its completion, or below, when it was not pushed.
        if unsafe { self.push_entry(&entry) } {
            self.state.slots.begin(&op);
            Ok(())
        } else {
            self.state.ops.remove(token);
            Err(op)
        }
    }

    fn send(&mut self, batch: &[Send<'_>], outcomes: &mut Vec<Outcome>) {
        self.send_all(batch, outcomes);
    }

    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), EnterError> {
        // First, as making room for it may meet completions, which must not be slept on.
        self.arm_wake();
        let nothing_ready = self.ready.is_empty();
        out.append(&mut self.ready);
        let queued = self.queued();
        // Without the wake armed (no room, which a refusing kernel may cause) nobody could end a sleep.
        let may_sleep = nothing_ready && !self.state.wake.take() && self.state.wake.is_armed();
        let (min_complete, timeout) = match wait {
            Wait::For(timeout) if may_sleep => (1, Some(timeout)),
            Wait::Forever if may_sleep => (1, None),
            Wait::No | Wait::For(_) | Wait::Forever => (0, None),
        };
        let entered = self.enter_kernel(queued, min_complete, EnterFlags::GETEVENTS, timeout);
        // What did not fit stays with the kernel for the next enter: a tick must end.
        self.reap(out);
        // Whatever was published before these wakes is seen by the caller once this returns.
        self.state.wake.take();
        match entered.map_err(|errno| errno.0) {
            // A signal; the time is over; the kernel was short of memory or wanted its completions reaped first, and
            // what is queued stays queued for the next enter.
            Ok(()) | Err(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
            Err(libc::EBADR) => Err(EnterError::CompletionsLost),
            // EPERM and ENOSYS by a seccomp filter that came late; all others (EBADF, EEXIST, EFAULT, EINVAL, ENXIO,
            // EOPNOTSUPP) would be a mistake in this crate.
            Err(errno) => Err(EnterError::Kernel(Errno(errno))),
        }
    }

    fn bytes<'r>(&'r mut self, buffer: &'r Buffer) -> &'r mut [u8] {
        self.state.buffers.bytes(buffer)
    }

    fn recycle(&mut self, buffer: Buffer) {
        self.state.buffers.recycle(buffer.id);
    }

    fn waker(&self) -> RingWaker {
        self.state.wake.waker()
    }

    fn held(&self) -> Held {
        // Reaped by a send or a push, and not delivered yet.
        let over = self.ready.iter().filter(|c| !matches!(c.event, Event::Received(_))).count();
        Held {
            descriptors: self.state.slots.open(),
            buffers: self.state.buffers.held(),
            ops: self.state.ops.len() + over,
        }
    }
}

/// The errno of a failed system call.
fn errno_of(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests;
