//! tungstenite as an independent opinion: the same bytes, in any cut, must give the same messages.

use proptest::prelude::*;
use tungstenite::protocol::Role;

use super::super::frame::put_masked;
use super::harness::{Owned, feed, pieces, theirs};
use super::*;

/// A frame before it is written: first byte, payload, mask.
type Raw = (u8, Vec<u8>, [u8; 4]);

fn control() -> impl Strategy<Value = Raw> {
    let close = (prop::sample::select(vec![1000_u16, 1001, 1008, 3000, 4999]), "[aé€]{0,20}")
        .prop_map(|(code, reason)| (0x88, [&code.to_be_bytes()[..], reason.as_bytes()].concat()));
    let plain = (prop::sample::select(vec![0x89_u8, 0x8a]), prop::collection::vec(any::<u8>(), 0..=125));
    (prop_oneof![1 => close, 12 => plain], any::<[u8; 4]>())
        .prop_map(|((first, payload), mask)| (first, payload, mask))
}

fn payload() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        "\\PC{0,90}".prop_map(|text| (1, text.into_bytes())),
        "[aé€😀]{0,400}".prop_map(|text| (1, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (2, bytes)),
        (any::<u8>(), 65_400..65_700_usize).prop_map(|(byte, len)| (2, vec![byte; len])),
        // Rarely valid, so that the refusals are compared too.
        prop::collection::vec(any::<u8>(), 1..9).prop_map(|bytes| (1, bytes)),
    ]
}

/// A message as frames: cut anywhere, inside characters too, with control frames in between.
fn message() -> impl Strategy<Value = Vec<Raw>> {
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(control())), 0..4);
    (payload(), cuts, any::<[u8; 4]>()).prop_map(|((opcode, payload), cuts, mask)| {
        let mut at: Vec<usize> = cuts.iter().map(|(cut, _)| cut.index(payload.len() + 1)).collect();
        at.sort_unstable();
        let (mut frames, mut from) = (Vec::new(), 0);
        for (&to, (_, control)) in at.iter().zip(&cuts) {
            let first = if frames.is_empty() { opcode } else { 0 };
            frames.push((first, payload[from..to].to_vec(), mask));
            frames.extend(control.clone());
            from = to;
        }
        let first = if frames.is_empty() { opcode } else { 0 };
        frames.push((0x80 | first, payload[from..].to_vec(), mask));
        frames
    })
}

fn stream(messages: &[Vec<Raw>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, payload, mask) in messages.iter().flatten() {
        let start = bytes.len();
        put_masked(&mut bytes, OpCode::Text, payload, *mask);
        bytes[start] = *first;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn same_bytes_same_messages(
        messages in prop::collection::vec(message(), 0..6),
        sizes in prop::collection::vec(prop_oneof![1..20_usize, 1..5_000_usize], 1..20),
    ) {
        let bytes = stream(&messages);
        let expected = theirs(&bytes, Role::Server, &Limits::default());
        let mut decoder = Decoder::default();
        let (events, violation) = feed(&mut decoder, pieces(&bytes, &sizes), &Limits::default());
        // Each frame but the last of each message.
        let frames = messages.iter().flatten().filter(|(first, ..)| first & 0x80 == 0).count();
        let fragments = events.iter().filter(|event| **event == Owned::Fragment).count();
        prop_assert!(fragments == frames || violation.is_some() || matches!(events.last(), Some(Owned::Close(_))));
        let events = super::harness::messages(events);
        prop_assert_eq!(&events, &expected.0);
        prop_assert_eq!(violation.is_some(), expected.1, "{:?}", violation);
        if !matches!(events.last(), Some(Owned::Close(_))) {
            prop_assert!(decoder.is_idle());
        }
    }

    /// decode(encode(x)) = x, through the client's side, with the server's unmasked frames.
    #[test]
    fn decode_of_encode(payloads in prop::collection::vec(payload(), 0..5), size in 1..3_000_usize) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (_, payload) in payloads {
            match String::from_utf8(payload) {
                Ok(text) => {
                    super::super::frame::put_frame(&mut bytes, OpCode::Text, text.as_bytes());
                    expected.push(Owned::Text(text));
                }
                Err(error) => {
                    super::super::frame::put_frame(&mut bytes, OpCode::Binary, error.as_bytes());
                    expected.push(Owned::Binary(error.into_bytes()));
                }
            }
        }
        let got = feed(&mut Decoder::client(), bytes.chunks(size), &Limits::default());
        prop_assert_eq!(got, (expected, None));
    }
}
