//! What a caller sets, our defaults below it, and the few properties that nobody may set.

use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::Error;

/// Where the brokers are, and any librdkafka property on top of our defaults.
///
/// Its `Debug` form hides the values of properties that may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HOST:PORT[,HOST:PORT...]`.
    pub brokers: String,
    /// librdkafka properties, in order; a later one wins. See `CONFIGURATION.md` of librdkafka.
    pub properties: Vec<(String, String)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<(&str, &str)> = self
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value.as_str() }))
            .collect();
        f.debug_struct("Settings").field("brokers", &self.brokers).field("properties", &shown).finish()
    }
}

/// Whether a property's value must not be shown.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "pem", "token", "oauthbearer.config"].iter().any(|part| name.contains(part))
}

/// What a client is for; decides its defaults and what may not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Consumer,
    Producer,
    Admin,
}

type Properties = &'static [(&'static str, &'static str)];

/// Defaults of every client.
const COMMON: Properties = &[
    ("client.id", "uringcast"),
    // A broker that is back should be noticed within a second, not after librdkafka's ten.
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "1000"),
    // A broker that is frozen rather than gone answers nothing: 20 s instead of a minute until that shows.
    ("socket.timeout.ms", "20000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    // KIP-714: we have metrics of our own.
    ("enable.metrics.push", "false"),
];

/// Defaults of a consumer. The first block is refused in [`CONSUMER_REFUSED`].
const CONSUMER: Properties = &[
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("allow.auto.create.topics", "false"),
    ("isolation.level", "read_committed"),
    // A broker answers as soon as it has a record, else after this time: so often an idle one is asked. A partition
    // that is added or sought is part of the next fetch only, which may have to wait for the one under way.
    ("fetch.wait.max.ms", "250"),
    // How long a topic that the cluster does not name may still be on its way through it before that is told.
    ("topic.metadata.propagation.max.ms", "2000"),
    // How long fetching pauses when the queue was full; librdkafka's second is far too long for a live feed.
    ("fetch.queue.backoff.ms", "20"),
    // Prefetched memory: since all partitions share one queue these bound all of it, up to one response a broker.
    ("queued.max.messages.kbytes", "65536"),
    ("fetch.max.bytes", "8388608"),
];

/// Defaults of a producer.
const PRODUCER: Properties = &[
    ("queue.buffering.max.messages", "1000000"),
    ("queue.buffering.max.kbytes", "262144"),
    // Success is counted from what has left the queue, so only failures cost a report.
    ("delivery.report.only.error", "true"),
];

const COMMON_REFUSED: Properties = &[
    ("bootstrap.servers", "is set by the list of brokers"),
    ("metadata.broker.list", "is set by the list of brokers"),
    ("log.queue", "must stay on: librdkafka's log is read from the event queue"),
];

const NO_GROUP: &str = "does not apply: partitions are assigned without a consumer group";
const CONSUMER_REFUSED: Properties = &[
    ("group.id", NO_GROUP),
    ("group.instance.id", NO_GROUP),
    ("group.protocol", NO_GROUP),
    ("group.remote.assignor", NO_GROUP),
    ("partition.assignment.strategy", NO_GROUP),
    ("auto.offset.reset", "must stay `error`: any other value skips records without a word"),
    ("enable.auto.commit", "must stay off: offsets are the clients', none is committed"),
    ("auto.commit.enable", "must stay off: offsets are the clients', none is committed"),
    ("enable.auto.offset.store", "must stay off: offsets are the clients', none is stored"),
    ("enable.partition.eof", "must stay off: an end of partition is no end of a scan"),
    ("allow.auto.create.topics", "must stay off: reading a topic must not create it"),
];

const PRODUCER_REFUSED: Properties = &[
    ("delivery.report.only.error", "must stay on: deliveries are counted that way"),
    ("transactional.id", "is not supported: this producer has no transactions"),
];

impl Settings {
    /// Settings without properties.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), properties: Vec::new() }
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Our defaults with the caller's properties on top.
    pub(crate) fn client_config(&self, role: Role) -> Result<ClientConfig, Error> {
        if self.brokers.trim().is_empty() {
            return Err(config_error("bootstrap.servers", "no broker is given (HOST:PORT[,HOST:PORT...])"));
        }
        let (defaults, refused): (Properties, Properties) = match role {
            Role::Consumer => (CONSUMER, CONSUMER_REFUSED),
            Role::Producer => (PRODUCER, PRODUCER_REFUSED),
            Role::Admin => (&[], &[]),
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.trim());
        for (name, value) in COMMON.iter().chain(defaults) {
            config.set(*name, *value);
        }
        // rdkafka otherwise takes the level from the `log` crate's logger, which we do not install.
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in &self.properties {
            if let Some((_, reason)) = COMMON_REFUSED.iter().chain(refused).find(|(other, _)| other == name) {
                return Err(config_error(name, reason));
            }
            if name == "debug" {
                config.set_log_level(RDKafkaLogLevel::Debug);
            }
            config.set(name.as_str(), value.as_str());
        }
        if role == Role::Consumer {
            // What becomes of topics and leaders is told in these lines alone (see `changes`).
            let debug = config.get("debug").filter(|debug| !debug.trim().is_empty());
            let debug = debug.map_or_else(|| "metadata".to_owned(), |debug| format!("{debug},metadata"));
            config.set("debug", debug);
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        Ok(config)
    }

    /// Whether the caller wants librdkafka's debug lines.
    pub(crate) fn asks_for_debug(&self) -> bool {
        self.properties.iter().any(|(name, value)| name == "debug" && !value.trim().is_empty())
    }
}

fn config_error(property: &str, reason: &str) -> Error {
    Error::Config { property: property.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_override_defaults_and_later_ones_win() {
        let settings = Settings::new("a:1")
            .with("fetch.wait.max.ms", "5")
            .with("fetch.wait.max.ms", "6")
            .with("acks", "1");
        let config = settings.client_config(Role::Consumer).unwrap();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("6"));
        assert_eq!(config.get("acks"), Some("1"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("group.id"), None);
    }

    #[test]
    fn what_would_break_us_is_refused_by_name() {
        for (name, _) in COMMON_REFUSED.iter().chain(CONSUMER_REFUSED) {
            let error = Settings::new("a:1").with(name, "x").client_config(Role::Consumer).unwrap_err();
            assert!(matches!(&error, Error::Config { property, .. } if property == name), "{error}");
        }
        // What is no business of a role is librdkafka's to judge.
        assert!(Settings::new("a:1").with("group.id", "x").client_config(Role::Producer).is_ok());
        assert!(Settings::new(" ").client_config(Role::Producer).is_err());
    }

    #[test]
    fn every_default_that_must_stay_is_set() {
        for (name, _) in CONSUMER_REFUSED {
            let ours = CONSUMER.iter().any(|(default, _)| default == name);
            let absent =
                name.starts_with("group.") || name.starts_with("partition.") || *name == "auto.commit.enable";
            assert!(ours || absent, "{name} is refused, but we do not set it");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = Settings::new("a:1")
            .with("sasl.username", "alice")
            .with("sasl.password", "hunter2")
            .with("ssl.key.pem", "KEY");
        let shown = format!("{settings:?}");
        assert!(shown.contains("alice") && !shown.contains("hunter2") && !shown.contains("KEY"), "{shown}");
    }
}
