//! Any sequence of calls moves the bytes that a queue a direction would move: same bytes, same order, none lost, none
//! twice, and nothing held at the end.

use std::collections::VecDeque;

use proptest::prelude::*;
use ring::fake::Disturbances;
use ring::{Armed, Buffer, Completion, Event, Key, Op, Outcome, ReceiveEnd, Ring, Send, Setup, Slot, Wait};

use crate::fake::Fake;
use crate::harness::{Peer, World};
use crate::kernel::Kernel;

const CONNECTIONS: usize = 3;
/// In flight a direction, so that a peer's write does not block.
const IN_FLIGHT_MAX: usize = 12_000;
const SETUP: Setup = Setup { entries: 4, completions: 8, buffers: 4, buffer_bytes: 300, descriptors: 4 };

#[derive(Clone, Debug)]
enum Step {
    PeerWrites {
        connection: usize,
        bytes: usize,
    },
    PeerReads {
        connection: usize,
        bytes: usize,
    },
    /// One send each, several may go to the same.
    Sends(Vec<(usize, usize)>),
    Enter,
    /// Cancels all on it and arms it again.
    Rearm {
        connection: usize,
    },
    /// Closes it and connects anew; only when nothing is on its way.
    Reopen {
        connection: usize,
    },
    /// Keeps buffers from here on, or gives them all back.
    Keep(bool),
    Wake,
}

fn step() -> impl Strategy<Value = Step> {
    let connection = 0..CONNECTIONS;
    prop_oneof![
        4 => (connection.clone(), 1..2000_usize)
            .prop_map(|(connection, bytes)| Step::PeerWrites { connection, bytes }),
        3 => (connection.clone(), 1..3000_usize)
            .prop_map(|(connection, bytes)| Step::PeerReads { connection, bytes }),
        4 => prop::collection::vec((connection.clone(), 1..2000_usize), 1..9).prop_map(Step::Sends),
        3 => Just(Step::Enter),
        1 => connection.clone().prop_map(|connection| Step::Rearm { connection }),
        1 => connection.prop_map(|connection| Step::Reopen { connection }),
        1 => any::<bool>().prop_map(Step::Keep),
        1 => Just(Step::Wake),
    ]
}

struct Connection<P> {
    slot: Slot,
    key: Key,
    peer: P,
    receiving: bool,
    polling: bool,
    cancelling: bool,
    /// Ever: what a cancel met ends before or after the cancel itself.
    was_cancelled: bool,
    /// What the model says is on its way.
    to_ring: VecDeque<u8>,
    to_peer: VecDeque<u8>,
}

struct Run<'w, W: World> {
    world: &'w W,
    ring: W::Ring,
    connections: Vec<Connection<W::Peer>>,
    kept: Vec<Buffer>,
    keeps: bool,
    generation: u32,
    /// The next byte anybody writes: a counter, so that a swapped or doubled part shows.
    next: u8,
}

impl<'w, W: World> Run<'w, W> {
    fn new(world: &'w W) -> Self {
        let ring = world.ring(&SETUP);
        let mut run = Self {
            world,
            ring,
            connections: Vec::new(),
            kept: Vec::new(),
            keeps: false,
            generation: 0,
            next: 0,
        };
        for index in 0..CONNECTIONS {
            let connection = run.open(index);
            run.connections.push(connection);
        }
        run
    }

    fn open(&mut self, index: usize) -> Connection<W::Peer> {
        let (descriptor, peer) = self.world.connect();
        let slot = self.ring.install(descriptor).map_err(|(_, error)| error).unwrap();
        self.generation += 1;
        let key = Key::new(u32::try_from(index).unwrap(), self.generation);
        Connection {
            slot,
            key,
            peer,
            receiving: false,
            polling: false,
            cancelling: false,
            was_cancelled: false,
            to_ring: VecDeque::new(),
            to_peer: VecDeque::new(),
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        for _ in 0..count {
            bytes.push(self.next);
            self.next = self.next.wrapping_add(1);
        }
        bytes
    }

    /// A refused push is tried again at the next turn, like any caller would.
    fn arm_all(&mut self) {
        for connection in &mut self.connections {
            if !connection.receiving {
                let op = Op::Receive { slot: connection.slot };
                connection.receiving = self.ring.push(op, connection.key).is_ok();
            }
        }
    }

    fn enter(&mut self) {
        self.arm_all();
        let mut out = Vec::new();
        self.ring.enter(Wait::No, &mut out).unwrap();
        for completion in out {
            self.handle(completion);
        }
    }

    fn handle(&mut self, Completion { key, event }: Completion) {
        let connection = &mut self.connections[key.index() as usize];
        assert_eq!(connection.key, key, "nothing comes for a connection that is closed");
        match event {
            Event::Received(buffer) => {
                assert!(connection.receiving);
                let received = self.ring.bytes(&buffer);
                let expected: Vec<u8> = connection.to_ring.drain(..received.len()).collect();
                assert!(*received == expected, "other bytes than were written");
                if self.keeps {
                    self.kept.push(buffer);
                } else {
                    self.ring.recycle(buffer);
                }
            }
            Event::ReceiveEnded(end) => {
                assert!(connection.receiving, "one end each");
                connection.receiving = false;
                match end {
                    ReceiveEnd::Rearm => {}
                    ReceiveEnd::Cancelled => assert!(connection.was_cancelled),
                    ReceiveEnd::NoBuffers => self.give_back(),
                    ReceiveEnd::Eof | ReceiveEnd::Failed(_) => panic!("{end:?}"),
                }
            }
            Event::Polled(done) => {
                assert!(connection.polling);
                connection.polling = false;
                assert!(done.is_ok() || connection.was_cancelled);
            }
            Event::Cancelled => connection.cancelling = false,
            Event::ShutDown(_)
            | Event::Closed(_)
            | Event::OutQueue(_)
            | Event::ResetOnClose(_)
            | Event::Connected(_) => {
                panic!("{event:?}")
            }
        }
    }

    fn give_back(&mut self) {
        self.keeps = false;
        for buffer in self.kept.drain(..) {
            self.ring.recycle(buffer);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::PeerWrites { connection, bytes } => {
                let room = IN_FLIGHT_MAX - self.connections[connection].to_ring.len();
                let bytes = self.bytes(bytes.min(room));
                let connection = &mut self.connections[connection];
                connection.peer.write(&bytes);
                connection.to_ring.extend(bytes);
            }
            Step::PeerReads { connection, bytes } => {
                let connection = &mut self.connections[connection];
                let expected: Vec<u8> =
                    connection.to_peer.drain(..bytes.min(connection.to_peer.len())).collect();
                assert!(
                    connection.peer.read_exactly(expected.len()) == expected,
                    "other bytes than were sent"
                );
            }
            Step::Sends(sends) => self.send(&sends),
            Step::Enter => self.enter(),
            Step::Rearm { connection } => self.cancel(connection),
            Step::Reopen { connection } => self.reopen(connection),
            Step::Keep(true) => self.keeps = true,
            Step::Keep(false) => self.give_back(),
            Step::Wake => self.ring.waker().wake(),
        }
    }

    fn send(&mut self, sends: &[(usize, usize)]) {
        let bytes: Vec<Vec<u8>> = sends.iter().map(|(_, count)| self.bytes(*count)).collect();
        let batch: Vec<Send<'_>> = sends
            .iter()
            .zip(&bytes)
            .map(|((index, _), bytes)| Send { slot: self.connections[*index].slot, bytes })
            .collect();
        let mut outcomes = Vec::new();
        self.ring.send(&batch, &mut outcomes);
        for (((index, _), bytes), outcome) in sends.iter().zip(&bytes).zip(outcomes) {
            let connection = &mut self.connections[*index];
            match outcome {
                Outcome::Sent(count) => connection.to_peer.extend(&bytes[..count]),
                Outcome::Blocked if !connection.polling => {
                    let op = Op::PollWritable { slot: connection.slot };
                    connection.polling = self.ring.push(op, connection.key).is_ok();
                }
                Outcome::Blocked => {}
                Outcome::Failed(errno) => panic!("{errno:?}"),
            }
        }
    }

    fn cancel(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.cancelling {
            // What is armed; both only where the first has ended, which the callers' loops see to.
            let armed = if connection.receiving { Armed::Receive } else { Armed::Poll };
            let op = Op::Cancel { slot: connection.slot, armed };
            connection.cancelling = self.ring.push(op, connection.key).is_ok();
            connection.was_cancelled |= connection.cancelling;
        }
    }

    fn reopen(&mut self, index: usize) {
        let connection = &self.connections[index];
        if connection.to_ring.is_empty() && connection.to_peer.is_empty() {
            self.close(index);
            self.connections[index] = self.open(index);
        }
    }

    /// In the order of the contract: cancel, wait for every end, close.
    fn close(&mut self, index: usize) {
        loop {
            let connection = &mut self.connections[index];
            if !(connection.receiving || connection.polling || connection.cancelling) {
                break;
            }
            self.cancel(index);
            let mut out = Vec::new();
            self.ring.enter(Wait::No, &mut out).unwrap();
            out.into_iter().for_each(|completion| self.handle(completion));
        }
        let Connection { slot, key, .. } = self.connections[index];
        while self.ring.push(Op::Close { slot }, key).is_err() {
            self.turn();
        }
        loop {
            let mut out = Vec::new();
            self.ring.enter(Wait::No, &mut out).unwrap();
            let mut closed = false;
            for completion in out {
                if completion.event == Event::Closed(Ok(())) {
                    assert_eq!(completion.key, key);
                    closed = true;
                } else {
                    self.handle(completion);
                }
            }
            if closed {
                assert!(self.connections[index].peer.ends_with_fin());
                return;
            }
        }
    }

    /// Enters without arming anything.
    fn turn(&mut self) {
        let mut out = Vec::new();
        self.ring.enter(Wait::No, &mut out).unwrap();
        out.into_iter().for_each(|completion| self.handle(completion));
    }

    fn finish(mut self) {
        self.give_back();
        while self.connections.iter().any(|connection| !connection.to_ring.is_empty()) {
            self.enter();
            self.give_back();
        }
        for index in 0..CONNECTIONS {
            let all = self.connections[index].to_peer.len();
            self.step(Step::PeerReads { connection: index, bytes: all });
        }
        for index in 0..CONNECTIONS {
            self.close(index);
        }
        assert_eq!(self.ring.held(), ring::Held::default());
    }
}

fn run(world: &impl World, steps: Vec<Step>) {
    let mut run = Run::new(world);
    for step in steps {
        run.step(step);
    }
    run.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kernel_moves_what_a_queue_would(steps in prop::collection::vec(step(), 1..120)) {
        run(&Kernel, steps);
    }

    #[test]
    fn fake_moves_what_a_queue_would(seed: u64, steps in prop::collection::vec(step(), 1..120)) {
        run(&Fake::new(seed, Disturbances::MANY), steps);
    }
}
