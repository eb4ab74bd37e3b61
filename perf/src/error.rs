//! Errors by blame: who has to act.

/// Why a run could not be made. What the run finds out about the server is no error but part of its report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's plan cannot work; the text names the setting.
    #[error("{0}")]
    Plan(String),
    /// Kafka refused the load, or does not answer.
    #[error("kafka: {0}")]
    Kafka(String),
    /// The server cannot be observed.
    #[error("server: {0}")]
    Server(String),
    /// This machine lacks something, or took it away.
    #[error("system: {0}")]
    Kernel(String),
    /// A client thread or process ended early.
    #[error("client {worker}: {reason}")]
    Worker {
        /// Which, counted over all processes.
        worker: u32,
        /// Why, if it could say.
        reason: String,
    },
}
