//! A real Kafka through scripts/kafka-local, in a folder of its own: how the tests of every crate start their brokers.
//!
//! A crate of its own, below the engine: the tests of the kafka crate need it, and shall not wait for a server to be built.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "for tests, which read the clock and fail by panics"
)]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use kafka::{Admin, Consumer, Settings, Topic};

/// Longer than anything takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// Variables of scripts/kafka-local, for [`Kafka::start_with`].
pub type Variables = [(&'static str, &'static str)];

/// Light brokers with these properties, for tests that ask for behaviour, several of which run at once.
#[must_use]
pub fn light(properties: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("KAFKA_JAVA_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
        ("KAFKA_HEAP", "256m"),
        ("KAFKA_PROPERTIES", properties),
    ]
}

/// Stopped and deleted when dropped, or when the test program has ended in whatever way.
#[derive(Debug)]
pub struct Kafka {
    dir: tempfile::TempDir,
    /// What scripts/kafka-local tells of it: `BROKERS`, `CLUSTER_ID`, `CA` and so on.
    pub env: HashMap<String, String>,
    /// Of the next command: a broker that is started again may get others.
    pub variables: Vec<(&'static str, &'static str)>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scripts/kafka-local")
}

impl Kafka {
    /// As scripts/kafka-local makes it when nothing is said, on free ports.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(options, &[])
    }

    /// The same, with variables.
    #[must_use]
    pub fn start_with(options: &[&str], variables: &Variables) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut kafka = Self { dir, env: HashMap::new(), variables: variables.to_vec() };
        kafka.guard();
        kafka.run(&[&["start", "--port", "0"], options].concat());
        let env = kafka.run(&["env"]);
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        kafka.env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        kafka
    }

    /// The one that tests share: a static is never dropped, so the guard ends it.
    ///
    /// Whoever is first says with which variables, the rest of a test program should say the same.
    pub fn shared(variables: &Variables) -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(&["--sasl"], variables))
    }

    /// Where it is; files of a test may be put beside it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A process that outlives this one, if need be, and then cleans up behind it.
    #[expect(clippy::zombie_processes, reason = "it waits for our end, not we for its")]
    fn guard(&self) {
        let watch = "while kill -0 \"$1\" 2>/dev/null; do sleep 0.5; done; [ -d \"$3\" ] || exit 0; \
                     \"$2\" stop --wipe --dir \"$3/kafka\"; rm -rf \"$3\"";
        let mut command = Command::new("sh");
        command.args(["-c", watch, "guard"]).arg(std::process::id().to_string());
        command.arg(script()).arg(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap();
    }

    /// A command of scripts/kafka-local, which must succeed; what it says.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(script())
            .args(arguments)
            .envs(self.variables.iter().copied())
            .env("KAFKA_LOCAL_DIR", self.dir.path().join("kafka"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {} {}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// One of org.apache.kafka.tools.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let class = format!("org.apache.kafka.tools.{class}");
        self.run(&[&["tool", &class], arguments].concat())
    }

    /// Settings for the plain listener.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::new(&self.env["BROKERS"])
    }

    /// Settings for the SASL_SSL listener, all of them right. `mechanism` is PLAIN or SCRAM-SHA-512.
    #[must_use]
    pub fn sasl(&self, mechanism: &str) -> Settings {
        Settings::new(&self.env["SASL_BROKERS"])
            .with("security.protocol", "SASL_SSL")
            .with("sasl.mechanism", mechanism)
            .with("sasl.username", &self.env["SASL_USER"])
            .with("sasl.password", &self.env["SASL_PASSWORD"])
            .with("ssl.ca.location", &self.env["CA"])
    }

    /// May do everything.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(&self.settings()).unwrap()
    }

    /// A topic with one replica of each partition, there for everybody.
    pub fn topic(&self, name: &str, partitions: u32) {
        self.admin().create_topic(name, partitions, 1, &[], LONG).unwrap();
        self.wait_for_topic(name);
    }

    /// A topic that was just made is not everywhere at once.
    pub fn wait_for_topic(&self, name: &str) -> Topic {
        let consumer = Consumer::new(&self.settings()).unwrap();
        let deadline = Instant::now() + LONG;
        loop {
            match consumer.topic(name, LONG) {
                Ok(topic) => return topic,
                Err(error) => assert!(Instant::now() < deadline, "{name}: {error}"),
            }
            consumer.wait(Duration::from_millis(20));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.run(&["stop", "--wipe"]);
    }
}
