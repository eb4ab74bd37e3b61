//! Messages: the bytes that all subscribers share, encoded once a record.
//!
//! `{"type":"message","channel":C,"pos":POS,"ts":T[,"headers":{..}][,"encoding":"base64"],"data":V}`, and in
//! place of `data` `"deleted":true` for a tombstone. `data` stands last so that a reader who knows us finds
//! it without a parse ([`scan`](super::scan)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::json::{put_i64, put_list, put_string, put_u64};
use crate::position::Epoch;
use crate::ws::frame::{OpCode, put_built};

/// How a route's record values are written. What is not text ([`as_text`]) becomes base64 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Payload {
    /// JSON passed through; what is not JSON becomes a string.
    #[default]
    Json,
    /// Always a string.
    Text,
    /// Always base64.
    Binary,
}

/// A record as a message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Name of the channel.
    pub channel: &'a str,
    /// Of the topic.
    pub epoch: &'a Epoch,
    /// Of the record.
    pub partition: u32,
    /// Of the record.
    pub offset: i64,
    /// Kafka's timestamp, Unix ms; -1 where the record has none.
    pub ts_ms: i64,
    /// Of the record; none: a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record headers that the route shows; of several with one name the last counts. Values that are not
    /// text ([`as_text`]) are written as `{"base64":".."}`.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// How the value was written, so that callers can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueForm {
    /// As it was, but for raw newlines.
    Json,
    /// As a JSON string.
    String,
    /// As base64.
    Base64,
    /// A tombstone.
    Deleted,
}

/// Bytes of a message beside channel, value and headers: names and punctuation, an epoch, numbers of usual
/// length. Only a guess: it spares the buffer a second allocation, and nearly always gives the right length
/// of frame header.
const OVERHEAD_BYTES: usize = 100;

/// What some producers put before JSON, which RFC 8259 8.1 forbids to send and lets a parser drop.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text that a value or header is; none: it is binary.
///
/// What begins with a zero byte is binary whatever follows: so begin values of a schema registry (a zero byte,
/// the schema's id, then Avro or Protobuf) and small integers, and some of them are UTF-8 by accident. One field
/// must not come as a string today and as base64 tomorrow.
#[must_use]
#[inline]
pub fn as_text(bytes: &[u8]) -> Option<&str> {
    if bytes.first() == Some(&0) { None } else { std::str::from_utf8(bytes).ok() }
}

/// Why a value is not passed through as JSON, in the parser's words; none: it is. For the log: costs a second parse.
#[must_use]
pub fn not_json(value: &[u8]) -> Option<String> {
    if value.first() == Some(&0) {
        return Some("it begins with a zero byte".to_owned());
    }
    match std::str::from_utf8(without_mark(value)) {
        Ok(text) => serde_json::from_str::<IgnoredAny>(text).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn without_mark(value: &[u8]) -> &[u8] {
    value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value)
}

/// Appends one complete server text frame. The frame never has a raw newline.
///
/// Valid JSON is passed through byte for byte, but for a byte order mark before it, which is dropped, and for raw
/// newlines and carriage returns, which become spaces: in valid JSON they stand only between tokens. A string is the
/// whole value, a byte order mark included.
pub fn message(out: &mut Vec<u8>, m: &Message<'_>, payload: Payload) -> ValueForm {
    let headers: usize = m.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    let guess = OVERHEAD_BYTES + m.channel.len() + headers + m.value.map_or(0, <[u8]>::len);
    put_built(out, OpCode::Text, guess, |out| {
        out.extend_from_slice(br#"{"type":"message","channel":"#);
        put_string(out, m.channel);
        out.extend_from_slice(br#","pos":""#);
        out.extend_from_slice(m.epoch.as_str().as_bytes());
        out.push(b'.');
        put_u64(out, u64::from(m.partition));
        out.push(b'.');
        put_i64(out, m.offset);
        out.extend_from_slice(br#"","ts":"#);
        put_i64(out, m.ts_ms);
        if !m.headers.is_empty() {
            put_headers(out, m.headers);
        }
        let form = match m.value {
            None => {
                out.extend_from_slice(br#","deleted":true"#);
                ValueForm::Deleted
            }
            Some(value) => put_value(out, value, payload),
        };
        out.push(b'}');
        form
    })
}

fn put_value(out: &mut Vec<u8>, value: &[u8], payload: Payload) -> ValueForm {
    let text = if payload == Payload::Binary { None } else { as_text(value) };
    let Some(text) = text else {
        out.extend_from_slice(br#","encoding":"base64","data":"#);
        put_base64(out, value);
        return ValueForm::Base64;
    };
    out.extend_from_slice(br#","data":"#);
    let unmarked = without_mark(value);
    // The mark is one whole character.
    if payload == Payload::Json && is_json(&text[text.len() - unmarked.len()..]) {
        let start = out.len();
        out.extend_from_slice(unmarked);
        // Two fast searches; nearly no value has any.
        if value.contains(&b'\n') || value.contains(&b'\r') {
            for byte in &mut out[start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        return ValueForm::Json;
    }
    put_string(out, text);
    ValueForm::String
}

/// serde_json skips values without recursion (its stack is one byte a level, on the heap), so depth is no
/// danger to us. It does not look for UTF-8 while skipping bytes, hence a `str`.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + base64::encoded_len(bytes.len(), true).unwrap_or(0), 0);
    // The room is exact.
    let _ = STANDARD.encode_slice(bytes, &mut out[start..]);
    out.push(b'"');
}

#[cold]
fn put_headers(out: &mut Vec<u8>, headers: &[(&str, &[u8])]) {
    out.extend_from_slice(br#","headers":"#);
    let last = headers
        .iter()
        .enumerate()
        .filter(|(i, (name, _))| !headers[i + 1..].iter().any(|(later, _)| later == name));
    put_list(out, *b"{}", last, |out, (_, (name, value))| {
        put_string(out, name);
        out.push(b':');
        match as_text(value) {
            Some(text) => put_string(out, text),
            None => {
                out.extend_from_slice(br#"{"base64":"#);
                put_base64(out, value);
                out.push(b'}');
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::ws::decoder::{Decoder, Event, Limits};

    fn epoch() -> Epoch {
        Epoch::parse("abcDEF-_").unwrap()
    }

    /// The text of the one frame that was written.
    fn written(m: &Message<'_>, payload: Payload) -> (String, ValueForm) {
        let mut out = Vec::new();
        let form = message(&mut out, m, payload);
        let mut input = &mut out[..];
        let mut decoder = Decoder::client();
        let limits = Limits { frame_bytes_max: 1 << 24, message_bytes_max: 1 << 24 };
        let Ok(Some(Event::Text(text))) = decoder.next(&mut input, &limits) else { panic!("no text frame") };
        let text = text.to_owned();
        assert!(input.is_empty(), "more than one frame");
        assert!(!text.contains(['\n', '\r']), "{text}");
        (text, form)
    }

    fn of(value: Option<&[u8]>, payload: Payload) -> (String, ValueForm) {
        let m = Message {
            channel: "BTC.trade",
            epoch: &epoch(),
            partition: 3,
            offset: 1207,
            ts_ms: 1_700_000_000_123,
            value,
            headers: &[],
        };
        let (text, form) = written(&m, payload);
        let prefix = r#"{"type":"message","channel":"BTC.trade","pos":"abcDEF-_.3.1207","ts":1700000000123,"#;
        (text.strip_prefix(prefix).unwrap().to_owned(), form)
    }

    #[test]
    fn values_by_payload() {
        use Payload::{Binary, Json, Text};
        let cases: [(&[u8], Payload, &str, ValueForm); 30] = [
            (br#"{"a": [1, 2.5e3]}"#, Json, r#""data":{"a": [1, 2.5e3]}}"#, ValueForm::Json),
            (b" {\r\n \"a\":\n1}\n", Json, "\"data\": {   \"a\": 1} }", ValueForm::Json),
            (b"[1,\r2]", Json, r#""data":[1, 2]}"#, ValueForm::Json),
            (br#""a\nb""#, Json, r#""data":"a\nb"}"#, ValueForm::Json),
            (b"12", Json, r#""data":12}"#, ValueForm::Json),
            (b"null", Json, r#""data":null}"#, ValueForm::Json),
            (b"hello \"you\"\n", Json, r#""data":"hello \"you\"\n"}"#, ValueForm::String),
            (b"\"a\nb\"", Json, r#""data":"\"a\nb\""}"#, ValueForm::String),
            (b"{\"a\":1}{", Json, r#""data":"{\"a\":1}{"}"#, ValueForm::String),
            (b"", Json, r#""data":""}"#, ValueForm::String),
            (b"[1,]", Json, r#""data":"[1,]"}"#, ValueForm::String),
            (b"\"\xff\"", Json, r#""encoding":"base64","data":"Iv8i"}"#, ValueForm::Base64),
            (b"12", Text, r#""data":"12"}"#, ValueForm::String),
            (b"\xff", Text, r#""encoding":"base64","data":"/w=="}"#, ValueForm::Base64),
            (b"12", Binary, r#""encoding":"base64","data":"MTI="}"#, ValueForm::Base64),
            (b"", Binary, r#""encoding":"base64","data":""}"#, ValueForm::Base64),
            // A byte order mark is dropped before JSON, once, and is a character of a string.
            (b"\xef\xbb\xbf{\"a\":\n1}", Json, r#""data":{"a": 1}}"#, ValueForm::Json),
            (b"\xef\xbb\xbf 12", Json, r#""data": 12}"#, ValueForm::Json),
            (b"\xef\xbb\xbf[1,]", Json, "\"data\":\"\u{feff}[1,]\"}", ValueForm::String),
            (b"\xef\xbb\xbf\xef\xbb\xbf1", Json, "\"data\":\"\u{feff}\u{feff}1\"}", ValueForm::String),
            (b" \xef\xbb\xbf1", Json, "\"data\":\" \u{feff}1\"}", ValueForm::String),
            (b"\xef\xbb\xbf", Json, "\"data\":\"\u{feff}\"}", ValueForm::String),
            (b"\xef\xbb\xbf12", Text, "\"data\":\"\u{feff}12\"}", ValueForm::String),
            (b"\xef\xbb\xbf1", Binary, r#""encoding":"base64","data":"77u/MQ=="}"#, ValueForm::Base64),
            // Avro with a schema id, UTF-8 by accident or not; integers, whatever their value.
            (
                b"\0\0\0\0\x2a\x06BTC",
                Json,
                r#""encoding":"base64","data":"AAAAACoGQlRD"}"#,
                ValueForm::Base64,
            ),
            (
                b"\0\0\0\0\x2a\x06BTC",
                Text,
                r#""encoding":"base64","data":"AAAAACoGQlRD"}"#,
                ValueForm::Base64,
            ),
            (b"\0\0\0\0\x2a\xff", Json, r#""encoding":"base64","data":"AAAAACr/"}"#, ValueForm::Base64),
            (b"\0\0\0A", Json, r#""encoding":"base64","data":"AAAAQQ=="}"#, ValueForm::Base64),
            (b"\0\0\0\xc8", Json, r#""encoding":"base64","data":"AAAAyA=="}"#, ValueForm::Base64),
            (b"a\0", Text, r#""data":"a\u0000"}"#, ValueForm::String),
        ];
        for (value, payload, text, form) in cases {
            assert_eq!(
                of(Some(value), payload),
                (text.to_owned(), form),
                "{:?}",
                value.escape_ascii().to_string()
            );
        }
        assert_eq!(of(None, Json), (r#""deleted":true}"#.to_owned(), ValueForm::Deleted));
        assert_eq!(of(None, Binary).1, ValueForm::Deleted);
    }

    #[test]
    fn why_a_value_is_not_json_is_told_in_the_parsers_words() {
        assert_eq!(not_json(b"\xef\xbb\xbf{}"), None);
        for (value, words) in [
            (&b"{\"a\":1,}"[..], "key must be a string at line 1 column 8"),
            (b"{'a':1}", "key must be a string at line 1 column 2"),
            (b"\xef\xbb\xbf{\n \"a\": NaN}", "expected value at line 2 column 7"),
            (b"", "EOF while parsing a value at line 1 column 0"),
            (b"\"\xff\"", "invalid utf-8 sequence of 1 bytes from index 1"),
            (b"\0\0\0A", "it begins with a zero byte"),
        ] {
            assert_eq!(not_json(value).as_deref(), Some(words));
            assert_ne!(of(Some(value), Payload::Json).1, ValueForm::Json);
        }
    }

    #[test]
    fn headers_stand_before_the_data() {
        let m = Message {
            channel: "quote \" and \n",
            epoch: &epoch(),
            partition: 0,
            offset: 0,
            ts_ms: -1,
            value: Some(b"1"),
            headers: &[("a", b"old"), ("b", b"\xff"), ("a", b"new\n"), ("c", b""), ("d", b"\0\0\0A")],
        };
        let (text, _) = written(&m, Payload::Json);
        assert_eq!(
            text,
            r#"{"type":"message","channel":"quote \" and \n","pos":"abcDEF-_.0.0","ts":-1,"headers":{"b":{"base64":"/w=="},"a":"new\n","c":"","d":{"base64":"AAAAQQ=="}},"data":1}"#
        );
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
        assert_eq!(of(Some(&deep), Payload::Json).1, ValueForm::Json);
        assert_eq!(of(Some(&deep[..300_000]), Payload::Json).1, ValueForm::String);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,9}\n?".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z\n]{0,4}", inner, 0..5)
                    .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Passed through: the same JSON for the reader, and the same bytes unless it was spread over lines.
        #[test]
        fn json_is_passed_through(value in any_json(), channel in "\\PC{0,20}", offset in 0..=i64::MAX, pretty: bool) {
            let bytes = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let m = Message {
                channel: &channel, epoch: &epoch(), partition: 7, offset, ts_ms: 5, value: Some(&bytes), headers: &[],
            };
            let (text, form) = written(&m, Payload::Json);
            prop_assert_eq!(form, ValueForm::Json);
            let read: Value = serde_json::from_str(&text).unwrap();
            let pos = format!("abcDEF-_.7.{offset}");
            prop_assert_eq!(
                read,
                json!({ "type": "message", "channel": channel, "pos": pos, "ts": 5, "data": value })
            );
            if !pretty {
                let end = [&bytes[..], b"}"].concat();
                prop_assert!(text.as_bytes().ends_with(&end), "{}", text);
            }
        }

        /// Whatever the value is, the message is valid JSON in a whole frame, and the value can be had back.
        #[test]
        fn any_value_makes_a_valid_message(
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "\u{feff}?\0?[\\[\\]{}\":,0-9 \n\\\\a]{0,12}".prop_map(String::into_bytes),
                (prop::sample::select(b"a\"\n \xff[".to_vec()), 65_300..65_600_usize).prop_map(|(byte, len)| vec![byte; len]),
            ],
            payload in prop::sample::select(vec![Payload::Json, Payload::Text, Payload::Binary]),
            ts_ms: i64,
        ) {
            let m = Message {
                channel: "c", epoch: &epoch(), partition: u32::MAX, offset: i64::MAX, ts_ms, value: Some(&value), headers: &[],
            };
            let (text, form) = written(&m, payload);
            let read: Value = serde_json::from_str(&text).unwrap();
            let back = match form {
                ValueForm::Json => {
                    let json = serde_json::from_slice::<Value>(without_mark(&value));
                    prop_assert!(json.is_ok_and(|value| value == read["data"]));
                    value.clone()
                }
                ValueForm::String => {
                    prop_assert!(value.first() != Some(&0));
                    read["data"].as_str().unwrap().as_bytes().to_vec()
                }
                ValueForm::Base64 => STANDARD.decode(read["data"].as_str().unwrap()).unwrap(),
                ValueForm::Deleted => unreachable!("it has a value"),
            };
            prop_assert_eq!(back, value);
        }
    }
}
