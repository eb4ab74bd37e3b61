//! What librdkafka says by the way: errors of connections, and its log.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::TopicId;
use crate::changes::{Change, Known};

/// More are dropped, the oldest first: a caller that never asks must not cost memory.
const EVENTS_MAX: usize = 256;
/// How many different failures are told once only.
const TOLD_MAX: usize = 32;
/// From the first lookup that no broker answered to `Down`, if librdkafka has not told by then.
const DOWN_AFTER: Duration = Duration::from_secs(5);

/// What happened to the connection with the brokers. The same failure is told once, until a broker has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerEvent {
    /// No broker is connected. Retried for ever; `Up` ends it.
    Down(String),
    /// A broker answers again after `Down`.
    Up,
    /// One broker's connection failed; others may serve.
    Lost(String),
    /// Wrong user, password or mechanism (SASL). Retried for ever: passwords get changed on the other side too.
    AuthFailed(String),
    /// TLS failed: unknown CA, wrong host name, bad certificate, or no TLS on that port. Retried for ever.
    TlsFailed(String),
    /// Anything else that librdkafka reports as an error, such as an assigned partition that the cluster does not
    /// have (any more): the text names it, as `TOPIC [PARTITION]: ...`.
    Other(String),
}

/// The context of a client: collects its errors, passes its log to `tracing`.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Debug lines are for [`Known`] alone: nobody has asked for them.
    quiet: AtomicBool,
    #[expect(clippy::disallowed_types, reason = "locked when a connection has trouble, never for a record")]
    state: std::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    events: VecDeque<BrokerEvent>,
    down: bool,
    /// The last thing that went wrong, until something works: tells what a time-out does not.
    trouble: Option<String>,
    /// What has been told since then: the same failure comes back with every attempt to connect.
    told: Vec<String>,
    /// When a lookup was first left without an answer, nothing having been heard of a broker since.
    unanswered: Option<Instant>,
}

impl State {
    fn push(&mut self, event: BrokerEvent) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn failed(&mut self, code: Option<RDKafkaErrorCode>, text: &str) {
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            return self.is_lost("no broker is connected");
        }
        let text = without_circumstances(text);
        self.trouble = Some(text.to_owned());
        if self.told.iter().any(|told| told == text) {
            return;
        }
        if self.told.len() < TOLD_MAX {
            self.told.push(text.to_owned());
        }
        // TLS spoken to a plain listener is for librdkafka a broken connection like any other.
        let tls = text.contains("SSL handshake");
        let text = text.to_owned();
        self.push(match code {
            Some(RDKafkaErrorCode::Authentication) => BrokerEvent::AuthFailed(text),
            Some(RDKafkaErrorCode::SSL) => BrokerEvent::TlsFailed(text),
            Some(RDKafkaErrorCode::BrokerTransportFailure) if tls => BrokerEvent::TlsFailed(text),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut,
            ) => BrokerEvent::Lost(text),
            _ => BrokerEvent::Other(text),
        });
    }

    fn is_lost(&mut self, why: &str) {
        if !std::mem::replace(&mut self.down, true) {
            let text = crate::error::with_trouble(why, self.trouble.as_deref());
            self.push(BrokerEvent::Down(text));
        }
    }

    /// A connection broke. If librdkafka finds that bad enough it comes as an error event too, and that one is told.
    /// A close by the broker's wish is not, but it is the reason if nothing is connected afterwards.
    fn broke(&mut self, text: &str) {
        self.trouble = Some(without_circumstances(text).to_owned());
    }
}

/// A failure's text without how long it took and how often it came: these differ each time, and say little.
fn without_circumstances(text: &str) -> &str {
    text.split_once(" (after ").map_or(text, |(before, _)| before)
}

impl Watch {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last word was that no broker is connected.
    pub(crate) fn is_down(&self) -> bool {
        self.state().down
    }

    /// A lookup was left without an answer by every broker.
    pub(crate) fn unanswered(&self, now: Instant) {
        let mut state = self.state();
        let since = *state.unanswered.get_or_insert(now);
        if now.duration_since(since) >= DOWN_AFTER {
            state.is_lost("no broker responds");
        }
    }

    /// How long every lookup has been left without an answer; None if none was.
    pub(crate) fn silence(&self, now: Instant) -> Option<Duration> {
        self.state().unanswered.map(|since| now.duration_since(since))
    }

    /// Something was heard of a broker.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        if state.trouble.is_none() && state.unanswered.is_none() && !state.down {
            return;
        }
        state.trouble = None;
        state.unanswered = None;
        state.told.clear();
        if std::mem::take(&mut state.down) {
            state.push(BrokerEvent::Up);
        }
    }

    /// What went wrong last, if nothing has worked since.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Takes the events since the last call.
    pub(crate) fn take(&self) -> Vec<BrokerEvent> {
        self.state().events.drain(..).collect()
    }

    /// Keeps debug lines from the user's log.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Relaxed);
    }

    /// What has changed with topics and leaders since the last call.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.state().known.take()
    }

    /// Whether the client cannot go on with a topic that was made anew.
    pub(crate) fn is_stuck(&self) -> bool {
        self.state().known.is_stuck()
    }

    /// The id by which the client reads a topic.
    pub(crate) fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.state().known.id(topic)
    }

    fn debug(&self, facility: &str, message: &str) {
        self.state().known.hear(facility, message);
        if !self.quiet.load(Relaxed) {
            tracing::debug!(target: "kafka", "{facility}: {message}");
        }
    }

    /// Tells of a failure that did not come through librdkafka's error event.
    pub(crate) fn fail(&self, text: &str) {
        self.state().failed(None, text);
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => self.debug(facility, message),
            _ if facility == "FAIL" => {
                tracing::debug!(target: "kafka", "{facility}: {message}");
                self.state().broke(message.split_once("]: ").map_or(message, |(_, text)| text));
            }
            // That a topic or partition is gone is put into the partition's queue as a general error, and the batch
            // calls have no other way to tell of those than this line.
            _ if facility == "ERROR" => self.fail(without_origin(message)),
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(target: "kafka", "{facility}: {message}"),
            RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", "{facility}: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "kafka", "{facility}: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state().failed(error.rdkafka_error_code(), reason);
    }
}

/// A [`Watch`] that outlives the client it watches: see [`crate::Consumer`].
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedWatch(pub(crate) Arc<Watch>);

impl ClientContext for SharedWatch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ConsumerContext for SharedWatch {}

/// A log line without its beginning, `[thrd:app]: uringcast#consumer-1: `.
fn without_origin(message: &str) -> &str {
    let Some((origin, rest)) = message.split_once("]: ") else { return message };
    if !origin.starts_with("[thrd:") {
        return message;
    }
    rest.split_once(": ").map_or(rest, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(watch: &Watch, code: RDKafkaErrorCode, reason: &str) {
        watch.error(KafkaError::Global(code), reason);
    }

    #[test]
    fn failures_are_told_once_until_a_broker_answers() {
        let watch = Watch::default();
        let lost = |text: &str| error(&watch, RDKafkaErrorCode::BrokerTransportFailure, text);
        lost("b1: refused (after 1ms in state CONNECT)");
        error(&watch, RDKafkaErrorCode::AllBrokersDown, "1/1 down");
        lost("b1: refused (after 2ms in state CONNECT, 9 identical error(s) suppressed)");
        error(&watch, RDKafkaErrorCode::AllBrokersDown, "1/1 down");
        assert!(watch.is_down());
        assert_eq!(watch.trouble().as_deref(), Some("b1: refused"));
        watch.answered();
        watch.answered();
        assert_eq!(watch.trouble(), None);
        let first = BrokerEvent::Lost("b1: refused".into());
        let down = BrokerEvent::Down("no broker is connected (b1: refused)".into());
        assert_eq!(watch.take(), [first.clone(), down, BrokerEvent::Up]);
        assert!(!watch.is_down() && watch.take().is_empty());
        lost("b1: refused (after 3ms in state CONNECT)");
        assert_eq!(watch.take(), [first]);
    }

    #[test]
    fn silence_ends_in_down_and_with_an_answer() {
        let (watch, start) = (Watch::default(), crate::clock::now());
        assert_eq!(watch.silence(start), None);
        watch.unanswered(start);
        watch.unanswered(start + DOWN_AFTER / 2);
        assert!(!watch.is_down());
        watch.unanswered(start + DOWN_AFTER);
        watch.unanswered(start + DOWN_AFTER * 2);
        assert_eq!(watch.silence(start + DOWN_AFTER * 2), Some(DOWN_AFTER * 2));
        watch.answered();
        assert_eq!(watch.silence(start), None);
        assert_eq!(watch.take(), [BrokerEvent::Down("no broker responds".into()), BrokerEvent::Up]);
    }

    #[test]
    fn wrong_protocols_are_known_by_their_words() {
        let watch = Watch::default();
        let lost = |text: &str| error(&watch, RDKafkaErrorCode::BrokerTransportFailure, text);
        lost("sasl_ssl://b1: SSL handshake failed: connecting to a PLAINTEXT broker listener?");
        lost("sasl_ssl://b1: Disconnected: SSL connection closed by peer");
        watch.log(RDKafkaLogLevel::Info, "FAIL", "[thrd:b1]: b1: Disconnected (after 7ms in state UP)");
        assert_eq!(watch.trouble().as_deref(), Some("b1: Disconnected"));
        watch.log(
            RDKafkaLogLevel::Info,
            "FAIL",
            "[thrd:b1]: b1: Disconnected: security.protocol? (after 7ms)",
        );
        assert_eq!(
            watch.take(),
            [
                BrokerEvent::TlsFailed(
                    "sasl_ssl://b1: SSL handshake failed: connecting to a PLAINTEXT broker listener?".into()
                ),
                BrokerEvent::Lost("sasl_ssl://b1: Disconnected: SSL connection closed by peer".into()),
            ]
        );
    }

    #[test]
    fn a_general_error_loses_its_origin() {
        let watch = Watch::default();
        let line = "[thrd:app]: uringcast#consumer-1: t [0]: topic does not exist (Broker: Unknown)";
        watch.log(RDKafkaLogLevel::Error, "ERROR", line);
        watch.log(RDKafkaLogLevel::Error, "ERROR", "something else");
        assert_eq!(
            watch.take(),
            [
                BrokerEvent::Other("t [0]: topic does not exist (Broker: Unknown)".into()),
                BrokerEvent::Other("something else".into())
            ]
        );
    }

    #[test]
    fn events_are_bounded() {
        let watch = Watch::default();
        for n in 0..EVENTS_MAX + 3 {
            error(&watch, RDKafkaErrorCode::Authentication, &n.to_string());
        }
        let events = watch.take();
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!(events[0], BrokerEvent::AuthFailed("3".into()));
    }
}
