//! One broker and one server for a scenario, the server alone on its core.

use std::{process::Command, time::Duration};

use kafka_local::Kafka;

use super::{
    outside::{findings::Findings, server::Server, within},
    process::bare,
};

/// The core of the server. The script keeps this program, and the brokers it starts, off it.
const SERVER_CORE: &str = "0";

pub(crate) struct World {
    pub(crate) findings: Findings,
    pub(crate) server: Server,
    pub(crate) kafka: Kafka,
}

impl World {
    /// Topics `bench` (of the healthy) and `flood`, whose channels are `bench.KEY` and `flood.KEY`; no route makes any other
    /// name.
    pub(crate) fn begin(name: &'static str, flags: &[&str]) -> Self {
        let findings = Findings::of(name);
        let kafka = Kafka::start(&[]);
        kafka.topic("bench", 4);
        kafka.topic("flood", 4);
        let mut command = bare(&["serve", "--lb-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"]);
        command.args(["--brokers", &kafka.settings().brokers, "--shards", "2", "--cores", SERVER_CORE]);
        command.args(["--route", "bench=bench.{key}", "--route", "flood=flood.{key}"]).args(flags);
        let server = Server::start(&mut pinned(&command));
        let ready = within(Duration::from_secs(30), || server.health().0 == 200);
        assert!(ready.is_some(), "not ready: {}", server.health().1);
        Self { findings, server, kafka }
    }

    /// Ends the server in order, then the scenario.
    pub(crate) fn end(mut self) {
        let errors = self.server.log_lines(&["\"ERROR\""]);
        self.findings.check(errors.is_empty(), "the server's log has no error", || format!("{errors:?}"));
        let code = self.server.drained();
        self.findings.check(code == Some(0), "the server drains and exits with 0", || format!("{code:?}"));
        self.findings.end();
    }
}

/// The same command on the server's core, as a whole: librdkafka's threads count as the server's. The brokers may be there
/// too (see scripts/check-hostile), but come second, else what their compiler does there is what is measured.
fn pinned(command: &Command) -> Command {
    let mut pinned = Command::new("nice");
    pinned.args(["--adjustment=-10", "taskset", "--cpu-list", SERVER_CORE]);
    pinned.arg(command.get_program()).args(command.get_args());
    for (name, _) in command.get_envs() {
        pinned.env_remove(name);
    }
    pinned
}
