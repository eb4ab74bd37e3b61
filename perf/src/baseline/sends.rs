//! What a send costs: rounds over all connections, each given the same bytes.

use std::{io::ErrorKind, time::Duration};

use ring::{Outcome, Ring, Send, thread_cpu_ns};

use super::connections::Connections;
use crate::{Error, measure::clock::ns};

/// Sends in one submission, as in the server's pump.
const BATCH: usize = 100;
/// Rounds that the reader may be behind: so neither waits for the other all the time, and no socket gets full.
const ROUNDS_BEHIND: u64 = 2;

/// How to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// send(2) in a loop.
    Bare,
    /// io_uring, a batch with one enter.
    Ring,
}

/// What was measured in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// CPU time of this thread in the sends, ns.
    pub(super) cpu_ns: u64,
    pub(super) sends: u64,
    /// Sends that found the socket full.
    pub(super) short: u64,
}

impl Connections {
    /// Sends for `length`, at least one round.
    pub(super) fn send(&mut self, way: Way, messages: u32, length: Duration) -> Result<Step, Error> {
        let len = self.frame_bytes * messages as usize;
        let mut step = Step::default();
        let until_ns = self.clock.now_ns() + ns(length);
        loop {
            self.at = if self.at + 2 * len > self.region.len() { 0 } else { self.at + len };
            let before_ns = thread_cpu_ns();
            let taken = match way {
                Way::Bare => self.bare_round(len)?,
                Way::Ring => self.ring_round(len)?,
            };
            step.cpu_ns += thread_cpu_ns() - before_ns;
            let wanted = self.sockets.len() as u64;
            step.sends += wanted;
            step.short += wanted - taken.whole;
            self.sent_bytes += taken.bytes;
            self.let_read(ROUNDS_BEHIND * wanted * len as u64)?;
            if self.clock.now_ns() >= until_ns {
                break;
            }
        }
        self.let_read(0)?;
        Ok(step)
    }

    fn bare_round(&self, len: usize) -> Result<Taken, Error> {
        let bytes = &self.region[self.at..self.at + len];
        let mut taken = Taken::default();
        for socket in &self.sockets {
            match socket.send(bytes) {
                Ok(sent) => taken.add(sent, len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::Kernel(format!("send: {error}"))),
            }
        }
        Ok(taken)
    }

    fn ring_round(&mut self, len: usize) -> Result<Taken, Error> {
        let bytes = &self.region[self.at..self.at + len];
        let mut taken = Taken::default();
        let mut outcomes = Vec::with_capacity(BATCH);
        let mut sends = Vec::with_capacity(BATCH);
        for slots in self.slots.chunks(BATCH) {
            sends.clear();
            sends.extend(slots.iter().map(|slot| Send { slot: *slot, bytes }));
            self.ring.send(&sends, &mut outcomes);
            for outcome in &outcomes {
                match outcome {
                    Outcome::Sent(sent) => taken.add(*sent, len),
                    Outcome::Blocked => {}
                    Outcome::Failed(errno) => return Err(Error::Kernel(format!("send: {errno}"))),
                }
            }
        }
        Ok(taken)
    }
}

/// What the sockets took in a round.
#[derive(Debug, Default)]
struct Taken {
    bytes: u64,
    whole: u64,
}

impl Taken {
    fn add(&mut self, sent: usize, wanted: usize) {
        self.bytes += sent as u64;
        self.whole += u64::from(sent == wanted);
    }
}
