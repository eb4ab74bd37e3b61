//! The producer of the load generator and of tests.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{Producer as _, ProducerContext, ThreadedProducer};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;
use rdkafka_sys::rd_kafka_vtype_t as Part;

use crate::clock::now;
use crate::native::{partition_number, text_at, topic_name};
use crate::reminder::Reminder;
use crate::settings::Role;
use crate::watch::Watch;
use crate::{BrokerEvent, Error, Settings};

/// How long [`Producer::flush`] waits between two looks at the brokers.
const FLUSH_SLICE: Duration = Duration::from_millis(500);

/// No broker is known to be lost.
const NOT_DOWN: u64 = u64::MAX;

/// How a producer sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerOptions {
    /// No loss, duplicate or reordering by retries (`enable.idempotence`, acknowledged by all replicas).
    pub idempotent: bool,
    /// How long a batch waits for company, in milliseconds (`linger.ms`). Zero makes the broker the bottleneck above
    /// about a thousand records a second (tried).
    pub linger_ms: u32,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self { idempotent: true, linger_ms: 5 }
    }
}

/// A record to be sent. All parts are copied by [`Producer::send`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    /// None: the partitioner chooses (property `partitioner`; `murmur2_random` does as Java clients do).
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970; None: now.
    pub ts_ms: Option<i64>,
    /// Headers in order; a name may come again.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The queue is full (`queue.buffering.max.messages`, 1,000,000, or `.kbytes`, 256 MiB): try again when some have
    /// left. The only one that passes by itself.
    #[error("the producer's queue is full")]
    Full,
    /// The record is larger than `message.max.bytes`.
    #[error("the record is too large")]
    TooLarge,
    /// Anything else: unknown partition, a fatal state of the idempotent producer.
    #[error("not sent: {0}")]
    Refused(String),
}

/// What became of the records so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by `send`.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub delivered: u64,
    /// Given up on after `message.timeout.ms`, or refused by the broker.
    pub failed: u64,
}

/// Counts failures, and keeps the last reason.
#[derive(Debug, Default)]
struct Reports {
    watch: Watch,
    failed: AtomicU64,
    /// Why the first record failed.
    failure: OnceLock<String>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // Only failures are reported (`delivery.report.only.error`).
        if let Err((error, _)) = result {
            self.failed.fetch_add(1, Ordering::Relaxed);
            let text = format!("a record was not delivered: {error}");
            self.watch.fail(&text);
            let _only_the_first_is_kept = self.failure.set(text);
        }
    }
}

/// A threaded producer: [`Producer::send`] copies into librdkafka's queue and returns. May be shared by threads.
pub struct Producer {
    inner: Arc<ThreadedProducer<Reports>>,
    reminder: Reminder,
    sent: AtomicU64,
    /// Records delivered when all brokers were first seen to be lost; [`NOT_DOWN`] while they are not.
    delivered_before: AtomicU64,
}

/// A topic that a [`Producer`] sends to.
pub struct Target {
    raw: NonNull<sys::rd_kafka_topic_t>,
    /// Also says which producer it belongs to.
    producer: Arc<ThreadedProducer<Reports>>,
}

// SAFETY: librdkafka counts references to a topic atomically and locks it in its calls.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Producer {
    /// Connects lazily: fails only on bad settings.
    pub fn new(settings: &Settings, options: &ProducerOptions) -> Result<Self, Error> {
        let mut config = settings.client_config(Role::Producer)?;
        // What the caller wrote himself wins here too.
        let linger_ms = options.linger_ms.to_string();
        let idempotent = options.idempotent.to_string();
        for (name, value) in [("linger.ms", &linger_ms), ("enable.idempotence", &idempotent)] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        let inner = ThreadedProducer::from_config_and_context(&config, Reports::default())
            .map_err(|error| Error::from_creation(&error))?;
        let reminder = Reminder::new(&settings.brokers)?;
        Ok(Self {
            inner: Arc::new(inner),
            reminder,
            sent: AtomicU64::new(0),
            delivered_before: AtomicU64::new(NOT_DOWN),
        })
    }

    /// A handle on a topic, made once and used for every record.
    pub fn target(&self, topic: &str) -> Result<Target, Error> {
        let name = topic_name(topic).ok_or_else(|| Error::Unknown(format!("{topic:?} is no topic name")))?;
        let client = self.inner.client().native_ptr();
        // SAFETY: client and name are alive; no configuration of its own means the client's.
        let raw = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), std::ptr::null_mut()) };
        let raw = NonNull::new(raw).ok_or_else(|| Error::Client(format!("no handle on topic {topic}")))?;
        Ok(Target { raw, producer: Arc::clone(&self.inner) })
    }

    /// Queues a record; never waits.
    pub fn send(&self, target: &Target, record: &NewRecord<'_>) -> Result<(), SendError> {
        self.look_after();
        if !Arc::ptr_eq(&self.inner, &target.producer) {
            return Err(SendError::Refused("the target is another producer's".to_owned()));
        }
        let partition = match record.partition {
            Some(number) => {
                partition_number(number).map_err(|error| SendError::Refused(error.to_string()))?
            }
            None => rdkafka::producer::PARTITION_UA,
        };
        let headers = if record.headers.is_empty() { None } else { Some(Headers::of(record.headers)?) };
        let (key, key_len) = parts(record.key);
        let (value, value_len) = parts(record.value);
        // SAFETY: a list of pairs that ends with END, each value of the type its name asks for (rdkafka.h,
        // rd_kafka_vtype_t). Everything is alive, and copied (F_COPY) but for the headers, which pass into the
        // queue's ownership if and only if it succeeds.
        let code = unsafe {
            sys::rd_kafka_producev(
                self.inner.client().native_ptr(),
                Part::RD_KAFKA_VTYPE_RKT,
                target.raw.as_ptr(),
                Part::RD_KAFKA_VTYPE_PARTITION,
                partition,
                Part::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                Part::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                Part::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                Part::RD_KAFKA_VTYPE_TIMESTAMP,
                record.ts_ms.unwrap_or(0),
                Part::RD_KAFKA_VTYPE_HEADERS,
                headers.as_ref().map_or(std::ptr::null_mut(), |headers| headers.0.as_ptr()),
                Part::RD_KAFKA_VTYPE_END,
            )
        };
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            std::mem::forget(headers);
            self.sent.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        Err(self.refused(code))
    }

    #[cold]
    fn refused(&self, code: Code) -> SendError {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "librdkafka has 200 codes; the rest are told as they are"
        )]
        match code {
            Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => SendError::Full,
            Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE => SendError::TooLarge,
            Code::RD_KAFKA_RESP_ERR__FATAL => SendError::Refused(
                self.inner.client().fatal_error().map_or_else(|| "fatal".to_owned(), |(_, text)| text),
            ),
            code => {
                // SAFETY: any code has a text, and it is static.
                let text = unsafe { sys::rd_kafka_err2str(code) };
                // SAFETY: as above.
                SendError::Refused(unsafe { text_at(text) }.to_owned())
            }
        }
    }

    /// Waits until everything sent is delivered or failed.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let trouble = || self.inner.context().watch.trouble();
        let deadline = now() + timeout;
        // In slices, so that lost brokers are looked after meanwhile.
        while self.queued() > 0 && now() + FLUSH_SLICE < deadline {
            if self.inner.flush(FLUSH_SLICE).is_ok() {
                break;
            }
        }
        let left = deadline.saturating_duration_since(now());
        self.inner.flush(left).map_err(|error| Error::from_request(&error, trouble().as_deref()))
    }

    /// Running counts. Exact after a successful `flush`; before it `delivered` lags behind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.look_after();
        self.count()
    }

    fn count(&self) -> Counts {
        // In this order, whatever happens in between makes `delivered` too small and never too large.
        let sent = self.sent.load(Ordering::Relaxed);
        let queued = self.in_flight() as u64;
        let failed = self.inner.context().failed.load(Ordering::Relaxed);
        Counts { sent, delivered: sent.saturating_sub(queued).saturating_sub(failed), failed }
    }

    /// Records that wait for their acknowledgement.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.look_after();
        self.in_flight()
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }

    /// While all brokers are lost: sees by what is delivered that one answers again, and reminds librdkafka of them as long
    /// as records wait. Part of every call, for whoever waits for acknowledgements makes some, and they might never come.
    fn look_after(&self) {
        let watch = &self.inner.context().watch;
        if !watch.is_down() {
            return;
        }
        let before = match self.delivered_before.load(Ordering::Relaxed) {
            NOT_DOWN => {
                // In this order it is not too small: what was delivered before the loss proves nothing.
                let failed = self.inner.context().failed.load(Ordering::Relaxed);
                let queued = self.in_flight() as u64;
                let delivered = self.sent.load(Ordering::Relaxed).saturating_sub(queued + failed);
                self.delivered_before.store(delivered, Ordering::Relaxed);
                delivered
            }
            before => before,
        };
        if self.count().delivered > before {
            self.delivered_before.store(NOT_DOWN, Ordering::Relaxed);
            return watch.answered();
        }
        let waits = self.in_flight() > 0;
        // SAFETY: `self` keeps the client alive.
        unsafe { self.reminder.remind(self.inner.client().native_ptr(), waits) };
    }

    /// The last reason for which records failed or a connection broke, if any.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        let reports = self.inner.context();
        reports.watch.trouble().or_else(|| reports.failure.get().cloned())
    }

    /// What happened to the connections since the last call. `Up` comes with the first record that is delivered.
    #[must_use]
    pub fn events(&self) -> Vec<BrokerEvent> {
        self.look_after();
        self.inner.context().watch.take()
    }
}

/// Pointer and length as C wants them.
fn parts(bytes: Option<&[u8]>) -> (*const u8, usize) {
    bytes.map_or((std::ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()))
}

/// A header list that is ours until a record takes it.
struct Headers(NonNull<sys::rd_kafka_headers_t>);

impl Headers {
    fn of(headers: &[(&str, &[u8])]) -> Result<Self, SendError> {
        // SAFETY: takes a number.
        let raw = unsafe { sys::rd_kafka_headers_new(headers.len()) };
        let list = NonNull::new(raw).map(Self).ok_or_else(|| SendError::Refused("no headers".to_owned()))?;
        for (name, value) in headers {
            let (name_len, value_len) = (signed(name.len())?, signed(value.len())?);
            // SAFETY: list, name and value are alive; both are copied.
            let code = unsafe {
                sys::rd_kafka_header_add(
                    list.0.as_ptr(),
                    name.as_ptr().cast(),
                    name_len,
                    value.as_ptr().cast(),
                    value_len,
                )
            };
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(SendError::Refused(format!("header {name}")));
            }
        }
        Ok(list)
    }
}

fn signed(len: usize) -> Result<isize, SendError> {
    isize::try_from(len).map_err(|_| SendError::TooLarge)
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: no record has taken it.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this handle; its producer is still alive through the Arc.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}
