use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::{EMPTY_HEADER, Response};

use crate::ws::handshake::{Refusal, Upgrade, client_check, parse};

/// Small, so that inputs of a few hundred bytes pass it.
const BYTES_MAX: usize = 400;

/// One byte that says how the request is cut, then the request and what follows it.
///
/// The verdict is the same however the request arrives: upgrade, refusal or that more is needed. What is accepted ends
/// every line with CRLF. An upgrade's answer satisfies our own client, a refusal is whole and well-formed HTTP with a
/// JSON body.
pub fn handshake(input: &[u8]) {
    let Some((size, request)) = input.split_first() else { return };
    let verdict = parse(request, BYTES_MAX);
    let mut end = 0;
    let grown = loop {
        end = request.len().min(end + usize::from(*size) + 1);
        let verdict = parse(&request[..end], BYTES_MAX);
        if verdict != Ok(None) || end == request.len() {
            break verdict;
        }
    };
    assert_eq!(grown, verdict, "the verdict depends on the cut");
    match verdict {
        Ok(None) => assert!(request.len() < BYTES_MAX, "a request over the limit waits for more"),
        Ok(Some((upgrade, taken))) => accepted(&request[..taken], &upgrade),
        Err(refusal) => refused(refusal),
    }
}

fn accepted(request: &[u8], upgrade: &Upgrade) {
    assert!(request.len() <= BYTES_MAX, "over the limit");
    let (feeds, ends) = (request.iter().filter(|byte| **byte == b'\n').count(), request.windows(2));
    assert_eq!(ends.filter(|end| end == b"\r\n").count(), feeds, "a bare LF was taken for a line's end");
    assert!(upgrade.path.starts_with('/'), "{}", upgrade.path);
    for name in ["welcome", "token", ""] {
        let _ = upgrade.query_value(name);
    }
    let mut headers = [EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(request).is_ok_and(|status| status.is_complete()));
    let key = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = key.and_then(|key| STANDARD.decode(key.value.trim_ascii()).ok());
    let key: [u8; 16] = key.and_then(|key| key.try_into().ok()).unwrap_or_else(|| panic!("no key"));
    let response = upgrade.response();
    assert_eq!(client_check(&response, &key), Ok(Some(response.len())));
}

fn refused(refusal: Refusal) {
    let bytes = refusal.response();
    let mut headers = [EMPTY_HEADER; 16];
    let mut response = Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head_len)) = response.parse(&bytes) else { panic!("not HTTP") };
    assert_eq!(response.code, Some(refusal.status()));
    assert!((400..500).contains(&refusal.status()), "{refusal}: not the client's fault");
    let header = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default()
    };
    let body = &bytes[head_len..];
    assert_eq!(header("content-length"), body.len().to_string());
    assert!(header("connection").starts_with("close"));
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(body["reason"], refusal.reason());
    assert!(body["error"].is_string());
}
