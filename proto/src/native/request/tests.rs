use proptest::prelude::*;

use super::*;
use crate::random::Random;

const LIMITS: Limits = Limits { channels_per_request: 3, channel_name_bytes: 8 };

fn all(text: &str) -> Vec<Result<Request, RequestError>> {
    requests(text, &LIMITS).collect()
}

fn only(text: &str) -> Result<Request, RequestError> {
    let mut all = all(text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn subscribe_to(names: &[&str]) -> Command {
    Command::Subscribe(
        names.iter().map(|name| Wanted { channel: (*name).to_owned(), refused: None }).collect(),
    )
}

/// Code and id of a failure.
fn failed(text: &str) -> (ErrorCode, Option<i64>) {
    let error = only(text).expect_err(text);
    assert!(!error.message.is_empty() && error.message.len() < 200, "{}", error.message);
    (error.code, error.id)
}

#[test]
fn requests_of_the_table() {
    let ask = |id, command| Ok(Request { id, command });
    assert_eq!(
        only(r#"{"type":"subscribe","id":7,"data":{"channels":["a",{"channel":"b c"}]}}"#),
        ask(Some(7), subscribe_to(&["a", "b c"]))
    );
    assert_eq!(
        only(r#" {"data":{"channels":["x\n\u00e9"]},"type":"unsubscribe","id":-1} "#),
        ask(Some(-1), Command::Unsubscribe(vec!["x\né".to_owned()]))
    );
    assert_eq!(only(r#"{"type":"heartbeat"}"#), ask(None, Command::Heartbeat));
    assert_eq!(only(r#"{"type":"heartbeat","data":[1],"id":null}"#), ask(None, Command::Heartbeat));
    assert_eq!(only(r#"{"type":"subscribe","data":{"channels":[]}}"#), ask(None, subscribe_to(&[])));
}

#[test]
fn what_the_predecessors_clients_send_is_understood() {
    let text =
        r#"{"type":"subscribe","data":{"channels":["BTC.trade"],"client_id":"x"},"timestamp":1700000000}"#;
    let limits = Limits::default();
    assert_eq!(requests(text, &limits).next().unwrap().unwrap().command, subscribe_to(&["BTC.trade"]));
    assert_eq!(
        failed(r#"{"type":"reconnect","id":3,"data":{"last_offset":{"t":{"0":5}}}}"#),
        (ErrorCode::NotAvailable, Some(3))
    );
}

#[test]
fn one_request_a_line() {
    let text = "{\"type\":\"heartbeat\",\"id\":1}\n\n \t\r\n{bad}\r\n{\"type\":\"heartbeat\",\"id\":2}\r\n";
    let all = all(text);
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].as_ref().unwrap().id, Some(1));
    assert_eq!(all[1].as_ref().unwrap_err().code, ErrorCode::BadJson);
    assert_eq!(all[2].as_ref().unwrap().id, Some(2));
    assert!(requests("", &LIMITS).next().is_none());
}

#[test]
fn every_failure_has_its_code_and_its_id() {
    use ErrorCode::{BadJson, BadRequest, NotAvailable, UnknownType};
    let cases = [
        ("{", BadJson, None),
        ("subscribe", BadJson, None),
        (r#"{"type":"heartbeat"} x"#, BadJson, None),
        (r#"{"type":"heartbeat","id":1,}"#, BadJson, None),
        (r#"{"type":5,"id":1"#, BadJson, None),
        ("[]", BadRequest, None),
        (r#"["heartbeat",1,{}]"#, BadRequest, None),
        ("5", BadRequest, None),
        ("null", BadRequest, None),
        (r#""heartbeat""#, BadRequest, None),
        ("{}", BadRequest, None),
        (r#"{"id":4}"#, BadRequest, Some(4)),
        (r#"{"type":null,"id":4}"#, BadRequest, Some(4)),
        (r#"{"type":5,"id":4}"#, BadRequest, Some(4)),
        (r#"{"type":"heartbeat","type":"heartbeat"}"#, BadRequest, None),
        (r#"{"type":"heartbeat","id":1.5}"#, BadRequest, None),
        (r#"{"type":"heartbeat","id":"1"}"#, BadRequest, None),
        (r#"{"type":"heartbeat","id":9223372036854775808}"#, BadRequest, None),
        (r#"{"type":"publish","id":1}"#, UnknownType, Some(1)),
        (r#"{"type":"Subscribe","id":1}"#, UnknownType, Some(1)),
        (r#"{"type":"reconnect","id":1}"#, NotAvailable, Some(1)),
        (r#"{"type":"refresh","id":1,"data":{"token":"x"}}"#, NotAvailable, Some(1)),
        (r#"{"type":"subscribe","id":1}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":["a"]}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":[["a"],null]}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":"a"}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":[1]}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":[null]}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":[["a"]]}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":[{}]}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":["a","b","c","d"]}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":["a","a","a","a"]}}"#, BadRequest, Some(1)),
        (r#"{"type":"subscribe","id":1,"data":{"channels":["a"],"since":{}}}"#, BadRequest, Some(1)),
        (r#"{"type":"unsubscribe","id":1,"data":{"channels":["a",2]}}"#, BadRequest, Some(1)),
        (r#"{"type":"unsubscribe","id":1,"data":{"channels":[{"channel":"a"}]}}"#, BadRequest, Some(1)),
        (r#"{"type":"unsubscribe","id":1,"data":{"channels":["a","b","c","d"]}}"#, BadRequest, Some(1)),
    ];
    for (text, code, id) in cases {
        assert_eq!(failed(text), (code, id), "{text}");
    }
    let long = format!(r#"{{"type":"{}"}}"#, "é".repeat(5_000));
    assert_eq!(failed(&long).0, UnknownType);
    // What is escaped is cut as well.
    assert_eq!(failed(&format!(r#"{{"type":"{}"}}"#, "\u{7f}".repeat(90))).0, UnknownType);
}

/// What stands beside a channel's name, and how the channel fares while its neighbour holds.
#[test]
fn options_are_judged_per_channel() {
    use ErrorCode::NotAvailable;
    let cases = [
        (r#""since":null"#, Some(None)),
        (r#""snapshot":false"#, Some(None)),
        (r#""mode":"all""#, Some(None)),
        (r#""max_rate":null"#, Some(None)),
        (r#""unknown":{"a":[]}"#, Some(None)),
        (r#""since":"earliest""#, Some(Some(NotAvailable))),
        (r#""since":"-30s""#, Some(Some(NotAvailable))),
        (r#""since":["a.0.1","a.*.AA"]"#, Some(Some(NotAvailable))),
        (r#""since":[]"#, Some(Some(NotAvailable))),
        (r#""snapshot":true"#, Some(Some(NotAvailable))),
        (r#""mode":"latest""#, Some(Some(NotAvailable))),
        (r#""max_rate":4"#, Some(Some(NotAvailable))),
        (r#""max_rate":0.5"#, Some(Some(NotAvailable))),
        (r#""since":5"#, None),
        (r#""since":[5]"#, None),
        (r#""since":{}"#, None),
        (r#""snapshot":"yes""#, None),
        (r#""snapshot":true,"since":"earliest""#, None),
        (r#""mode":"newest""#, None),
        (r#""mode":1"#, None),
        (r#""max_rate":"4""#, None),
    ];
    for (options, expected) in cases {
        let text =
            format!(r#"{{"type":"subscribe","data":{{"channels":[{{"channel":"a",{options}}},"b"]}}}}"#);
        match expected {
            None => assert_eq!(failed(&text), (ErrorCode::BadRequest, None), "{text}"),
            Some(refused) => {
                let Ok(Request { command: Command::Subscribe(wanted), .. }) = only(&text) else {
                    panic!("{text}")
                };
                assert_eq!(wanted[0], Wanted { channel: "a".to_owned(), refused }, "{text}");
                assert_eq!(wanted[1], Wanted { channel: "b".to_owned(), refused: None }, "{text}");
            }
        }
    }
    let Ok(Request { command: Command::Subscribe(wanted), .. }) =
        only(r#"{"type":"subscribe","data":{"channels":["a","123456789"],"since":"-5m"}}"#)
    else {
        panic!("no subscribe")
    };
    assert_eq!(wanted[0].refused, Some(NotAvailable));
    assert_eq!(wanted[1].refused, Some(ErrorCode::NameTooLong));
}

/// A name that ends in `*` will mean all that begin so: taken literally, it would be silent for ever.
#[test]
fn wildcards_are_not_available() {
    let not_available = Some(ErrorCode::NotAvailable);
    let cases = [
        (r#""a.*""#, not_available),
        (r#""*""#, not_available),
        (r#"{"channel":"b*"}"#, not_available),
        (r#""*c""#, None),
        (r#""12345678*""#, Some(ErrorCode::NameTooLong)),
    ];
    for (channel, refused) in cases {
        let text = format!(r#"{{"type":"subscribe","data":{{"channels":[{channel},"b"]}}}}"#);
        let Ok(Request { command: Command::Subscribe(wanted), .. }) = only(&text) else { panic!("{text}") };
        assert_eq!((wanted[0].refused, wanted[1].refused), (refused, None), "{text}");
    }
}

#[test]
fn names_at_the_limit_and_beyond() {
    let Ok(Request { command: Command::Subscribe(wanted), .. }) =
        only(r#"{"type":"subscribe","data":{"channels":["12345678","1234567é","é234567"]}}"#)
    else {
        panic!("no subscribe")
    };
    let refused: Vec<_> = wanted.iter().map(|wanted| wanted.refused).collect();
    assert_eq!(refused, [None, Some(ErrorCode::NameTooLong), None]);
}

#[test]
fn a_name_given_twice_counts_once() {
    let text = r#"{"type":"subscribe","data":{"channels":["b","a","b"]}}"#;
    assert_eq!(only(text).unwrap().command, subscribe_to(&["b", "a"]));
    let text = r#"{"type":"unsubscribe","data":{"channels":["b","a","b"]}}"#;
    assert_eq!(only(text).unwrap().command, Command::Unsubscribe(vec!["b".to_owned(), "a".to_owned()]));
}

#[test]
fn codes_are_those_of_the_protocol() {
    let words: Vec<_> = ErrorCode::ALL.into_iter().map(ErrorCode::as_str).collect();
    let page = "BAD_JSON, BAD_REQUEST, UNKNOWN_TYPE, UNKNOWN_CHANNEL, FORBIDDEN, TOO_MANY_CHANNELS, NAME_TOO_LONG, \
                POSITION_INVALID, POSITION_EXPIRED, RATE_LIMIT_EXCEEDED, REPLAY_BUSY, TOKEN_EXPIRED, NOT_AVAILABLE";
    assert_eq!(words.join(", "), page);
}

#[test]
fn depth_is_no_danger() {
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(100_000);
        assert_eq!(failed(&deep).0, ErrorCode::BadJson);
        let text = format!(r#"{{"type":"heartbeat","data":{deep}"#);
        assert_eq!(failed(&text).0, ErrorCode::BadJson);
    }
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(only(&format!(r#"{{"type":"heartbeat","data":{nested}}}"#)).is_ok());
    let text =
        format!(r#"{{"type":"subscribe","data":{{"channels":[{{"channel":"a","since":{nested}}}]}}}}"#);
    assert_eq!(failed(&text).0, ErrorCode::BadRequest);
    assert_eq!(failed(&format!(r#"{{"type":{nested}}}"#)).0, ErrorCode::BadRequest);
    assert_eq!(
        failed(&format!(r#"{{"type":"subscribe","data":{{"channels":{nested}}}}}"#)).0,
        ErrorCode::BadRequest
    );
}

/// Damaged requests and noise: an answer to each, never a panic.
#[test]
fn smoke_of_damaged_requests() {
    let good = r#"{"type":"subscribe","id":12,"data":{"channels":["a",{"channel":"b","since":["x"],"mode":"all"}]}}"#;
    let (mut fine, mut seen) = (0, HashSet::new());
    for seed in 0..30_000 {
        let mut random = Random::new(seed);
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.byte(),
                1 => bytes[at] = *random.pick(b"\"{}[]:,01\n "),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *random.pick(b"\"{}[]:,01\n ")),
            }
        }
        for result in requests(&String::from_utf8_lossy(&bytes), &LIMITS) {
            match result {
                Ok(_) => fine += 1,
                Err(error) => drop(seen.insert(error.code)),
            }
        }
    }
    assert!((1_000..29_000).contains(&fine), "the mix is off: {fine} fine");
    assert_eq!(seen.len(), 3, "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Names come as they were meant, however they are written.
    #[test]
    fn names_come_back(names in prop::collection::btree_set(any::<String>(), 0..5), id: Option<i64>) {
        let limits = Limits { channels_per_request: 5, channel_name_bytes: usize::MAX };
        let names: Vec<String> = names.into_iter().collect();
        let value = serde_json::json!({ "type": "unsubscribe", "id": id, "data": { "channels": names } });
        let got: Vec<_> = requests(&value.to_string(), &limits).collect();
        prop_assert_eq!(got, [Ok(Request { id, command: Command::Unsubscribe(names) })]);
    }

    #[test]
    fn any_text_is_judged(text in any::<String>()) {
        for result in requests(&text, &LIMITS) {
            let _ = result;
        }
    }
}
