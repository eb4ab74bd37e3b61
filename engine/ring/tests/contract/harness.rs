//! What a suite needs of a world: rings, connections, and the far ends of them.

use std::net::SocketAddr;
use std::time::Duration;

use ring::{Armed, Buffer, Completion, Event, Key, Op, Outcome, ReceiveEnd, Ring, Send, Setup, Slot, Wait};

pub(crate) trait World {
    type Ring: Ring;
    type Peer: Peer;

    fn ring(&self, setup: &Setup) -> Self::Ring;
    /// A connected pair.
    fn connect(&self) -> (<Self::Ring as Ring>::Descriptor, Self::Peer);
    /// A connected pair that takes some hundred KiB and then nothing at all until the peer reads.
    fn connect_tight(&self) -> (<Self::Ring as Ring>::Descriptor, Self::Peer) {
        self.connect()
    }
    /// A socket that is not connected.
    fn socket(&self) -> <Self::Ring as Ring>::Descriptor;
    /// Runs `dial` with an address at which somebody listens; gives the peer that was accepted.
    fn listen(&self, dial: impl FnOnce(SocketAddr)) -> Self::Peer;
    /// An address at which nobody listens.
    fn nobody(&self) -> SocketAddr;
    /// Whether sends may be short and receives may end for no reason.
    fn is_disturbed(&self) -> bool {
        false
    }
}

pub(crate) trait Peer {
    fn write(&mut self, bytes: &[u8]);
    /// Exactly so many bytes, once they are there.
    fn read_exactly(&mut self, bytes: usize) -> Vec<u8>;
    fn half_close(&mut self);
    fn reset(self);
    /// Waits for the end of the stream: `true` for a FIN, `false` for a RST. Nothing may be unread.
    fn ends_with_fin(&mut self) -> bool;
}

pub(crate) const SMALL: Setup =
    Setup { entries: 8, completions: 64, buffers: 8, buffer_bytes: 512, descriptors: 16 };

/// A ring and the completions that were not asked for yet.
pub(crate) struct Driver<R: Ring> {
    pub(crate) ring: R,
    seen: Vec<Completion>,
    round: Vec<Completion>,
}

/// Far more than any fake delays, and longer than any kernel takes.
const ROUNDS: usize = 500;

impl<R: Ring> Driver<R> {
    pub(crate) const fn new(ring: R) -> Self {
        Self { ring, seen: Vec::new(), round: Vec::new() }
    }

    pub(crate) fn install(&mut self, descriptor: R::Descriptor) -> Slot {
        self.ring.install(descriptor).map_err(|(_, error)| error).unwrap()
    }

    /// Pushes, again if refused.
    pub(crate) fn push(&mut self, mut op: Op, key: Key) {
        while let Err(refused) = self.ring.push(op, key) {
            assert_eq!(refused, op, "a refused push hands the op back");
            op = refused;
            self.enter(Wait::No);
        }
    }

    pub(crate) fn enter(&mut self, wait: Wait) {
        self.ring.enter(wait, &mut self.round).unwrap();
        self.seen.append(&mut self.round);
    }

    /// The next event of `key` that `wanted` accepts; enters until it is there.
    pub(crate) fn wait_for(&mut self, key: Key, wanted: impl Fn(&Event) -> bool) -> Event {
        for _ in 0..ROUNDS {
            let found = self.seen.iter().position(|c| c.key == key && wanted(&c.event));
            if let Some(index) = found {
                return self.seen.remove(index).event;
            }
            self.enter(Wait::For(Duration::from_millis(10)));
        }
        panic!("nothing of the kind came for {key:?}; unasked: {:?}", self.seen);
    }

    /// The next event of `key`.
    pub(crate) fn next(&mut self, key: Key) -> Event {
        self.wait_for(key, |_| true)
    }

    /// That nothing comes for `key` within a few enters.
    pub(crate) fn expect_silence(&mut self, key: Key) {
        for _ in 0..10 {
            self.enter(Wait::For(Duration::from_millis(2)));
        }
        assert!(!self.seen.iter().any(|c| c.key == key), "silence, please: {:?}", self.seen);
    }

    /// Bytes of `buffer`, which is recycled.
    pub(crate) fn take(&mut self, buffer: Buffer) -> Vec<u8> {
        let bytes = self.ring.bytes(&buffer).to_vec();
        assert_eq!(bytes.len(), buffer.len());
        self.ring.recycle(buffer);
        bytes
    }

    /// Receives until `count` bytes came, re-arming what ends without need. A receive must be armed; the one that is
    /// armed or has ended afterwards is told by the result.
    pub(crate) fn receive(&mut self, slot: Slot, key: Key, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            match self.next(key) {
                Event::Received(buffer) => bytes.extend(self.take(buffer)),
                Event::ReceiveEnded(ReceiveEnd::Rearm | ReceiveEnd::NoBuffers) => {
                    self.push(Op::Receive { slot }, key);
                }
                other => panic!("after {} of {count} bytes: {other:?}", bytes.len()),
            }
        }
        assert_eq!(bytes.len(), count);
        bytes
    }

    /// The armed receive's end, re-arming what ends without need; no more bytes may come.
    pub(crate) fn receive_end(&mut self, slot: Slot, key: Key) -> ReceiveEnd {
        loop {
            match self.next(key) {
                Event::ReceiveEnded(ReceiveEnd::Rearm | ReceiveEnd::NoBuffers) => {
                    self.push(Op::Receive { slot }, key);
                }
                Event::ReceiveEnded(end) => return end,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends all of `bytes`, waiting for room where `make_room` makes some.
    pub(crate) fn send_all(&mut self, slot: Slot, bytes: &[u8], mut make_room: impl FnMut()) {
        let key = Key::new(u32::MAX, 0);
        let mut outcomes = Vec::new();
        let mut sent = 0;
        while sent < bytes.len() {
            self.ring.send(&[Send { slot, bytes: &bytes[sent..] }], &mut outcomes);
            match outcomes[..] {
                [Outcome::Sent(count)] => sent += count,
                [Outcome::Blocked] => {
                    self.push(Op::PollWritable { slot }, key);
                    make_room();
                    assert_eq!(self.next(key), Event::Polled(Ok(())));
                }
                ref other => panic!("{other:?}"),
            }
        }
    }

    /// Ends the armed receive, if there is one, and closes: the order the contract asks for.
    pub(crate) fn close(&mut self, slot: Slot, key: Key, receiving: bool) {
        if receiving {
            self.push(Op::Cancel { slot, armed: Armed::Receive }, key);
            let ended = |event: &Event| matches!(event, Event::ReceiveEnded(_));
            assert!(matches!(self.wait_for(key, ended), Event::ReceiveEnded(_)));
            assert_eq!(self.wait_for(key, |event| *event == Event::Cancelled), Event::Cancelled);
        }
        self.push(Op::Close { slot }, key);
        assert_eq!(self.wait_for(key, |event| matches!(event, Event::Closed(_))), Event::Closed(Ok(())));
    }

    pub(crate) fn expect_nothing_held(&self) {
        assert_eq!(self.ring.held(), ring::Held::default());
        assert!(self.seen.is_empty(), "left over: {:?}", self.seen);
    }
}
