//! An accept ring with the shards' inboxes in the test's hands.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use engine::{
    accept::{self, Phase, Settings, Setup, SocketOptions},
    error::Error,
    inbox::{Handover, ShardLink, ToShard},
    metrics::AcceptMetrics,
};
use sync::Waker;
use tokio::sync::watch;

use super::client::PATIENCE;

pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<AcceptMetrics>,
    pub(crate) inboxes: Vec<flume::Receiver<ToShard<OwnedFd>>>,
    pub(crate) links: Arc<[ShardLink<OwnedFd>]>,
    pub(crate) obeyed: flume::Receiver<Phase>,
    phase: watch::Sender<Phase>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

/// Generous limits; a test tightens the one it is about.
pub(crate) fn settings() -> Settings {
    Settings {
        upgrade_bytes: 16 * 1024,
        upgrade_time: PATIENCE,
        handshakes: 2_048,
        lingering_refusals: 512,
        allowed_origins: Vec::new(),
        any_path: false,
    }
}

/// Options with a user timeout that the tests can recognise.
pub(crate) fn options() -> SocketOptions {
    SocketOptions { user_timeout: Duration::from_secs(47), probes: None }
}

impl Gate {
    /// An open accept ring before shards of these capacities, each with an inbox of 1,024 messages.
    pub(crate) fn open(capacities: &[usize], settings: Settings) -> Self {
        Self::start(capacities, 1_024, settings, Phase::Open)
    }

    pub(crate) fn start(capacities: &[usize], inbox: usize, settings: Settings, phase: Phase) -> Self {
        let listener = accept::bind("127.0.0.1:0".parse().unwrap(), &options()).unwrap();
        let address = listener.local_addr().unwrap();
        let (links, inboxes): (Vec<_>, Vec<_>) =
            capacities.iter().map(|&capacity| link(capacity, inbox)).unzip();
        let links: Arc<[_]> = links.into();
        let metrics = Arc::new(AcceptMetrics::default());
        let (phases, phase) = watch::channel(phase);
        let (obeyed_sender, obeyed) = flume::unbounded();
        let setup = Setup {
            listener,
            links: Arc::clone(&links),
            settings,
            metrics: Arc::clone(&metrics),
            phase,
            obeyed: obeyed_sender,
            seed: 1,
        };
        let thread = std::thread::spawn(move || accept::run(setup));
        Self { address, metrics, inboxes, links, obeyed, phase: phases, thread: Some(thread) }
    }

    /// Sets the phase and waits until the accept ring obeys it.
    pub(crate) fn turn(&self, phase: Phase) {
        self.phase.send(phase).unwrap();
        while self.obeyed.recv_timeout(PATIENCE).unwrap() != phase {}
    }

    /// Ends the accept ring and waits for its thread.
    pub(crate) fn end(&mut self) {
        self.phase.send(Phase::Ended).unwrap();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }

    /// The next connection handed to a shard.
    pub(crate) fn handed_over(&self, shard: usize) -> Handover<OwnedFd> {
        connection(self.inboxes[shard].recv_timeout(PATIENCE).unwrap())
    }

    /// All connections in the shards' inboxes.
    pub(crate) fn all_handed_over(&self) -> Vec<Vec<Handover<OwnedFd>>> {
        self.inboxes.iter().map(|inbox| inbox.drain().map(connection).collect()).collect()
    }

    pub(crate) fn loads(&self) -> Vec<usize> {
        self.links.iter().map(|link| link.load.load(Ordering::Acquire)).collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if self.thread.is_some() && !std::thread::panicking() {
            self.end();
        }
    }
}

fn link(capacity: usize, inbox: usize) -> (ShardLink<OwnedFd>, flume::Receiver<ToShard<OwnedFd>>) {
    let (sender, receiver) = flume::bounded(inbox);
    let load = Arc::new(AtomicUsize::new(0));
    (ShardLink { inbox: sender, waker: Arc::new(Waker::unset()), load, capacity }, receiver)
}

fn connection(message: ToShard<OwnedFd>) -> Handover<OwnedFd> {
    let ToShard::Connection(handover) = message else { panic!("not a connection: {message:?}") };
    handover
}
