//! The public listener: bind, accept, survive a lack of descriptors, end without losing an accepted connection.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::time::sleep;

use super::{
    Phase,
    acceptor::Acceptor,
    ended, handshake,
    uring::{self, Listener, Stream},
};
use crate::{
    config::{Config, Keepalive},
    error::Error,
};

/// Connections that wait for an accept; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 16_384;
/// Unsent bytes the kernel keeps of a connection: without it, a client that never reads holds 3.9 MiB of kernel memory.
const UNSENT_BYTES: u32 = 64 * 1024;
/// Probes without an answer after which the kernel gives a peer up (`keepalive = tcp`).
const PROBES: u32 = 3;
/// How long the loop rests when the process or the host has no descriptor or memory left.
const REST: Duration = Duration::from_millis(50);

/// Socket options of the listener. Linux copies them all to the sockets it accepts, so they cost no call per connection.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// TCP_USER_TIMEOUT: the kernel gives up on sent bytes that stay unacknowledged (or a window that stays shut) this long.
    pub user_timeout: Duration,
    /// Idle time before the first probe, and between probes; none: no SO_KEEPALIVE.
    pub probes: Option<(Duration, Duration)>,
}

impl From<&Config> for SocketOptions {
    fn from(config: &Config) -> Self {
        let grace = config.ping_grace;
        Self {
            // Longer than the shard's own judgement, so that a blocked peer is closed with 1008 and counted as such.
            user_timeout: config.limits.blocked_timeout + grace,
            probes: match config.keepalive {
                Keepalive::WebSocket => None,
                Keepalive::Tcp => Some((config.ping_interval, grace / PROBES)),
            },
        }
    }
}

/// Binds the public listener.
///
/// # Errors
/// [`Error::Kernel`], naming the address and what is wrong with it: taken by another process, not of this host, forbidden.
pub fn bind(address: SocketAddr, options: &SocketOptions) -> Result<TcpListener, Error> {
    bound(address, options)
        .map_err(|error| Error::Kernel(format!("cannot listen on {address}: {}", explained(&error))))
}

/// The words of an error that an operator can act on.
pub(crate) fn explained(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "the port is taken by another process".to_owned(),
        Some(libc::EADDRNOTAVAIL) => "this host does not have the address".to_owned(),
        Some(libc::EACCES) => "ports below 1024 need CAP_NET_BIND_SERVICE".to_owned(),
        _ => error.to_string(),
    }
}

fn bound(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_user_timeout(Some(options.user_timeout))?;
    if let Some((idle, interval)) = options.probes {
        // The kernel counts these in whole seconds, from 1.
        let second = Duration::from_secs(1);
        let probes = TcpKeepalive::new().with_time(idle.max(second)).with_interval(interval.max(second));
        socket.set_tcp_keepalive(&probes.with_retries(PROBES))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the end, then waits for what is still under way.
pub(super) async fn serve(
    acceptor: Rc<Acceptor>,
    listener: TcpListener,
    obeyed: flume::Sender<Phase>,
) -> Result<(), Error> {
    let listener = Listener::new(listener);
    uring::spawn(report(Rc::clone(&acceptor), obeyed));
    uring::spawn(show_cpu(Rc::clone(&acceptor)));
    let outcome = accept_all(&acceptor, &listener).await;
    drop(listener);
    // All permits back: no handshake and no refusal is left.
    let everything = |bound: usize| u32::try_from(bound).unwrap_or(u32::MAX);
    let _ = acceptor.handshakes.acquire_many(everything(acceptor.settings.handshakes)).await;
    let _ = acceptor.lingering.acquire_many(everything(acceptor.settings.lingering_refusals)).await;
    acceptor.metrics.handshakes.set(0);
    acceptor.metrics.lingering.set(0);
    outcome
}

/// Tells the server of each phase once it holds here. This thread decides in one piece, so from now on it does.
async fn report(acceptor: Rc<Acceptor>, obeyed: flume::Sender<Phase>) {
    let mut phase = acceptor.phase.clone();
    phase.mark_changed();
    while phase.changed().await.is_ok() {
        let now = *phase.borrow_and_update();
        let _ = obeyed.try_send(now);
    }
}

/// Shows the thread's CPU time, once a second.
async fn show_cpu(acceptor: Rc<Acceptor>) {
    loop {
        acceptor.metrics.cpu_ns.set(ring::thread_cpu_ns());
        sleep(Duration::from_secs(1)).await;
    }
}

async fn accept_all(acceptor: &Rc<Acceptor>, listener: &Listener) -> Result<(), Error> {
    let mut trouble = false;
    loop {
        let permit = tokio::select! {
            biased;
            () = ended(acceptor.phase.clone()) => return Ok(()),
            permit = Arc::clone(&acceptor.handshakes).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { return Ok(()) };
        match accept(acceptor, listener).await {
            Accepted::Connection(stream, peer) => {
                if std::mem::take(&mut trouble) {
                    tracing::info!("accepting connections again");
                }
                acceptor.metrics.accepted.add(1);
                acceptor.show_held();
                uring::spawn(handshake::run(Rc::clone(acceptor), stream, peer, permit));
            }
            Accepted::Ended => return Ok(()),
            Accepted::Failed(error) if is_passing(&error) => {}
            Accepted::Failed(error) if is_want(&error) => {
                acceptor.metrics.accept_failures.add(1);
                if !std::mem::replace(&mut trouble, true) {
                    tracing::warn!(%error, "cannot accept, new connections wait in the kernel's backlog");
                }
                sleep(REST).await;
            }
            Accepted::Failed(error) => {
                return Err(Error::Kernel(format!("the listener is unusable: {error}")));
            }
        }
    }
}

enum Accepted {
    Connection(Stream, SocketAddr),
    Failed(io::Error),
    Ended,
}

/// Accepts one connection. At the end the armed accept is cancelled, and a connection that slipped in is still answered.
async fn accept(acceptor: &Acceptor, listener: &Listener) -> Accepted {
    let mut accept = pin!(listener.accept());
    let outcome = tokio::select! {
        biased;
        outcome = &mut accept => outcome,
        () = ended(acceptor.phase.clone()) => {
            listener.cancel().await;
            match accept.await {
                Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => return Accepted::Ended,
                outcome => outcome,
            }
        }
    };
    match outcome {
        Ok((stream, peer)) => Accepted::Connection(stream, peer),
        Err(error) => Accepted::Failed(error),
    }
}

/// What concerns only the one connection that was to be accepted; see accept(2), "Error handling".
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
                | libc::EOPNOTSUPP
                | libc::ETIMEDOUT
        )
    )
}

/// A want of descriptors or memory: it passes when some are given back.
fn is_want(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}
