//! A simulated client: real bytes over a fake socket, read by the protocol's own decoder, judged by the oracle.

use std::collections::VecDeque;

use proto::ws::{
    close::CloseCode,
    decoder::{Decoder, Event, Limits},
    frame::{OpCode, put_close_masked, put_masked},
};
use ring::fake::FakePeer;

use crate::{
    model::Model,
    oracle::{Asked, Checker, Wrong, shown},
    rng::{Hash, Rng},
};

/// What a client did and heard, in order.
#[derive(Debug, Clone)]
pub(crate) enum Logged {
    Asked(i64, Asked),
    Heard(Vec<u8>),
}

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All that is there.
    All,
    /// A part, so that the window is full now and then.
    Some,
    /// Nothing for now.
    Paused,
    /// Nothing, and its kernel acknowledges nothing either.
    Stalled,
    /// Never again.
    Never,
}

/// How a connection came to its end, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is open.
    No,
    /// The client broke the rules in a way that this code answers.
    Deserved(u16),
    /// The client has sent its close frame; it is to be answered with this code.
    Asked(u16),
    /// The client half-closed, without a close frame.
    HalfClosed,
    /// The server's close frame came.
    Closed(u16),
    /// Over: the socket is gone.
    Gone,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) peer: Option<FakePeer>,
    /// The shard that serves it.
    pub(crate) shard: usize,
    pub(crate) checker: Checker,
    /// Kept if there is one, to be judged again.
    pub(crate) log: Option<Vec<Logged>>,
    pub(crate) reading: Reading,
    /// It did not always read, so it may have been given up.
    pub(crate) may_be_given_up: bool,
    /// It has asked faster than it is read.
    pub(crate) throttled: bool,
    /// It takes few bytes at a time.
    small_window: bool,
    window_bytes: usize,
    half_closed: bool,
    pub(crate) end: End,
    /// The code of the close frame that came before the end.
    pub(crate) last_close: Option<u16>,
    decoder: Decoder,
    /// Bytes on their way out, to be cut anywhere.
    writing: VecDeque<u8>,
    pings: VecDeque<Vec<u8>>,
    /// Pings of the server.
    pub(crate) pinged: u64,
    next_request: i64,
    /// What it hears is shown, for debugging.
    shown: bool,
    /// All that was read; for the trace.
    pub(crate) trace: Hash,
    rng: Rng,
}

const LIMITS: Limits = Limits { frame_bytes_max: 1 << 24, message_bytes_max: 1 << 24 };

impl Client {
    pub(crate) fn new(id: u64, shard: usize, peer: FakePeer, checker: Checker, rng: Rng) -> Self {
        Self {
            id,
            peer: Some(peer),
            shard,
            checker,
            log: None,
            reading: Reading::All,
            may_be_given_up: false,
            throttled: false,
            small_window: false,
            window_bytes: 64 << 10,
            half_closed: false,
            end: End::No,
            last_close: None,
            decoder: Decoder::client(),
            writing: VecDeque::new(),
            pings: VecDeque::new(),
            pinged: 0,
            next_request: 1,
            shown: std::env::var("SIM_CLIENT").is_ok_and(|shown| shown == id.to_string()),
            trace: Hash::EMPTY,
            rng,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end == End::No
    }

    /// It is open and reads.
    pub(crate) fn is_live(&self) -> bool {
        self.is_open() && self.reading == Reading::All
    }

    /// Bytes of what it sends that come with the upgrade request.
    pub(crate) fn early_bytes(&mut self) -> Vec<u8> {
        let count = self.rng.between(0, self.writing.len());
        self.writing.drain(..count).collect()
    }

    /// Sends a request of this type.
    pub(crate) fn request(&mut self, kind: &str, data: Option<&serde_json::Value>, asked: Asked) {
        let id = self.next_request;
        let text = match data {
            Some(data) => serde_json::json!({"type": kind, "id": id, "data": data}).to_string(),
            None => serde_json::json!({"type": kind, "id": id}).to_string(),
        };
        self.text(&text, asked);
    }

    /// Sends one request's text; its id, if it has one, is the next.
    pub(crate) fn text(&mut self, text: &str, asked: Asked) {
        if let Some(log) = &mut self.log {
            log.push(Logged::Asked(self.next_request, asked.clone()));
        }
        self.checker.asked(self.next_request, asked);
        self.next_request += 1;
        self.put_text(text.as_bytes());
    }

    pub(crate) fn next_id(&self) -> i64 {
        self.next_request
    }

    pub(crate) fn subscribe(&mut self, names: &[&str]) {
        let asked = names.iter().map(|name| ((*name).to_owned(), false)).collect();
        self.request("subscribe", Some(&serde_json::json!({"channels": names})), Asked::Subscribe(asked));
    }

    pub(crate) fn unsubscribe(&mut self, names: &[&str]) {
        let asked = names.iter().map(|name| (*name).to_owned()).collect();
        self.request("unsubscribe", Some(&serde_json::json!({"channels": names})), Asked::Unsubscribe(asked));
    }

    pub(crate) fn heartbeat(&mut self) {
        self.request("heartbeat", None, Asked::Heartbeat);
    }

    pub(crate) fn ping(&mut self) {
        let payload: Vec<u8> = (0..self.rng.below(126)).map(|_| self.rng.next().to_le_bytes()[0]).collect();
        self.put(OpCode::Ping, &payload);
        self.pings.push_back(payload);
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.writing.extend(bytes);
    }

    pub(crate) fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let mut out = Vec::new();
        put_masked(&mut out, opcode, payload, self.mask());
        self.raw(&out);
    }

    /// Begins the closing handshake.
    pub(crate) fn close(&mut self, code: CloseCode) {
        let mut out = Vec::new();
        put_close_masked(&mut out, code, "bye", self.mask());
        self.raw(&out);
        self.end = End::Asked(code.get());
    }

    fn mask(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.rng.next().to_le_bytes();
        [a, b, c, d]
    }

    /// One text message, now and then in fragments with a ping in between.
    fn put_text(&mut self, text: &[u8]) {
        if text.len() < 2 || !self.rng.chance(200) {
            self.put(OpCode::Text, text);
            return;
        }
        let cut = self.rng.between(1, text.len() - 1);
        let mut first = Vec::new();
        put_masked(&mut first, OpCode::Text, &text[..cut], self.mask());
        first[0] &= 0x7f; // not the last fragment
        self.raw(&first);
        if self.rng.chance(500) {
            self.ping();
        }
        self.put(OpCode::Continuation, &text[cut..]);
    }

    /// Lets some of what it sends go.
    pub(crate) fn write_some(&mut self) {
        let all = self.writing.len();
        let count = if self.rng.chance(500) { all } else { self.rng.between(0, all.min(40)) };
        self.write(count);
    }

    /// Lets all of it go.
    pub(crate) fn write_all(&mut self) {
        self.write(self.writing.len());
    }

    fn write(&mut self, count: usize) {
        let Some(peer) = &mut self.peer else { return };
        if count > 0 {
            let bytes: Vec<u8> = self.writing.drain(..count).collect();
            peer.write(&bytes);
        }
    }

    pub(crate) fn has_written(&self) -> bool {
        self.writing.is_empty()
    }

    /// Reads as it is used to. True: something came.
    pub(crate) fn read(&mut self, model: &Model) -> Result<bool, Wrong> {
        let most = match self.reading {
            Reading::All => usize::MAX,
            Reading::Some => self.rng.between(1, 3_000),
            Reading::Paused | Reading::Stalled | Reading::Never => return Ok(false),
        };
        self.read_up_to(most, model)
    }

    /// Reads, and looks at the socket's end.
    pub(crate) fn read_up_to(&mut self, most: usize, model: &Model) -> Result<bool, Wrong> {
        let Some(peer) = &mut self.peer else { return Ok(false) };
        let mut bytes = peer.read_up_to(most);
        let (fin, reset) = (peer.has_fin(), peer.was_reset());
        self.trace.add(&bytes);
        let any = !bytes.is_empty();
        let wrong = |wrong: Wrong, id| format!("client {id}: {wrong}");
        self.decode(&mut bytes, model).map_err(|text| wrong(text, self.id))?;
        if fin || reset {
            self.over(reset).map_err(|text| wrong(text, self.id))?;
        }
        Ok(any || fin || reset)
    }

    fn decode(&mut self, mut bytes: &mut [u8], model: &Model) -> Result<(), Wrong> {
        let mut decoder = std::mem::take(&mut self.decoder);
        loop {
            let event = decoder.next(&mut bytes, &LIMITS).map_err(|error| error.reason().to_owned())?;
            let Some(event) = event else { break };
            if let End::Closed(_) = self.end {
                return Err("something comes behind the close frame".to_owned());
            }
            if self.shown {
                eprintln!("client {} hears {:.400}", self.id, format!("{event:?}"));
            }
            match event {
                Event::Text(text) => {
                    if let Some(log) = &mut self.log {
                        log.push(Logged::Heard(text.as_bytes().to_vec()));
                    }
                    self.checker.hear(text.as_bytes(), model)?;
                }
                Event::Binary(bytes) => return Err(format!("a binary message: {}", shown(bytes))),
                Event::Fragment => return Err("a fragment is told to servers only".to_owned()),
                // The server does not insist on pongs.
                Event::Ping(_) => self.pinged += 1,
                Event::Pong(payload) => {
                    if self.pings.pop_front().as_deref() != Some(payload) {
                        return Err("a pong without a ping".to_owned());
                    }
                }
                Event::Close(code) => self.closed(code.map_or(1005, |(code, _)| code))?,
            }
        }
        self.decoder = decoder;
        Ok(())
    }

    /// The server's close frame.
    fn closed(&mut self, code: u16) -> Result<(), Wrong> {
        let expected = match self.end {
            End::Asked(asked) => asked,
            End::Deserved(deserved) => deserved,
            End::No | End::HalfClosed | End::Closed(_) | End::Gone => 1001,
        };
        let gave_up = code == 1008 && self.may_be_given_up;
        if code != expected && code != 1001 && !gave_up {
            return Err(format!("closed with {code}, where {expected} was due ({:?})", self.end));
        }
        self.end = End::Closed(code);
        Ok(())
    }

    /// The socket came to its end.
    fn over(&mut self, reset: bool) -> Result<(), Wrong> {
        let fair = match self.end {
            End::Closed(_) | End::HalfClosed | End::Gone => true,
            // A reset may eat the answer; and there is a limit to how long a close may take.
            End::Deserved(_) | End::Asked(_) => reset || self.may_be_given_up || self.is_slow(),
            End::No => self.may_be_given_up,
        };
        if !fair {
            let how = if reset { "a reset" } else { "a FIN" };
            return Err(format!("{how} without a close frame ({:?}, reads {:?})", self.end, self.reading));
        }
        if let End::Closed(code) = self.end {
            self.last_close = Some(code);
            if self.rng.chance(500) && !reset && !self.half_closed {
                self.close(CloseCode::NORMAL);
                self.write_all();
            }
        }
        self.leave();
        Ok(())
    }

    /// Begins the closing handshake and sends a FIN right behind.
    pub(crate) fn close_and_finish(&mut self, code: CloseCode) {
        self.close(code);
        let end = self.end;
        self.half_close();
        self.end = end;
    }

    /// Sends a FIN, and no close frame.
    pub(crate) fn half_close(&mut self) {
        self.write_all();
        if let Some(peer) = &mut self.peer {
            peer.half_close();
            self.half_closed = true;
            self.end = End::HalfClosed;
        }
    }

    /// It takes its time.
    pub(crate) fn is_slow(&self) -> bool {
        self.small_window || self.throttled || self.reading != Reading::All
    }

    /// Lets go of the socket.
    pub(crate) fn leave(&mut self) {
        self.peer = None;
        self.end = End::Gone;
    }

    /// Stops and goes on acknowledging and reading.
    pub(crate) fn set_reading(&mut self, reading: Reading) {
        let Some(peer) = &mut self.peer else { return };
        peer.set_window(self.window_bytes);
        match (self.reading, reading) {
            (Reading::Stalled, _) => peer.resume(),
            (_, Reading::Stalled) => peer.stall(),
            _ => {}
        }
        self.may_be_given_up |= !matches!(reading, Reading::All | Reading::Some);
        self.reading = reading;
    }

    /// Bytes that may be in flight to it or unread.
    pub(crate) fn set_window(&mut self, bytes: usize) {
        if let Some(peer) = &mut self.peer {
            peer.set_window(bytes);
        }
        self.window_bytes = bytes;
        self.small_window |= bytes < 64 << 10;
    }

    /// Takes nothing more until [`Self::set_reading`].
    pub(crate) fn shut_window(&mut self) {
        if let Some(peer) = &mut self.peer {
            peer.set_window(0);
        }
    }

    pub(crate) fn pings_unanswered(&self) -> usize {
        self.pings.len()
    }
}
