//! The upgrade request, its answer and its refusals (RFC 6455 4).

mod client;
mod refusal;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use httparse::{EMPTY_HEADER, Header, Request, Status};
use tungstenite::handshake::derive_accept_key;

pub use client::{ClientHandshakeError, client_check, client_request};
pub use refusal::Refusal;

/// Most headers of a request. Browsers behind two proxies send about thirty.
const HEADERS_MAX: usize = 100;

/// A valid upgrade request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Path, as sent.
    pub path: String,
    /// Query without its `?`, as sent; empty if there is none.
    pub query: String,
    /// The `Origin` header: browsers always send one.
    pub origin: Option<String>,
    /// Value of `Sec-WebSocket-Accept`.
    accept: String,
}

/// Reads an upgrade request from the front of `bytes`. `None`: more bytes are needed.
/// With the upgrade comes how many bytes it took; what follows are frames.
///
/// A line ends with CRLF: a bare LF, which RFC 9112 2.2 lets a recipient take for one, is refused as soon as it has
/// come. Whoever stands before us might read it otherwise, and the end of the head is looked for by CRLF.
///
/// `bytes_max` bounds request line and headers together. Path and origin are the caller's to judge, as is the
/// time it takes. Extensions and subprotocols are not negotiated, which RFC 6455 allows.
///
/// # Errors
/// The refusal to answer with, as soon as it is certain.
pub fn parse(bytes: &[u8], bytes_max: usize) -> Result<Option<(Upgrade, usize)>, Refusal> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    // Beyond the limit nothing is looked at, nor beyond a bare LF: else the verdict would depend on how much came at
    // once. A head that is whole before the bare LF has it among its frames.
    let within = &bytes[..bytes.len().min(bytes_max)];
    let bare = bare_lf(within, 0);
    let head_len = match request.parse(&within[..bare.unwrap_or(within.len())]) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if bare.is_some() => return Err(Refusal::Malformed("a line ends without a CR")),
        Ok(Status::Partial) if bytes.len() < bytes_max => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(error) => return Err(Refusal::Malformed(malformed(bytes, error))),
    };
    let upgrade = judge(&request)?;
    Ok(Some((upgrade, head_len)))
}

/// Where the first line feed at or behind `from` stands that no carriage return precedes.
#[must_use]
pub fn bare_lf(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|at| bytes[*at] == b'\n' && (*at == 0 || bytes[*at - 1] != b'\r'))
}

/// What is wrong with bytes that are not HTTP.
fn malformed(bytes: &[u8], error: httparse::Error) -> &'static str {
    // A TLS handshake record; by its first byte alone, for that is all that may have come.
    if bytes.starts_with(&[0x16]) {
        return "TLS on a port without TLS";
    }
    match error {
        httparse::Error::Version => "only HTTP/1.1 can be upgraded",
        httparse::Error::HeaderName | httparse::Error::HeaderValue => "malformed header",
        httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::TooManyHeaders => "not an HTTP request",
    }
}

/// The rules of RFC 6455 4.2.1, in the order that tells a person most.
fn judge(request: &Request<'_, '_>) -> Result<Upgrade, Refusal> {
    use Refusal::Malformed;

    let headers: &[Header<'_>] = request.headers;
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    if request.version != Some(1) {
        return Err(Malformed("only HTTP/1.1 can be upgraded"));
    }
    let uri: Uri = request
        .path
        .unwrap_or("")
        .parse()
        .map_err(|_| Malformed("the request's target is not a valid path"))?;
    if !uri.path().starts_with('/') {
        return Err(Malformed("the request's target is not a path"));
    }
    if one(headers, "host", "more than one Host header")?.is_none() {
        return Err(Malformed("no Host header"));
    }
    if has_body(headers) {
        return Err(Refusal::Body);
    }
    if !all(headers, "upgrade").any(|value| has_token(value, "websocket")) {
        return Err(Malformed("no Upgrade: websocket header"));
    }
    if !all(headers, "connection").any(|value| has_token(value, "upgrade")) {
        return Err(Malformed("no Connection: Upgrade header"));
    }
    // Missing counts as wrong: the answer names the version that would do.
    let version = one(headers, "sec-websocket-version", "more than one Sec-WebSocket-Version header")?;
    if version != Some(b"13") {
        return Err(Refusal::Version);
    }
    let key = one(headers, "sec-websocket-key", "more than one Sec-WebSocket-Key header")?
        .ok_or(Malformed("no Sec-WebSocket-Key header"))?;
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return Err(Malformed("Sec-WebSocket-Key is not base64 of 16 bytes"));
    }
    let origin = one(headers, "origin", "more than one Origin header")?
        .map(|origin| std::str::from_utf8(origin).map_err(|_| Malformed("Origin is not text")))
        .transpose()?;
    Ok(Upgrade {
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or("").to_owned(),
        origin: origin.map(str::to_owned),
        accept: derive_accept_key(key),
    })
}

impl Upgrade {
    /// The 101 response (RFC 6455 4.2.2).
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            self.accept
        )
        .into_bytes()
    }

    /// The first value of a query parameter, decoded as forms are (`+` is a space, `%41` an A). Bytes that
    /// are not UTF-8 become U+FFFD; a `%` without two hex digits stays as it is. A parameter without `=` has
    /// an empty value.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decoded(key) == name).then(|| form_decoded(value))
        })
    }
}

fn form_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if first == b'%'
            && let (Some(high), Some(low)) = (hex(0), hex(1))
        {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or(0));
            rest = &after[2..];
        } else {
            bytes.push(if first == b'+' { b' ' } else { first });
            rest = after;
        }
    }
    Cow::Owned(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// All values of a header.
fn all<'h>(headers: &'h [Header<'_>], name: &'static str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}

/// The value of a header that may stand once.
fn one<'h>(
    headers: &'h [Header<'_>],
    name: &'static str,
    twice: &'static str,
) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = all(headers, name);
    let value = values.next();
    if values.next().is_some() { Err(Refusal::Malformed(twice)) } else { Ok(value) }
}

/// Whether a comma-separated list has this word, in any case.
fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Bytes of a body would be taken for frames.
fn has_body(headers: &[Header<'_>]) -> bool {
    all(headers, "transfer-encoding").next().is_some()
        || all(headers, "content-length").any(|len| len != b"0")
}
