//! Frames that cost nothing to send, at full speed.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use proto::ws::frame::OpCode;

use super::{
    healthy::Run,
    outside::pause,
    raw::{Raw, control, fragment, text},
    world::World,
};

const CLIENTS: usize = 50;
const ATTACK: Duration = Duration::from_secs(15);
/// The healthy clients' p99 while nobody attacks, at most, ms.
const FIT_MS: f64 = 250.0;
/// Frames in one write.
const FRAMES: usize = 8_000;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Pings,
    Pongs,
    EmptyTexts,
    EmptyFragments,
    ByteFragments,
}

/// What a connection begins with, and what it then sends again and again.
fn frames(kind: Kind) -> (Vec<u8>, Vec<u8>) {
    let (mut first, mut next) = (Vec::new(), Vec::new());
    if matches!(kind, Kind::EmptyFragments | Kind::ByteFragments) {
        fragment(&mut first, OpCode::Text, b"");
    }
    for _ in 0..FRAMES {
        match kind {
            Kind::Pings => control(&mut next, OpCode::Ping),
            Kind::Pongs => control(&mut next, OpCode::Pong),
            Kind::EmptyTexts => text(&mut next, ""),
            Kind::EmptyFragments => fragment(&mut next, OpCode::Continuation, b""),
            Kind::ByteFragments => fragment(&mut next, OpCode::Continuation, b" "),
        }
    }
    (first, next)
}

/// What a flood came to.
struct Flood {
    sent_bytes: u64,
    /// Connections, with those that were made again after a close.
    opened: usize,
}

/// Floods until told to stop. A client that is closed comes back, at most ten times a second.
fn flood(server: std::net::SocketAddr, kind: Kind, stop: &AtomicBool) -> Flood {
    step_aside();
    let (first, next) = frames(kind);
    let mut flood = Flood { sent_bytes: 0, opened: 0 };
    let mut clients: Vec<Option<Raw>> = (0..CLIENTS).map(|_| None).collect();
    let mut buffer = vec![0; 64 << 10];
    while !stop.load(Relaxed) {
        let mut moved = false;
        for client in &mut clients {
            let Some(raw) = client else {
                if let Ok(mut raw) = Raw::open(server, None) {
                    flood.opened += 1;
                    raw.set_out(&first);
                    *client = Some(raw);
                }
                continue;
            };
            if raw.is_sent() {
                raw.set_out(&next);
            }
            moved |= raw.push();
            moved |= !raw.pull(&mut buffer).is_empty();
            if raw.ended {
                flood.sent_bytes += raw.sent_bytes;
                *client = None;
                pause(Duration::from_millis(2));
            }
        }
        if !moved {
            pause(Duration::from_millis(1));
        }
    }
    flood.sent_bytes += clients.iter().flatten().map(|raw| raw.sent_bytes).sum::<u64>();
    flood
}

/// Takes what others leave of the core: the healthy clients' own thread must not be what is measured.
fn step_aside() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let tid = thread.file_name().unwrap().to_owned();
    let reniced = Command::new("renice").args(["--priority", "19", "--pid"]).arg(tid).output().unwrap();
    assert!(reniced.status.success(), "{}", String::from_utf8_lossy(&reniced.stderr));
}

fn start(world: &World, kind: Kind) -> (Arc<AtomicBool>, JoinHandle<Flood>) {
    let (stop, server) = (Arc::new(AtomicBool::new(false)), world.server.public);
    let stopped = Arc::clone(&stop);
    (stop, thread::spawn(move || flood(server, kind, &stopped)))
}

#[test]
fn floods_of_cheap_frames() {
    let mut world = World::begin("hostile 2: floods of cheap frames from 50 clients", &[]);
    let quiet = Run::start(&world, ATTACK);
    let before = quiet.end(&mut world.findings, "quiet");
    // Twice of what a starved broker or client makes of it would say nothing.
    let is_fit = before <= FIT_MS;
    world
        .findings
        .check(is_fit, "the machine is fit to compare", || format!("p99 {before:.0} ms while quiet"));
    for kind in [Kind::Pings, Kind::Pongs, Kind::EmptyTexts, Kind::EmptyFragments, Kind::ByteFragments] {
        let name = format!("{kind:?}");
        // The flood is there before the measured part begins and after it has ended.
        let (stop, flooding) = start(&world, kind);
        let run = Run::start(&world, ATTACK);
        let resident = world.server.resident_bytes() >> 20;
        let p99 = run.end(&mut world.findings, &name);
        stop.store(true, Relaxed);
        let flood = flooding.join().unwrap();
        let mib = flood.sent_bytes >> 20;
        eprintln!("   {name}: {mib} MiB sent over {} connections, server at {resident} MiB", flood.opened);
        world.findings.check(flood.opened >= CLIENTS, &format!("{name}: 50 clients flood"), || {
            flood.opened.to_string()
        });
        world.findings.check(
            p99 <= 2.0 * before,
            &format!("{name}: the healthy p99 is within 2x of before"),
            || format!("{before:.1} ms before, {p99:.1} ms now"),
        );
    }
    let after = Run::start(&world, ATTACK).end(&mut world.findings, "quiet again");
    eprintln!("   p99 {before:.1} ms before all floods, {after:.1} ms after");
    world.end();
}
