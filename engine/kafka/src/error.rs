//! Errors, by blame.

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
    /// No answer in time: brokers down, unreachable, or refusing us (see the consumer's events for why).
    #[error("no answer from the brokers: {0}")]
    Unreachable(String),
    /// A broker answered, with an error.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// The topic or partition is not there.
    #[error("unknown topic or partition: {0}")]
    Unknown(String),
    /// The caller named a tag that is not assigned, or one that already is.
    #[error("tag {0} is not assigned, or already is")]
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
    /// No answer in time.
    #[error("no answer from the brokers: {0}")]
    Unreachable(String),
    /// A broker answered, with an error (no authorization, no leader yet, invalid name).
    #[error("the broker refused: {0}")]
    Refused(String),
}
