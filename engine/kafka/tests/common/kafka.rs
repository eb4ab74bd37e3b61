//! Real brokers, which scripts/kafka-local starts and stops.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ::kafka::{Admin, Consumer, Settings, Topic};

use super::LONG;

/// A killed broker may come back when its session is over.
pub(crate) const PROPERTIES: &str = "broker.session.timeout.ms=3000";

/// A Kafka of its own, in a folder of its own. Stopped and deleted when dropped.
pub(crate) struct Kafka {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) properties: &'static str,
    pub(crate) env: HashMap<String, String>,
}

impl Kafka {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(options, PROPERTIES)
    }

    pub(crate) fn start_with(options: &[&str], properties: &'static str) -> Self {
        let mut kafka = Self { dir: tempfile::tempdir().unwrap(), properties, env: HashMap::new() };
        kafka.run(&[&["start", "--port", "0"], options].concat());
        let env = kafka.run(&["env"]);
        kafka.env = env
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        kafka
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka-local");
        let output = Command::new(script)
            .args(arguments)
            .env("KAFKA_LOCAL_DIR", self.dir.path().join("kafka"))
            // Light brokers: these tests ask for behaviour, and up to five run at once.
            .env("KAFKA_JAVA_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
            .env("KAFKA_HEAP", "256m")
            .env("KAFKA_PROPERTIES", self.properties)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {} {}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(&self.env["BROKERS"])
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&self.settings()).unwrap()
    }

    /// A topic with one replica of each partition.
    pub(crate) fn topic(&self, name: &str, partitions: u32) {
        self.admin().create_topic(name, partitions, 1, &[], LONG).unwrap();
        wait_for_topic(&self.settings(), name);
    }

    /// Leader and follower of partition 0 of a topic with two replicas.
    pub(crate) fn replicas(&self, topic: &str) -> (String, String) {
        use rdkafka::ClientConfig;
        use rdkafka::consumer::{BaseConsumer, Consumer as _};

        let mut config = ClientConfig::new();
        let client: BaseConsumer = config.set("bootstrap.servers", &self.env["BROKERS"]).create().unwrap();
        let metadata = client.fetch_metadata(Some(topic), LONG).unwrap();
        let partition = &metadata.topics()[0].partitions()[0];
        let follower = partition.replicas().iter().find(|&&id| id != partition.leader()).unwrap();
        (partition.leader().to_string(), follower.to_string())
    }

    /// Adds rights of the SASL user to a topic (`--add`), or takes them away (`--remove --force`).
    pub(crate) fn rights(&self, change: &[&str], operations: &[&str], topic: &str) {
        let home = std::env::var("KAFKA_HOME")
            .unwrap_or_else(|_| format!("{}/.cache/kafka-local", std::env::var("HOME").unwrap()));
        let mut command = Command::new("java");
        command.args([
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &format!("{home}/libs/*"),
        ]);
        command.args(["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &self.env["BROKERS"]]);
        command.args(change).args(["--allow-principal", &format!("User:{}", self.env["SASL_USER"])]);
        command.args(["--topic", topic]);
        for operation in operations {
            command.args(["--operation", operation]);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{} {}", text(&output.stdout), text(&output.stderr));
    }

    /// Settings for the SASL_SSL listener, all of them right.
    pub(crate) fn sasl(&self, mechanism: &str) -> Settings {
        Settings::new(&self.env["SASL_BROKERS"])
            .with("security.protocol", "SASL_SSL")
            .with("sasl.mechanism", mechanism)
            .with("sasl.username", &self.env["SASL_USER"])
            .with("sasl.password", &self.env["SASL_PASSWORD"])
            .with("ssl.ca.location", &self.env["CA"])
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.run(&["stop", "--wipe"]);
    }
}

/// A topic that was just made is not everywhere at once.
pub(crate) fn wait_for_topic(settings: &Settings, name: &str) -> Topic {
    let consumer = Consumer::new(settings).unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        match consumer.topic(name, LONG) {
            Ok(topic) => return topic,
            Err(error) => assert!(Instant::now() < deadline, "{name}: {error}"),
        }
        consumer.wait(Duration::from_millis(20));
    }
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| n.to_string())
}
