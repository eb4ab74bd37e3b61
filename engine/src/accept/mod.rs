//! The accept ring: one thread on tokio-uring that accepts, reads and answers upgrades, and hands each socket, with the
//! bytes already read, to the least-loaded shard. In come connections of the public listener and the server's [`Phase`];
//! out go [`Handover`](crate::inbox::Handover)s.
//!
//! Everything is bounded: handshakes under way, refusals whose answer is still being delivered, the bytes and the time of
//! an upgrade request. A refusal is written, then FIN, then what the peer still sends is read and discarded for a while:
//! closing with unread bytes would send a reset, and a reset eats the answer.
//!
//! What shapes the code is what tokio-uring cannot do: see `uring.rs`, the one file that calls it.

use std::{net::TcpListener, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::sync::watch;

use self::acceptor::Acceptor;
use crate::{
    config::{Config, Service},
    error::Error,
    inbox::ShardLink,
    metrics::AcceptMetrics,
};

mod acceptor;
mod admission;
mod handshake;
mod listener;
mod refusal;
mod uring;

pub(crate) use listener::explained;
pub use listener::{SocketOptions, bind};

/// How far the server is; set by `server`, obeyed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Start positions are not known yet: 503 `starting`.
    Starting,
    /// Clients are taken.
    Open,
    /// 503 `draining`.
    Draining,
    /// Who is in a handshake gets 503 `draining`, then the thread ends.
    Ended,
}

/// What the accept ring needs.
#[derive(Debug)]
pub struct Setup {
    /// From [`bind`].
    pub listener: TcpListener,
    /// The shards.
    pub links: Arc<[ShardLink<OwnedFd>]>,
    /// Limits and origins.
    pub settings: Settings,
    /// Counters.
    pub metrics: Arc<AcceptMetrics>,
    /// What to do with new connections.
    pub phase: watch::Receiver<Phase>,
    /// Gets each new phase once nothing is decided by an older one any more: who holds a reservation by then is counted
    /// in its shard's load.
    pub obeyed: flume::Sender<Phase>,
    /// Seed of the jitter in Retry-After.
    pub seed: u64,
}

/// The part of the configuration that the accept ring obeys.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of an upgrade request.
    pub upgrade_bytes: usize,
    /// Time for an upgrade request.
    pub upgrade_time: Duration,
    /// Handshakes under way at once; more wait in the kernel's backlog.
    pub handshakes: usize,
    /// Refusals being delivered at once; beyond it the socket is closed right behind the answer.
    pub lingering_refusals: usize,
    /// Origins a browser may come from; empty: any.
    pub allowed_origins: Vec<String>,
    /// Clients may ask for any path, not only that of the native protocol.
    pub any_path: bool,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            upgrade_bytes: config.limits.upgrade_bytes,
            upgrade_time: config.limits.upgrade_time,
            handshakes: config.limits.handshakes,
            lingering_refusals: config.limits.lingering_refusals,
            allowed_origins: config.allowed_origins.clone(),
            any_path: config.service == Service::Echo,
        }
    }
}

/// Runs the accept ring until [`Phase::Ended`], or until the sender of phases is gone. Blocks its thread.
///
/// # Errors
/// [`Error::Kernel`]: no ring can be made, or the listener has become unusable.
pub fn run(setup: Setup) -> Result<(), Error> {
    let Setup { listener, links, settings, metrics, phase, obeyed, seed } = setup;
    let acceptor = Acceptor::new(links, settings, metrics, phase, seed);
    uring::run(listener::serve(acceptor, listener, obeyed))
        .map_err(|error| Error::Kernel(format!("the accept ring cannot be made: {error}")))?
}

/// Waits until the phase is [`Phase::Ended`].
pub(crate) async fn ended(mut phase: watch::Receiver<Phase>) {
    // An error means that the server is gone, which ends this thread as well.
    let _ = phase.wait_for(|phase| *phase == Phase::Ended).await;
}
