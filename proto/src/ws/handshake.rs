//! The upgrade request, its answers and refusals.

use std::borrow::Cow;

/// A valid upgrade request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Path, as sent.
    pub path: String,
    /// Query without `?`, as sent.
    pub query: String,
    /// The `Origin` header.
    pub origin: Option<String>,
    accept: String,
}

/// Reads an upgrade request from the front of `bytes`. `None`: more bytes are needed.
/// With the upgrade comes how many bytes it took; what follows are frames.
pub fn parse(bytes: &[u8], bytes_max: usize) -> Result<Option<(Upgrade, usize)>, Refusal> {
    let _ = (bytes, bytes_max);
    todo!()
}

impl Upgrade {
    /// The 101 response.
    pub fn response(&self) -> Vec<u8> {
        todo!("{}", self.accept)
    }
    /// The first value of a query parameter, percent-decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        let _ = name;
        todo!()
    }
}

/// Why an upgrade is refused, and with what HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// 426: not WebSocket version 13.
    Version,
    /// 429: too many connections from there.
    Rate {
        /// Seconds to wait.
        retry_after_s: u32,
    },
    /// 503: full, overloaded or draining.
    Unavailable {
        /// One word: full, overloaded, draining.
        reason: &'static str,
        /// Seconds to wait, with jitter.
        retry_after_s: u32,
    },
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        todo!()
    }
    /// What is wrong, in a few words.
    pub fn reason(&self) -> &'static str {
        todo!()
    }
    /// The whole response: `Connection: close`, and a small JSON body `{"error":..,"reason":..}`.
    pub fn response(&self) -> Vec<u8> {
        todo!()
    }
}

/// An upgrade request, as the load generator sends it.
pub fn client_request(host: &str, path: &str, key: &[u8; 16]) -> Vec<u8> {
    let _ = (host, path, key);
    todo!()
}

/// Why a server's answer is no upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientHandshakeError {
    /// A status other than 101.
    Refused {
        /// HTTP status.
        status: u16,
        /// Seconds of `Retry-After`.
        retry_after_s: Option<u32>,
        /// The body, cut to 4 KiB.
        body: String,
    },
    /// Not HTTP, or a 101 that breaks RFC 6455 4.2.2.
    Malformed(&'static str),
}

/// Checks a server's answer to `client_request`. `None`: more bytes are needed. Gives the bytes it took.
pub fn client_check(bytes: &[u8], key: &[u8; 16]) -> Result<Option<usize>, ClientHandshakeError> {
    let _ = (bytes, key);
    todo!()
}
