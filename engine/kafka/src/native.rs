//! librdkafka's handles with an owner each: queues, topics, messages.
//!
//! This is its "simple consumer": `rd_kafka_consume_start_queue` sends a partition's records straight to a queue of
//! ours. The other way, tried first, was `rd_kafka_assign` with the partition's queue forwarded by hand: it needs a
//! group id (so a coordinator is looked up, over a connection of its own and with an ACL of its own), and stopping is
//! not synchronous: it clears the forwarding some time later, when the partition may have been assigned again.

use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka_sys as sys;

use crate::Error;
use crate::client::Client;
use crate::wake::EventFd;

/// The most messages one call takes: 8 KiB of pointers, and by then the call itself costs nothing.
pub(crate) const BATCH: usize = 1_024;

/// A queue of librdkafka's.
#[derive(Debug)]
pub(crate) struct Queue {
    raw: NonNull<sys::rd_kafka_queue_t>,
    client: Arc<Client>,
}

// SAFETY: librdkafka's queue calls lock the queue; the handle may be used and destroyed in any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A new queue.
    pub(crate) fn new(client: &Arc<Client>) -> Result<Self, Error> {
        // SAFETY: the client is alive.
        let raw = unsafe { sys::rd_kafka_queue_new(client.raw()) };
        Self::own(raw, client)
    }

    /// The client's main queue, where its errors and its log arrive.
    pub(crate) fn main(client: &Arc<Client>) -> Result<Self, Error> {
        // SAFETY: the client is alive.
        let raw = unsafe { sys::rd_kafka_queue_get_main(client.raw()) };
        Self::own(raw, client)
    }

    fn own(raw: *mut sys::rd_kafka_queue_t, client: &Arc<Client>) -> Result<Self, Error> {
        let raw = NonNull::new(raw).ok_or_else(|| Error::Client("no queue".to_owned()))?;
        Ok(Self { raw, client: Arc::clone(client) })
    }

    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    /// How many things wait in it, stale ones included.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.raw()) }
    }

    /// Has `event` added to when something arrives, once until the queue is next read. `event` must stay open for as
    /// long as the queue: see [`Queue::mute`].
    pub(crate) fn notify(&self, event: &EventFd) {
        let one = 1_u64;
        // SAFETY: the queue is alive; librdkafka copies the payload, and writes it whole to the descriptor.
        unsafe {
            sys::rd_kafka_queue_io_event_enable(
                self.raw(),
                event.raw(),
                (&raw const one).cast(),
                size_of::<u64>(),
            );
        }
    }

    /// Ends [`Queue::notify`]: after this the descriptor may be closed.
    pub(crate) fn mute(&self) {
        // SAFETY: the queue is alive; a negative descriptor takes the event away.
        unsafe { sys::rd_kafka_queue_io_event_enable(self.raw(), -1, ptr::null(), 0) };
    }

    /// Moves at most `max` messages that have arrived into an empty batch, without waiting.
    pub(crate) fn fill(&self, batch: &mut Batch, max: usize) -> usize {
        debug_assert!(batch.is_empty(), "a batch is used up before it is filled again");
        let room = batch.messages.len().min(max);
        // SAFETY: `messages` has room for that many pointers, and the queue is alive.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.raw(), 0, batch.messages.as_mut_ptr(), room) };
        batch.next = 0;
        // -1 is for bad arguments, which these are not.
        batch.len = usize::try_from(count).unwrap_or(0);
        batch.len
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this handle; the client is still alive through the Arc.
        unsafe { sys::rd_kafka_queue_destroy(self.raw()) };
    }
}

/// Messages taken from a queue and not yet looked at. What is left in it is destroyed with it.
#[derive(Debug)]
pub(crate) struct Batch {
    messages: Box<[*mut sys::rd_kafka_message_t; BATCH]>,
    next: usize,
    len: usize,
}

// SAFETY: the pointers are owned messages, and librdkafka lets any thread destroy a message.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { messages: Box::new([ptr::null_mut(); BATCH]), next: 0, len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.len
    }

    /// The next message, owned.
    pub(crate) fn take(&mut self) -> Option<Message> {
        if self.is_empty() {
            return None;
        }
        let raw = self.messages[self.next];
        self.next += 1;
        NonNull::new(raw).map(Message)
    }

    /// Puts back the message that was taken last: it is the next again.
    pub(crate) fn put_back(&mut self, message: Message) {
        debug_assert!(self.next > 0, "only what was taken is put back");
        self.next -= 1;
        self.messages[self.next] = message.raw();
        std::mem::forget(message);
    }

    /// Destroys what is left of one partition.
    pub(crate) fn discard(&mut self, of: Partition) {
        let mut kept = self.next;
        for index in self.next..self.len {
            let raw = self.messages[index];
            let Some(message) = NonNull::new(raw).map(Message) else { continue };
            if message.partition() == of {
                drop(message);
            } else {
                std::mem::forget(message);
                self.messages[kept] = raw;
                kept += 1;
            }
        }
        self.len = kept;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while let Some(message) = self.take() {
            drop(message);
        }
    }
}

/// Which partition a message is of: the address of librdkafka's topic object, and the number. The address names one
/// topic as long as a [`TopicHandle`] of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Partition {
    pub(crate) topic: usize,
    pub(crate) number: i32,
}

/// A message taken from a queue: a record or an error of a partition.
#[derive(Debug)]
pub(crate) struct Message(NonNull<sys::rd_kafka_message_t>);

impl Message {
    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_message_t {
        self.0.as_ptr()
    }

    fn get(&self) -> &sys::rd_kafka_message_s {
        // SAFETY: the message is alive until `self` is dropped. Its `err` field alone may hold what its type does not
        // allow; nobody reads it through this reference (see `error`).
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn partition(&self) -> Partition {
        let message = self.get();
        Partition { topic: message.rkt.addr(), number: message.partition }
    }

    /// Zero for a record. Read as a number, for it may be a broker's code that the C enum lacks.
    pub(crate) fn error(&self) -> i32 {
        // SAFETY: only an address is made.
        let place = unsafe { &raw const (*self.raw()).err };
        // SAFETY: the field is alive, four bytes (checked below) and aligned.
        unsafe { place.cast::<i32>().read() }
    }

    pub(crate) fn offset(&self) -> i64 {
        self.get().offset
    }

    /// The epoch of the leader that wrote the record (KIP-320); none where the broker does not tell.
    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive; a number is read from it.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.raw()) };
        (epoch >= 0).then_some(epoch)
    }

    pub(crate) fn timestamp_ms(&self) -> i64 {
        // SAFETY: the message is alive; a null pointer says that the kind of timestamp is not wanted.
        unsafe { sys::rd_kafka_message_timestamp(self.raw(), ptr::null_mut()) }
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        let message = self.get();
        // SAFETY: a record's key lies in the fetch buffer, which the message holds.
        unsafe { slice(message.key.cast(), message.key_len) }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        let message = self.get();
        // SAFETY: a record's value lies in the fetch buffer, which the message holds.
        unsafe { slice(message.payload.cast(), message.len) }
    }

    /// What an error says.
    pub(crate) fn error_text(&self) -> &str {
        // SAFETY: the message is alive.
        let text = unsafe { sys::rd_kafka_message_errstr(self.raw()) };
        // SAFETY: the text is static or belongs to the message.
        unsafe { text_at(text) }
    }
}

const _: () = assert!(size_of::<sys::rd_kafka_resp_err_t>() == size_of::<i32>());

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: we own it, and nobody else destroys it.
        unsafe { sys::rd_kafka_message_destroy(self.raw()) };
    }
}

/// `len` bytes at `start`, None if that is null.
///
/// # Safety
///
/// The bytes must be alive and unchanged for `'a`.
unsafe fn slice<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(start, len) })
}

/// A C string; empty if null, and what is not UTF-8 is said so.
///
/// # Safety
///
/// The string must be alive and unchanged for `'a`.
pub(crate) unsafe fn text_at<'a>(text: *const std::ffi::c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or("(not UTF-8)")
}

/// librdkafka's object of one topic. Keeps its address, see [`Partition`].
#[derive(Debug)]
pub(crate) struct TopicHandle {
    raw: NonNull<sys::rd_kafka_topic_t>,
    client: Arc<Client>,
}

// SAFETY: librdkafka counts references to a topic atomically and locks it in its calls.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

impl TopicHandle {
    pub(crate) fn new(client: &Arc<Client>, name: &CStr) -> Result<Self, Error> {
        // SAFETY: client and name are alive; no configuration of its own means the client's.
        let raw = unsafe { sys::rd_kafka_topic_new(client.raw(), name.as_ptr(), ptr::null_mut()) };
        let raw = NonNull::new(raw).ok_or_else(|| Error::Unknown(format!("{name:?} is no topic name")))?;
        Ok(Self { raw, client: Arc::clone(client) })
    }

    pub(crate) fn partition(&self, number: i32) -> Partition {
        Partition { topic: self.raw.as_ptr().addr(), number }
    }

    /// Starts fetching into `queue`.
    pub(crate) fn start(&self, number: i32, offset: i64, queue: &Queue) -> Result<(), Error> {
        debug_assert!(Arc::ptr_eq(&self.client, &queue.client), "queue and topic are of one client");
        // SAFETY: topic and queue are alive, and librdkafka holds the queue by itself from then on.
        let status =
            unsafe { sys::rd_kafka_consume_start_queue(self.raw.as_ptr(), number, offset, queue.raw()) };
        done(status)
    }

    /// Stops fetching. When it returns, whatever was fetched before is stale and dropped as it leaves the queue.
    pub(crate) fn stop(&self, number: i32) -> Result<(), Error> {
        // SAFETY: the topic is alive.
        let status = unsafe { sys::rd_kafka_consume_stop(self.raw.as_ptr(), number) };
        done(status)
    }
}

/// The result of a call that tells its error by errno's way. Its codes are librdkafka's own, all in the enum.
fn done(status: c_int) -> Result<(), Error> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: reads a number of this thread.
    let code = unsafe { sys::rd_kafka_last_error() };
    // SAFETY: any code has a text, and it is static.
    let text = unsafe { sys::rd_kafka_err2str(code) };
    // SAFETY: as above.
    Err(Error::Client(unsafe { text_at(text) }.to_owned()))
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this handle; the client is still alive through the Arc.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

/// A topic's name for C. Kafka's rule: 1 to 249 of letters, digits, dot, underscore and dash. Anything else would
/// only be found out by the broker, or not at all.
pub(crate) fn topic_name(name: &str) -> Option<CString> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let ok = (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal);
    if ok { CString::new(name).ok() } else { None }
}

/// A partition's number for C.
pub(crate) fn partition_number(partition: u32) -> Result<i32, Error> {
    i32::try_from(partition).map_err(|_| Error::Unknown(format!("partition {partition}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        let longest = "a".repeat(249);
        for good in ["a", "odin.trades", "A_b-3", &longest] {
            assert!(topic_name(good).is_some(), "{good}");
        }
        let too_long = "a".repeat(250);
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0b", &too_long] {
            assert!(topic_name(bad).is_none(), "{bad}");
        }
    }
}
