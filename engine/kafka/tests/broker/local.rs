//! Real brokers, light ones.

use kafka_local::{Kafka, light};

/// A killed broker may come back when its session is over.
pub(crate) const PROPERTIES: &str = "broker.session.timeout.ms=3000";

pub(crate) fn start(options: &[&str]) -> Kafka {
    start_with(options, PROPERTIES)
}

pub(crate) fn start_with(options: &[&str], properties: &'static str) -> Kafka {
    Kafka::start_with(options, &light(properties))
}
