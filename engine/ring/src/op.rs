//! What can be asked of a ring, and what it answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Buffer, Errno, Key, Slot};

/// An operation. It owns all it needs until its completion is reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Multishot receive into the ring's buffers: [`Event::Received`] any number of times, then exactly one
    /// [`Event::ReceiveEnded`]. At most one on a slot.
    Receive {
        /// Where.
        slot: Slot,
    },
    /// Completes once when the socket takes bytes again, or has failed. At most one on a slot.
    PollWritable {
        /// Where.
        slot: Slot,
    },
    /// `shutdown(2)`. The kernel runs it in a worker thread of its own, so it is dearer than a [`Op::Close`], which sends
    /// the same FIN.
    Shutdown {
        /// Where.
        slot: Slot,
        /// Which direction.
        how: Shutdown,
    },
    /// Cancels what is armed on the slot, if it is; that still completes by itself, before or after this one.
    ///
    /// One by one, for the kernel finds an op by its `user_data` at once, but all ops of a descriptor only by a walk over
    /// the armed ops of all descriptors (`io_poll_file_find`): with 12,000 connections most of a shard's time while they
    /// leave.
    Cancel {
        /// Where.
        slot: Slot,
        /// Which op.
        armed: Armed,
    },
    /// Closes the descriptor and frees the slot. No other op may be in flight on it, none may follow.
    Close {
        /// Where.
        slot: Slot,
    },
    /// SIOCOUTQ: bytes in the send queue that the peer has not acknowledged.
    OutQueue {
        /// Where.
        slot: Slot,
    },
    /// SO_LINGER of 0: the close of the slot will be a RST, and what the send queue still has is dropped with it. Else the
    /// kernel goes on offering it to the peer, for as long as it takes or TCP_USER_TIMEOUT allows.
    ResetOnClose {
        /// Where.
        slot: Slot,
    },
    /// `connect(2)`, for the load generator.
    Connect {
        /// Where.
        slot: Slot,
        /// To whom.
        addr: SocketAddr,
    },
}

impl Op {
    /// The slot it works on.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        match *self {
            Self::Receive { slot }
            | Self::PollWritable { slot }
            | Self::Shutdown { slot, .. }
            | Self::Cancel { slot, .. }
            | Self::Close { slot }
            | Self::OutQueue { slot }
            | Self::ResetOnClose { slot }
            | Self::Connect { slot, .. } => slot,
        }
    }
}

/// What may wait on a slot for longer, at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// The [`Op::Receive`].
    Receive,
    /// The [`Op::PollWritable`].
    Poll,
    /// The [`Op::Connect`].
    Connect,
}

impl Armed {
    /// What `op` is to a cancel; none for an op that never waits.
    pub(crate) const fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Receive { .. } => Some(Self::Receive),
            Op::PollWritable { .. } => Some(Self::Poll),
            Op::Connect { .. } => Some(Self::Connect),
            Op::Shutdown { .. }
            | Op::Cancel { .. }
            | Op::Close { .. }
            | Op::OutQueue { .. }
            | Op::ResetOnClose { .. } => None,
        }
    }
}

/// Which direction a [`Op::Shutdown`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more is received; an armed receive ends.
    Read,
    /// A FIN leaves after what is queued.
    Write,
    /// Both.
    Both,
}

/// The answer to one op.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    /// The key the op was pushed with.
    pub key: Key,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes arrived; more events of this receive follow.
    Received(Buffer),
    /// The receive is over.
    ReceiveEnded(ReceiveEnd),
    /// The socket is writable, or has an error that the next send will name.
    Polled(Result<(), Errno>),
    /// The shutdown is done.
    ShutDown(Result<(), Errno>),
    /// The cancel is done; the op it met completes by itself.
    Cancelled,
    /// The descriptor is closed, the slot is free.
    Closed(Result<(), Errno>),
    /// Bytes in the send queue.
    OutQueue(Result<u32, Errno>),
    /// The close will be a RST.
    ResetOnClose(Result<(), Errno>),
    /// The connect is done.
    Connected(Result<(), Errno>),
}

/// Why a receive is over. Exactly one for each [`Op::Receive`], always its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveEnd {
    /// The peer sends no more, or the reading side was shut down.
    Eof,
    /// All buffers are with the caller: recycle some, then push another.
    NoBuffers,
    /// The kernel ended it, nothing is wrong: push another.
    Rearm,
    /// By an [`Op::Cancel`].
    Cancelled,
    /// The connection is broken.
    Failed(Errno),
}

/// One send of a batch: as many of `bytes` as the socket takes without waiting.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    /// Where.
    pub slot: Slot,
    /// What; borrowed until [`crate::Ring::send`] returns.
    pub bytes: &'a [u8],
}

/// What became of a [`Send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many bytes were taken, from the front; fewer than given if the socket is full.
    Sent(usize),
    /// The socket is full, nothing was taken.
    Blocked,
    /// The connection is broken.
    Failed(Errno),
}

/// How long [`crate::Ring::enter`] may sleep when there is nothing to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// So long.
    For(Duration),
    /// Until a completion or a wake.
    Forever,
}

/// What a ring holds: all zero after an orderly drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Slots in use: installed, and not closed to the end.
    pub descriptors: usize,
    /// Buffers with the caller (or in undelivered completions).
    pub buffers: usize,
    /// Ops pushed whose last completion was not delivered yet.
    pub ops: usize,
}
