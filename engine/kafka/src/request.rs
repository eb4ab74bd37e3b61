//! One request of librdkafka's admin API, and the wait for its answer.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;

use crate::Error;
use crate::client::Client;
use crate::clock::now;
use crate::error::with_trouble;
use crate::native::{Queue, text_at};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    DescribeTopics,
    DescribeCluster,
    ListOffsets,
}

/// A request that is being made.
pub(crate) struct Request<'a> {
    client: &'a Arc<Client>,
    queue: Queue,
    options: Options,
    timeout: Duration,
}

impl<'a> Request<'a> {
    pub(crate) fn new(client: &'a Arc<Client>, kind: Kind, timeout: Duration) -> Result<Self, Error> {
        let options =
            Options::new(client, kind).ok_or_else(|| Error::Client("no admin options".to_owned()))?;
        options.set_timeout(timeout)?;
        Ok(Self { client, queue: Queue::new(client)?, options, timeout })
    }

    /// Puts it to this broker and no other.
    pub(crate) fn to_broker(&self, broker: i32) -> Result<(), Error> {
        self.options.set_broker(broker)
    }

    /// Asks for offsets as a reader of committed records sees them.
    pub(crate) fn committed(&self) -> Result<(), Error> {
        self.options.set_committed()
    }

    /// Sends it with a call of librdkafka's, which is given client, options and queue, and waits for the answer.
    pub(crate) fn send(
        self,
        call: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Answer, Error> {
        call(self.client.raw(), self.options.0.as_ptr(), self.queue.raw());
        // librdkafka ends the request at its timeout by itself; ours is a little longer, for its own words.
        let deadline = now() + self.timeout + Duration::from_millis(200);
        loop {
            let left = deadline.saturating_duration_since(now());
            let left_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: the queue is alive.
            let event = unsafe { sys::rd_kafka_queue_poll(self.queue.raw(), left_ms) };
            match NonNull::new(event) {
                Some(event) => return Ok(Answer { event, client: Arc::clone(self.client) }),
                None if left.is_zero() => {
                    let text = with_trouble("timed out", self.client.trouble().as_deref());
                    return Err(Error::Unreachable(text));
                }
                None => {}
            }
        }
    }
}

struct Options(NonNull<sys::rd_kafka_AdminOptions_t>);

impl Options {
    fn new(client: &Client, kind: Kind) -> Option<Self> {
        let kind = match kind {
            Kind::DescribeTopics => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            Kind::DescribeCluster => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
            Kind::ListOffsets => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
        };
        // SAFETY: the client is alive.
        let raw = unsafe { sys::rd_kafka_AdminOptions_new(client.raw(), kind) };
        NonNull::new(raw).map(Self)
    }

    fn set_timeout(&self, timeout: Duration) -> Result<(), Error> {
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
        check(code, &words)
    }

    fn set_broker(&self, broker: i32) -> Result<(), Error> {
        let mut words = [0 as c_char; 256];
        // SAFETY: options and the buffer are alive.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_broker(self.0.as_ptr(), broker, words.as_mut_ptr(), words.len())
        };
        check(code, &words)
    }

    fn set_committed(&self) -> Result<(), Error> {
        let level = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
        // SAFETY: the options are alive.
        let error = unsafe { sys::rd_kafka_AdminOptions_set_isolation_level(self.0.as_ptr(), level) };
        let refused = !error.is_null();
        // SAFETY: an error is ours to destroy, and none may be given.
        unsafe { sys::rd_kafka_error_destroy(error) };
        if refused { Err(Error::Client("no isolation level for this request".to_owned())) } else { Ok(()) }
    }
}

/// These set a number in a structure: their codes are librdkafka's own.
fn check(code: Code, words: &[c_char; 256]) -> Result<(), Error> {
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends what it writes there with a zero, and it was zeroes before.
    Err(Error::Client(unsafe { text_at(words.as_ptr()) }.to_owned()))
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the one destroy of these options.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) };
    }
}

/// An answer. All that is read from it belongs to it.
pub(crate) struct Answer {
    event: NonNull<sys::rd_kafka_event_t>,
    client: Arc<Client>,
}

impl Answer {
    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_event_t {
        self.event.as_ptr()
    }

    /// Whether the request as a whole failed.
    pub(crate) fn failed(&self) -> bool {
        // SAFETY: the event is alive. The text is compared, not the code: it may be a broker's that the enum lacks.
        let text = unsafe { sys::rd_kafka_event_error_string(self.raw()) };
        // SAFETY: the text is static or belongs to the event.
        !matches!(unsafe { text_at(text) }, "" | "Success")
    }

    /// What the answer as a whole says went wrong.
    pub(crate) fn failure(&self) -> Error {
        // SAFETY: the event is alive.
        let text = unsafe { sys::rd_kafka_event_error_string(self.raw()) };
        // SAFETY: the text is static or belongs to the event.
        let text = unsafe { text_at(text) };
        Error::Unreachable(with_trouble(text, self.client.trouble().as_deref()))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this event.
        unsafe { sys::rd_kafka_event_destroy(self.raw()) };
    }
}
