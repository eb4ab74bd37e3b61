//! Why a record does not arrive, judged from what was found out: a pure function.

use super::body::{Explanation, KeyBody, ReasonBody};
use crate::{
    health::{Reason, Snapshot},
    inbox::PartitionState,
};

/// Partitions named in one reason.
const NAMED_MAX: usize = 8;

/// All reasons, what comes first on a record's way first.
pub(super) fn reasons(found: &Explanation, health: &Snapshot) -> Vec<ReasonBody> {
    if found.routes.is_empty() {
        let text = format!("no route for the topic {}: add --route '{}=...'", found.topic, found.topic);
        return vec![ReasonBody::new("not_routed", text)];
    }
    let mut reasons = process(health);
    reasons.extend(of_health(&found.topic, health));
    if !found.ingest_answers {
        reasons
            .push(ReasonBody::new("ingest_silent", "ingest does not respond: it is blocked or has stopped"));
    } else if found.partitions.is_empty() && reasons.is_empty() {
        reasons.push(ReasonBody::new("topic_not_read", "the topic's partitions are not known yet"));
    }
    reasons.extend(partitions(found));
    // A record that one route takes is not missing because another does not.
    if found.channels.is_empty() {
        let miss = |route: &super::RouteBody| {
            let miss = route.miss.as_ref()?;
            Some(ReasonBody::new(&miss.reason, format!("{}: {}", route.template, miss.text)))
        };
        reasons.extend(found.routes.iter().filter_map(miss));
    }
    reasons.extend(found.keys.iter().find(|key| key.in_other_form).map(other_form));
    reasons.extend(subscribers(found));
    reasons
}

fn other_form(key: &KeyBody) -> ReasonBody {
    let KeyBody { key, text, partition, offset, .. } = key;
    let key = key.as_deref().unwrap_or_default();
    let text = format!(
        "records have the key in another form, which maps to another channel or none: {key} ({text}), seen in \
         partition {partition} at offset {offset}"
    );
    ReasonBody::new("key_in_other_form", text)
}

fn process(health: &Snapshot) -> Vec<ReasonBody> {
    let mut reasons = Vec::new();
    if health.draining {
        reasons.push(ReasonBody::new("draining", "the server is shutting down"));
    }
    if !health.ready {
        reasons.push(ReasonBody::new("starting", "the state of some topics or partitions is not known yet"));
    }
    reasons
}

fn of_health<'a>(topic: &'a str, health: &'a Snapshot) -> impl Iterator<Item = ReasonBody> + 'a {
    let concerns = move |reason: &Reason| reason.topic().is_none_or(|of| of == topic);
    let present = health.reasons.iter().filter(move |(reason, _)| concerns(reason));
    present.map(|(reason, text)| ReasonBody::new(reason.word(), text.as_str()))
}

fn partitions(found: &Explanation) -> Vec<ReasonBody> {
    let mut reasons = Vec::new();
    if let Some(asked) = found.expected.asked
        && !found.partitions.is_empty()
        && !found.partitions.iter().any(|known| known.partition == asked)
    {
        let text = format!("the topic has {} partitions, but no partition {asked}", found.partitions.len());
        reasons.push(ReasonBody::new("no_such_partition", text));
    }
    for (state, word, what) in [
        (
            PartitionState::Waiting,
            "partition_waiting",
            "the start position is not known yet, or the consumer has not started",
        ),
        (
            PartitionState::Held,
            "partition_held",
            "paused until the cluster confirms that the topic is still the same",
        ),
        (
            PartitionState::OutOfRange,
            "partition_out_of_range",
            "the broker no longer has the next offset; clients get a gap notice",
        ),
        (PartitionState::Ended, "partition_ended", "no longer read"),
    ] {
        let are = found.partitions.iter().filter(|known| known.state == state).map(|known| known.partition);
        let numbers: Vec<String> = are.map(|partition| partition.to_string()).collect();
        if !numbers.is_empty() {
            let more = if numbers.len() > NAMED_MAX {
                format!(" and {} more", numbers.len() - NAMED_MAX)
            } else {
                String::new()
            };
            let named = numbers[..numbers.len().min(NAMED_MAX)].join(", ");
            reasons.push(ReasonBody::new(word, format!("partition {named}{more}: {what}")));
        }
    }
    reasons
}

fn subscribers(found: &Explanation) -> Vec<ReasonBody> {
    let mut reasons = Vec::new();
    if !found.silent_shards.is_empty() {
        let numbers: Vec<String> = found.silent_shards.iter().map(ToString::to_string).collect();
        reasons.push(ReasonBody::new(
            "shard_silent",
            format!("shard {} does not respond: it is blocked or has stopped", numbers.join(", ")),
        ));
    } else if !found.channels.is_empty() && found.channels.iter().all(|channel| channel.subscribers == 0) {
        let names: Vec<&str> = found.channels.iter().map(|channel| channel.channel.as_str()).collect();
        reasons.push(ReasonBody::new(
            "nobody_subscribes",
            format!("no client is subscribed to {}", names.join(", ")),
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::{
        super::body::{ChannelBody, ExpectedBody, PartitionBody, RouteBody},
        *,
    };

    /// A record that arrives: one route, two partitions that are read, a subscriber.
    fn found() -> Explanation {
        let partition = |partition| PartitionBody {
            partition,
            state: PartitionState::Reading,
            first: Some(0),
            next: Some(7),
            end: Some(7),
        };
        Explanation {
            ok: false,
            topic: "trades".to_owned(),
            key: Some("BTC".to_owned()),
            routes: vec![route("{key}", None)],
            expected: ExpectedBody { asked: None, murmur2: Some(1), consistent: Some(0) },
            partitions: vec![partition(0), partition(1)],
            channels: vec![channel(1)],
            silent_shards: Vec::new(),
            ingest_answers: true,
            keys: Vec::new(),
            counted: [("no_key".to_owned(), 1)].into(),
            counts: [("no_key".to_owned(), 3)].into(),
            reasons: Vec::new(),
        }
    }

    fn route(template: &str, miss: Option<&str>) -> RouteBody {
        let miss = miss.map(|word| ReasonBody::new(word, "the record has no key"));
        let channels = if miss.is_none() { vec!["BTC".to_owned()] } else { Vec::new() };
        RouteBody { template: template.to_owned(), channels, miss }
    }

    fn channel(subscribers: usize) -> ChannelBody {
        ChannelBody { channel: "BTC".to_owned(), subscribers, shards: Vec::new(), newest: None }
    }

    fn ready() -> Snapshot {
        Snapshot { ready: true, draining: false, reasons: Vec::new() }
    }

    fn words(found: &Explanation, health: &Snapshot) -> Vec<String> {
        reasons(found, health).into_iter().map(|reason| reason.reason).collect()
    }

    #[test]
    fn a_record_that_arrives_has_none() {
        assert_eq!(reasons(&found(), &ready()), [], "counts prove nothing");
        let other = route("{header:region}", Some("no_header"));
        let two = Explanation { routes: vec![route("{key}", None), other], ..found() };
        assert_eq!(reasons(&two, &ready()), [], "one route takes it");
    }

    #[test]
    fn every_reason_is_found_by_itself() {
        let only = |found: Explanation, word: &str, said: &str| {
            let reasons = reasons(&found, &ready());
            let text = reasons.first().map_or("", |reason| &reason.text);
            assert_eq!(
                (reasons.len(), reasons.first().map(|r| r.reason.as_str())),
                (1, Some(word)),
                "{reasons:?}"
            );
            assert!(text.contains(said), "{text}");
        };
        only(Explanation { routes: Vec::new(), ..found() }, "not_routed", "--route 'trades=...'");
        let missed =
            Explanation { routes: vec![route("{key}", Some("no_key"))], channels: Vec::new(), ..found() };
        only(missed, "no_key", "{key}: the record has no key");
        let key = |key: &str, in_other_form| KeyBody {
            key: Some(key.to_owned()),
            bytes: key.len(),
            cut: false,
            looks: "quoted".to_owned(),
            text: "a JSON string, with its quotes".to_owned(),
            in_other_form,
            partition: 1,
            offset: 7,
        };
        let quoted = vec![key("\"ETH\"", false), key("\"BTC\"", true)];
        only(
            Explanation { keys: quoted, ..found() },
            "key_in_other_form",
            "none: \"BTC\" (a JSON string, with its quotes), seen in partition 1 at offset 7",
        );
        only(Explanation { channels: vec![channel(0)], ..found() }, "nobody_subscribes", "BTC");
        only(Explanation { partitions: Vec::new(), ..found() }, "topic_not_read", "not known yet");
        let mute = Explanation { partitions: Vec::new(), ingest_answers: false, ..found() };
        only(mute, "ingest_silent", "does not respond");
        let mute = Explanation { channels: vec![channel(0)], silent_shards: vec![0, 3], ..found() };
        only(mute, "shard_silent", "shard 0, 3 does");
        let asked = ExpectedBody { asked: Some(2), ..found().expected };
        only(
            Explanation { expected: asked, ..found() },
            "no_such_partition",
            "2 partitions, but no partition 2",
        );
        for (state, word) in [
            (PartitionState::Waiting, "partition_waiting"),
            (PartitionState::Held, "partition_held"),
            (PartitionState::OutOfRange, "partition_out_of_range"),
            (PartitionState::Ended, "partition_ended"),
        ] {
            let mut partitions = found().partitions;
            partitions[1].state = state;
            only(Explanation { partitions, ..found() }, word, "partition 1: ");
        }
    }

    #[test]
    fn many_partitions_are_named_in_part() {
        let waiting = PartitionBody { state: PartitionState::Waiting, ..found().partitions[0] };
        let partitions = (0..20).map(|partition| PartitionBody { partition, ..waiting }).collect();
        let reasons = reasons(&Explanation { partitions, ..found() }, &ready());
        assert!(reasons[0].text.starts_with("partition 0, 1, 2, 3, 4, 5, 6, 7 and 12 more: "), "{reasons:?}");
    }

    #[test]
    fn health_tells_what_concerns_the_topic() {
        let with = |reason: Reason| Snapshot { reasons: vec![(reason, "heard".to_owned())], ..ready() };
        for reason in [
            Reason::BrokersUnreachable,
            Reason::BrokersRefuse,
            Reason::TopicUnknown("trades".into()),
            Reason::TopicRefused("trades".into()),
            Reason::TopicStopped("trades".into()),
            Reason::PartitionLeaderless("trades".into()),
            Reason::ReadRefused("trades".into()),
            Reason::TransactionOpen("trades".into()),
            Reason::ShardBehind,
        ] {
            let told = reasons(&found(), &with(reason.clone()));
            assert_eq!(told, [ReasonBody::new(reason.word(), "heard")]);
        }
        assert_eq!(words(&found(), &with(Reason::TopicUnknown("other".into()))), [""; 0]);
        let starting = Snapshot { ready: false, ..ready() };
        let unread = Explanation { partitions: Vec::new(), ..found() };
        assert_eq!(words(&unread, &starting), ["starting"], "that is why nothing is read");
        assert_eq!(words(&found(), &Snapshot { draining: true, ..ready() }), ["draining"]);
    }
}
