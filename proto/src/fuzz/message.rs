use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::native::envelope::Envelope;
use crate::native::message::{Message, Payload, ValueForm, message as put};
use crate::position::{Epoch, Position};

/// A header's value, as the frame has it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Header {
    Text(String),
    Bytes { base64: String },
}

#[derive(Deserialize)]
struct Headers {
    #[serde(default)]
    headers: BTreeMap<String, Header>,
}

/// One byte of choices, a line for the channel, one for a header's name and one for its value, then the
/// record's value.
///
/// Whatever a record holds, its frame is one text frame of valid JSON in one line, and channel, position,
/// time, headers and value come back from it. How the value is written is what the payload and the value's bytes say.
pub fn message(input: &[u8]) {
    let Some((choices, rest)) = input.split_first() else { return };
    let (channel, rest) = super::line(rest);
    let (name, rest) = super::line(rest);
    let (header, value) = super::line(rest);
    let (channel, name) = (String::from_utf8_lossy(channel), String::from_utf8_lossy(name));
    let headers: &[(&str, &[u8])] = &[(&name, b"earlier"), (&name, header)];
    let payload = [Payload::Json, Payload::Json, Payload::Text, Payload::Binary][usize::from(choices & 3)];
    let epoch = Epoch::of("fuzz", b"t");
    let number = value.iter().fold(0_i64, |sum, byte| sum.wrapping_mul(257).wrapping_add((*byte).into()));
    let m = Message {
        channel: &channel,
        epoch: &epoch,
        partition: u32::from(*choices),
        offset: number & i64::MAX,
        ts_ms: number,
        value: (choices & 4 == 0).then_some(value),
        headers: if choices & 8 == 0 { &[] } else { headers },
    };
    let mut frame = Vec::new();
    let form = put(&mut frame, &m, payload);
    let text = super::unframed(&mut frame);
    assert!(!text.contains(['\n', '\r']), "{text}");
    assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
    assert_eq!(form, expected_form(m.value, payload), "{text}");
    come_back(text, &m);
    value_comes_back(text, m.value, form);
}

/// The rules of docs/PROTOCOL.md, with the parser's own judgement of bytes.
fn expected_form(value: Option<&[u8]>, payload: Payload) -> ValueForm {
    let Some(value) = value else { return ValueForm::Deleted };
    let json = value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(value);
    match payload {
        Payload::Binary => ValueForm::Base64,
        _ if value.starts_with(b"\0") || String::from_utf8(value.to_vec()).is_err() => ValueForm::Base64,
        Payload::Json if serde_json::from_slice::<IgnoredAny>(json).is_ok() => ValueForm::Json,
        Payload::Json | Payload::Text => ValueForm::String,
    }
}

fn come_back(text: &str, m: &Message<'_>) {
    let Ok(Envelope::Message(read)) = Envelope::parse(text.as_bytes()) else { panic!("{text}") };
    let position = Position { epoch: *m.epoch, partition: m.partition, offset: m.offset };
    assert_eq!((read.channel.as_ref(), read.ts_ms), (m.channel, m.ts_ms));
    assert_eq!(Position::parse(read.pos), Ok(position));
    let Ok(Headers { headers }) = serde_json::from_str(text) else { panic!("{text}") };
    let expected = m.headers.last().map(|(name, value)| {
        let value = match std::str::from_utf8(value) {
            Ok(text) if !text.starts_with('\0') => Header::Text(text.to_owned()),
            _ => Header::Bytes { base64: STANDARD.encode(value) },
        };
        ((*name).to_owned(), value)
    });
    assert_eq!(headers, expected.into_iter().collect());
}

fn value_comes_back(text: &str, value: Option<&[u8]>, form: ValueForm) {
    let Ok(Envelope::Message(read)) = Envelope::parse(text.as_bytes()) else { panic!("{text}") };
    assert_eq!(read.base64, form == ValueForm::Base64);
    let (Some(data), Some(value)) = (read.data, value) else {
        assert!(read.data.is_none() && value.is_none() && form == ValueForm::Deleted, "{text}");
        return;
    };
    let string = || serde_json::from_slice::<String>(data).unwrap_or_else(|error| panic!("{error}: {text}"));
    match form {
        ValueForm::Json => {
            let spaced = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
            // A parser that takes the data out of the whole leaves the spaces around it.
            let value = value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(value);
            let expected: Vec<u8> = value.iter().map(spaced).collect();
            assert_eq!(data.trim_ascii(), expected.trim_ascii());
        }
        ValueForm::String => assert_eq!(string().as_bytes(), value),
        ValueForm::Base64 => assert_eq!(STANDARD.decode(string()).as_deref(), Ok(value)),
        ValueForm::Deleted => panic!("a value was lost: {text}"),
    }
}
