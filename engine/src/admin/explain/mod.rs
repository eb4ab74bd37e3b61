//! /explain: how a topic's records with a key are delivered, and the reasons why one was not.
//!
//! Routes, catalog, health and counters lie open; ingest and every shard are asked through their inboxes, and have
//! [`ANSWER_MAX`] together. They answer from what they hold in a few look-ups a channel, so asking costs delivery nothing.

mod body;
mod query;
mod reasons;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use kafka::Partitioner;
use proto::channel::{Fields, Miss, looks::Looks};
use tokio::time::{Instant, timeout_at};

pub use self::{
    body::{
        ChannelBody, ExpectedBody, Explanation, KeyBody, NewestBody, PartitionBody, ReasonBody, RouteBody,
        ShardBody,
    },
    query::Asked,
};
use super::View;
use crate::{
    clock::Now,
    inbox::{ExplainChannels, ExplainTopic, ShardFacts, ToIngest, ToShard, TopicFacts},
};

/// How long ingest and the shards may take, all together.
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub(super) async fn explain(State(view): State<View>, RawQuery(query): RawQuery) -> Response {
    match Asked::parse(query.as_deref().unwrap_or_default()) {
        Ok(asked) => {
            ([(header::CACHE_CONTROL, "no-store")], Json(explanation(&view, &asked).await)).into_response()
        }
        Err(text) => (StatusCode::BAD_REQUEST, format!("{text}\n")).into_response(),
    }
}

async fn explanation(view: &View, asked: &Asked) -> Explanation {
    let expected = expected(view, asked);
    let routes = routes(view, asked, &expected);
    let mut channels: Vec<Arc<str>> = Vec::new();
    for name in routes.iter().flat_map(|route| &route.channels) {
        if !channels.iter().any(|known| **known == **name) {
            channels.push(Arc::from(name.as_str()));
        }
    }
    let (topic, shards) = ask(view, &asked.topic, channels.clone().into()).await;
    let facts = body::Facts { expected, routes, channels, topic, shards };
    let mut explanation = body::body(view, asked, facts, Now::read());
    explanation.reasons = reasons::reasons(&explanation, &view.health.snapshot());
    explanation.ok = explanation.reasons.is_empty();
    explanation
}

/// Where the record is, or is expected by the rules of producers.
fn expected(view: &View, asked: &Asked) -> ExpectedBody {
    let catalog = view.catalog.load();
    let partitions = catalog.topic(&asked.topic).map_or(0, |(_, topic)| topic.sources.len());
    let by = |rule: Partitioner| rule.partition(asked.key.as_deref()?, u32::try_from(partitions).ok()?);
    ExpectedBody {
        asked: asked.partition,
        murmur2: by(Partitioner::Murmur2),
        consistent: by(Partitioner::Consistent),
    }
}

/// The topic's routes and what each makes of the record.
fn routes(view: &View, asked: &Asked, expected: &ExpectedBody) -> Vec<RouteBody> {
    let headers: Vec<(&str, &[u8])> =
        asked.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    let of_topic = view.routes.iter().filter(|route| *route.topic == *asked.topic);
    let made = |template: &proto::channel::Template| {
        let partitions = match (template.names_partition(), expected.partitions()) {
            (false, _) => vec![0],
            (true, known) => known,
        };
        if partitions.is_empty() {
            return Err((
                "no_partition",
                "the channel name contains the partition, which is not known".to_owned(),
            ));
        }
        let mut channels = Vec::new();
        for partition in partitions {
            let mut name = String::new();
            let fields =
                Fields { topic: &asked.topic, partition, key: asked.key.as_deref(), headers: &headers };
            template.render(&mut name, &fields).map_err(|miss| (miss.as_str(), told(miss, asked)))?;
            channels.push(name);
        }
        Ok(channels)
    };
    let body = |route: &crate::config::Route| {
        let (channels, miss) = match made(&route.template) {
            Ok(channels) => (channels, None),
            Err((reason, text)) => (Vec::new(), Some(ReasonBody::new(reason, text))),
        };
        RouteBody { template: route.template.to_string(), channels, miss }
    };
    of_topic.map(body).collect()
}

/// Why a route makes no channel, and what a key that is no text looks like.
fn told(miss: Miss, asked: &Asked) -> String {
    match (miss, &asked.key) {
        (Miss::KeyNotUtf8 | Miss::KeyBinary, Some(key)) => {
            format!("{miss}; it looks like {}", Looks::of(key))
        }
        _ => miss.to_string(),
    }
}

/// Asks ingest and all shards; whoever does not answer in time is not among the answers.
async fn ask(
    view: &View,
    topic: &Arc<str>,
    channels: Arc<[Arc<str>]>,
) -> (Option<TopicFacts>, Vec<ShardFacts>) {
    let deadline = Instant::now() + ANSWER_MAX;
    let (reply, topic_answer) = flume::bounded(1);
    let message = ExplainTopic { topic: Arc::clone(topic), channels: Arc::clone(&channels), reply };
    // An inbox that is full or closed is as good as no answer.
    let _ = view.to_ingest.try_send(ToIngest::Explain(message));
    view.ingest_waker.wake();

    let (reply, shard_answers) = flume::bounded(view.links.len());
    for link in view.links.iter() {
        let message = ExplainChannels { channels: Arc::clone(&channels), reply: reply.clone() };
        let _ = link.inbox.try_send(ToShard::Explain(message));
        link.waker.wake();
    }
    // The answers end when every shard has answered, or has ended.
    drop(reply);
    let mut shards = Vec::with_capacity(view.links.len());
    while let Ok(Ok(answer)) = timeout_at(deadline, shard_answers.recv_async()).await {
        shards.push(answer);
    }
    shards.sort_by_key(|answer: &ShardFacts| answer.shard);
    let topic = timeout_at(deadline, topic_answer.recv_async()).await.ok().and_then(Result::ok);
    (topic, shards)
}
