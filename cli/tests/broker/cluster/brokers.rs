//! Three brokers, numbered from 1, each a controller too: one of them may be away at a time, or there is no quorum.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use kafka::{Admin, Settings};

use kafka_local::{Kafka, LONG};

use super::outside::{pause, within};

/// Who comes on the plain listener may do everything, as the brokers among themselves; who comes by SASL what lists allow.
/// A dead broker's partitions are seen to be without a leader after five seconds.
const PROPERTIES: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer \
    super.users=User:ANONYMOUS broker.session.timeout.ms=5000";

pub(crate) struct Cluster {
    pub(crate) kafka: Kafka,
    away: [AtomicBool; 3],
}

/// A scenario's right to the brokers.
pub(crate) struct Turn(());

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Turn {
    fn take() -> Self {
        while TAKEN.compare_exchange(false, true, SeqCst, SeqCst).is_err() {
            pause(Duration::from_millis(50));
        }
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, SeqCst);
    }
}

impl Cluster {
    /// The one cluster, all of its brokers up, for one scenario at a time.
    pub(crate) fn turn() -> (&'static Self, Turn) {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        let turn = Turn::take();
        let cluster = SHARED.get_or_init(Self::start);
        for number in 1..=3 {
            cluster.restart(number);
        }
        (cluster, turn)
    }

    fn start() -> Self {
        let variables = [
            ("KAFKA_JAVA_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
            ("KAFKA_HEAP", "320m"),
            ("KAFKA_PROPERTIES", PROPERTIES),
        ];
        let kafka = Kafka::start_with(&["--brokers", "3", "--sasl"], &variables);
        Self { kafka, away: [const { AtomicBool::new(false) }; 3] }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.kafka.settings()
    }

    pub(crate) fn admin(&self) -> Admin {
        self.kafka.admin()
    }

    /// A topic with its replicas where `assignment` says: `2:3,1` is partition 0 led by 2 and followed by 3, partition 1 on
    /// 1 alone.
    pub(crate) fn topic(&self, name: &str, assignment: &str, config: &[&str]) {
        let mut arguments = vec!["--create", "--topic", name, "--replica-assignment", assignment];
        arguments.extend(config.iter().flat_map(|config| ["--config", *config]));
        self.kafka.tool("TopicCommand", &arguments);
        // Not every broker knows it at once.
        pause(Duration::from_secs(1));
    }

    /// SIGKILL.
    pub(crate) fn kill(&self, number: usize) {
        self.away[number - 1].store(true, SeqCst);
        self.kafka.run(&["kill", &number.to_string()]);
    }

    /// Brings a broker back if it is away.
    pub(crate) fn restart(&self, number: usize) {
        if self.away[number - 1].load(SeqCst) {
            self.kafka.run(&["restart", &number.to_string()]);
            self.away[number - 1].store(false, SeqCst);
        }
    }

    /// Waits until every partition of a topic has this leader, `none` for none.
    pub(crate) fn wait_for_leader(&self, topic: &str, leader: &str) {
        let mut said = String::new();
        let led = within(LONG, || {
            said = self.kafka.tool("TopicCommand", &["--describe", "--topic", topic]);
            let words = said.split_whitespace().collect::<Vec<_>>();
            let leaders: Vec<_> = words.windows(2).filter(|pair| pair[0] == "Leader:").collect();
            !leaders.is_empty() && leaders.iter().all(|pair| pair[1] == leader)
        });
        assert!(led.is_some(), "{topic} is not led by {leader}: {said}");
    }
}
