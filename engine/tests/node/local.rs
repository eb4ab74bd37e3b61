//! A real Kafka through scripts/kafka-local, in a folder of its own.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use kafka::{Admin, Consumer, Settings};

/// Longer than anything takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Stopped and deleted when dropped, or when the test program has ended in whatever way.
pub(crate) struct Kafka {
    dir: tempfile::TempDir,
    env: HashMap<String, String>,
    /// Variables of scripts/kafka-local.
    variables: Vec<(&'static str, &'static str)>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka-local")
}

impl Kafka {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(options, &[])
    }

    pub(crate) fn start_with(options: &[&str], variables: &[(&'static str, &'static str)]) -> Self {
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
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["--sasl"]))
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

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
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

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(&self.env["BROKERS"])
    }

    /// Settings for the SASL_SSL listener, all of them right.
    pub(crate) fn sasl(&self) -> Settings {
        Settings::new(&self.env["SASL_BROKERS"])
            .with("security.protocol", "SASL_SSL")
            .with("sasl.mechanism", "SCRAM-SHA-512")
            .with("sasl.username", &self.env["SASL_USER"])
            .with("sasl.password", &self.env["SASL_PASSWORD"])
            .with("ssl.ca.location", &self.env["CA"])
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&self.settings()).unwrap()
    }

    /// A topic with one replica of each partition, there for everybody.
    pub(crate) fn topic(&self, name: &str, partitions: u32) {
        self.admin().create_topic(name, partitions, 1, &[], LONG).unwrap();
        let consumer = Consumer::new(&self.settings()).unwrap();
        while consumer.topic(name, LONG).is_err() {
            consumer.wait(Duration::from_millis(20));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.run(&["stop", "--wipe"]);
    }
}
