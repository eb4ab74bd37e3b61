//! What librdkafka says by the way: errors of connections, and its log.

use std::collections::VecDeque;
use std::sync::PoisonError;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// More are dropped, the oldest first: a caller that never asks must not cost memory.
const EVENTS_MAX: usize = 256;

/// What happened to the connection with the brokers.
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
    /// Anything else that librdkafka reports as an error of the client.
    Other(String),
}

/// The context of a client: collects its errors, passes its log to `tracing`.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    #[expect(clippy::disallowed_types, reason = "locked when a connection has trouble, never for a record")]
    state: std::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<BrokerEvent>,
    down: bool,
    /// The last thing that went wrong, until something works: tells what a time-out does not.
    trouble: Option<String>,
}

impl State {
    fn push(&mut self, event: BrokerEvent) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn failed(&mut self, code: Option<RDKafkaErrorCode>, text: String) {
        let event = match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if self.down {
                    return;
                }
                self.down = true;
                return self
                    .push(BrokerEvent::Down(crate::error::with_trouble(&text, self.trouble.as_deref())));
            }
            Some(RDKafkaErrorCode::Authentication) => BrokerEvent::AuthFailed(text.clone()),
            Some(RDKafkaErrorCode::SSL) => BrokerEvent::TlsFailed(text.clone()),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut,
            ) => BrokerEvent::Lost(text.clone()),
            _ => BrokerEvent::Other(text.clone()),
        };
        self.trouble = Some(text);
        self.push(event);
    }
}

impl Watch {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last word was that no broker is connected.
    pub(crate) fn is_down(&self) -> bool {
        self.state().down
    }

    /// A broker has answered.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.trouble = None;
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

    /// Tells of a failure that did not come through librdkafka's error event.
    pub(crate) fn fail(&self, text: String) {
        self.state().failed(None, text);
    }
}

impl ClientContext for Watch {
    /// Each failed connection is told twice, here and as an error event. The event is what gets handled, and logged
    /// by whoever handles it; this copy is for debugging.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            _ if matches!(facility, "FAIL" | "ERROR") => {
                tracing::debug!(target: "kafka", "{facility}: {message}")
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(target: "kafka", "{facility}: {message}"),
            RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", "{facility}: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "kafka", "{facility}: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", "{facility}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state().failed(error.rdkafka_error_code(), reason.to_owned());
    }
}

impl ConsumerContext for Watch {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(watch: &Watch, code: RDKafkaErrorCode, reason: &str) {
        watch.error(KafkaError::Global(code), reason);
    }

    #[test]
    fn down_is_told_once_and_ends_with_up() {
        let watch = Watch::default();
        error(&watch, RDKafkaErrorCode::BrokerTransportFailure, "refused");
        error(&watch, RDKafkaErrorCode::AllBrokersDown, "1/1 down");
        error(&watch, RDKafkaErrorCode::AllBrokersDown, "1/1 down");
        assert!(watch.is_down());
        assert_eq!(watch.trouble().as_deref(), Some("refused"));
        watch.answered();
        watch.answered();
        assert_eq!(watch.trouble(), None);
        assert_eq!(
            watch.take(),
            [
                BrokerEvent::Lost("refused".into()),
                BrokerEvent::Down("1/1 down (refused)".into()),
                BrokerEvent::Up
            ]
        );
        assert!(!watch.is_down() && watch.take().is_empty());
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
