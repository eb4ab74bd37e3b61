//! From a completion queue entry to an [`Event`]. Every errno is decided here, for each kind of op; above, an
//! [`Errno`] only says why a connection is broken.

use io_uring::cqueue;

use super::State;
use super::send::Batch;
use super::token::{Kind, Token};
use crate::slots::Ended;
use crate::{Completion, Errno, Event, Key, ReceiveEnd, Slot};

impl State {
    /// Handles one completion; `batch` is the batch of sends in hand, if there is one.
    pub(super) fn complete(
        &mut self,
        entry: &cqueue::Entry,
        batch: Option<&mut Batch<'_>>,
        out: &mut Vec<Completion>,
    ) {
        let Some(token) = Token::decode(entry.user_data()) else {
            return self.stray();
        };
        match token.kind {
            Kind::Send => {
                if !batch.is_some_and(|batch| batch.completed(token, entry.result())) {
                    self.stray();
                }
            }
            Kind::Wake => self.wake.completed(),
            Kind::Withdrawn => {}
            Kind::Receive
            | Kind::PollWritable
            | Kind::Shutdown
            | Kind::Cancel
            | Kind::Close
            | Kind::OutQueue
            | Kind::ResetOnClose
            | Kind::Connect => {
                let Some((key, slot)) = self.ops.get(token) else {
                    return self.stray();
                };
                if token.kind == Kind::Receive {
                    self.received(entry, token, key, slot, out);
                } else {
                    self.ops.remove(token);
                    self.slots.end(slot, ended(token.kind));
                    out.push(Completion { key, event: event(token.kind, entry.result()) });
                }
            }
        }
    }

    fn received(
        &mut self,
        entry: &cqueue::Entry,
        token: Token,
        key: Key,
        slot: Slot,
        out: &mut Vec<Completion>,
    ) {
        let more = cqueue::more(entry.flags());
        let buffer = cqueue::buffer_select(entry.flags());
        match (u32::try_from(entry.result()), buffer) {
            (Ok(0) | Err(_), Some(id)) => self.buffers.received_nothing(id),
            (Ok(len), Some(id)) => {
                let buffer = self.buffers.received(id, len);
                out.push(Completion { key, event: Event::Received(buffer) });
            }
            (_, None) => {}
        }
        if more {
            return;
        }
        self.ops.remove(token);
        self.slots.end(slot, Ended::Receive);
        out.push(Completion { key, event: Event::ReceiveEnded(receive_end(entry.result())) });
    }

    fn stray(&mut self) {
        debug_assert!(false, "a completion of no op in flight");
        self.strays += 1;
    }
}

const fn ended(kind: Kind) -> Ended {
    match kind {
        Kind::Receive => Ended::Receive,
        Kind::PollWritable => Ended::Poll,
        Kind::Close => Ended::Close,
        Kind::Shutdown
        | Kind::Cancel
        | Kind::OutQueue
        | Kind::ResetOnClose
        | Kind::Connect
        | Kind::Send
        | Kind::Wake
        | Kind::Withdrawn => Ended::Other,
    }
}

/// Of a receive's last completion.
const fn receive_end(result: i32) -> ReceiveEnd {
    match result {
        // More than 0: the kernel ended it together with data (its queue of completions was full, or it gave way to
        // others).
        1.. => ReceiveEnd::Rearm,
        0 => ReceiveEnd::Eof,
        _ => match -result {
            libc::ENOBUFS => ReceiveEnd::NoBuffers,
            libc::ECANCELED => ReceiveEnd::Cancelled,
            // Nothing wrong with the connection: a signal, or the kernel could not arm its poll for want of memory.
            libc::EINTR | libc::EAGAIN | libc::ENOMEM => ReceiveEnd::Rearm,
            // ECONNRESET, ETIMEDOUT (keep-alive or TCP_USER_TIMEOUT), EHOSTUNREACH, ENOTCONN ...: the connection is
            // broken, whichever it is. EBADF, EFAULT or EINVAL would be a mistake of ours, and end here as well.
            errno => ReceiveEnd::Failed(Errno(errno)),
        },
    }
}

/// Of all kinds that have one completion.
fn event(kind: Kind, result: i32) -> Event {
    let done = if result < 0 { Err(Errno(-result)) } else { Ok(()) };
    match kind {
        // The mask is not looked at: POLLERR and POLLHUP end the wait too, and the next send names the reason.
        Kind::PollWritable => Event::Polled(done),
        // ENOTCONN: the peer was faster.
        Kind::Shutdown => Event::ShutDown(done),
        // 0, ENOENT if it is over already, EALREADY if it is running and will end by itself: all the same to the caller,
        // who waits for the end of the op.
        Kind::Cancel => Event::Cancelled,
        // The kernel has let go of the descriptor whatever it says; EBADF would be a mistake of ours.
        Kind::Close => Event::Closed(done),
        Kind::OutQueue => Event::OutQueue(u32::try_from(result).map_err(|_| Errno(-result))),
        // Fails only for what is no socket, and has no send queue to drop.
        Kind::ResetOnClose => Event::ResetOnClose(done),
        Kind::Connect => Event::Connected(done),
        Kind::Receive | Kind::Send | Kind::Wake | Kind::Withdrawn => {
            unreachable!("{kind:?} has no single event")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_receives_by_result() {
        assert_eq!(receive_end(17), ReceiveEnd::Rearm);
        assert_eq!(receive_end(0), ReceiveEnd::Eof);
        assert_eq!(receive_end(-libc::ENOBUFS), ReceiveEnd::NoBuffers);
        assert_eq!(receive_end(-libc::ECANCELED), ReceiveEnd::Cancelled);
        assert_eq!(receive_end(-libc::EAGAIN), ReceiveEnd::Rearm);
        assert_eq!(receive_end(-libc::ECONNRESET), ReceiveEnd::Failed(Errno(libc::ECONNRESET)));
    }

    #[test]
    fn single_events_by_result() {
        assert_eq!(event(Kind::PollWritable, 4 | 8), Event::Polled(Ok(())));
        assert_eq!(event(Kind::Cancel, -libc::ENOENT), Event::Cancelled);
        assert_eq!(event(Kind::Cancel, 3), Event::Cancelled);
        assert_eq!(event(Kind::OutQueue, 77), Event::OutQueue(Ok(77)));
        assert_eq!(event(Kind::OutQueue, -libc::EINVAL), Event::OutQueue(Err(Errno(libc::EINVAL))));
        let refused = Errno(libc::ECONNREFUSED);
        assert_eq!(event(Kind::Connect, -libc::ECONNREFUSED), Event::Connected(Err(refused)));
    }
}
