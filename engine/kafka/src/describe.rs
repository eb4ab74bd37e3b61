//! One request of the admin API: DescribeTopics, the only one that tells topic ids (KIP-516).

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;

use crate::client::Client;
use crate::clock::now;
use crate::error::with_trouble;
use crate::native::{Queue, text_at};
use crate::{Topic, TopicError, TopicId};

/// Asks one broker about one topic. By default librdkafka would ask the controller and wait for it; a topic's id is
/// in every broker's metadata, and the mock has no controller (tried: it timed out there).
pub(crate) fn describe(
    client: &Arc<Client>,
    topic: &CStr,
    broker: i32,
    timeout: Duration,
) -> Result<Topic, TopicError> {
    let internal = |what: &str| TopicError::Refused(what.to_owned());
    let queue = Queue::new(client)?;
    let options = Options::new(client).ok_or_else(|| internal("no admin options"))?;
    options.set(broker, timeout).map_err(TopicError::Refused)?;
    let names = Names::of(topic).ok_or_else(|| internal("no topic collection"))?;
    // SAFETY: client, names, options and queue are alive; librdkafka copies names and options, holds the queue.
    unsafe { sys::rd_kafka_DescribeTopics(client.raw(), names.0.as_ptr(), options.0.as_ptr(), queue.raw()) };

    // librdkafka ends the request at its timeout by itself; ours is a little longer, for its own words.
    let deadline = now() + timeout + Duration::from_millis(200);
    loop {
        let left = deadline.saturating_duration_since(now());
        let left_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive.
        let event = unsafe { sys::rd_kafka_queue_poll(queue.raw(), left_ms) };
        match NonNull::new(event).map(Event) {
            Some(event) => match event.topic() {
                Some(result) => return result,
                None => {
                    return Err(TopicError::Unreachable(with_trouble(
                        &event.error(),
                        client.trouble().as_deref(),
                    )));
                }
            },
            None if left.is_zero() => {
                return Err(TopicError::Unreachable(with_trouble("timed out", client.trouble().as_deref())));
            }
            None => {}
        }
    }
}

struct Options(NonNull<sys::rd_kafka_AdminOptions_t>);

impl Options {
    fn new(client: &Client) -> Option<Self> {
        // SAFETY: the client is alive.
        let raw = unsafe {
            sys::rd_kafka_AdminOptions_new(
                client.raw(),
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            )
        };
        NonNull::new(raw).map(Self)
    }

    fn set(&self, broker: i32, timeout: Duration) -> Result<(), String> {
        let mut words = [0 as c_char; 256];
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).clamp(1, 3_600_000);
        // SAFETY: options and the buffer are alive.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_request_timeout(
                self.0.as_ptr(),
                timeout_ms,
                words.as_mut_ptr(),
                words.len(),
            )
        };
        check(code, &words)?;
        // SAFETY: options and the buffer are alive.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_broker(self.0.as_ptr(), broker, words.as_mut_ptr(), words.len())
        };
        check(code, &words)
    }
}

/// These two set a number in a structure: their codes are librdkafka's own.
fn check(code: Code, words: &[c_char; 256]) -> Result<(), String> {
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends what it writes there with a zero, and it was zeroes before.
    Err(unsafe { text_at(words.as_ptr()) }.to_owned())
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the one destroy of these options.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) };
    }
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

/// The answer. All that is read from it belongs to it.
struct Event(NonNull<sys::rd_kafka_event_t>);

impl Event {
    /// What the event as a whole says went wrong.
    fn error(&self) -> String {
        // SAFETY: the event is alive.
        let text = unsafe { sys::rd_kafka_event_error_string(self.0.as_ptr()) };
        // SAFETY: the text is static or belongs to the event.
        unsafe { text_at(text) }.to_owned()
    }

    /// What it says about the one topic asked for; None if the request itself failed.
    fn topic(&self) -> Option<Result<Topic, TopicError>> {
        // SAFETY: the event is alive; it is null for another kind of event.
        let result = unsafe { sys::rd_kafka_event_DescribeTopics_result(self.0.as_ptr()) };
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        // SAFETY: the result is the event under another name.
        let topics = unsafe { sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
        if count == 0 || topics.is_null() {
            return None;
        }
        // SAFETY: the first of `count` pointers.
        let topic = unsafe { topics.read() };
        // SAFETY: it belongs to the event.
        Some(unsafe { read_topic(topic) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this event.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
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
