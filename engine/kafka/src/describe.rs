//! DescribeTopics, the only request that tells topic ids (KIP-516), and DescribeCluster, which tells the cluster's.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys as sys;

use crate::client::Client;
use crate::native::text_at;
use crate::request::{Answer, Kind, Request};
use crate::{Error, Topic, TopicError, TopicId};

/// Asks one broker about one topic. By default librdkafka would ask the controller and wait for it; a topic's id is
/// in every broker's metadata, and the mock has no controller (tried: it timed out there).
pub(crate) fn describe(
    client: &Arc<Client>,
    topic: &CStr,
    broker: i32,
    timeout: Duration,
) -> Result<Topic, TopicError> {
    let request = Request::new(client, Kind::DescribeTopics, timeout)?;
    request.to_broker(broker)?;
    let names = Names::of(topic).ok_or_else(|| TopicError::Refused("no topic collection".to_owned()))?;
    let answer = request.send(|client, options, queue| {
        // SAFETY: client, names, options and queue are alive; librdkafka copies names and options, holds the queue.
        unsafe { sys::rd_kafka_DescribeTopics(client, names.0.as_ptr(), options, queue) };
    })?;
    described(&answer).unwrap_or_else(|| Err(answer.failure().into()))
}

/// Asks one broker for the cluster's id. librdkafka's own call answers with the last id that it heard of, and in one way
/// where nobody answers and where there is none. None: there is none.
pub(crate) fn cluster_id(
    client: &Arc<Client>,
    broker: i32,
    timeout: Duration,
) -> Result<Option<String>, Error> {
    let request = Request::new(client, Kind::DescribeCluster, timeout)?;
    request.to_broker(broker)?;
    let answer = request.send(|client, options, queue| {
        // SAFETY: client, options and queue are alive; librdkafka copies the options and holds the queue.
        unsafe { sys::rd_kafka_DescribeCluster(client, options, queue) };
    })?;
    if answer.failed() {
        return Err(answer.failure());
    }
    // SAFETY: the answer is alive; null for another kind of answer.
    let result = unsafe { sys::rd_kafka_event_DescribeCluster_result(answer.raw()) };
    if result.is_null() {
        return Err(answer.failure());
    }
    // SAFETY: the result is the answer under another name; null is no id.
    let id = unsafe { sys::rd_kafka_DescribeCluster_result_cluster_id(result) };
    // SAFETY: the id belongs to the answer.
    let id = unsafe { text_at(id) };
    Ok((!id.is_empty()).then(|| id.to_owned()))
}

struct Names(NonNull<sys::rd_kafka_TopicCollection_t>);

impl Names {
    fn of(topic: &CStr) -> Option<Self> {
        let mut names = [topic.as_ptr()];
        // SAFETY: one name, alive; it is copied.
        let raw = unsafe { sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
        NonNull::new(raw).map(Self)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this collection.
        unsafe { sys::rd_kafka_TopicCollection_destroy(self.0.as_ptr()) };
    }
}

/// What an answer says about the one topic asked for; None if the request itself failed.
fn described(answer: &Answer) -> Option<Result<Topic, TopicError>> {
    // SAFETY: the answer is alive; null for another kind of answer.
    let result = unsafe { sys::rd_kafka_event_DescribeTopics_result(answer.raw()) };
    if result.is_null() {
        return None;
    }
    let mut count = 0;
    // SAFETY: the result is the answer under another name.
    let topics = unsafe { sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if count == 0 || topics.is_null() {
        return None;
    }
    // SAFETY: the first of `count` pointers.
    let topic = unsafe { topics.read() };
    // SAFETY: it belongs to the answer.
    Some(unsafe { read_topic(topic) })
}

/// # Safety
///
/// `topic` must be alive.
unsafe fn read_topic(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<Topic, TopicError> {
    // SAFETY: the topic is alive.
    let error = unsafe { sys::rd_kafka_TopicDescription_error(topic) };
    if !error.is_null() {
        // The name, not the code: a broker may send a code that the enum lacks, and it is then named by its number.
        // SAFETY: the error belongs to the topic; "no error" is named too.
        let name = unsafe { sys::rd_kafka_error_name(error) };
        // SAFETY: names are static.
        match unsafe { text_at(name) } {
            "" | "NO_ERROR" => {}
            "UNKNOWN_TOPIC_OR_PART" => return Err(TopicError::Unknown),
            name => {
                // SAFETY: as above.
                let text = unsafe { sys::rd_kafka_error_string(error) };
                // SAFETY: the text belongs to the error.
                return Err(TopicError::Refused(format!("{}: {name}", unsafe { text_at(text) })));
            }
        }
    }
    // SAFETY: the topic is alive.
    let id = unsafe { sys::rd_kafka_TopicDescription_topic_id(topic) };
    // SAFETY: the id belongs to the topic.
    let id = unsafe { read_id(id) };
    // SAFETY: the topic is alive.
    let (partitions, leaderless) = unsafe { read_partitions(topic) };
    Ok(Topic { partitions, leaderless, id })
}

/// # Safety
///
/// `id` must be null or alive.
unsafe fn read_id(id: *const sys::rd_kafka_Uuid_t) -> Option<TopicId> {
    if id.is_null() {
        return None;
    }
    // SAFETY: the id is alive.
    let most = unsafe { sys::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: the id is alive.
    let least = unsafe { sys::rd_kafka_Uuid_least_significant_bits(id) };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&most.to_be_bytes());
    bytes[8..].copy_from_slice(&least.to_be_bytes());
    // Zero is how a broker without topic ids (before 2.8) looks.
    (bytes != [0; 16]).then_some(TopicId(bytes))
}

/// # Safety
///
/// `topic` must be alive.
unsafe fn read_partitions(topic: *const sys::rd_kafka_TopicDescription_t) -> (Vec<u32>, Vec<u32>) {
    let mut count = 0;
    // SAFETY: the topic is alive.
    let list = unsafe { sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count) };
    let (mut numbers, mut leaderless) = (Vec::with_capacity(count), Vec::new());
    for index in 0..count {
        // SAFETY: the list has `count` pointers.
        let place = unsafe { list.add(index) };
        // SAFETY: as above.
        let partition = unsafe { place.read() };
        // SAFETY: it belongs to the topic.
        let number = unsafe { sys::rd_kafka_TopicPartitionInfo_partition(partition) };
        let Ok(number) = u32::try_from(number) else { continue };
        numbers.push(number);
        // SAFETY: the partition is alive.
        let leader = unsafe { sys::rd_kafka_TopicPartitionInfo_leader(partition) };
        if leader.is_null() {
            leaderless.push(number);
        }
    }
    numbers.sort_unstable();
    leaderless.sort_unstable();
    (numbers, leaderless)
}
