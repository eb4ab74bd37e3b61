//! The body of /explain. Programs read it back with the same types.

use std::{collections::BTreeMap, sync::Arc};

use proto::channel::{
    looks::{Looks, in_other_form},
    text,
};
use serde::{Deserialize, Serialize};

use super::{super::View, Asked};
use crate::{
    clock::Now,
    inbox::{KeyFacts, Newest, PartitionState, ShardFacts, TopicFacts},
    metrics::OddRecords,
};

/// What becomes of a topic's records with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// No reason was found why a record would not arrive.
    pub ok: bool,
    /// The topic asked about.
    pub topic: String,
    /// The key asked about, with escapes if it is not UTF-8; none: a record without one.
    pub key: Option<String>,
    /// The topic's routes.
    pub routes: Vec<RouteBody>,
    /// Where a record with the key is expected.
    pub expected: ExpectedBody,
    /// Partitions of the topic, by number; none: not known, or ingest has not answered.
    pub partitions: Vec<PartitionBody>,
    /// The channels that the routes make.
    pub channels: Vec<ChannelBody>,
    /// Shards that have not answered.
    pub silent_shards: Vec<usize>,
    /// Ingest has answered.
    pub ingest_answers: bool,
    /// Keys of the topic's records that were read lately, a sample; empty where the asked key's channels have messages.
    #[serde(default)]
    pub keys: Vec<KeyBody>,
    /// Records of this topic that reached nobody, or not as their route promises, since the start, by metric; only what
    /// is not 0.
    #[serde(default)]
    pub counted: BTreeMap<String, u64>,
    /// What was skipped or announced as a gap since the start, over all topics, by metric; only what is not 0.
    pub counts: BTreeMap<String, u64>,
    /// Why a record does not arrive.
    pub reasons: Vec<ReasonBody>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteBody {
    /// Its template.
    pub template: String,
    /// The channel it makes; two where the name has the partition in it and there are two candidates.
    pub channels: Vec<String>,
    /// Why it makes none.
    pub miss: Option<ReasonBody>,
}

/// Partitions in which a record with the key is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedBody {
    /// As asked: no need to guess.
    pub asked: Option<u32>,
    /// Where Java's producer and most others place it.
    pub murmur2: Option<u32>,
    /// Where librdkafka's default places it (CRC-32).
    pub consistent: Option<u32>,
}

impl ExpectedBody {
    /// The candidates, each once.
    #[must_use]
    pub fn partitions(&self) -> Vec<u32> {
        if let Some(asked) = self.asked {
            return vec![asked];
        }
        let mut candidates: Vec<u32> = self.murmur2.into_iter().chain(self.consistent).collect();
        candidates.dedup();
        candidates
    }
}

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBody {
    /// Its number.
    pub partition: u32,
    /// What ingest does with it.
    pub state: PartitionState,
    /// The first offset that was to be read here; older records are not.
    pub first: Option<i64>,
    /// The next offset to be read.
    pub next: Option<i64>,
    /// Its end as known: the broker told it up to a second ago.
    pub end: Option<i64>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelBody {
    /// Its name.
    pub channel: String,
    /// Its subscribers, of the shards that answered.
    pub subscribers: usize,
    /// Shards with a subscriber.
    pub shards: Vec<ShardBody>,
    /// Its newest message or gap notice that is still in memory.
    pub newest: Option<NewestBody>,
}

/// A shard's part of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardBody {
    /// Its number.
    pub shard: usize,
    /// Subscribers here.
    pub subscribers: usize,
    /// Those of them that are yet to be sent something.
    pub behind: usize,
}

/// A key that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBody {
    /// Its front, with escapes if it is not text; none: the record had no key.
    pub key: Option<String>,
    /// All its bytes.
    pub bytes: usize,
    /// `key` is not all of it.
    pub cut: bool,
    /// What it looks like, in a word: none, empty, text, quoted, object, integer, schema or binary.
    pub looks: String,
    /// The same in words.
    pub text: String,
    /// It says what the asked key says, in another form.
    pub in_other_form: bool,
    /// Partition of the first record with it that was looked at.
    pub partition: u32,
    /// Offset of that record.
    pub offset: i64,
}

/// A message or a gap notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestBody {
    /// Its topic.
    pub topic: String,
    /// Its position, as clients get it.
    pub pos: String,
    /// Kafka timestamp, Unix ms; none: it stands for no record.
    pub ts: Option<i64>,
    /// Since ingest read it, ms.
    pub age_ms: u64,
}

/// A reason, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonBody {
    /// A word.
    pub reason: String,
    /// A sentence.
    pub text: String,
}

impl ReasonBody {
    pub(super) fn new(reason: &str, text: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), text: text.into() }
    }
}

/// What was found out.
pub(super) struct Facts {
    pub(super) expected: ExpectedBody,
    pub(super) routes: Vec<RouteBody>,
    pub(super) channels: Vec<Arc<str>>,
    pub(super) topic: Option<TopicFacts>,
    pub(super) shards: Vec<ShardFacts>,
}

/// All of it but the reasons.
pub(super) fn body(view: &View, asked: &Asked, facts: Facts, now: Now) -> Explanation {
    let Facts { expected, routes, channels, topic, shards } = facts;
    let ingest_answers = topic.is_some();
    let TopicFacts { partitions, newest, keys } = topic.unwrap_or_default();
    let silent = is_silent(&routes, &channels, &newest);
    let asked_key = asked.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let known = |offset: i64| (offset >= 0).then_some(offset);
    let partition = |(partition, facts): (u32, &crate::inbox::PartitionFacts)| PartitionBody {
        partition,
        state: facts.state,
        first: known(facts.first),
        next: known(facts.next),
        end: known(facts.end),
    };
    let mut newest = newest.into_iter().map(|newest| {
        newest.map(|newest| NewestBody {
            topic: newest.topic.to_string(),
            pos: newest.position.to_string(),
            ts: known(newest.ts_ms),
            age_ms: now.mono_ns.saturating_sub(newest.ingest_ns) / 1_000_000,
        })
    });
    let channel = |(at, name): (usize, &Arc<str>)| {
        let part = |answer: &ShardFacts| {
            let (subscribers, behind) = answer.subscribers.get(at).copied().unwrap_or_default();
            ShardBody { shard: answer.shard, subscribers, behind }
        };
        let shards: Vec<ShardBody> = shards.iter().map(part).filter(|part| part.subscribers > 0).collect();
        ChannelBody {
            channel: name.to_string(),
            subscribers: shards.iter().map(|part| part.subscribers).sum(),
            shards,
            newest: newest.next().flatten(),
        }
    };
    Explanation {
        ok: false,
        topic: asked.topic.to_string(),
        key: asked.key.as_deref().map(shown),
        routes,
        expected,
        partitions: (0..).zip(&partitions).map(partition).collect(),
        channels: channels.iter().enumerate().map(channel).collect(),
        silent_shards: (0..view.links.len())
            .filter(|shard| !shards.iter().any(|answer| answer.shard == *shard))
            .collect(),
        ingest_answers,
        keys: keys.iter().filter(|_| silent).map(|key| key_body(key, asked_key)).collect(),
        counted: view.ingest.topics.of(&asked.topic).map(of_topic).unwrap_or_default(),
        counts: counts(view),
        reasons: Vec::new(),
    }
}

fn shown(key: &[u8]) -> String {
    std::str::from_utf8(key).map_or_else(|_| key.escape_ascii().to_string(), str::to_owned)
}

/// Some route's channels have no message in memory, or no route makes one. Others may have messages of other keys.
fn is_silent(routes: &[RouteBody], channels: &[Arc<str>], newest: &[Option<Newest>]) -> bool {
    let has =
        |name: &String| channels.iter().zip(newest).any(|(of, newest)| **of == **name && newest.is_some());
    let makes = |route: &&RouteBody| !route.channels.is_empty();
    channels.is_empty() || routes.iter().filter(makes).any(|route| !route.channels.iter().any(has))
}

fn key_body(facts: &KeyFacts, asked: Option<&str>) -> KeyBody {
    let KeyFacts { key, len, partition, offset } = facts;
    let whole = key.as_deref().filter(|front| front.len() == *len);
    let front = if whole.is_some() { whole } else { key.as_deref().map(whole_characters) };
    // What was cut is judged by its front.
    let looks = front.map(Looks::of);
    KeyBody {
        key: front.map(|front| text(front).map_or_else(|_| front.escape_ascii().to_string(), str::to_owned)),
        bytes: *len,
        cut: key.is_some() && whole.is_none(),
        looks: looks.map_or("none", |looks| looks.as_str()).to_owned(),
        text: looks.map_or_else(|| "no key".to_owned(), |looks| looks.to_string()),
        in_other_form: asked.is_some_and(|asked| whole.is_some_and(|key| in_other_form(key, asked))),
        partition: *partition,
        offset: *offset,
    }
}

/// Without a character at the end that was cut in two.
fn whole_characters(front: &[u8]) -> &[u8] {
    match std::str::from_utf8(front) {
        Err(error) if error.error_len().is_none() => &front[..error.valid_up_to()],
        _ => front,
    }
}

fn of_topic(odd: &OddRecords) -> BTreeMap<String, u64> {
    let counted = odd.list().into_iter().filter(|(.., count)| *count > 0);
    counted.map(|(name, _, _, count)| (name.to_owned(), count)).collect()
}

fn counts(view: &View) -> BTreeMap<String, u64> {
    let ingest = &view.ingest;
    let lagged = view.shards.iter().map(|shard| shard.lagged.get()).sum();
    let all = [
        ("unrouted", ingest.unrouted.get()),
        ("no_key", ingest.odd.no_key.get()),
        ("bad_key", ingest.odd.bad_key.get()),
        ("no_header", ingest.odd.no_header.get()),
        ("bad_name", ingest.odd.bad_name.get()),
        ("oversized", ingest.odd.oversized.get()),
        ("retention_gaps", ingest.retention_gaps.get()),
        ("reset_gaps", ingest.reset_gaps.get()),
        ("lagged", lagged),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}
