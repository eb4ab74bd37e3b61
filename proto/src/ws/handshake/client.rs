//! The client's side, for the load generator.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::{EMPTY_HEADER, Response, Status};
use tungstenite::handshake::derive_accept_key;

use super::{HEADERS_MAX, has_token};

/// Longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest body of a refusal that is waited for, and kept.
const BODY_BYTES_MAX: usize = 4 << 10;

/// Why a server's answer is no upgrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientHandshakeError {
    /// A status other than 101.
    #[error("refused with {status}: {body}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Seconds of `Retry-After`.
        retry_after_s: Option<u32>,
        /// The body, at most 4 KiB of it.
        body: String,
    },
    /// Not HTTP, or a 101 that breaks RFC 6455 4.2.2.
    #[error("no valid answer: {0}")]
    Malformed(&'static str),
}

/// An upgrade request for `path` (with its query). `key` is random for every connection (RFC 6455 4.1).
#[must_use]
pub fn client_request(host: &str, path: &str, key: &[u8; 16]) -> Vec<u8> {
    let key = STANDARD.encode(key);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    .into_bytes()
}

/// Checks a server's answer to [`client_request`]. `None`: more bytes are needed. Gives the bytes it took;
/// what follows are frames.
///
/// # Errors
/// What the server answered instead. A refusal is whole once its `Content-Length` has come; where the server
/// closes earlier, the caller ends the wait.
pub fn client_check(bytes: &[u8], key: &[u8; 16]) -> Result<Option<usize>, ClientHandshakeError> {
    use ClientHandshakeError::Malformed;

    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    let head_len = match response.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(Status::Partial) => return Err(Malformed("headers without end")),
        Err(_) => return Err(Malformed("not HTTP")),
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let status = response.code.unwrap_or(0);
    if status != 101 {
        let body_len =
            value("content-length").and_then(|len| len.parse().ok()).unwrap_or(0).min(BODY_BYTES_MAX);
        let Some(body) = bytes[head_len..].get(..body_len) else { return Ok(None) };
        return Err(ClientHandshakeError::Refused {
            status,
            retry_after_s: value("retry-after").and_then(|seconds| seconds.parse().ok()),
            body: String::from_utf8_lossy(body).into_owned(),
        });
    }
    if !value("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Err(Malformed("101 without Upgrade: websocket"));
    }
    if !value("connection").is_some_and(|connection| has_token(connection.as_bytes(), "upgrade")) {
        return Err(Malformed("101 without Connection: Upgrade"));
    }
    let accept = derive_accept_key(STANDARD.encode(key).as_bytes());
    if value("sec-websocket-accept") != Some(&accept) {
        return Err(Malformed("101 with a wrong Sec-WebSocket-Accept"));
    }
    if value("sec-websocket-extensions").is_some() || value("sec-websocket-protocol").is_some() {
        return Err(Malformed("101 with what was not asked for"));
    }
    Ok(Some(head_len))
}
