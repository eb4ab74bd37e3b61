//! What scenarios have in common: the server on the brokers, and the requests that each makes of it.

use std::time::Duration;

use serde_json::Value;

use super::{
    brokers::{Cluster, Turn},
    outside::{client::Client, findings::Findings, server::Server, within},
    process::bare,
};

/// From a fault until /health names it.
pub(crate) const NAMED: Duration = Duration::from_secs(15);
/// From its end until all is as before. A broker that is back wants its session first.
pub(crate) const MENDED: Duration = Duration::from_secs(30);
/// How long a thing that must not come is waited for.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

pub(crate) struct Scene {
    pub(crate) cluster: &'static Cluster,
    pub(crate) findings: Findings,
    name: &'static str,
    /// Warnings of the topic at fault that the log had before.
    warned: usize,
    _turn: Turn,
}

impl Scene {
    pub(crate) fn begin(name: &'static str) -> Self {
        let (cluster, turn) = Cluster::turn();
        Self { cluster, findings: Findings::of(name), name, warned: 0, _turn: turn }
    }

    /// A server of these topics on the plain listener: a record's channel is `TOPIC.KEY`.
    pub(crate) fn server(&self, topics: &[&str], flags: &[&str]) -> Server {
        let brokers = self.cluster.settings().brokers;
        server(topics, &[&["--brokers", brokers.as_str()], flags].concat())
    }

    /// /health, the log and `explain` name a fault of a topic, the first of them in time.
    pub(crate) fn named(&mut self, server: &Server, word: &str, topic: &str, partition: Option<u32>) {
        let found = within(NAMED, || server.reason(word, topic).is_some());
        let seen = || server.health().1.to_string();
        if self.findings.came(found, &format!("/health names {word} of {topic} within {NAMED:?}"), seen) {
            let reason = server.reason(word, topic).unwrap_or_default();
            let text = reason["text"].as_str().unwrap_or_default();
            let names = |number: u32| text.starts_with(&format!("partition {number}: "));
            let named = reason["topic"] == topic && partition.is_none_or(names);
            self.findings.check(named, "with the topic as a field and the partition in its text", || {
                reason.to_string()
            });
        }
        let (status, body) = server.health();
        self.findings.check(
            status == 200 && body["status"] == "degraded",
            "/health is 200 and degraded",
            || format!("{status} {body}"),
        );
        // Told when it changed, not with every look.
        let lines = server.log_lines(&["\"WARN\"", topic]);
        let new = lines.get(self.warned..).unwrap_or_default();
        self.findings.check(
            (1..=3).contains(&new.len()),
            &format!("the log warns of {topic}, and not again and again"),
            || format!("{} lines: {new:?}", new.len()),
        );
        self.warned = lines.len();
        let explained = server.explain(topic, "k");
        let reasons = explained["reasons"].as_array().cloned().unwrap_or_default();
        self.findings.check(
            reasons.iter().any(|reason| reason["reason"] == word),
            &format!("explain names {word} of {topic}"),
            || Value::from(reasons.clone()).to_string(),
        );
    }

    /// /health has no such reason any more.
    pub(crate) fn not_named(&mut self, server: &Server, word: &str, topic: &str) {
        let gone = within(MENDED, || server.reason(word, topic).is_none());
        self.findings.came(gone, &format!("/health no longer names {word} of {topic}"), || {
            server.health().1.to_string()
        });
    }

    /// A client is told this state of exactly these channels. With `all` they are all it holds, and `*` will do.
    pub(crate) fn told(
        &mut self,
        client: &mut Client,
        state: &str,
        channels: &[&str],
        all: bool,
        patience: Duration,
    ) {
        let came = client
            .until(patience, |client| channels.iter().all(|channel| client.state_of(channel) == Some(state)));
        let what = format!("a client is told {state} of {channels:?}");
        if !self.findings.came(came, &what, || format!("{:?} {:?}", client.states(), client.ended)) {
            return;
        }
        let exact = client.states().iter().filter(|(told, _)| *told == state).all(|(_, names)| match names {
            None => all,
            Some(names) => names.iter().all(|name| channels.contains(&name.as_str())),
        });
        self.findings.check(exact, "and of no other", || format!("{:?}", client.states()));
    }

    /// A client was told no state at all.
    pub(crate) fn untold(&mut self, client: &mut Client, who: &str) {
        client.until(QUIET, |_| false);
        let quiet = client.states().is_empty() && client.ended.is_none();
        self.findings.check(quiet, &format!("{who} is told no state"), || {
            format!("{:?} {:?}", client.states(), client.ended)
        });
    }

    /// A client gets exactly these numbers of a channel, in order, and no gap.
    pub(crate) fn numbers(
        &mut self,
        client: &mut Client,
        channel: &str,
        wanted: std::ops::Range<i64>,
        patience: Duration,
    ) {
        let wanted: Vec<i64> = wanted.collect();
        let came = client.until(patience, |client| client.numbers(channel).len() >= wanted.len());
        client.until(Duration::from_millis(300), |_| false);
        let got = client.numbers(channel);
        let text = format!("{channel} brings {} records once and in order", wanted.len());
        self.findings.check(got == wanted, &text, || format!("{came:?} {:?}; got {got:?}", client.ended));
        let gaps: Vec<_> = client.gaps(channel).collect();
        self.findings.check(gaps.is_empty(), &format!("{channel} has no gap"), || format!("{gaps:?}"));
    }

    /// The server lets clients in.
    pub(crate) fn ready(&mut self, server: &Server, patience: Duration) -> bool {
        let came = within(patience, || server.health().0 == 200);
        self.findings
            .came(came, &format!("/health is 200 within {patience:?}"), || server.health().1.to_string())
    }

    /// Ends the server in order, then the scenario.
    pub(crate) fn end(mut self, server: Server) {
        let kept =
            format!("{}/cluster-{}.log", env!("CARGO_TARGET_TMPDIR"), self.name.split('.').next().unwrap());
        std::fs::copy(server.log_path(), kept).unwrap();
        let code = server.drained();
        self.findings.check(code == Some(0), "the server drains and exits with 0", || format!("{code:?}"));
        self.findings.end();
    }
}

/// A server of these topics: a record's channel is `TOPIC.KEY`.
pub(crate) fn server(topics: &[&str], flags: &[&str]) -> Server {
    let mut command =
        bare(&["serve", "--lb-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--shards", "2"]);
    command.args(["--slab-size", "16MiB", "--slab-entries", "65536", "--slab-large-frame", "16KiB"]);
    // A server that a scenario stops for a while should not call its clients dead.
    command.args(["--ping-interval", "10m"]);
    for topic in topics {
        command.args(["--route", &format!("{topic}={{topic}}.{{key}}")]);
    }
    Server::start(command.args(flags))
}
