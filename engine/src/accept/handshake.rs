//! One connection from accept to hand-over: read the upgrade, decide, answer 101, give the socket to its shard.

use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr},
    os::fd::OwnedFd,
    pin::pin,
    rc::Rc,
};

use proto::ws::{
    close::CloseCode,
    frame,
    handshake::{self, Refusal, Upgrade},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use super::{
    acceptor::Acceptor,
    admission::Place,
    ended,
    refusal::{LINGER, linger, refuse, write_refusal},
    uring::Stream,
};
use crate::inbox::{Handover, ToShard};

/// First capacity for an upgrade request; browsers with cookies need more, and get it.
const FIRST_BYTES: usize = 1_024;

/// Leads one connection through its handshake. `permit` bounds how many there are.
pub(super) async fn run(
    acceptor: Rc<Acceptor>,
    stream: Stream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let ready = greet(&acceptor, &stream, peer, permit).await;
    // The shard's descriptor is a duplicate: with this one gone, only the shard decides when the socket closes.
    drop(stream);
    if let Some(Ready { shard, handover, permit }) = ready {
        hand_over(&acceptor, shard, handover).await;
        drop(permit);
    }
    acceptor.show_held();
}

/// An upgraded connection.
struct Ready {
    shard: usize,
    handover: Handover<OwnedFd>,
    permit: OwnedSemaphorePermit,
}

/// Reads the upgrade and answers it. `None`: refused, or gone.
async fn greet(
    acceptor: &Acceptor,
    stream: &Stream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Option<Ready> {
    let mut reading = pin!(read_upgrade(stream, acceptor.settings.upgrade_bytes));
    let read = tokio::select! {
        biased;
        read = &mut reading => Ok(read),
        () = sleep(acceptor.settings.upgrade_time) => Err(Refusal::TooSlow),
        () = ended(acceptor.phase.clone()) => Err(acceptor.draining()),
    };
    match read {
        Ok(Read::Upgrade(upgrade, leftover)) => {
            return admit(acceptor, stream, peer, &upgrade, leftover, permit).await;
        }
        Ok(Read::Refused(refusal)) => refuse(acceptor, stream, refusal, permit).await,
        Ok(Read::Gone) => acceptor.metrics.gone.add(1),
        Err(refusal) => {
            // The read is still armed. It takes what comes until the lingering is over.
            let lingers = write_refusal(acceptor, stream, refusal, permit).await;
            let deadline = if lingers.is_some() { Instant::now() + LINGER } else { Instant::now() };
            let _ = stream.until(deadline, Shutdown::Read, reading).await;
            linger(stream, deadline).await;
        }
    }
    None
}

enum Read {
    Upgrade(Upgrade, Vec<u8>),
    Refused(Refusal),
    Gone,
}

/// Reads until the upgrade request is whole, refusable, or over `bytes_max`.
async fn read_upgrade(stream: &Stream, bytes_max: usize) -> Read {
    let mut bytes = Vec::with_capacity(FIRST_BYTES.min(bytes_max));
    loop {
        let seen = bytes.len();
        if seen == bytes.capacity() {
            bytes.reserve(seen.min(bytes_max.saturating_sub(seen)).max(1));
        }
        let (outcome, read) = stream.read(bytes).await;
        bytes = read;
        match outcome {
            Ok(0) | Err(_) => return Read::Gone,
            Ok(_) => match verdict(&bytes, seen, bytes_max) {
                Ok(None) => {}
                Ok(Some((upgrade, consumed))) => return Read::Upgrade(upgrade, bytes.split_off(consumed)),
                Err(refusal) => return Read::Refused(refusal),
            },
        }
    }
}

/// What `bytes` are, of which those from `seen` on are new.
fn verdict(bytes: &[u8], seen: usize, bytes_max: usize) -> Result<Option<(Upgrade, usize)>, Refusal> {
    if worth_parsing(bytes, seen, bytes_max) { handshake::parse(bytes, bytes_max) } else { Ok(None) }
}

/// Whether bytes beyond `seen` can have changed anything. The first ones can (garbage is refused at once), the end of the
/// headers does, a line feed without its CR does, and so does the limit; looking at each single byte of a slow sender would
/// cost a parse each.
fn worth_parsing(bytes: &[u8], seen: usize, bytes_max: usize) -> bool {
    let tail = &bytes[seen.saturating_sub(3)..];
    seen == 0
        || bytes.len() >= bytes_max
        || tail.windows(4).any(|end| end == b"\r\n\r\n")
        || handshake::bare_lf(bytes, seen).is_some()
}

async fn admit(
    acceptor: &Acceptor,
    stream: &Stream,
    peer: SocketAddr,
    upgrade: &Upgrade,
    leftover: Vec<u8>,
    permit: OwnedSemaphorePermit,
) -> Option<Ready> {
    let Place { shard, reservation } = match acceptor.admit(upgrade) {
        Ok(place) => place,
        Err(refusal) => {
            refuse(acceptor, stream, refusal, permit).await;
            return None;
        }
    };
    // Before the 101, while it can still be refused.
    let Ok(descriptor) = stream.duplicate() else {
        drop(reservation);
        acceptor.metrics.accept_failures.add(1);
        refuse(acceptor, stream, acceptor.overloaded(), permit).await;
        return None;
    };
    let deadline = Instant::now() + LINGER;
    let written = stream.until(deadline, Shutdown::Both, stream.write(upgrade.response())).await;
    if written.is_err() {
        acceptor.metrics.gone.add(1);
        return None;
    }
    let welcome = upgrade.query_value("welcome").as_deref() != Some("0");
    let handover =
        Handover { descriptor, leftover, welcome, id: acceptor.take_id(), peer: Some(peer), reservation };
    Some(Ready { shard, handover, permit })
}

/// Waits, in this task alone, while the shard's inbox is full.
async fn hand_over(acceptor: &Acceptor, shard: usize, handover: Handover<OwnedFd>) {
    let link = &acceptor.links[shard];
    let sent = tokio::select! {
        biased;
        sent = link.inbox.send_async(ToShard::Connection(handover)) => sent,
        // The shard never came to it, and now the server ends: the socket closes here.
        () = ended(acceptor.phase.clone()) => return,
    };
    match sent {
        Ok(()) => {
            link.waker.wake();
            acceptor.metrics.handed_over.add(1);
        }
        Err(flume::SendError(ToShard::Connection(handover))) => say_goodbye(handover),
        Err(flume::SendError(_)) => {}
    }
}

/// The shard has ended, by panic or at the very end of a drain: the client is told to come again elsewhere.
fn say_goodbye(handover: Handover<OwnedFd>) {
    let mut close = Vec::new();
    frame::put_close(&mut close, CloseCode::GOING_AWAY, "draining");
    let mut stream = std::net::TcpStream::from(handover.descriptor);
    let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(&close));
}

#[cfg(test)]
mod tests {
    use super::{verdict, worth_parsing};

    #[test]
    fn a_request_in_single_bytes_is_parsed_when_it_begins_ends_or_is_too_long() {
        let request = b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n";
        let parsed: Vec<usize> =
            (1..=request.len()).filter(|len| worth_parsing(&request[..*len], len - 1, 1_000)).collect();
        assert_eq!(parsed, [1, request.len()]);
        assert!(worth_parsing(&request[..20], 19, 20));
    }

    /// Every request here is refused, or every one is taken, whether it comes whole, in two parts or in single bytes.
    #[test]
    fn the_verdict_does_not_depend_on_how_a_request_is_cut() {
        let good = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let ends: Vec<usize> = good.match_indices("\r\n").map(|(at, _)| at).collect();
        let bare = |at: &usize| format!("{}{}", &good[..*at], &good[at + 1..]);
        let mut refused: Vec<String> = ends.iter().map(bare).collect();
        refused.extend([good.replace("\r\n", "\n"), good.replace("Host: a", "Ho st: a")]);
        for request in refused.iter().map(String::as_str).chain([good]) {
            let bytes = request.as_bytes();
            let whole = verdict(bytes, 0, 1_000);
            assert_eq!(whole.is_err(), request != good, "{request:?}");
            let cuts = (1..bytes.len()).map(|cut| vec![cut, bytes.len()]);
            for ends in cuts.chain([(1..=bytes.len()).collect()]) {
                let mut seen = 0;
                let told = ends.iter().find_map(|end| {
                    let told = verdict(&bytes[..*end], std::mem::replace(&mut seen, *end), 1_000);
                    (told != Ok(None)).then_some(told)
                });
                assert_eq!(told.as_ref(), Some(&whole), "{request:?} cut at {ends:?}");
            }
        }
    }

    #[test]
    fn the_end_of_the_headers_is_seen_in_any_cut() {
        let request = b"GET /ws HTTP/1.1\r\n\r\nleftover";
        for cut in 1..20 {
            assert!(worth_parsing(request, cut, 1_000), "cut at {cut}");
        }
        assert!(!worth_parsing(request, 20, 1_000));
    }
}
