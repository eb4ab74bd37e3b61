//! Real brokers, light ones.

use ::kafka_local::{Kafka, LONG, light};

/// A killed broker may come back when its session is over.
pub(crate) const PROPERTIES: &str = "broker.session.timeout.ms=3000";

pub(crate) fn start(options: &[&str]) -> Kafka {
    start_with(options, PROPERTIES)
}

pub(crate) fn start_with(options: &[&str], properties: &'static str) -> Kafka {
    Kafka::start_with(options, &light(properties))
}

/// Leader and follower of partition 0 of a topic with two replicas.
pub(crate) fn replicas(kafka: &Kafka, topic: &str) -> (String, String) {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    let mut config = ClientConfig::new();
    let client: BaseConsumer = config.set("bootstrap.servers", &kafka.env["BROKERS"]).create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), LONG).unwrap();
    let partition = &metadata.topics()[0].partitions()[0];
    let follower = partition.replicas().iter().find(|&&id| id != partition.leader()).unwrap();
    (partition.leader().to_string(), follower.to_string())
}

/// Adds rights of the SASL user to a topic (`--add`), or takes them away (`--remove --force`).
pub(crate) fn rights(kafka: &Kafka, change: &[&str], operations: &[&str], topic: &str) {
    let user = format!("User:{}", kafka.env["SASL_USER"]);
    let mut arguments = [change, &["--allow-principal", &user, "--topic", topic]].concat();
    arguments.extend(operations.iter().flat_map(|operation| ["--operation", *operation]));
    kafka.tool("AclCommand", &arguments);
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| n.to_string())
}
