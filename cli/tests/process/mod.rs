//! The binary as a process, and what it answers.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::Duration,
};

pub(crate) const ROUTE: [&str; 2] = ["--route", "trades={key}"];

/// The binary with none of the environment's settings.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uringcast"));
    for (name, _) in std::env::vars() {
        if name.starts_with("URINGCAST_")
            || matches!(name.as_str(), "WS_MAX_CONNECTIONS" | "KAFKA_BROKERS" | "LOG_LEVEL")
        {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// `serve` on ports of its own, with a small slab and no broker.
pub(crate) fn uringcast(args: &[&str]) -> Command {
    let mut command = bare(&["serve", "--lb-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"]);
    command.args(["--slab-size", "16MiB", "--slab-entries", "8192", "--slab-large-frame", "16KiB"]);
    command.args(["--brokers", "127.0.0.1:1"]).args(args);
    command
}

/// `echo` on ports of its own.
pub(crate) fn echo(args: &[&str]) -> Command {
    let mut command = bare(&["echo", "--lb-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"]);
    command.args(["--shards", "1"]).args(args);
    command
}

/// A run that is expected to end by itself: exit code and what it said.
pub(crate) fn ended(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(stdout.is_empty(), "stdout is not for messages");
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .args(["--log-format", "json"])
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let line = next(&mut log, "listening");
        let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
        Self { child, public: address("public"), admin: address("admin"), log }
    }

    /// Waits for a log line.
    pub(crate) fn wait_for(&mut self, message: &str) -> serde_json::Value {
        next(&mut self.log, message)
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// The exit code, and the rest of the log.
    pub(crate) fn end(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Server {
    /// A test that fails leaves no server behind. (One that has ended is not there to be killed.)
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of a log with this message. Every line before must be an object too.
fn next(log: &mut impl std::io::BufRead, message: &str) -> serde_json::Value {
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "the log ends before \"{message}\"");
        let line: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        if line["message"].as_str().is_some_and(|text| text.starts_with(message)) {
            return line;
        }
    }
}

pub(crate) fn upgraded(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    stream
}

pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// From now on io_uring_setup(2) fails in this thread and its children.
pub(crate) fn forbid_io_uring(errno: i32) {
    let errno = u32::try_from(errno).unwrap();
    let filter = seccompiler::SeccompFilter::new(
        [(libc::SYS_io_uring_setup, Vec::new())].into(),
        seccompiler::SeccompAction::Allow,
        seccompiler::SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
