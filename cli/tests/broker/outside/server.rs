//! `uringcast serve` as a process whose log goes into a file: nobody has to read it for the server to go on.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::{pause, within};
use crate::process::get;

pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    /// Where the log is; gone with it.
    _folder: tempfile::TempDir,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    clock: perf::Clock,
    started_ns: u64,
}

/// An answer of the admin listener: status and body.
pub(crate) fn ask(admin: SocketAddr, path: &str) -> (u16, String) {
    let text = get(admin, path);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

impl Server {
    /// Starts `command`, a `serve` on ports of its choice, and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let clock = perf::Clock::start();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("server.log");
        let started_ns = clock.now_ns();
        let child = command
            .args(["--log-format", "json"])
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server =
            Self { child, log, _folder: folder, public: unknown, admin: unknown, clock, started_ns };
        let mut line = Value::Null;
        within(Duration::from_secs(20), || {
            line = server.logged("listening").into_iter().next().unwrap_or_default();
            !line.is_null()
        });
        let address = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{}", server.text()));
        let (public, admin) = (address("public").parse().unwrap(), address("admin").parse().unwrap());
        (server.public, server.admin) = (public, admin);
        server
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Since it was started.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_nanos(self.clock.now_ns() - self.started_ns)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    /// Whole lines of its log whose message begins so.
    pub(crate) fn logged(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with(message)))
            .collect()
    }

    /// Lines of its log that have all of these words.
    pub(crate) fn log_lines(&self, words: &[&str]) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.map(str::to_owned).collect()
    }

    /// Status and body of /health.
    pub(crate) fn health(&self) -> (u16, Value) {
        let (status, body) = ask(self.admin, "/health");
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// The reason of /health with this word about this topic, wherever it names it.
    pub(crate) fn reason(&self, word: &str, topic: &str) -> Option<Value> {
        self.health().1["reasons"].as_array()?.iter().find(|reason| tells(reason, word, topic)).cloned()
    }

    /// `explain`'s answer for a key.
    pub(crate) fn explain(&self, topic: &str, key: &str) -> Value {
        let (_, body) = ask(self.admin, &format!("/explain?topic={topic}&key={key}"));
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// A metric, without its prefix, summed over labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        metric(&ask(self.admin, "/metrics").1, name)
    }

    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        assert!(kill.args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap().success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1_024
    }

    /// SIGTERM; its exit code, or none if it does not end.
    pub(crate) fn drained(mut self) -> Option<i32> {
        self.signal("TERM");
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            pause(Duration::from_millis(100));
        }
        None
    }
}

impl Drop for Server {
    /// A test that fails leaves no server behind. One that was stopped is killed all the same.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A metric of an exposition, without its prefix, summed over labels.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    let name = format!("uringcast_{name}");
    let mine = |line: &&str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values: Vec<f64> =
        text.lines().filter(mine).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// A reason (of /health or `explain`) with this word that names the topic, in its field or its text.
pub(crate) fn tells(reason: &Value, word: &str, topic: &str) -> bool {
    let text = reason["text"].as_str().unwrap_or_default();
    reason["reason"] == word && (reason["topic"] == topic || text.contains(topic))
}
