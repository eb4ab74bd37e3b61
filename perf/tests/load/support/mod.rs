//! A WebSocket server that knows what every client shall get, and does one thing wrong for one of them. It is
//! made of tungstenite and threads and shares nothing with the real server or with our own framing.
#![expect(clippy::unwrap_used, reason = "test code")]
#![allow(dead_code, reason = "the tests of the binary use a part of it")]

pub(crate) mod bridge;

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use perf::{Clock, payload};
use socket2::{Domain, Socket, Type};
use tungstenite::{
    Message, WebSocket,
    handshake::server::{Request, Response},
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// Messages of each channel.
pub(crate) const MESSAGES: u64 = 40;
/// Between two of them.
const INTERVAL_NS: u64 = 10_000_000;
/// From the first subscription to the first message: by then the load generator has taken its mark.
const LEAD_NS: u64 = 1_400_000_000;

/// What is done wrong to the second client: on all its channels what concerns order, on its first what
/// concerns one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// A message is left out.
    Drop(u64),
    /// A message is sent twice.
    Double(u64),
    /// A message is sent after the next one.
    Swap(u64),
    /// A message is sent on a channel that the client does not hold.
    Foreign(u64),
    /// One byte is another.
    Damage(u64),
    /// It carries the record of another key.
    Misroute(u64),
    /// The connection ends without a close frame.
    Cut(u64),
    /// The connection is closed with 1001: that of every client.
    CloseAll(u64),
    /// The subscription is refused.
    Deny,
    /// The upgrade is refused with this status.
    Refuse(u16),
}

#[derive(Clone)]
struct Shared {
    clock: Clock,
    fault: Fault,
    accepted: Arc<AtomicUsize>,
    answers: Arc<AtomicUsize>,
    start_ns: Arc<OnceLock<u64>>,
}

/// Where the server listens, how many of its close frames were answered, and where its clients came from. It serves until
/// the process ends.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    pub(crate) answers: Arc<AtomicUsize>,
    pub(crate) peers: mpsc::Receiver<IpAddr>,
}

/// An address that nobody listens on. The port is bound, or another test's server might be given it.
pub(crate) fn nobody() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Starts the server.
pub(crate) fn serve(fault: Fault) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let answers = Arc::<AtomicUsize>::default();
    let shared = Shared {
        clock: Clock::start(),
        fault,
        accepted: Arc::default(),
        answers: Arc::clone(&answers),
        start_ns: Arc::default(),
    };
    let (seen, peers) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (shared, stream) = (shared.clone(), stream.unwrap());
            // Few tests look.
            let _ = seen.send(stream.peer_addr().unwrap().ip());
            // A client that leaves early is what some tests are about.
            thread::spawn(move || drop(client(&shared, stream)));
        }
    });
    Served { addr, answers, peers }
}

fn client(shared: &Shared, stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    let is_victim = shared.accepted.fetch_add(1, SeqCst) == 1;
    let fault = if is_victim { shared.fault } else { Fault::None };
    stream.set_nodelay(true)?;
    let end = stream.try_clone()?;
    #[expect(clippy::result_large_err, reason = "tungstenite's callback has this shape")]
    let judge = move |_: &Request, response: Response| {
        let Fault::Refuse(status) = fault else { return Ok(response) };
        let mut refusal = tungstenite::http::Response::new(Some("{\"reason\":\"full\"}".to_owned()));
        *refusal.status_mut() = status.try_into().unwrap();
        Err(refusal)
    };
    let mut socket = tungstenite::accept_hdr(stream, judge)?;
    let request: serde_json::Value = serde_json::from_str(socket.read()?.to_text()?)?;
    assert_eq!(request["type"], "subscribe");
    let channels: Vec<String> = serde_json::from_value(request["data"]["channels"].clone())?;
    let outcome = |_: &String| {
        if fault == Fault::Deny {
            serde_json::json!({"recovered": false, "replaying": false, "error": "UNKNOWN_CHANNEL"})
        } else {
            serde_json::json!({"recovered": false, "replaying": false})
        }
    };
    let results: serde_json::Map<_, _> = channels.iter().map(|name| (name.clone(), outcome(name))).collect();
    let ack = serde_json::json!({"type": "subscription_ack", "id": request["id"], "subscribed": channels,
        "count": channels.len(), "pos": [], "results": results});
    socket.send(Message::text(ack.to_string()))?;

    let start_ns = *shared.start_ns.get_or_init(|| shared.clock.now_ns() + LEAD_NS);
    for seq in order(fault) {
        shared.clock.sleep_until(start_ns + seq * INTERVAL_NS);
        if fault == Fault::Cut(seq) {
            end.shutdown(std::net::Shutdown::Both)?;
        }
        if shared.fault == Fault::CloseAll(seq) {
            let frame = CloseFrame { code: CloseCode::Away, reason: "draining".into() };
            socket.close(Some(frame))?;
            // Close frame and FIN arrive together: the answer has to leave all the same.
            end.shutdown(std::net::Shutdown::Write)?;
            return answered(socket, &shared.answers);
        }
        for (place, channel) in channels.iter().enumerate() {
            let fault = if place == 0 { fault } else { Fault::None };
            socket.send(Message::text(message(channel, seq, start_ns + seq * INTERVAL_NS, fault)))?;
        }
    }
    goodbye(socket)
}

/// The numbers in the order in which the victim gets them.
fn order(fault: Fault) -> impl Iterator<Item = u64> {
    let mut numbers: Vec<u64> = (0..MESSAGES).collect();
    let at = |seq: u64| usize::try_from(seq).unwrap();
    if let Fault::Drop(seq) = fault {
        numbers.remove(at(seq));
    } else if let Fault::Double(seq) = fault {
        numbers.insert(at(seq), seq);
    } else if let Fault::Swap(seq) = fault {
        numbers.swap(at(seq), at(seq) + 1);
    }
    numbers.into_iter()
}

fn message(channel: &str, seq: u64, t_ns: u64, fault: Fault) -> String {
    let mut value = Vec::new();
    let key = if fault == Fault::Misroute(seq) { "key-77" } else { channel };
    payload::write(&mut value, seq, t_ns, key, 200);
    if fault == Fault::Damage(seq) {
        value[150] = b'#';
    }
    let channel = if fault == Fault::Foreign(seq) { "key-77" } else { channel };
    let value = String::from_utf8(value).unwrap();
    format!(r#"{{"type":"message","channel":"{channel}","pos":"abcdefgh.0.{seq}","ts":1,"data":{value}}}"#)
}

/// Counts a close that the client answers.
fn answered(
    mut socket: WebSocket<TcpStream>,
    answers: &AtomicUsize,
) -> Result<(), Box<dyn std::error::Error>> {
    socket.get_ref().set_read_timeout(Some(Duration::from_secs(10)))?;
    if matches!(socket.read()?, Message::Close(_)) {
        answers.fetch_add(1, SeqCst);
    }
    Ok(())
}

/// Answers the client's close, or waits for its answer to ours.
fn goodbye(mut socket: WebSocket<TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
    socket.get_ref().set_read_timeout(Some(Duration::from_secs(10)))?;
    loop {
        socket.read()?;
    }
}
