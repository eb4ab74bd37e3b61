//! Errors by blame: who has to act.

use thiserror::Error;

/// Why the server could not start, or had to end.
#[derive(Debug, Error)]
pub enum Error {
    /// The operator's settings cannot work; the text names the setting.
    #[error("configuration: {0}")]
    Config(String),
    /// The brokers refuse, or do not answer in a way that retrying cannot fix.
    #[error("kafka: {0}")]
    Broker(String),
    /// The host lacks something; the text names it and what sets it.
    #[error("system: {0}")]
    Kernel(String),
    /// A thread of the server ended by itself, or panicked.
    #[error("thread: {0}")]
    Thread(String),
    /// The audit before the exit found something still held.
    #[error("drain: {0}")]
    Drain(String),
}
