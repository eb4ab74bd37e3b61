//! Errors, by blame.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// What a call to a broker or to librdkafka can end in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A property that librdkafka or this crate refuses; the operator has to change it.
    #[error("kafka property {property}: {reason}")]
    Config {
        /// The property's name.
        property: String,
        /// Why it was refused.
        reason: String,
    },
    /// No answer in time: brokers down, unreachable, or refusing us. The text names the last trouble that was met.
    #[error("no response from the brokers: {0}")]
    Unreachable(String),
    /// A broker answered, with an error.
    #[error("refused by the broker: {0}")]
    Refused(String),
    /// The topic or partition is not there.
    #[error("unknown topic or partition: {0}")]
    Unknown(String),
    /// The caller named a tag that is not assigned, or assigned a partition or a tag twice.
    #[error("tag {0} is not assigned, or is already")]
    Tag(u32),
    /// librdkafka or the kernel could not do what it always can; a bug or an exhausted machine.
    #[error("kafka client: {0}")]
    Client(String),
}

/// Why a topic could not be looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The cluster answered and has no such topic.
    #[error("unknown topic")]
    Unknown,
    /// No answer in time. The text names the last trouble that was met.
    #[error("no response from the brokers: {0}")]
    Unreachable(String),
    /// A broker answered, with an error: no authorization, an invalid name.
    #[error("refused by the broker: {0}")]
    Refused(String),
}

impl Error {
    /// Judges a failed request. `trouble` is what the connection last said, if anything.
    pub(crate) fn from_request(error: &KafkaError, trouble: Option<&str>) -> Self {
        // rdkafka leaves this kind out of `rdkafka_error_code`.
        let code =
            if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() };
        let Some(code) = code else { return Self::from_creation(error) };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "librdkafka has 200 codes; the rest are broker's refusals"
        )]
        match code {
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::WaitingForCoordinator
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL => Self::Unreachable(with_trouble(&words(code), trouble)),
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition => Self::Unknown(words(code)),
            _ => Self::Refused(words(code)),
        }
    }

    /// Judges a failure to make a client: nearly always a property.
    pub(crate) fn from_creation(error: &KafkaError) -> Self {
        if let KafkaError::ClientConfig(_, reason, property, _) = error {
            return Self::Config { property: property.clone(), reason: reason.clone() };
        }
        if let KafkaError::ClientCreation(text) = error
            && let Some(property) = property_named_in(text)
        {
            return Self::Config { property: property.to_owned(), reason: text.clone() };
        }
        Self::Client(error.to_string())
    }
}

impl From<Error> for TopicError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unreachable(text) => Self::Unreachable(text),
            Error::Unknown(_) => Self::Unknown,
            Error::Config { .. } | Error::Refused(_) | Error::Tag(_) | Error::Client(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

/// librdkafka's words for a code; rdkafka puts its own name of it before them.
fn words(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    match text.split_once(" (").and_then(|(_, words)| words.strip_suffix(')')) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

/// librdkafka's word and, in brackets, what the connection last said.
pub(crate) fn with_trouble(word: &str, trouble: Option<&str>) -> String {
    trouble.map_or_else(|| word.to_owned(), |trouble| format!("{word} ({trouble})"))
}

/// The first word of a message that looks like a property: librdkafka names it, but only in prose.
fn property_named_in(text: &str) -> Option<&str> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '.' || c == '_')).find(|word| {
        word.split('.').count() > 1 && word.split('.').all(|part| part.len() > 1) && !word.ends_with(".c")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_speak_librdkafkas_words() {
        assert_eq!(words(RDKafkaErrorCode::BrokerTransportFailure), "Local: Broker transport failure");
        let words = words(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(words, "Broker: Topic authorization failed");
    }

    #[test]
    fn a_property_is_found_in_prose() {
        let found = |text| property_named_in(text);
        assert_eq!(found("ssl.ca.location failed: no such file"), Some("ssl.ca.location"));
        assert_eq!(found("`fetch.max.bytes` must be >= `message.max.bytes`"), Some("fetch.max.bytes"));
        assert_eq!(found("Failed to create thread: Resource temporarily unavailable (11)."), None);
    }
}
