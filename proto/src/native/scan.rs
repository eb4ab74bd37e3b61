//! What a client of our own reads, as fast as it comes: messages without a JSON parse.
//!
//! This relies on the order of fields that [`message`](super::message::message) writes, and on its data
//! coming last; it is for the load generator and tests, not for judging foreign JSON. What it does not know
//! it leaves to [`Envelope::parse`](super::envelope::Envelope::parse), which relies on nothing.

use std::borrow::Cow;

/// A message of the native protocol, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// Name of the channel.
    pub channel: Cow<'a, str>,
    /// `EPOCH.PARTITION.OFFSET`.
    pub pos: &'a str,
    /// Kafka's timestamp, Unix ms.
    pub ts_ms: i64,
    /// The value is base64 in `data`, a JSON string.
    pub base64: bool,
    /// The value as it stands in the frame: JSON text; none: a tombstone.
    pub data: Option<&'a [u8]>,
}

/// Reads a message by the places of its fields. The data is not looked at: its end is the end of the text.
///
/// `None`: not a message, not of this order, or one with headers; use
/// [`Envelope::parse`](super::envelope::Envelope::parse).
#[must_use]
pub fn message(text: &[u8]) -> Option<Scanned<'_>> {
    let rest = text.strip_prefix(br#"{"type":"message","channel":""#)?;
    let (channel, rest) = string(rest)?;
    let rest = rest.strip_prefix(br#","pos":""#)?;
    let (pos, rest) = string(rest)?;
    let Cow::Borrowed(pos) = pos else { return None };
    let rest = rest.strip_prefix(br#","ts":"#)?;
    let (ts_ms, rest) = number(rest)?;
    if let Some(data) = rest.strip_prefix(br#","data":"#) {
        let data = Some(data.strip_suffix(b"}")?);
        return Some(Scanned { channel, pos, ts_ms, base64: false, data });
    }
    if rest == br#","deleted":true}"# {
        return Some(Scanned { channel, pos, ts_ms, base64: false, data: None });
    }
    let data = rest.strip_prefix(br#","encoding":"base64","data":"#)?;
    let data = Some(data.strip_suffix(b"}")?);
    Some(Scanned { channel, pos, ts_ms, base64: true, data })
}

/// The rest of a string whose first quote is gone, and what follows its last.
fn string(text: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if text[end] == b'"' {
        return Some((Cow::Borrowed(std::str::from_utf8(&text[..end]).ok()?), &text[end + 1..]));
    }
    string_with_escapes(text)
}

#[cold]
fn string_with_escapes(text: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let mut end = 0;
    while *text.get(end)? != b'"' {
        end += if text[end] == b'\\' { 2 } else { 1 };
    }
    let quoted = [b"\"", &text[..=end]].concat();
    Some((Cow::Owned(serde_json::from_slice(&quoted).ok()?), &text[end + 1..]))
}

/// A number of at most 18 digits, which is every millisecond of the next thirty million years.
fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=18).contains(&len) {
        return None;
    }
    let number = digits[..len].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some((if negative { -number } else { number }, &digits[len..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::native::envelope::Envelope;
    use crate::native::message::{Message, Payload, ValueForm, message as put_message};
    use crate::position::{Epoch, Position};
    use crate::random::Random;
    use crate::ws::frame::header_len;

    /// The text of a message, without its frame header.
    fn text(m: &Message<'_>, payload: Payload) -> (Vec<u8>, ValueForm) {
        let mut out = Vec::new();
        let form = put_message(&mut out, m, payload);
        let header = [2, 4, 10].into_iter().find(|len| header_len(out.len() - len) == *len).unwrap();
        (out.split_off(header), form)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// What is written is what is read, by place and by a real parse alike.
        #[test]
        fn messages_come_back(
            channel in prop_oneof!["[a-z.]{1,20}", any::<String>()],
            partition: u32,
            offset in 0..=i64::MAX,
            ts_ms in prop_oneof![Just(-1), 0..2_000_000_000_000_i64],
            value in prop::option::of(prop_oneof![
                Just(br#"{"a":"}"}"#.to_vec()),
                prop::collection::vec(any::<u8>(), 0..300),
            ]),
            header: Option<String>,
            payload in prop::sample::select(vec![Payload::Json, Payload::Text, Payload::Binary]),
        ) {
            let epoch = Epoch::of(&channel, b"t");
            let headers: Vec<(&str, &[u8])> = header.iter().map(|header| ("h", header.as_bytes())).collect();
            let m = Message {
                channel: &channel, epoch: &epoch, partition, offset, ts_ms, value: value.as_deref(), headers: &headers,
            };
            let (text, form) = text(&m, payload);
            let Envelope::Message(parsed) = Envelope::parse(&text).unwrap() else { panic!("no message") };
            if header.is_none() {
                prop_assert_eq!(message(&text), Some(parsed.clone()));
            }
            prop_assert_eq!(parsed.channel, channel);
            prop_assert_eq!(Position::parse(parsed.pos), Ok(Position { epoch, partition, offset }));
            prop_assert_eq!(parsed.ts_ms, ts_ms);
            prop_assert_eq!(parsed.base64, form == ValueForm::Base64);
            prop_assert_eq!(parsed.data.is_none(), form == ValueForm::Deleted);
            if form == ValueForm::Json {
                prop_assert_eq!(parsed.data.map(<[u8]>::len), value.map(|value| value.len()));
            }
        }
    }

    #[test]
    fn other_texts_are_left_to_the_parser() {
        for text in [
            r#"{"type":"pong","ts":1}"#,
            r#"{"channel":"a","type":"message","pos":"abcDEF-_.0.1","ts":1,"data":1}"#,
            r#"{"type":"message","channel":"a","pos":"abcDEF-_.0.1","ts":1,"headers":{},"data":1}"#,
            r#"{"type":"message","channel":"a","pos":"abcDEF-_.0.1","ts":1"#,
            r#"{"type":"message","channel":"a","pos":"abcDEF-_.0.1","ts":1,"data":1"#,
            r#"{"type":"message","channel":"a","pos":"abcDEF-_.0.1","ts":,"data":1}"#,
            r#"{"type":"message","channel":"a","pos":"abcDEF-_.0.1","ts":1234567890123456789,"data":1}"#,
            r#"{"type":"message","channel":"a\"#,
            "",
        ] {
            assert_eq!(message(text.as_bytes()), None, "{text}");
        }
    }

    /// Damaged messages: never a panic.
    #[test]
    fn smoke_of_damaged_messages() {
        let epoch = Epoch::of("c", b"t");
        let m = Message {
            channel: "a\"b",
            epoch: &epoch,
            partition: 1,
            offset: 2,
            ts_ms: 3,
            value: Some(b"[1]"),
            headers: &[("h", b"v")],
        };
        let (good, _) = text(&m, Payload::Json);
        let mut read = 0;
        for seed in 0..20_000 {
            let mut random = Random::new(seed);
            let mut bytes = good.clone();
            for _ in 0..=random.below(2) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.byte(),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at + 1),
                }
            }
            let _ = message(&bytes);
            read += usize::from(Envelope::parse(&bytes).is_ok());
        }
        assert!((500..19_500).contains(&read), "the mix is off: {read} read");
    }
}
