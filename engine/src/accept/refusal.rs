//! Refusals that the client really receives: write, FIN, read and discard what still comes, close.

use std::{net::Shutdown, sync::Arc, time::Duration};

use proto::ws::handshake::Refusal;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{acceptor::Acceptor, uring::Stream};

/// How long a refused peer has to take its answer and close.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Bytes discarded at a time.
const DISCARD_BYTES: usize = 2_048;

/// Refuses a peer of which no read is armed.
pub(super) async fn refuse(
    acceptor: &Acceptor,
    stream: &Stream,
    refusal: Refusal,
    permit: OwnedSemaphorePermit,
) {
    let lingers = write_refusal(acceptor, stream, refusal, permit).await;
    if lingers.is_some() {
        linger(stream, Instant::now() + LINGER).await;
    }
}

/// Counts the refusal, writes it with a FIN behind it, and gives the handshake's place back for a place among the
/// lingering. `None`: all of those are taken, the socket is to be closed at once.
pub(super) async fn write_refusal(
    acceptor: &Acceptor,
    stream: &Stream,
    refusal: Refusal,
    permit: OwnedSemaphorePermit,
) -> Option<OwnedSemaphorePermit> {
    count(acceptor, refusal);
    let write = stream.write(refusal.response());
    let _ = stream.until(Instant::now() + LINGER, Shutdown::Both, write).await;
    let _ = stream.shutdown(Shutdown::Write);
    drop(permit);
    let lingers = Arc::clone(&acceptor.lingering).try_acquire_owned().ok();
    acceptor.show_held();
    lingers
}

/// Reads and discards until the peer closes, or the deadline. Closing with bytes unread would send a reset, which makes
/// some clients lose an answer they have not read yet.
pub(super) async fn linger(stream: &Stream, deadline: Instant) {
    let mut bytes = Vec::with_capacity(DISCARD_BYTES);
    while Instant::now() < deadline {
        let (outcome, buffer) = stream.until(deadline, Shutdown::Read, stream.read(bytes)).await;
        if !outcome.is_ok_and(|read| read > 0) {
            return;
        }
        bytes = buffer;
        bytes.clear();
    }
}

fn count(acceptor: &Acceptor, refusal: Refusal) {
    let metrics = &acceptor.metrics;
    let counter = match refusal {
        Refusal::Malformed(_) => &metrics.refused_malformed,
        Refusal::Origin => &metrics.refused_origin,
        Refusal::NotFound | Refusal::Method | Refusal::Version => &metrics.refused_unsupported,
        Refusal::TooSlow => &metrics.refused_too_slow,
        Refusal::Body | Refusal::TooLarge => &metrics.refused_too_large,
        Refusal::Unavailable { reason: "draining", .. } => &metrics.refused_draining,
        Refusal::Unavailable { reason: "starting", .. } => &metrics.refused_not_ready,
        Refusal::Unavailable { .. } | Refusal::Rate { .. } => &metrics.refused_full,
    };
    counter.add(1);
}
