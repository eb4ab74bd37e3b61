//! Requests that are refused at once, whose answers nobody reads: what the server keeps for such clients.

use std::time::Duration;

use super::{
    healthy::Run,
    outside::pause,
    raw::{Raw, text},
    world::World,
};

const CLIENTS: usize = 5_000;
/// 99 lines of 250 names each, none of which a route could make: 151 KB that want 1.7 MB of answers.
const LINES: usize = 99;
const NAMES: usize = 250;
const GROWTH_MAX: u64 = 64 << 20;
/// Where the attack ends, so that a server without a bound does not take the machine.
const STOP_AT: u64 = 512 << 20;

fn message() -> Vec<u8> {
    let names: Vec<String> = (0..NAMES).map(|n| format!("\"{n:03}\"")).collect();
    let line = format!(r#"{{"type":"subscribe","data":{{"channels":[{}]}}}}"#, names.join(","));
    let mut frame = Vec::new();
    text(&mut frame, &vec![line; LINES].join("\n"));
    frame
}

#[test]
fn refused_requests_unread_from_5000_clients() {
    let mut world = World::begin("hostile 1: refused requests, unread, from 5,000 clients", &[]);
    let run = Run::start(&world, Duration::from_secs(75));
    let before = world.server.resident_bytes();
    let (message, mut most) = (message(), before);
    let mut clients: Vec<Raw> = Vec::new();
    let mut failed = 0_usize;
    while clients.len() + failed < CLIENTS && most - before < STOP_AT && !run.is_over() {
        match Raw::open(world.server.public, Some(4_096)) {
            Ok(mut client) => {
                client.set_out(&message);
                while client.push() {}
                clients.push(client);
            }
            Err(_) => failed += 1,
        }
        if clients.len().is_multiple_of(50) {
            clients.iter_mut().for_each(|client| while client.push() {});
            most = most.max(world.server.resident_bytes());
        }
    }
    let came = clients.len();
    // What was sent is worked off for a while yet.
    while most - before < STOP_AT && !run.is_over() {
        clients.iter_mut().for_each(|client| while client.push() {});
        most = most.max(world.server.resident_bytes());
        pause(Duration::from_millis(100));
    }
    let sent = clients.iter().filter(|client| client.is_sent()).count();
    let (growth, mib) = (most - before, (most - before) >> 20);
    // Before the healthy are waited for: what is held for them may go on growing.
    drop(clients);
    eprintln!(
        "   {came} clients came, {failed} did not, {sent} sent all of their message; resident memory + {mib} MiB"
    );
    world.findings.check(came == CLIENTS, "5,000 clients come", || format!("{came} did, {failed} failed"));
    world
        .findings
        .check(growth <= GROWTH_MAX, "resident memory grows by at most 64 MiB", || format!("{mib} MiB"));
    run.end(&mut world.findings, "beside refused requests");
    world.end();
}
