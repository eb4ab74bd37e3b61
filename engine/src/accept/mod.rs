//! The accept ring: one thread on tokio-uring that accepts, reads and answers upgrades, and hands each socket, with the
//! bytes already read, to the least-loaded shard. In come connections of the public listener and the server's [`Phase`];
//! out go [`Handover`](crate::inbox::Handover)s.
//!
//! Everything is bounded: handshakes under way, refusals whose answer is still being delivered, the bytes and the time of
//! an upgrade request. A refusal is written, then FIN, then what the peer still sends is read and discarded for a while:
//! closing with unread bytes would send a reset, and a reset eats the answer.
//!
//! Two faults of tokio-uring shape the code. A dropped read stays armed and swallows bytes, so no read is ever dropped:
//! time limits shut the socket down, and the read ends by itself (`until`). And operations are submitted when the
//! runtime parks, so no task may be always ready.

use std::{
    future::Future,
    net::{Shutdown, TcpListener},
    os::fd::OwnedFd,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_uring::net::TcpStream;

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

/// Entries of the submission queue. When more are to be submitted at once, they leave in several calls.
const ENTRIES: u32 = 1_024;

/// Runs the accept ring until [`Phase::Ended`], or until the sender of phases is gone. Blocks its thread.
///
/// # Errors
/// [`Error::Kernel`]: no ring can be made, or the listener has become unusable.
pub fn run(setup: Setup) -> Result<(), Error> {
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(ENTRIES))
        .map_err(|error| Error::Kernel(format!("the accept ring cannot be made: {error}")))?;
    let Setup { listener, links, settings, metrics, phase, obeyed, seed } = setup;
    let acceptor = Acceptor::new(links, settings, metrics, phase, seed);
    runtime.block_on(listener::serve(acceptor, listener, obeyed))
}

/// Waits until the phase is [`Phase::Ended`].
pub(crate) async fn ended(mut phase: watch::Receiver<Phase>) {
    // An error means that the server is gone, which ends this thread as well.
    let _ = phase.wait_for(|phase| *phase == Phase::Ended).await;
}

/// Waits for an operation on `stream`. At the deadline that direction is shut down, so that the operation ends by itself:
/// it must never be dropped.
async fn until<F: Future>(stream: &TcpStream, deadline: Instant, how: Shutdown, operation: F) -> F::Output {
    let mut operation = pin!(operation);
    tokio::select! {
        biased;
        output = &mut operation => output,
        () = sleep_until(deadline) => {
            // It fails only where the peer has already reset the connection, which ends the operation too.
            let _ = stream.shutdown(how);
            operation.await
        }
    }
}
