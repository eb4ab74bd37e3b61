use std::borrow::Cow;

/// Why an upgrade is refused, and with what HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 400: not an upgrade request that RFC 6455 4.2.1 allows; says what is wrong.
    Malformed(&'static str),
    /// 403: the origin is not allowed.
    Origin,
    /// 404: no such path.
    NotFound,
    /// 405: not GET.
    Method,
    /// 408: the request did not come in time.
    TooSlow,
    /// 413: an upgrade has no body.
    Body,
    /// 431: request line and headers are over the limit.
    TooLarge,
    /// 426: not WebSocket version 13 (RFC 6455 4.4).
    Version,
    /// 429: too many connections or attempts from there.
    Rate {
        /// Seconds to wait.
        retry_after_s: u32,
    },
    /// 503: full, overloaded or draining.
    Unavailable {
        /// One of our words: full, overloaded, draining.
        reason: &'static str,
        /// Seconds to wait, with jitter.
        retry_after_s: u32,
    },
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.line().0
    }

    /// What is wrong, in a few words: the `reason` of the JSON body.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::Origin => "this origin is not allowed",
            Self::NotFound => "no such path",
            Self::Method => "only GET can be upgraded",
            Self::TooSlow => "the request did not come in time",
            Self::Body => "an upgrade request has no body",
            Self::TooLarge => "the request's headers are over the limit",
            Self::Version => "only WebSocket version 13 is spoken",
            Self::Rate { .. } => "too many connections or attempts",
            Self::Unavailable { reason, .. } => reason,
        }
    }

    /// The whole response: `Connection: close`, the headers that the status asks for, and a small JSON body
    /// `{"error":..,"reason":..}`, with `retry_after_s` where there is one.
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        let (status, phrase, error) = self.line();
        let (header, retry): (Cow<'_, str>, _) = match self {
            Self::Method => ("Allow: GET\r\n".into(), None),
            Self::Version => ("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".into(), None),
            Self::Rate { retry_after_s } | Self::Unavailable { retry_after_s, .. } => {
                (format!("Retry-After: {retry_after_s}\r\n").into(), Some(*retry_after_s))
            }
            Self::Malformed(_)
            | Self::Origin
            | Self::NotFound
            | Self::TooSlow
            | Self::Body
            | Self::TooLarge => ("".into(), None),
        };
        // RFC 9110 7.6.1: who sends Upgrade (426 must) names it in Connection.
        let connection = if matches!(self, Self::Version) { "close, Upgrade" } else { "close" };
        let mut body = serde_json::json!({ "error": error, "reason": self.reason() });
        if let Some(seconds) = retry {
            body["retry_after_s"] = seconds.into();
        }
        let body = body.to_string();
        format!(
            "HTTP/1.1 {status} {phrase}\r\nConnection: {connection}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\n{header}\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Status, its phrase, and the word for programs.
    const fn line(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed(_) => (400, "Bad Request", "malformed"),
            Self::Origin => (403, "Forbidden", "origin"),
            Self::NotFound => (404, "Not Found", "not_found"),
            Self::Method => (405, "Method Not Allowed", "method"),
            Self::TooSlow => (408, "Request Timeout", "too_slow"),
            Self::Body => (413, "Content Too Large", "body"),
            Self::TooLarge => (431, "Request Header Fields Too Large", "too_large"),
            Self::Version => (426, "Upgrade Required", "version"),
            Self::Rate { .. } => (429, "Too Many Requests", "rate"),
            Self::Unavailable { .. } => (503, "Service Unavailable", "unavailable"),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status(), self.reason())
    }
}

impl std::error::Error for Refusal {}
