//! What the brokers say: whether they answer us with these credentials, and whether the routes' topics are there.

use std::time::Duration;

use engine::{clock::Now, config::Config};
use kafka::{BrokerEvent, Consumer, Topic, TopicError};

use super::{Item, grouped};

/// A record may be this much younger than our clock before that is told.
const AHEAD_MS: u64 = 10_000;
/// Partitions of a topic whose newest record is looked at.
const PARTITIONS_LOOKED_AT: usize = 8;

/// Whether and how the brokers answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    Answers,
    /// They are there and let us not in.
    Refuses(String),
    Silent(String),
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicFact {
    pub(super) name: String,
    pub(super) found: Result<Found, TopicError>,
}

/// A topic that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) partitions: usize,
    pub(super) has_id: bool,
    /// A record has a time beyond our clock, in this partition.
    pub(super) ahead: Option<u32>,
}

/// Everything that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) brokers: String,
    pub(super) reach: Reach,
    pub(super) topics: Vec<TopicFact>,
}

/// Asks the brokers; each request waits up to `wait`.
///
/// # Errors
/// A property that librdkafka refuses.
pub(super) fn ask(config: &Config, wait: Duration) -> Result<Facts, kafka::Error> {
    let mut consumer = Consumer::new(&config.kafka)?;
    let mut names: Vec<&str> = config.routes.iter().map(|route| route.topic.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut topics = Vec::new();
    let mut reach = Reach::Answers;
    for name in names {
        let found = consumer.topic(name, wait);
        if let Err(TopicError::Unreachable(text)) = &found {
            reach = refusal(&mut consumer).unwrap_or_else(|| Reach::Silent(text.clone()));
            break;
        }
        let found = found.map(|topic| look(&consumer, name, &topic, wait));
        topics.push(TopicFact { name: name.to_owned(), found });
    }
    Ok(Facts { brokers: config.kafka.brokers.clone(), reach, topics })
}

/// Whether the silence is a refusal.
fn refusal(consumer: &mut Consumer) -> Option<Reach> {
    consumer.news().into_iter().find_map(|event| match event {
        BrokerEvent::AuthFailed(text) | BrokerEvent::TlsFailed(text) => Some(Reach::Refuses(text)),
        BrokerEvent::Down(_) | BrokerEvent::Up | BrokerEvent::Lost(_) | BrokerEvent::Other(_) => None,
    })
}

fn look(consumer: &Consumer, name: &str, topic: &Topic, wait: Duration) -> Found {
    let after_ms = i64::try_from(Now::read().unix_ms + AHEAD_MS).unwrap_or(i64::MAX);
    let is_ahead = |partition: u32| {
        let first = consumer.offset_for_time(name, partition, after_ms, wait).ok()?;
        let (_, end) = consumer.watermarks(name, partition, wait).ok()?;
        (first < end).then_some(partition)
    };
    let ahead = topic.partitions.iter().copied().take(PARTITIONS_LOOKED_AT).find_map(is_ahead);
    Found { partitions: topic.partitions.len(), has_id: topic.id.is_some(), ahead }
}

/// Judges what the brokers said.
pub(super) fn judge(facts: &Facts) -> Vec<Item> {
    let brokers = &facts.brokers;
    let reach = match &facts.reach {
        Reach::Answers => Item::ok("brokers", format!("{brokers} respond")),
        Reach::Refuses(text) => Item::stop(
            "brokers",
            text.clone(),
            "no record is read until user, password, certificate and mechanism are correct",
            "--kafka sasl.username=..., sasl.password=@file:PATH, sasl.mechanism=..., security.protocol=..., ssl.ca.location=...",
        ),
        Reach::Silent(text) => Item::stop(
            "brokers",
            format!("{brokers}: {text}"),
            "no record is read; serve waits, and /health returns 503 starting",
            "--brokers HOST:PORT,... reachable from here (including the brokers' advertised listeners)",
        ),
    };
    std::iter::once(reach).chain(facts.topics.iter().flat_map(judge_topic)).collect()
}

fn judge_topic(TopicFact { name, found }: &TopicFact) -> Vec<Item> {
    let found = match found {
        Ok(found) => found,
        Err(TopicError::Unknown) => {
            return vec![Item::stop(
                "topic",
                format!("{name}: the topic does not exist"),
                "its routes deliver nothing until it is created",
                format!("kafka-topics.sh --create --topic {name}, or the right name in --route"),
            )];
        }
        Err(error) => {
            return vec![Item::stop(
                "topic",
                format!("{name}: {error}"),
                "its routes deliver nothing until serve is authorized to describe and read it",
                format!(
                    "kafka-acls.sh --add --allow-principal User:... --operation Read --operation Describe --topic {name}"
                ),
            )];
        }
    };
    let count = grouped(found.partitions as u64);
    let mut items = vec![Item::ok("topic", format!("{name}: {count} partitions"))];
    if !found.has_id {
        items.push(Item::warn(
            "topic_id",
            format!("{name}: the brokers have no topic ids"),
            "a topic that is deleted and re-created is not detected, and old positions are misread",
            "Kafka 2.8 or newer",
        ));
    }
    if let Some(partition) = found.ahead {
        items.push(Item::warn(
            "clock",
            format!(
                "{name}, partition {partition}: a record is dated more than {} s in the future",
                AHEAD_MS / 1_000
            ),
            "this clock is slow, or a producer's is fast: delays and positions by time are wrong",
            "timedatectl set-ntp true, on both hosts",
        ));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn judged(reach: Reach, found: Option<Result<Found, TopicError>>) -> Vec<(&'static str, Option<Level>)> {
        let topics = found.map(|found| TopicFact { name: "trades".to_owned(), found }).into_iter().collect();
        let items = judge(&Facts { brokers: "kafka:9092".to_owned(), reach, topics });
        items.iter().map(|item| (item.area, item.finding.as_ref().map(|finding| finding.level))).collect()
    }

    const GOOD: Found = Found { partitions: 3, has_id: true, ahead: None };

    #[test]
    fn each_answer_has_its_finding() {
        let stop = Some(Level::Stop);
        assert_eq!(judged(Reach::Answers, Some(Ok(GOOD))), [("brokers", None), ("topic", None)]);
        assert_eq!(judged(Reach::Refuses("SASL".to_owned()), None), [("brokers", stop)]);
        assert_eq!(judged(Reach::Silent("refused".to_owned()), None), [("brokers", stop)]);
        let unknown = Some(Err(TopicError::Unknown));
        assert_eq!(judged(Reach::Answers, unknown), [("brokers", None), ("topic", stop)]);
        let refused = Some(Err(TopicError::Refused("authorization".to_owned())));
        assert_eq!(judged(Reach::Answers, refused), [("brokers", None), ("topic", stop)]);
        let warn = Some(Level::Warn);
        let without_id = Some(Ok(Found { has_id: false, ..GOOD }));
        assert_eq!(judged(Reach::Answers, without_id)[2], ("topic_id", warn));
        let ahead = Some(Ok(Found { ahead: Some(2), ..GOOD }));
        assert_eq!(judged(Reach::Answers, ahead)[2], ("clock", warn));
    }
}
