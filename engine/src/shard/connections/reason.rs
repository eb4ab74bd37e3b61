//! Why a connection ends.

use crate::metrics::ShardMetrics;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum CloseReason {
    /// The client closed or went away.
    Client,
    /// The socket failed.
    Failure,
    /// It broke the WebSocket protocol.
    Violation,
    /// Flood, or too many failed requests.
    Policy,
    /// Its socket took nothing for too long.
    Blocked,
    /// No sign of life.
    Silence,
    /// We are draining.
    Drain,
}

impl CloseReason {
    /// Counts it.
    pub(super) fn count(self, metrics: &ShardMetrics) {
        match self {
            Self::Client => &metrics.closed_by_client,
            Self::Failure => &metrics.closed_by_failure,
            Self::Violation => &metrics.closed_by_violation,
            Self::Policy => &metrics.closed_by_policy,
            Self::Blocked => &metrics.closed_by_blocked,
            Self::Silence => &metrics.closed_by_silence,
            Self::Drain => &metrics.closed_by_drain,
        }
        .add(1);
    }
}
