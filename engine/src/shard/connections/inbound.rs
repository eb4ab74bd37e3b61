//! What a client has sent and we have not worked off: one backlog a connection, of lines and bytes, never of parsed
//! requests, so that what waits is counted by what it takes.
//!
//! A client is slowed down by not being read. Each frame costs a token, and so does each further request of a message;
//! a turn of the shard works off a bounded part of what one client sent, and nothing while its earlier requests or
//! answers still wait. Why it stops is a [`Stop`]; while there is one the client is not read, and each has somebody who
//! goes on: an answer of ingest, the flush that takes the last of its output, a timer, the next turn.

use proto::ws::decoder::Decoder;

use super::{
    pending::Pending,
    rate::{Bucket, Failures},
};
use crate::config::Limits;

/// Frames and further requests of one client that are worked off in one turn.
const FRAMES_A_TURN: u32 = 32;
/// Bytes of the same.
const BYTES_A_TURN: usize = 64 * 1024;

/// Why nothing more of what a client sent is worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum Stop {
    /// A subscribe request waits for ingest.
    Answer,
    /// It has yet to take what it was sent: its control output is above its limit, it lags, or a
    /// gap is yet to be told.
    Unread,
    /// It has no tokens; a timer is armed.
    Tokens,
    /// Its part of the turn is used up; it is queued for the next one.
    Turn,
}

/// The part of a turn that is left to a client.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    /// Of this turn.
    turn: u64,
    frames: u32,
    bytes: usize,
}

/// What waits. It exists only while something does.
#[derive(Debug, Default)]
pub(in crate::shard) struct Backlog {
    /// Requests of a text message whose first ones are done.
    lines: String,
    /// Bytes at its front that are done.
    lines_done: usize,
    /// What was received behind it, undecoded.
    bytes: Vec<u8>,
    bytes_done: usize,
}

impl Backlog {
    /// What is left of a message and of what was received behind it; none: nothing.
    pub(in crate::shard) fn of(lines: String, bytes: &[u8]) -> Option<Box<Self>> {
        let some = !(lines.is_empty() && bytes.is_empty());
        some.then(|| Box::new(Self { lines, bytes: bytes.to_vec(), ..Self::default() }))
    }

    /// Received behind all the rest.
    pub(in crate::shard) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The requests that wait.
    pub(in crate::shard) fn lines(&self) -> &str {
        &self.lines[self.lines_done..]
    }

    /// Of the requests so many bytes at the end still wait.
    pub(in crate::shard) fn keep_lines(&mut self, left: usize) {
        self.lines_done = self.lines.len() - left;
    }

    /// The requests are done: what is undecoded behind them, and where its next requests go.
    pub(in crate::shard) fn next_bytes(&mut self) -> (&mut [u8], &mut String) {
        (self.lines, self.lines_done) = (String::new(), 0);
        (&mut self.bytes[self.bytes_done..], &mut self.lines)
    }

    /// Of the undecoded bytes so many at the end still wait. What is done is let go of when it is the larger part: moved
    /// once, whatever the number of turns.
    pub(in crate::shard) fn keep_bytes(&mut self, left: usize) {
        self.bytes_done = self.bytes.len() - left;
        if self.bytes_done > self.bytes.len() / 2 {
            self.bytes.drain(..self.bytes_done);
            self.bytes.shrink_to(self.bytes.len() * 2);
            self.bytes_done = 0;
        }
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.lines.capacity() + self.bytes.capacity()
    }
}

/// A connection's side of what it receives.
#[derive(Debug)]
pub(super) struct Inbound {
    decoder: Decoder,
    backlog: Option<Box<Backlog>>,
    /// Set: the client is not read.
    stop: Option<Stop>,
    budget: Budget,
    /// Its FIN came behind what waits.
    finished: bool,
    tokens: Bucket,
    failures: Failures,
    pending: Option<Box<Pending>>,
}

impl Inbound {
    /// Of a client that has sent nothing yet.
    pub(super) fn new(burst: u32, now_ms: u64) -> Self {
        Self {
            decoder: Decoder::default(),
            backlog: None,
            stop: None,
            budget: Budget::default(),
            finished: false,
            tokens: Bucket::full(burst, now_ms),
            failures: Failures::since(now_ms),
            pending: None,
        }
    }

    /// Lets go of all there is; gives the request that waits for ingest. What comes from now on is dropped.
    pub(super) fn end(&mut self) -> Option<Box<Pending>> {
        (self.decoder, self.backlog) = (Decoder::default(), None);
        (self.stop, self.finished) = (None, false);
        self.pending.take()
    }

    /// Why it is not read.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.stop
    }

    pub(super) fn set_stop(&mut self, stop: Option<Stop>) {
        self.stop = stop;
    }

    /// Its FIN has come.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The FIN comes. True: behind what still waits, after which it is dealt with.
    pub(super) fn finish(&mut self) -> bool {
        self.finished |= self.stop.is_some();
        self.stop.is_some()
    }

    /// Bytes of memory it holds.
    pub(super) fn held_bytes(&self) -> usize {
        let backlog = self.backlog.as_ref().map_or(0, |backlog| backlog.held_bytes());
        let pending = self.pending.as_ref().map_or(0, |pending| pending.held_bytes());
        self.decoder.held_bytes() + backlog + pending
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.backlog.get_or_insert_default().append(bytes);
        }
    }

    /// To be worked off.
    pub(super) fn take(&mut self) -> (Decoder, Option<Box<Backlog>>) {
        (std::mem::take(&mut self.decoder), self.backlog.take())
    }

    /// What is left, and why it stops.
    pub(super) fn put_back(&mut self, decoder: Decoder, backlog: Option<Box<Backlog>>) {
        (self.decoder, self.backlog) = (decoder, backlog);
    }

    /// Why no more of what the client sent may be worked off now; none: a frame may. Unread: it has yet to take what it
    /// was sent.
    pub(super) fn next_frame(
        &mut self,
        unread: bool,
        turn: u64,
        rate: Option<&Limits>,
        now_ms: u64,
    ) -> Option<Stop> {
        if self.budget.turn != turn {
            self.budget = Budget { turn, frames: FRAMES_A_TURN, bytes: BYTES_A_TURN };
        }
        if self.pending.is_some() {
            return Some(Stop::Answer);
        }
        if unread {
            return Some(Stop::Unread);
        }
        if self.budget.frames == 0 || self.budget.bytes == 0 {
            return Some(Stop::Turn);
        }
        // Who has sent its last is done with as fast as turns allow: nothing more can come.
        if let Some(limits) = rate
            && !self.finished
            && !self.tokens.has(limits.request_burst, limits.requests_per_second, now_ms)
        {
            return Some(Stop::Tokens);
        }
        self.budget.frames -= 1;
        None
    }

    /// So many bytes were decoded.
    pub(super) fn spend_bytes(&mut self, bytes: usize) {
        self.budget.bytes = self.budget.bytes.saturating_sub(bytes);
    }

    /// Takes tokens for what the client sent.
    pub(super) fn spend(&mut self, tokens: usize) {
        self.tokens.take(tokens);
    }

    /// Time until there are tokens, ms.
    pub(super) fn wait_ms(&self, limits: &Limits) -> u64 {
        self.tokens.wait_ms(limits.request_burst, limits.requests_per_second)
    }

    /// A request has failed. True: there were too many within a minute.
    pub(super) fn fail(&mut self, most: u32, now_ms: u64) -> bool {
        self.failures.add(now_ms) > most
    }

    /// The request that waits for ingest.
    pub(super) fn pending(&self) -> Option<&Pending> {
        self.pending.as_deref()
    }

    pub(super) fn pending_mut(&mut self) -> &mut Option<Box<Pending>> {
        &mut self.pending
    }
}
