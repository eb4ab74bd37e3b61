use proptest::prelude::*;
use tungstenite::handshake::machine::TryParse;

use super::*;
use crate::random::Random;

const MAX: usize = 16 << 10;

/// The request of RFC 6455 1.2, without its subprotocols.
const RFC: &str = "GET /chat?welcome=0&n=a+b%2Fc HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Origin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn refused(request: &str) -> Refusal {
    parse(request.as_bytes(), MAX).expect_err(request)
}

fn upgraded(request: &str) -> Upgrade {
    parse(request.as_bytes(), MAX).unwrap().unwrap().0
}

#[test]
fn rfc_request_gets_the_accept_key_of_rfc_4_2_2() {
    let bytes = [RFC.as_bytes(), b"\x81frames"].concat();
    let (upgrade, consumed) = parse(&bytes, MAX).unwrap().unwrap();
    assert_eq!(consumed, RFC.len());
    assert_eq!(upgrade.path, "/chat");
    assert_eq!(upgrade.query, "welcome=0&n=a+b%2Fc");
    assert_eq!(upgrade.origin.as_deref(), Some("http://example.com"));
    let response = String::from_utf8(upgrade.response()).unwrap();
    assert!(response.starts_with("HTTP/1.1 101 "));
    assert!(response.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn any_prefix_asks_for_more() {
    for end in 0..RFC.len() {
        assert_eq!(parse(&RFC.as_bytes()[..end], MAX), Ok(None), "{end}");
    }
}

/// Every line end of the request once without its CR, and all of them, in every cut: the same refusal, and as soon as
/// the line feed has come.
#[test]
fn a_bare_line_feed_is_refused_in_every_cut() {
    let ends: Vec<usize> = RFC.match_indices("\r\n").map(|(at, _)| at).collect();
    let mut requests: Vec<String> =
        ends.iter().map(|at| format!("{}{}", &RFC[..*at], &RFC[at + 1..])).collect();
    requests.push(RFC.replace("\r\n", "\n"));
    requests.push(format!("\n{RFC}"));
    let bare = Err(Refusal::Malformed("a line ends without a CR"));
    for request in requests {
        let bytes = request.as_bytes();
        let at = bare_lf(bytes, 0).unwrap();
        for end in 0..=bytes.len() {
            let expected = if end <= at { &Ok(None) } else { &bare };
            assert_eq!(&parse(&bytes[..end], MAX), expected, "{end} of {request:?}");
        }
    }
    let frames = [RFC.as_bytes(), b"\n\x81\n"].concat();
    assert_eq!(parse(&frames, MAX).unwrap().unwrap().1, RFC.len(), "frames may have any bytes");
    let limit = RFC.find("\r\n").unwrap() + 1;
    let cut = RFC.replacen("\r\n", "\n", 1);
    assert_eq!(parse(cut.as_bytes(), limit), bare);
    assert_eq!(
        parse(cut.as_bytes(), limit - 1),
        Err(Refusal::TooLarge),
        "beyond the limit nothing is looked at"
    );
    // What is wrong earlier is told, not what comes later.
    assert_eq!(refused("GET / HTTP/1.1\r\nA b: c\r\nHost: a\n\n"), Refusal::Malformed("malformed header"));
}

#[test]
fn query_values_are_decoded() {
    let upgrade = upgraded(&RFC.replace("welcome=0&n=a+b%2Fc", "a=1&n=a+b%2Fc%zz%f&&%62=%C3%A9%ff&a=2&flag"));
    assert_eq!(upgrade.query_value("a").as_deref(), Some("1"));
    assert_eq!(upgrade.query_value("n").as_deref(), Some("a b/c%zz%f"));
    assert_eq!(upgrade.query_value("b").as_deref(), Some("é\u{fffd}"));
    assert_eq!(upgrade.query_value("flag").as_deref(), Some(""));
    assert_eq!(upgrade.query_value("none"), None);
}

#[test]
fn what_proxies_and_odd_clients_send_is_understood() {
    upgraded(&RFC.replace("Connection: Upgrade", "Connection: keep-alive , upgrade"));
    upgraded(&RFC.replace("Connection: Upgrade", "Connection: keep-alive\r\nconnection: UPGRADE"));
    upgraded(&RFC.replace("Upgrade: websocket", "upgrade: h2c, WebSocket"));
    upgraded(&RFC.replace("Origin: http://example.com\r\n", "Content-Length: 0\r\n"));
    let absolute = upgraded(&RFC.replace("GET /chat?", "GET http://server.example.com/chat?"));
    assert_eq!(absolute.path, "/chat");
    assert_eq!(upgraded(&RFC.replace("Origin: http://example.com\r\n", "")).origin, None);
}

#[test]
fn every_malformed_request_is_told_what_is_wrong() {
    let without = |line: &str| RFC.replace(line, "");
    let twice = |line: &str| RFC.replace(line, &format!("{line}{line}"));
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        (RFC.replace("HTTP/1.1", "HTTP/1.0"), "only HTTP/1.1 can be upgraded"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "only HTTP/1.1 can be upgraded"),
        ("\u{16}\u{3}\u{1}\u{2}".to_owned(), "TLS on a port without TLS"),
        ("\u{1}\u{2}\r\n".to_owned(), "not an HTTP request"),
        (RFC.replace("Origin:", "Ori gin:"), "malformed header"),
        (RFC.replace("example.com\r\nSec", "exam\u{0}ple.com\r\nSec"), "malformed header"),
        (RFC.replace("/chat?welcome=0&n=a+b%2Fc", "*"), "the request's target is not a path"),
        (RFC.replace("/chat?welcome=0&n=a+b%2Fc", "chat"), "the request's target is not a path"),
        (RFC.replace("/chat?", "/ch<at?"), "the request's target is not a valid path"),
        (without("Host: server.example.com\r\n"), "no Host header"),
        (twice("Host: server.example.com\r\n"), "more than one Host header"),
        (without("Upgrade: websocket\r\n"), "no Upgrade: websocket header"),
        (RFC.replace("Upgrade: websocket", "Upgrade: websockets"), "no Upgrade: websocket header"),
        (without("Connection: Upgrade\r\n"), "no Connection: Upgrade header"),
        (RFC.replace("Connection: Upgrade", "Connection: close"), "no Connection: Upgrade header"),
        (twice("Sec-WebSocket-Version: 13\r\n"), "more than one Sec-WebSocket-Version header"),
        (without(key), "no Sec-WebSocket-Key header"),
        (twice(key), "more than one Sec-WebSocket-Key header"),
        (
            RFC.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"),
            "Sec-WebSocket-Key is not base64 of 16 bytes",
        ),
        (RFC.replace("dGhlIHNhbXBsZSBub25jZQ==", "!"), "Sec-WebSocket-Key is not base64 of 16 bytes"),
        (twice("Origin: http://example.com\r\n"), "more than one Origin header"),
    ];
    for (request, what) in cases {
        assert_eq!(refused(&request), Refusal::Malformed(what), "{request}");
    }
    let at = RFC.find("example.com\r\nSec").unwrap();
    let mut bytes = RFC.as_bytes().to_vec();
    bytes[at] = 0xff;
    assert_eq!(parse(&bytes, MAX), Err(Refusal::Malformed("Origin is not text")));
}

#[test]
fn other_refusals_of_a_request() {
    assert_eq!(refused(&RFC.replace("GET", "POST")), Refusal::Method);
    assert_eq!(refused(&RFC.replace("Version: 13", "Version: 8")), Refusal::Version);
    assert_eq!(refused(&RFC.replace("Version: 13", "Version: 13, 8")), Refusal::Version);
    assert_eq!(refused(&RFC.replace("Sec-WebSocket-Version: 13\r\n", "")), Refusal::Version);
    assert_eq!(refused(&RFC.replace("Origin: http://example.com", "Content-Length: 5")), Refusal::Body);
    assert_eq!(
        refused(&RFC.replace("Origin: http://example.com", "Transfer-Encoding: chunked")),
        Refusal::Body
    );
    let many = "X: y\r\n".repeat(HEADERS_MAX);
    assert_eq!(refused(&RFC.replace("Origin:", &format!("{many}Origin:"))), Refusal::TooLarge);
}

#[test]
fn a_request_over_the_limit_is_refused_whole_or_not() {
    assert!(parse(RFC.as_bytes(), RFC.len()).unwrap().is_some());
    assert_eq!(parse(RFC.as_bytes(), RFC.len() - 1), Err(Refusal::TooLarge));
    assert_eq!(parse(&RFC.as_bytes()[..100], 100), Err(Refusal::TooLarge));
    assert_eq!(parse(&RFC.as_bytes()[..99], 100), Ok(None));
    // What lies beyond the limit is not looked at, or the verdict would depend on how much came at once.
    let wrong_beyond = b"GET / HTTP/1.1\r\nHost: a\r\n\0";
    assert_eq!(parse(wrong_beyond, 20), Err(Refusal::TooLarge));
}

#[test]
fn refusals_are_whole_http_responses_with_a_json_reason() {
    let all = [
        (Refusal::Malformed("a \"quoted\" reason"), 400, ""),
        (Refusal::Origin, 403, ""),
        (Refusal::NotFound, 404, ""),
        (Refusal::Method, 405, "Allow: GET"),
        (Refusal::TooSlow, 408, ""),
        (Refusal::Body, 413, ""),
        (Refusal::Version, 426, "Sec-WebSocket-Version: 13"),
        (Refusal::Rate { retry_after_s: 7 }, 429, "Retry-After: 7"),
        (Refusal::TooLarge, 431, ""),
        (Refusal::Unavailable { reason: "full", retry_after_s: 3 }, 503, "Retry-After: 3"),
    ];
    for (refusal, status, header) in all {
        assert_eq!(refusal.status(), status);
        let response = refusal.response();
        let mut headers = [EMPTY_HEADER; 16];
        let mut parsed = httparse::Response::new(&mut headers);
        let Ok(Status::Complete(head_len)) = parsed.parse(&response) else { panic!("{refusal:?}") };
        assert_eq!(parsed.code, Some(status));
        let head = std::str::from_utf8(&response[..head_len]).unwrap();
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(head.contains(header), "{head}");
        let body = &response[head_len..];
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["reason"], refusal.reason());
        assert!(body["error"].is_string());
        let error = client_check(&response, &[0; 16]).unwrap_err();
        let ClientHandshakeError::Refused { status: seen, retry_after_s, body: text } = error else {
            panic!("{error}")
        };
        assert_eq!(seen, status);
        assert_eq!(retry_after_s.is_some(), header.starts_with("Retry"));
        assert_eq!(text, body.to_string());
        assert_eq!(client_check(&response[..response.len() - 1], &[0; 16]), Ok(None));
    }
}

#[test]
fn both_sides_understand_each_other_and_tungstenite() {
    let key = *b"0123456789abcdef";
    let request = client_request("h:1", "/ws?x=1", &key);
    let (upgrade, consumed) = parse(&request, MAX).unwrap().unwrap();
    assert_eq!((upgrade.path.as_str(), upgrade.query.as_str(), consumed), ("/ws", "x=1", request.len()));
    let response = upgrade.response();
    let with_frames = [&response[..], b"\x81\x00"].concat();
    assert_eq!(client_check(&with_frames, &key), Ok(Some(response.len())));
    for end in 0..response.len() {
        assert_eq!(client_check(&response[..end], &key), Ok(None));
    }
    let wrong = ClientHandshakeError::Malformed("101 with a wrong Sec-WebSocket-Accept");
    assert_eq!(client_check(&response, b"another key, man"), Err(wrong));

    let (_, theirs) = tungstenite::handshake::server::Request::try_parse(&request).unwrap().unwrap();
    let theirs = tungstenite::handshake::server::create_response(&theirs).unwrap();
    assert_eq!(theirs.headers()["Sec-WebSocket-Accept"], upgrade.accept);
}

#[test]
fn answers_that_are_no_upgrade() {
    let key = [7; 16];
    let response =
        String::from_utf8(upgraded(&String::from_utf8(client_request("h", "/", &key)).unwrap()).response());
    let response = response.unwrap();
    let cases = [
        (response.replace("Upgrade: websocket\r\n", ""), "101 without Upgrade: websocket"),
        (response.replace("Connection: Upgrade\r\n", ""), "101 without Connection: Upgrade"),
        (response.replace("Accept", "Accept2"), "101 with a wrong Sec-WebSocket-Accept"),
        (
            response.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
            "101 with what was not asked for",
        ),
        ("SSH-2.0-x\r\n".to_owned(), "not HTTP"),
        (format!("HTTP/1.1 101 x\r\nA: {}", "b".repeat(MAX)), "headers without end"),
    ];
    for (response, what) in cases {
        let error = client_check(response.as_bytes(), &key).unwrap_err();
        assert_eq!(error, ClientHandshakeError::Malformed(what), "{response}");
    }
}

/// Damaged requests: never a panic, and what is accepted is accepted by tungstenite too, or is damage that it
/// cannot see.
#[test]
fn smoke_of_damaged_requests() {
    let mut accepted = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut bytes = RFC.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.byte(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.byte()),
            }
        }
        match parse(&bytes, MAX) {
            Ok(Some((upgrade, consumed))) => {
                assert!(consumed <= bytes.len() && upgrade.path.starts_with('/'));
                let (_, theirs) =
                    tungstenite::handshake::server::Request::try_parse(&bytes).unwrap().unwrap();
                assert!(tungstenite::handshake::server::create_response(&theirs).is_ok(), "seed {seed}");
                accepted += 1;
            }
            Ok(None) => {}
            Err(refusal) => assert!((400..=431).contains(&refusal.status())),
        }
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.byte()).collect();
        let _ = parse(&noise, MAX);
        let _ = client_check(&noise, &[0; 16]);
    }
    assert!((1_000..19_000).contains(&accepted), "the mix is off: {accepted} accepted");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn form_values_come_back(value in "\\PC{0,40}") {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let decoded = form_decoded(&encoded);
        prop_assert_eq!(&decoded, &value);
    }
}
