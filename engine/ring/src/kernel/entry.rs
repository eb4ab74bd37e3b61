//! From an [`Op`] to a submission queue entry.

use std::ptr::NonNull;

use io_uring::squeue::Entry;
use io_uring::types::Fixed;
use io_uring::{opcode, types};

use super::buffers::GROUP;
use super::token::Token;
use crate::{Op, Send, Shutdown};

/// SOCKET_URING_OP_SIOCOUTQ, include/uapi/linux/io_uring.h.
const SIOCOUTQ: u32 = 1;
const SOL_SOCKET: u32 = libc::SOL_SOCKET.unsigned_abs();
const SO_LINGER: u32 = libc::SO_LINGER.unsigned_abs();
/// A static, so that the kernel may read it whenever it runs the op.
static NO_LINGER: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };
const LINGER_BYTES: u32 = 8;
const _: () = assert!(size_of::<libc::linger>() == LINGER_BYTES as usize);
const POLLOUT: u32 = libc::POLLOUT.unsigned_abs() as u32;

/// `target` is the `user_data` of what a cancel shall meet; `address` is a connect's, in memory that outlives the op.
pub(super) fn of(
    op: &Op,
    token: Token,
    target: u64,
    address: Option<(NonNull<libc::sockaddr>, libc::socklen_t)>,
) -> Entry {
    let fixed = types::Fixed(op.slot().index);
    let entry = match op {
        Op::Receive { .. } => opcode::RecvMulti::new(fixed, GROUP).build(),
        Op::PollWritable { .. } => opcode::PollAdd::new(fixed, POLLOUT).build(),
        Op::Shutdown { how, .. } => opcode::Shutdown::new(fixed, direction(*how)).build(),
        Op::Cancel { .. } => opcode::AsyncCancel::new(target).build(),
        Op::Close { .. } => opcode::Close::new(fixed).build(),
        Op::OutQueue { .. } => opcode::UringCmd16::new(fixed, SIOCOUTQ).build(),
        Op::ResetOnClose { .. } => {
            opcode::SetSockOpt::new(fixed, SOL_SOCKET, SO_LINGER, (&raw const NO_LINGER).cast(), LINGER_BYTES)
                .build()
        }
        Op::Connect { .. } => {
            let Some((pointer, len)) = address else { panic!("a connect without its address") };
            opcode::Connect::new(fixed, pointer.as_ptr(), len).build()
        }
    };
    entry.user_data(token.encode())
}

/// A send that takes what the socket takes now. MSG_DONTWAIT also keeps io_uring from waiting in its place (REQ_F_NOWAIT):
/// it completes while it is submitted, in full, in part, or with EAGAIN.
pub(super) fn of_send(send: &Send<'_>, token: Token) -> Entry {
    let len = u32::try_from(send.bytes.len()).unwrap_or(u32::MAX).min(SEND_BYTES_MAX);
    opcode::Send::new(Fixed(send.slot.index), send.bytes.as_ptr(), len)
        .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        .build()
        .user_data(token.encode())
}

/// A completion's result is an `i32`; more is a short send like any other.
const SEND_BYTES_MAX: u32 = 1 << 30;

pub(super) fn nop(token: Token) -> Entry {
    opcode::Nop::new().build().user_data(token.encode())
}

const fn direction(how: Shutdown) -> i32 {
    match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    }
}
