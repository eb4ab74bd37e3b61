//! Sending borrowed bytes.
//!
//! [`crate::Ring::send`] hands the kernel pointers to bytes that are only borrowed for the call. Three things make that
//! sound:
//! - Nothing of the batch stays behind. The call ends when each entry was completed, or was withdrawn: found still in
//!   the queue after the kernel refused it, and replaced by a no-op.
//! - The call does not unwind in between. Slots are checked before the first push, and should something panic after it
//!   all the same, the process aborts.
//! - It need not wait: a send with MSG_DONTWAIT completes while it is submitted (see `entry::of_send`; tried: 80,000 of
//!   80,000). If one did not, the call would wait for it, not give up.

use std::mem;

use io_uring::EnterFlags;

use super::token::{Kind, Token};
use super::{KernelRing, entry};
use crate::{Errno, Outcome, Send};

/// A refused submit is tried so often before the rest of the batch is withdrawn.
const REFUSALS_MAX: u32 = 3;

/// The part of a batch that is with the kernel.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// Tells this part from all others for a while (24 bits).
    generation: u32,
    outcomes: &'a mut [Outcome],
    /// Entries pushed and neither completed nor withdrawn.
    outstanding: usize,
}

impl Batch<'_> {
    /// Notes a result; `false` if it is not of this batch.
    pub(super) fn completed(&mut self, token: Token, result: i32) -> bool {
        let known = token.generation == self.generation && self.outstanding > 0;
        let Some(outcome) = self.outcomes.get_mut(token.index as usize).filter(|_| known) else {
            return false;
        };
        *outcome = outcome_of(result);
        self.outstanding -= 1;
        true
    }
}

fn outcome_of(result: i32) -> Outcome {
    match usize::try_from(result) {
        Ok(bytes) => Outcome::Sent(bytes),
        Err(_) => match -result {
            // Full; or a signal came, and then the poll that follows is answered at once.
            libc::EAGAIN | libc::EINTR => Outcome::Blocked,
            // EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS ...: nothing more will go out.
            errno => Outcome::Failed(Errno(errno)),
        },
    }
}

impl KernelRing {
    pub(super) fn send_all(&mut self, batch: &[Send<'_>], outcomes: &mut Vec<Outcome>) {
        for send in batch {
            self.state.slots.check_usable(send.slot);
        }
        outcomes.clear();
        outcomes.resize(batch.len(), Outcome::Blocked);
        let mut done = 0;
        while done < batch.len() {
            done += self.send_some(&batch[done..], &mut outcomes[done..]);
        }
    }

    /// Sends as many from the front as the queue has room for; 1 at least, or all are left as blocked.
    fn send_some(&mut self, batch: &[Send<'_>], outcomes: &mut [Outcome]) -> usize {
        if !self.make_room() {
            // The kernel refuses even what was queued before; a blocked connection tries again later.
            return batch.len();
        }
        self.make_room_for_completions();
        let count = batch.len().min(self.room());
        self.batches = self.batches.wrapping_add(1);
        let generation = Token::new(Kind::Send, self.batches, 0).generation;
        let mut part = Batch { generation, outcomes: &mut outcomes[..count], outstanding: 0 };

        let no_unwinding = AbortOnDrop;
        for (index, send) in (0..).zip(&batch[..count]) {
            let entry = entry::of_send(send, Token::new(Kind::Send, generation, index));
            // SAFETY: it points at bytes that `batch` borrows, and neither a return nor a panic leaves this function before
            // the entry was completed or withdrawn (`await_batch`, `no_unwinding`).
            let pushed = unsafe { self.push_entry(&entry) };
            assert!(pushed, "there was room");
            part.outstanding += 1;
        }
        self.await_batch(&mut part);
        mem::forget(no_unwinding);
        count
    }

    /// Ends when no entry of `part` is with the kernel or in the queue.
    fn await_batch(&mut self, part: &mut Batch<'_>) {
        let mut refusals = 0;
        while part.outstanding > 0 {
            let queued = self.queued();
            let submits = queued > 0 && refusals < REFUSALS_MAX;
            let entered = if submits {
                self.enter_kernel(queued, 0, EnterFlags::empty(), None)
            } else {
                // Not known to happen: the kernel keeps completions in a list of its own, or a send still runs.
                self.enter_kernel(0, 1, EnterFlags::GETEVENTS, None)
            };
            self.reap_aside(Some(part));
            match entered {
                Err(Errno(libc::EINTR)) => {}
                // All was taken, and waiting is refused: whether the kernel still reads the bytes cannot be known.
                Err(errno) if !submits => {
                    abort(&format!("sends of borrowed bytes do not complete ({errno})"));
                }
                Ok(()) if !submits || self.queued() < queued => {}
                refused => {
                    refusals += 1;
                    if refusals == REFUSALS_MAX {
                        self.withdraw(part, refused.err().unwrap_or(Errno(libc::EAGAIN)));
                    }
                }
            }
        }
    }

    /// Makes no-ops of the sends that are still in the queue; the next submit takes those.
    fn withdraw(&mut self, part: &mut Batch<'_>, errno: Errno) {
        let outcome = outcome_of(-errno.0);
        let left = self.queued();
        for back in 1..=left {
            let position = self.pushed.wrapping_sub(back);
            let Some(token) = Token::decode(self.window.user_data(position)) else {
                continue;
            };
            if token.kind == Kind::Send && token.generation == part.generation {
                self.window.replace(position, entry::nop(Token::new(Kind::Withdrawn, 0, 0)));
                part.outcomes[token.index as usize] = outcome;
                part.outstanding -= 1;
            }
        }
    }

    /// Empties the queue of completions, so that those of a batch fit: there are at least as many places as entries.
    fn make_room_for_completions(&mut self) {
        self.reap_aside(None);
        // Those that did not fit before are first in line. A few rounds will do: if more come than that, the sends'
        // own wait in the kernel too, and are waited for.
        for _ in 0..4 {
            if !self.ring.submission().cq_overflow() {
                return;
            }
            let _ = self.enter_kernel(0, 0, EnterFlags::GETEVENTS, None);
            self.reap_aside(None);
        }
    }
}

/// Ends the process when dropped: what is between its making and its `forget` must not unwind.
struct AbortOnDrop;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        abort("a panic while the kernel may read borrowed bytes");
    }
}

fn abort(why: &str) -> ! {
    eprintln!("uringcast: {why}; aborting");
    std::process::abort()
}

#[cfg(test)]
mod tests;
