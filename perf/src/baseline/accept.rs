//! What accepting costs: accept(2) and close(2) in a loop while a thread on another core connects as fast as
//! it can.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use ring::thread_cpu_ns;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{AcceptPrice, Figure};
use crate::{
    Clock, Error,
    figures::{ratio, real},
    machine::pin,
    measure::clock::ns,
};

/// Connections that each side holds open.
const HELD: usize = 64;
const BACKLOG: i32 = 1_024;
/// An accept that waits so long has nobody to accept.
const ACCEPT_MAX: Duration = Duration::from_secs(5);

/// What was measured in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    cpu_ns: u64,
    wall_ns: u64,
    connections: u64,
}

pub(super) fn price(steps: &[Step]) -> AcceptPrice {
    let each = |part: fn(&Step) -> f64, whole: fn(&Step) -> f64| {
        Figure::of(steps.iter().map(|step| ratio(part(step), whole(step))).collect())
    };
    AcceptPrice {
        ns_per_connection: each(|step| real(step.cpu_ns), |step| real(step.connections)),
        per_second: each(|step| real(step.connections) * 1e9, |step| real(step.wall_ns)),
        connections: steps.iter().map(|step| step.connections).sum(),
    }
}

pub(super) fn run(length: Duration, other_core: usize, clock: Clock) -> Result<Step, Error> {
    let fails = |error: std::io::Error| Error::Kernel(format!("accepting: {error}"));
    let listener = listen().map_err(fails)?;
    let address = listener.local_addr().map_err(fails)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let connector = thread::Builder::new()
        .name("baseline-conn".to_owned())
        .spawn(move || pin(other_core).and_then(|()| connect(&address, &flag).map_err(fails)))
        .map_err(fails)?;
    let accepted = accept(&listener, length, clock);
    stop.store(true, Relaxed);
    // The connector may stand in a connect that the backlog does not take; without a listener it is refused.
    drop(listener);
    let connected =
        connector.join().map_err(|_| Error::Kernel("the connecting thread panicked".to_owned()))?;
    // Why nobody came is more telling than that nobody did.
    connected.and_then(|()| accepted.map_err(fails))
}

fn listen() -> std::io::Result<Socket> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(BACKLOG)?;
    // It bounds accept(2) too (socket(7), SO_RCVTIMEO).
    listener.set_read_timeout(Some(ACCEPT_MAX))?;
    Ok(listener)
}

fn accept(listener: &Socket, length: Duration, clock: Clock) -> std::io::Result<Step> {
    let mut held = VecDeque::with_capacity(HELD + 1);
    let mut step = Step::default();
    let begin_ns = clock.now_ns();
    let until_ns = begin_ns + ns(length);
    let before_ns = thread_cpu_ns();
    let mut now_ns = begin_ns;
    while now_ns < until_ns {
        let (socket, _) = match listener.accept() {
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            accepted => accepted?,
        };
        held.push_back(socket);
        if held.len() > HELD {
            held.pop_front();
        }
        step.connections += 1;
        now_ns = clock.now_ns();
    }
    step.cpu_ns = thread_cpu_ns() - before_ns;
    step.wall_ns = now_ns - begin_ns;
    Ok(step)
}

fn connect(address: &SockAddr, stop: &AtomicBool) -> std::io::Result<()> {
    let mut held = VecDeque::with_capacity(HELD + 1);
    while !stop.load(Relaxed) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        // Closed by a reset: no port stays behind in TIME_WAIT.
        socket.set_linger(Some(Duration::ZERO))?;
        match socket.connect(address) {
            Ok(()) => held.push_back(socket),
            // The listener is gone, which is how this ends.
            Err(_) if stop.load(Relaxed) => break,
            Err(error) => return Err(error),
        }
        if held.len() > HELD {
            held.pop_front();
        }
    }
    Ok(())
}
