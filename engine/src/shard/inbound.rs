//! What a client has sent and we have not worked off: one backlog a connection, of lines and bytes, never of parsed
//! requests, so that what waits is counted by what it takes.
//!
//! A client is slowed down by not being read. Each frame costs a token, and so does each further request of a message;
//! a turn of the shard works off a bounded part of what one client sent, and nothing while its earlier requests or
//! answers still wait. Why it stops is a [`Stop`]; while there is one the client is not read, and each has somebody who
//! goes on: an answer of ingest, the flush that takes the last of its output, a timer, the next turn.

use proto::{
    native::request,
    ws::{
        close::CloseCode,
        decoder::{self, Decoder, Event as Heard, Violation},
        frame::{OpCode, put_frame},
    },
};
use ring::{Armed, Key, Op, Ring};

use super::{
    Shard, Timer,
    connection::{Connection, Phase},
    lifecycle::CloseReason,
};
use crate::config::Service;

/// Frames and further requests of one client that are worked off in one turn.
const FRAMES_A_TURN: u32 = 32;
/// Bytes of the same.
const BYTES_A_TURN: usize = 64 * 1024;
/// Connections whose backlog is worked off in one turn.
const BACKLOGS_A_TURN: usize = 64;
/// Bytes of a message that one token pays for.
const TOKEN_BYTES: usize = 1024;
/// A client without tokens is read again once it has earned those of an eighth of a second, not for each by itself.
const REST_OF_SECOND: u64 = 8;

/// Why nothing more of what a client sent is worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
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

/// Why working off comes to an end before the input does.
enum Halt {
    /// The connection is not open any more.
    Over,
    Stop(Stop),
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
struct Backlog {
    /// Requests of a text message whose first ones are done.
    lines: String,
    /// Bytes at its front that are done.
    lines_done: usize,
    /// What was received behind it, undecoded.
    bytes: Vec<u8>,
    bytes_done: usize,
}

/// A connection's side of what it receives.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    decoder: Decoder,
    backlog: Option<Box<Backlog>>,
    /// Set: the client is not read.
    stop: Option<Stop>,
    budget: Budget,
    /// Its FIN came behind what waits.
    finished: bool,
}

impl Inbound {
    /// Why it is not read.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// Bytes of memory it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        let backlog = self
            .backlog
            .as_ref()
            .map_or(0, |backlog| size_of::<Backlog>() + backlog.lines.capacity() + backlog.bytes.capacity());
        self.decoder.held_bytes() + backlog
    }

    fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.backlog.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }
}

/// A token bucket in thousandths. It may go into debt: what a message costs is known once it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens_milli: i64,
    filled_ms: u64,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(burst: u32, now_ms: u64) -> Self {
        Self { tokens_milli: i64::from(burst) * 1_000, filled_ms: now_ms }
    }

    /// There is a token.
    fn has(&mut self, burst: u32, per_second: u32, now_ms: u64) -> bool {
        // Each time, or the time of a full bucket would be earned once more when it is empty.
        let earned = now_ms.saturating_sub(self.filled_ms).saturating_mul(u64::from(per_second));
        let filled = self.tokens_milli.saturating_add_unsigned(earned);
        self.tokens_milli = filled.min(i64::from(burst) * 1_000);
        self.filled_ms = now_ms;
        self.tokens_milli >= 1_000
    }

    fn take(&mut self, tokens: usize) {
        self.tokens_milli -= i64::try_from(tokens).unwrap_or(i64::MAX / 2_000) * 1_000;
    }

    /// Time until it has enough to be worth while.
    fn wait_ms(&self, burst: u32, per_second: u32) -> u64 {
        let per_second = u64::from(per_second).max(1);
        let wanted = (per_second * 1_000 / REST_OF_SECOND).clamp(1_000, u64::from(burst.max(1)) * 1_000);
        let missing = i64::try_from(wanted).unwrap_or(i64::MAX).saturating_sub(self.tokens_milli);
        u64::try_from(missing).unwrap_or(0).div_ceil(per_second)
    }
}

impl<R: Ring> Shard<R> {
    /// Bytes of a client have come.
    pub(super) fn hear(&mut self, key: Key, bytes: &mut [u8]) {
        let Some(client) = self.connections.get_mut(key) else { return };
        client.heard = true;
        // What is received of a closing connection is dropped.
        if client.phase != Phase::Open {
            return;
        }
        if client.inbound.stop.is_some() {
            client.inbound.append(bytes);
        } else {
            self.work_off(key, bytes);
        }
        self.count_held(key);
        self.limit_client_bytes();
    }

    /// Works off what waited and then `fresh`, as far as that may be.
    fn work_off(&mut self, key: Key, fresh: &mut [u8]) {
        let Some(client) = self.connections.get_mut(key) else { return };
        let mut decoder = std::mem::take(&mut client.inbound.decoder);
        let mut backlog = client.inbound.backlog.take();
        let worked = match &mut backlog {
            Some(waiting) => {
                waiting.bytes.extend_from_slice(fresh);
                self.work_off_backlog(key, &mut decoder, waiting)
            }
            None => {
                let (mut left, mut lines) = (fresh, String::new());
                let worked = self.decode(key, &mut decoder, &mut left, &mut lines);
                if !(lines.is_empty() && left.is_empty()) {
                    backlog = Some(Box::new(Backlog { lines, bytes: left.to_vec(), ..Backlog::default() }));
                }
                worked
            }
        };
        // A message that was given out is held until the decoder is asked again.
        let _nothing = decoder.next(&mut &mut [][..], &self.decoder_limits());
        let unread = self.is_unread(key);
        // The close has let go of all there was.
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        client.inbound.decoder = decoder;
        match worked {
            // What it asks from now on is not answered before it has read.
            Ok(()) if unread => self.stop_reading(key, Stop::Unread),
            Ok(()) | Err(Halt::Over) => {}
            Err(Halt::Stop(stop)) => {
                client.inbound.backlog = backlog;
                self.stop_reading(key, stop);
            }
        }
    }

    fn work_off_backlog(
        &mut self,
        key: Key,
        decoder: &mut Decoder,
        backlog: &mut Backlog,
    ) -> Result<(), Halt> {
        loop {
            if let Err((halt, left)) = self.lines(key, &backlog.lines[backlog.lines_done..], false) {
                backlog.lines_done = backlog.lines.len() - left;
                return Err(halt);
            }
            (backlog.lines, backlog.lines_done) = (String::new(), 0);
            let all = backlog.bytes.len();
            let mut bytes = &mut backlog.bytes[backlog.bytes_done..];
            if bytes.is_empty() {
                return Ok(());
            }
            let halted = self.decode(key, decoder, &mut bytes, &mut backlog.lines);
            backlog.bytes_done = all - bytes.len();
            // What is done is let go of when it is the larger part: moved once, whatever the number of turns.
            if backlog.bytes_done > backlog.bytes.len() / 2 {
                backlog.bytes.drain(..backlog.bytes_done);
                backlog.bytes.shrink_to(backlog.bytes.len() * 2);
                backlog.bytes_done = 0;
            }
            halted?;
        }
    }

    /// Decodes and acts on what is decoded, up to the end of the input. Lines of a message that may not be worked off yet
    /// go to `lines`.
    fn decode(
        &mut self,
        key: Key,
        decoder: &mut Decoder,
        bytes: &mut &mut [u8],
        lines: &mut String,
    ) -> Result<(), Halt> {
        let limits = self.decoder_limits();
        while !bytes.is_empty() {
            self.may_go_on(key)?;
            let before = bytes.len();
            let event = decoder.next(bytes, &limits);
            self.spend_bytes(key, before - bytes.len());
            match event {
                Ok(None) => return Ok(()),
                Ok(Some(event)) => self.event(key, event, lines)?,
                Err(violation) => return Err(self.violated(key, violation)),
            }
        }
        Ok(())
    }

    fn decoder_limits(&self) -> decoder::Limits {
        let most = self.context.settings.limits.client_message_bytes;
        decoder::Limits { frame_bytes_max: most, message_bytes_max: most }
    }

    fn event(&mut self, key: Key, event: Heard<'_>, lines: &mut String) -> Result<(), Halt> {
        let echo = self.context.settings.service == Service::Echo;
        match event {
            Heard::Text(text) if echo => self.echo(key, OpCode::Text, text.as_bytes()),
            Heard::Binary(payload) if echo => self.echo(key, OpCode::Binary, payload),
            Heard::Text(text) => {
                self.spend(key, 1 + text.len() / TOKEN_BYTES);
                if let Err((halt, rest)) = self.lines(key, text, true) {
                    lines.push_str(&text[text.len() - rest..]);
                    return Err(halt);
                }
            }
            Heard::Binary(_) => {
                self.close(key, CloseCode::UNSUPPORTED, "text frames only", CloseReason::Violation);
            }
            Heard::Ping(payload) => {
                self.spend(key, 1);
                self.control(key, |out| put_frame(out, OpCode::Pong, payload));
            }
            Heard::Pong(_) | Heard::Fragment => self.spend(key, 1),
            Heard::Close(close) => {
                let code = close.and_then(|(code, _)| CloseCode::received(code));
                self.close(key, code.unwrap_or(CloseCode::NORMAL), "", CloseReason::Client);
            }
        }
        Ok(())
    }

    fn violated(&mut self, key: Key, violation: Violation) -> Halt {
        self.close(key, violation.close_code(), violation.reason(), CloseReason::Violation);
        Halt::Over
    }

    /// Works off the requests of a text, one a line. The first is paid for already if its frame has just come. On a halt,
    /// how many bytes at the end are left.
    fn lines(&mut self, key: Key, text: &str, mut paid: bool) -> Result<(), (Halt, usize)> {
        let limits = request::Limits {
            channels_per_request: self.context.settings.limits.channels_per_request,
            channel_name_bytes: self.context.settings.limits.channel_name_bytes,
        };
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if !std::mem::take(&mut paid) && !line.trim_ascii().is_empty() {
                self.may_go_on(key).map_err(|halt| (halt, rest.len()))?;
                self.spend(key, 1);
            }
            for request in request::requests(line, &limits) {
                self.context.metrics.requests.add(1);
                self.request(key, request);
            }
            rest = after;
        }
        Ok(())
    }

    /// Sends a client its own message back.
    fn echo(&mut self, key: Key, opcode: OpCode, payload: &[u8]) {
        self.context.metrics.requests.add(1);
        self.control(key, |out| put_frame(out, opcode, payload));
    }

    /// Whether more of what the client sent may be worked off now.
    fn may_go_on(&mut self, key: Key) -> Result<(), Halt> {
        let limits = &self.context.settings.limits;
        let (burst, per_second) = (limits.request_burst, limits.requests_per_second);
        let (now_ms, turn) = (self.context.now.mono_ms(), self.context.turn);
        let rated = self.context.settings.service != Service::Echo;
        let unread = self.is_unread(key);
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return Err(Halt::Over);
        };
        let Connection { inbound, requests, pending, .. } = client;
        if inbound.budget.turn != turn {
            inbound.budget = Budget { turn, frames: FRAMES_A_TURN, bytes: BYTES_A_TURN };
        }
        let stop = if pending.is_some() {
            Stop::Answer
        } else if unread {
            Stop::Unread
        } else if inbound.budget.frames == 0 || inbound.budget.bytes == 0 {
            Stop::Turn
        // Who has sent its last is done with as fast as turns allow: nothing more can come.
        } else if rated && !inbound.finished && !requests.has(burst, per_second, now_ms) {
            Stop::Tokens
        } else {
            inbound.budget.frames -= 1;
            return Ok(());
        };
        Err(Halt::Stop(stop))
    }

    /// The client has yet to take what it was sent.
    fn is_unread(&self, key: Key) -> bool {
        let limit = self.context.settings.limits.control_output_bytes;
        let over = self.connections.at(key.index()).is_some_and(|client| client.control_bytes() > limit);
        over || self.is_behind(key.index())
    }

    /// Takes tokens for what the client sent.
    pub(super) fn spend(&mut self, key: Key, tokens: usize) {
        if let Some(client) = self.connections.get_mut(key) {
            client.requests.take(tokens);
        }
    }

    fn spend_bytes(&mut self, key: Key, bytes: usize) {
        if let Some(client) = self.connections.get_mut(key) {
            client.inbound.budget.bytes = client.inbound.budget.bytes.saturating_sub(bytes);
        }
    }

    /// The client is not read until whoever the reason names goes on.
    fn stop_reading(&mut self, key: Key, stop: Stop) {
        let limits = &self.context.settings.limits;
        let (burst, per_second) = (limits.request_burst, limits.requests_per_second);
        let Some(client) = self.connections.get_mut(key) else { return };
        client.inbound.stop = Some(stop);
        let (slot, receiving) = (client.slot, client.receiving);
        match stop {
            Stop::Answer | Stop::Unread => {}
            Stop::Tokens => {
                let wait_ms = client.requests.wait_ms(burst, per_second);
                self.context.timers.arm(self.context.now.mono_ms() + wait_ms, key, Timer::Tokens);
            }
            Stop::Turn => self.backlogs.push_back(key),
        }
        if receiving {
            self.push(Op::Cancel { slot, armed: Armed::Receive }, key);
        }
    }

    /// What the client was stopped for is over: it goes on with the next turn.
    pub(super) fn resume(&mut self, key: Key, stopped: Stop) {
        let Some(client) = self.connections.get_mut(key) else { return };
        if client.inbound.stop == Some(stopped) {
            client.inbound.stop = Some(Stop::Turn);
            self.backlogs.push_back(key);
        }
    }

    /// Works off a turn's worth of backlogs, in their order.
    pub(super) fn work_off_backlogs(&mut self) {
        for _ in 0..self.backlogs.len().min(BACKLOGS_A_TURN) {
            let Some(key) = self.backlogs.pop_front() else { return };
            let stopped = |client: &&mut Connection| {
                client.phase == Phase::Open && client.inbound.stop == Some(Stop::Turn)
            };
            let Some(client) = self.connections.get_mut(key).filter(stopped) else { continue };
            client.inbound.stop = None;
            self.work_off(key, &mut []);
            self.count_held(key);
            self.limit_client_bytes();
            let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open)
            else {
                continue;
            };
            if client.inbound.stop.is_some() {
                continue;
            }
            if client.inbound.finished {
                self.end(key, CloseReason::Client);
            } else {
                self.receive(key);
            }
        }
    }

    /// The client has sent its FIN. True: behind what still waits, after which it is dealt with.
    pub(super) fn finishes_later(&mut self, key: Key) -> bool {
        let Some(client) = self.connections.get_mut(key) else { return false };
        let waits = client.phase == Phase::Open && client.inbound.stop.is_some();
        client.inbound.finished |= waits;
        if waits {
            self.resume(key, Stop::Tokens);
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_silence_earns_one_burst_and_no_more() {
        let mut bucket = Bucket::full(200, 0);
        let now_ms = 60_000;
        let mut frames = 0;
        while bucket.has(200, 200, now_ms) {
            bucket.take(1);
            frames += 1;
        }
        assert_eq!(frames, 200);
    }
}
