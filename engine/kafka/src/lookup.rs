//! Questions to the cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::Client;
use crate::clock::now;
use crate::describe::describe;
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

/// Questions to the cluster, from any thread; shares its consumer's connections. Each waits up to its timeout.
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

    /// The client of this moment: a question is put to one from beginning to end.
    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }

    /// The cluster's id. None: no answer, or a broker before 0.10.1.
    #[must_use]
    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.client().consumer().client().fetch_cluster_id(timeout)
    }

    /// A topic's partitions and id. Never creates the topic.
    pub fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        let Some(c_name) = topic_name(name) else {
            return Err(TopicError::Refused(format!("{name:?} is no topic name")));
        };
        let (client, deadline) = (self.client(), now() + timeout);
        let broker = some_broker(&client, name, timeout)?;
        // The least is for the answer to a question that found its broker late.
        let left = deadline.saturating_duration_since(now()).max(Duration::from_millis(50));
        let topic = describe(&client, &c_name, broker, left)?;
        client.watch().answered();
        Ok(topic)
    }

    /// Whether any broker answers. If one does, the `Down` of its consumer is over: [`crate::BrokerEvent::Up`] follows.
    pub fn probe(&self, timeout: Duration) -> bool {
        // Any name serves: that there is no such topic is an answer too.
        let client = self.client();
        let answers = some_broker(&client, "uringcast-probe", timeout).is_ok();
        if answers {
            client.watch().answered();
        }
        answers
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
        // The end is taken first: a record that comes between both questions must not be skipped.
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
        Self::cluster_id(self, timeout)
            .map(Some)
            .ok_or_else(|| Error::Unreachable("no broker answers".to_owned()))
    }

    fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        Self::topic(self, name, timeout)
    }

    fn offsets(&self, wanted: &[Wanted<'_>], timeout: Duration) -> Vec<Result<i64, Error>> {
        let one = |wanted: &Wanted<'_>| {
            let Wanted { topic, partition, at } = *wanted;
            match at {
                At::Start => Ok(self.watermarks(topic, partition, timeout)?.0),
                At::Stable | At::End => Ok(self.watermarks(topic, partition, timeout)?.1),
                At::Time(ts_ms) => self.offset_for_time(topic, partition, ts_ms, timeout),
            }
        };
        wanted.iter().map(one).collect()
    }

    fn probe(&self, timeout: Duration) -> bool {
        Self::probe(self, timeout)
    }
}

/// A broker that has just answered. It is asked about a topic because librdkafka would otherwise ask about all.
fn some_broker(client: &Client, name: &str, timeout: Duration) -> Result<i32, TopicError> {
    let metadata = match client.consumer().fetch_metadata(Some(name), timeout) {
        Ok(metadata) => metadata,
        Err(error) => {
            client.watch().unanswered(now());
            return Err(failed(client, &error).into());
        }
    };
    // A lone broker that is fenced does not name even itself; librdkafka then lets go of it, and so must we.
    let Some(first) = metadata.brokers().first() else {
        client.watch().unanswered(now());
        client.look_after();
        return Err(TopicError::Unreachable("the cluster names no broker".to_owned()));
    };
    // The one that answered may be known by its address only, as a bootstrap server.
    let answered = metadata.orig_broker_id();
    Ok(if answered >= 0 { answered } else { first.id() })
}

fn failed(client: &Client, error: &rdkafka::error::KafkaError) -> Error {
    Error::from_request(error, client.trouble().as_deref())
}

/// rdkafka panics on a name that librdkafka refuses.
fn checked(topic: &str, partition: u32) -> Result<i32, Error> {
    topic_name(topic).ok_or_else(|| Error::Unknown(format!("{topic:?} is no topic name")))?;
    partition_number(partition)
}
