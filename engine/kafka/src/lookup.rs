//! Lookups in the cluster.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::Client;
use crate::clock::now;
use crate::describe::{cluster_id, describe};
use crate::list::{self, Item};
use crate::native::{partition_number, topic_name};
use crate::{Ask, At, Error, TopicError, Wanted};

/// A topic's identity within its cluster: a topic made anew under the same name has another one (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the cluster says about a topic, in one answer of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Partition numbers, ascending.
    pub partitions: Vec<u32>,
    /// Those of them without a leader, ascending.
    pub leaderless: Vec<u32>,
    /// None only where brokers have no topic ids (before Kafka 2.8).
    pub id: Option<TopicId>,
}

/// Lookups in the cluster, from any thread; shares its consumer's connections. Each waits up to its timeout.
///
/// A broker works off one request of a connection at a time, so a lookup on a client that reads waits for the fetch
/// under way (`fetch.wait.max.ms`), each of its requests again. One that only asks is answered at once.
///
/// [`Lookup::topic`] or [`Lookup::probe`] should be asked every few seconds: that is how it shows that a client has
/// lost its brokers for good (see [`crate::Consumer`]).
#[derive(Debug, Clone)]
pub struct Lookup {
    client: Arc<ArcSwap<Client>>,
}

impl Lookup {
    pub(crate) fn new(client: &Arc<ArcSwap<Client>>) -> Self {
        Self { client: Arc::clone(client) }
    }

    /// The client of this moment: a lookup uses one from beginning to end.
    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }

    /// The cluster's id; None: no answer, or it has none ([`Ask::cluster_id`] tells them apart).
    #[must_use]
    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.ask_cluster_id(timeout).ok().flatten()
    }

    fn ask_cluster_id(&self, timeout: Duration) -> Result<Option<String>, Error> {
        let (client, deadline) = (self.client(), now() + timeout);
        let found = some_broker(&client, PROBED, timeout)?;
        let id = cluster_id(&client, found.broker, rest(deadline))?;
        client.watch().answered();
        Ok(id)
    }

    /// A topic's partitions and id. Never creates the topic. A broker that is yet to be upgraded knows no ids (before
    /// 2.8): the others are asked then, and only if all answer and none knows one the topic has none.
    pub fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        let Some(c_name) = topic_name(name) else {
            return Err(TopicError::Refused(format!("{name:?} is no topic name")));
        };
        let (client, deadline) = (self.client(), now() + timeout);
        let found = some_broker(&client, name, timeout)?;
        let mut topic = describe(&client, &c_name, found.broker, rest(deadline))?;
        for other in found.others {
            if topic.id.is_some() {
                break;
            }
            topic = describe(&client, &c_name, other, rest(deadline))?;
        }
        client.watch().answered();
        Ok(topic)
    }

    /// Whether any broker answers. If one does, the `Down` of its consumer is over: [`crate::BrokerEvent::Up`] follows.
    pub fn probe(&self, timeout: Duration) -> bool {
        let client = self.client();
        let answers = some_broker(&client, PROBED, timeout).is_ok();
        if answers {
            client.watch().answered();
        }
        answers
    }

    /// Offsets of many partitions: one request about each topic, so that a leader that is gone is not asked, then one
    /// request to each broker that leads some of them (and one more for the ends where a time is asked for). One outcome
    /// each, in the order they were asked for. The mock answers look-ups by time with the end.
    #[must_use]
    pub fn offsets(&self, wanted: &[Wanted<'_>], timeout: Duration) -> Vec<Result<i64, Error>> {
        let (client, deadline) = (self.client(), now() + timeout);
        // What can be asked for: those without a leader would cost the others their answers.
        let mut found = describe_all(&client, wanted, deadline);
        // The stable ends are taken before the times: where no record has the time, the end is the answer, and a record
        // that comes between both requests must not be skipped.
        ask(&client, wanted, &mut found, true, deadline, |at| match at {
            At::Stable | At::Time(_) => Some(list::END),
            At::Start | At::End => None,
        });
        ask(&client, wanted, &mut found, false, deadline, |at| match at {
            At::End => Some(list::END),
            At::Start => Some(list::START),
            At::Stable | At::Time(_) => None,
        });
        ask(&client, wanted, &mut found, true, deadline, |at| match at {
            At::Time(ts_ms) => Some(ts_ms.max(0)),
            At::Start | At::Stable | At::End => None,
        });
        if found.iter().any(Result::is_ok) {
            client.watch().answered();
        }
        found
    }

    /// The first offset that is held and the next that will be written, asked from the partition's leader. Under
    /// `read_committed` the latter is the last stable offset: where the oldest open transaction begins.
    pub fn watermarks(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(i64, i64), Error> {
        let number = checked(topic, partition)?;
        let client = self.client();
        let found = client.consumer().fetch_watermarks(topic, number, timeout);
        let found = found.map_err(|error| failed(&client, &error))?;
        client.watch().answered();
        Ok(found)
    }

    /// The offset of the first record with a timestamp at or after `ts_ms`; the end if there is none. The mock always
    /// answers with the end.
    pub fn offset_for_time(
        &self,
        topic: &str,
        partition: u32,
        ts_ms: i64,
        timeout: Duration,
    ) -> Result<i64, Error> {
        let number = checked(topic, partition)?;
        // The end is taken first: a record that comes between both requests must not be skipped.
        let (_, end) = self.watermarks(topic, partition, timeout)?;
        let mut times = TopicPartitionList::new();
        times
            .add_partition_offset(topic, number, Offset::Offset(ts_ms.max(0)))
            .map_err(|error| Error::Client(error.to_string()))?;
        let client = self.client();
        let found = client.consumer().offsets_for_times(times, timeout);
        let found = found.map_err(|error| failed(&client, &error))?;
        let Some(element) = found.find_partition(topic, number) else { return Ok(end) };
        element.error().map_err(|error| failed(&client, &error))?;
        Ok(match element.offset() {
            Offset::Offset(offset) => offset,
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => end,
        })
    }
}

impl Ask for Lookup {
    fn cluster_id(&self, timeout: Duration) -> Result<Option<String>, Error> {
        self.ask_cluster_id(timeout)
    }

    fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        Self::topic(self, name, timeout)
    }

    fn offsets(&self, wanted: &[Wanted<'_>], timeout: Duration) -> Vec<Result<i64, Error>> {
        Self::offsets(self, wanted, timeout)
    }

    fn probe(&self, timeout: Duration) -> bool {
        Self::probe(self, timeout)
    }
}

/// Any name serves to find a broker: that there is no such topic is an answer too.
const PROBED: &str = "uringcast-probe";

/// What is left until then. The least is for the answer to a request that found its broker late.
fn rest(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now()).max(Duration::from_millis(50))
}

/// A broker that has just answered, and the others it knows.
struct Found {
    broker: i32,
    others: Vec<i32>,
}

/// A broker that has just answered. It is asked about a topic because librdkafka would otherwise ask about all.
fn some_broker(client: &Client, name: &str, timeout: Duration) -> Result<Found, Error> {
    let metadata = match client.consumer().fetch_metadata(Some(name), timeout) {
        Ok(metadata) => metadata,
        Err(error) => {
            client.watch().unanswered(now());
            return Err(failed(client, &error));
        }
    };
    // A lone broker that is fenced does not name even itself; librdkafka then lets go of it, and so must we.
    let Some(first) = metadata.brokers().first() else {
        client.watch().unanswered(now());
        client.look_after();
        return Err(Error::Unreachable("the cluster names no broker".to_owned()));
    };
    // The one that answered may be known by its address only, as a bootstrap server.
    let answered = metadata.orig_broker_id();
    let broker = if answered >= 0 { answered } else { first.id() };
    let others = metadata.brokers().iter().map(|other| other.id()).filter(|&id| id != broker).collect();
    Ok(Found { broker, others })
}

/// What there is to say of partitions before their leaders are asked. Those that can be asked are well by now.
fn describe_all(client: &Client, wanted: &[Wanted<'_>], deadline: Instant) -> Vec<Result<i64, Error>> {
    let mut topics: HashMap<&str, Result<Metadata, Error>> = HashMap::new();
    // Where nobody answers about one topic, nobody is asked about the others.
    let mut silent = None;
    let mut found = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let outcome = checked(wanted.topic, wanted.partition).and_then(|number| {
            let fetch = || {
                if let Some(silent) = &silent {
                    return Err(Error::clone(silent));
                }
                let metadata = client.consumer().fetch_metadata(Some(wanted.topic), rest(deadline));
                metadata.map_err(|error| {
                    let error = failed(client, &error);
                    silent = Some(error.clone());
                    error
                })
            };
            let metadata = topics.entry(wanted.topic).or_insert_with(fetch);
            state_of(metadata.as_ref().map_err(Error::clone)?, wanted.topic, number)
        });
        found.push(outcome.map(|()| NOT_ASKED));
    }
    found
}

/// No broker names this one.
const NOT_ASKED: i64 = -1;

fn state_of(metadata: &Metadata, name: &str, number: i32) -> Result<(), Error> {
    let code = |code| Error::from_request(&KafkaError::MetadataFetch(code), None);
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Err(Error::Unknown(name.to_owned()));
    };
    if let Some(error) = topic.error() {
        return Err(code(error.into()));
    }
    let Some(partition) = topic.partitions().iter().find(|partition| partition.id() == number) else {
        return Err(Error::Unknown(format!("{name} [{number}]")));
    };
    if partition.leader() < 0 {
        return Err(Error::Unreachable(format!("{name} [{number}] has no leader")));
    }
    Ok(())
}

/// Asks for those of `wanted` that `spec` has an answer for, and puts the outcomes into their places. What has failed
/// before is not asked again, and what is not there leaves what was found before.
fn ask(
    client: &Arc<Client>,
    wanted: &[Wanted<'_>],
    found: &mut [Result<i64, Error>],
    committed: bool,
    deadline: Instant,
    spec: impl Fn(At) -> Option<i64>,
) {
    let (mut places, mut items) = (Vec::new(), Vec::new());
    for (place, wanted) in wanted.iter().enumerate() {
        if let Some(spec) = spec(wanted.at)
            && found[place].is_ok()
            && let Some(topic) = topic_name(wanted.topic)
            && let Ok(partition) = partition_number(wanted.partition)
        {
            places.push(place);
            items.push(Item { topic, partition, spec });
        }
    }
    for (place, answer) in places.into_iter().zip(list::list(client, &items, committed, rest(deadline))) {
        match answer {
            Ok(Some(offset)) => found[place] = Ok(offset),
            Ok(None) if found[place] != Ok(NOT_ASKED) => {}
            Ok(None) => found[place] = Err(Error::Refused("the broker has no such offset".to_owned())),
            Err(error) => found[place] = Err(error),
        }
    }
}

fn failed(client: &Client, error: &KafkaError) -> Error {
    Error::from_request(error, client.trouble().as_deref())
}

/// rdkafka panics on a name that librdkafka refuses.
fn checked(topic: &str, partition: u32) -> Result<i32, Error> {
    topic_name(topic).ok_or_else(|| Error::Unknown(format!("{topic:?} is no topic name")))?;
    partition_number(partition)
}
