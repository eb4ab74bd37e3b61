//! The body of /health.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::View;

/// One word for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Starting,
    Ready,
    Degraded,
    Draining,
}

#[derive(Debug, Serialize)]
pub(super) struct Body {
    status: Status,
    reasons: Vec<ReasonBody>,
    connections: usize,
    connections_max: usize,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct ReasonBody {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    text: String,
}

impl Body {
    /// A load balancer may send clients here.
    pub(super) fn takes_clients(&self) -> bool {
        matches!(self.status, Status::Ready | Status::Degraded)
    }
}

pub(super) fn body(view: &View) -> Body {
    let snapshot = view.health.snapshot();
    let status = if snapshot.draining {
        Status::Draining
    } else if !snapshot.ready {
        Status::Starting
    } else if snapshot.is_degraded() {
        Status::Degraded
    } else {
        Status::Ready
    };
    let reason = |(reason, text): (crate::health::Reason, String)| ReasonBody {
        reason: reason.word(),
        topic: reason.topic().map(str::to_owned),
        text,
    };
    Body {
        status,
        reasons: snapshot.reasons.into_iter().map(reason).collect(),
        connections: view.links.iter().map(|link| link.load.load(Ordering::Acquire)).sum(),
        connections_max: view.links.iter().map(|link| link.capacity).sum(),
        version: env!("CARGO_PKG_VERSION"),
    }
}
