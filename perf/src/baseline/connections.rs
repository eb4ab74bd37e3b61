//! Loopback connections with a sender's end here and a reader's end in a thread of its own, on another core,
//! that looks once a millisecond.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use ring::{Event, KernelRing, Key, Op, ReceiveEnd, Ring, Setup, Slot, Wait};
use socket2::{Domain, Protocol, Socket, Type};

use super::Plan;
use crate::{Clock, Error, machine::pin, measure::clock::ns};

/// Between two looks of the reader, and of the sender at how far the reader is.
const LOOK: Duration = Duration::from_millis(1);
const SENDER_LOOK: Duration = Duration::from_micros(200);
/// Between two looks while something else is measured.
const PAUSED_LOOK: Duration = Duration::from_millis(50);
/// The reader gives up nothing, but the sender does not wait longer for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors of the process beside those of the connections.
const DESCRIPTORS_SPARE: u64 = 256;

/// What sender and reader tell each other.
#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    paused: AtomicBool,
    stop: AtomicBool,
}

/// The connections, for the thread that sends.
pub(super) struct Connections {
    pub(super) ring: KernelRing,
    pub(super) slots: Vec<Slot>,
    /// The same sockets for send(2).
    pub(super) sockets: Vec<Socket>,
    /// What is sent: a piece after the other, the same to all in a round, like the slab.
    pub(super) region: Vec<u8>,
    pub(super) at: usize,
    pub(super) frame_bytes: usize,
    pub(super) clock: Clock,
    pub(super) sent_bytes: u64,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<Result<(), Error>>>,
}

impl Connections {
    /// Opens them all.
    pub(super) fn open(plan: &Plan, reader_core: usize, clock: Clock) -> Result<Self, Error> {
        let limit = ring::raise_descriptor_limit().map_err(|error| system("descriptor limit", &error))?;
        if u64::from(plan.connections) + DESCRIPTORS_SPARE > limit {
            return Err(Error::Kernel(format!(
                "{} connections need more descriptors than the limit of {limit} (RLIMIT_NOFILE)",
                plan.connections
            )));
        }
        let shared = Arc::new(Shared::default());
        let (to_reader, inbox) = mpsc::channel();
        let ring = make_ring(plan.connections)?;
        let (connections, of_reader) = (plan.connections, Arc::clone(&shared));
        let body = move || read(connections, reader_core, clock, &inbox, &of_reader);
        let reader = thread::Builder::new().name("baseline-reader".to_owned()).spawn(body);
        let mut made = Self {
            ring,
            slots: Vec::new(),
            sockets: Vec::new(),
            region: region(plan.frame_bytes),
            at: 0,
            frame_bytes: plan.frame_bytes,
            clock,
            sent_bytes: 0,
            shared,
            reader: Some(reader.map_err(|error| system("a thread for the reader", &error))?),
        };
        made.connect(plan.connections, &to_reader).map_err(|error| system("opening connections", &error))?;
        Ok(made)
    }

    fn connect(&mut self, count: u32, to_reader: &Sender<Socket>) -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.into();
        for _ in 0..count {
            let peer = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            peer.connect(&address)?;
            let socket = Socket::from(listener.accept()?.0);
            socket.set_tcp_nodelay(true)?;
            // Of the file, so the ring's descriptor has it too, whose sends do not wait anyway.
            socket.set_nonblocking(true)?;
            let slot = self.ring.install(socket.try_clone()?.into());
            self.slots.push(slot.map_err(|(_, error)| std::io::Error::other(error))?);
            self.sockets.push(socket);
            // A reader that has ended says why when it is joined.
            let _ = to_reader.send(peer);
        }
        Ok(())
    }

    /// Waits until the reader is not further behind than `bytes`.
    pub(super) fn let_read(&mut self, bytes: u64) -> Result<(), Error> {
        let until_ns = self.clock.now_ns() + ns(PATIENCE);
        while self.sent_bytes.saturating_sub(self.shared.received.load(Relaxed)) > bytes {
            if self.reader.as_ref().is_none_or(JoinHandle::is_finished) {
                self.close()?;
            }
            if self.reader.is_none() || self.clock.now_ns() > until_ns {
                return Err(Error::Kernel("the reader of the baseline does not read".to_owned()));
            }
            self.clock.sleep_until(self.clock.now_ns() + ns(SENDER_LOOK));
        }
        Ok(())
    }

    /// The reader looks rarely.
    pub(super) fn pause(&self) {
        self.shared.paused.store(true, Relaxed);
    }

    /// The reader looks each millisecond.
    pub(super) fn resume(&self) {
        self.shared.paused.store(false, Relaxed);
    }

    /// Ends the reader.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.shared.stop.store(true, Relaxed);
        let Some(reader) = self.reader.take() else { return Ok(()) };
        reader.join().map_err(|_| Error::Kernel("the baseline's reader panicked".to_owned()))?
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // After a good run it has ended; after an error that one is told.
        let _ = self.close();
    }
}

/// Enough for the largest send, and walked through like the slab.
fn region(frame_bytes: usize) -> Vec<u8> {
    let len = (4 << 20).max(frame_bytes * 2) / frame_bytes * frame_bytes;
    (0..len).map(|at| b"abcdefghijklmnopqrstuvwxyz"[at % 26]).collect()
}

fn make_ring(descriptors: u32) -> Result<KernelRing, Error> {
    // The load generator's numbers: so the reader is like those that a server is measured with.
    let setup = Setup { entries: 512, completions: 8_192, buffers: 1_024, buffer_bytes: 8_192, descriptors };
    KernelRing::new(&setup).map_err(|error| Error::Kernel(error.to_string()))
}

fn system(what: &str, error: &std::io::Error) -> Error {
    Error::Kernel(format!("{what}: {error}"))
}

/// The reader's thread.
fn read(
    count: u32,
    core: usize,
    clock: Clock,
    inbox: &Receiver<Socket>,
    shared: &Shared,
) -> Result<(), Error> {
    pin(core)?;
    let mut ring = make_ring(count)?;
    let mut slots = Vec::new();
    let mut completions = Vec::new();
    let fails = |what: String| Error::Kernel(format!("the reader of the baseline: {what}"));
    while !shared.stop.load(Relaxed) {
        while let Ok(socket) = inbox.try_recv() {
            let slot = ring.install(socket.into()).map_err(|(_, error)| fails(error.to_string()))?;
            receive(&mut ring, slots.len(), slot)?;
            slots.push(slot);
        }
        let look = if shared.paused.load(Relaxed) { PAUSED_LOOK } else { LOOK };
        clock.sleep_until(clock.now_ns() + ns(look));
        loop {
            ring.enter(Wait::No, &mut completions).map_err(|error| fails(error.to_string()))?;
            if completions.is_empty() {
                break;
            }
            let mut bytes = 0;
            for completion in completions.drain(..) {
                match completion.event {
                    Event::Received(buffer) => {
                        bytes += buffer.len() as u64;
                        ring.recycle(buffer);
                    }
                    Event::ReceiveEnded(ReceiveEnd::NoBuffers | ReceiveEnd::Rearm) => {
                        let index = completion.key.index() as usize;
                        receive(&mut ring, index, slots[index])?;
                    }
                    // The sender has ended.
                    Event::ReceiveEnded(ReceiveEnd::Eof | ReceiveEnd::Cancelled | ReceiveEnd::Failed(_)) => {}
                    other @ (Event::Polled(_)
                    | Event::ShutDown(_)
                    | Event::Cancelled
                    | Event::Closed(_)
                    | Event::OutQueue(_)
                    | Event::ResetOnClose(_)
                    | Event::Connected(_)) => return Err(fails(format!("{other:?}"))),
                }
            }
            shared.received.fetch_add(bytes, Relaxed);
        }
    }
    Ok(())
}

fn receive(ring: &mut KernelRing, index: usize, slot: Slot) -> Result<(), Error> {
    let key = Key::new(u32::try_from(index).unwrap_or(u32::MAX), 0);
    ring.push(Op::Receive { slot }, key)
        .map_err(|_| Error::Kernel("the reader's ring takes nothing".to_owned()))
}
