//! A process without descriptors: accept fails, and neither spins nor ends.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use super::{
    client::{PATIENCE, connect, read_answer, upgrade},
    gate::{Gate, settings},
};

/// Set in the child, which is this test again under a small limit.
const CHILD: &str = "URINGCAST_TEST_DESCRIPTORS_CHILD";
const NAME: &str = "without_descriptors_accept_waits_and_goes_on";
/// The child's shell. Other tests of this program may have descriptors that survive an exec, librdkafka's pipes for one: they
/// are closed, or the limit would leave an unknown rest.
const SHELL: &str = "ulimit -n 48; \
     for fd in /proc/$$/fd/*; do fd=${fd##*/}; if [[ $fd -gt 2 ]]; then eval \"exec $fd>&-\"; fi; done; \
     exec \"$0\" --exact --nocapture \"$1\"";

#[test]
fn without_descriptors_accept_waits_and_goes_on() {
    if std::env::var_os(CHILD).is_some() {
        return serve();
    }
    let (mut child, _output, address) = start();
    // More silent clients than the child has descriptors for.
    let mut silent: Vec<TcpStream> = (0..100).map(|_| connect(address)).collect();
    let before = cpu_ticks(&child);
    let mut waiting = connect(address);
    waiting.write_all(upgrade("/ws").as_bytes()).unwrap();
    waiting.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(waiting.peek(&mut [0]).is_err(), "no descriptor, no answer yet");
    let spent = cpu_ticks(&child) - before;
    assert!(spent < 20, "{spent} ticks of 10 ms in a second of waiting: it spins");

    silent.clear();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read_answer(&mut waiting).status, 101, "it goes on when descriptors are back");
    // End of input ends the child, which checks its own counters.
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// The child, its output (which must stay open), and its address.
fn start() -> (Child, Lines<BufReader<ChildStdout>>, SocketAddr) {
    let test = std::env::current_exe().unwrap();
    let (_program, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new("bash")
        .args(["-c", SHELL])
        .arg(test)
        .arg(format!("{module}::{NAME}"))
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.parse().unwrap();
        }
    };
    (child, lines, address)
}

/// The child's side.
#[expect(clippy::print_stdout, reason = "the parent reads the address from it")]
fn serve() {
    let mut gate = Gate::open(&[1_000], settings());
    println!("listening on {}", gate.address);
    std::io::stdin().read_line(&mut String::new()).unwrap();
    gate.end();
    assert!(gate.metrics.accept_failures.get() > 1, "the limit was never met");
    assert_eq!(gate.metrics.handed_over.get(), 1);
}

/// CPU time of a process, user and system, in ticks of 10 ms (proc(5), stat, fields 14 and 15).
fn cpu_ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
