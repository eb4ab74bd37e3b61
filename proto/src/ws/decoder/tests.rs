//! Each rule, its refusal, and the byte at which it comes.

use super::harness::{self, Owned, messages};
use super::*;
use crate::random::Random;

/// Feeds pieces; fragments, which have a test of their own, are left out of what comes.
fn feed<'p>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<Owned>, Option<Violation>) {
    let (events, violation) = harness::feed(decoder, pieces, limits);
    (messages(events), violation)
}

fn whole(bytes: &[u8]) -> (Vec<Owned>, Option<Violation>) {
    feed(&mut Decoder::default(), [bytes], &Limits::default())
}

/// A masked frame with the given first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::super::frame::put_masked(&mut bytes, OpCode::Text, payload, [0x37, 0xfa, 0x21, 0x3d]);
    bytes[0] = first;
    bytes
}

fn text(text: &str) -> Owned {
    Owned::Text(text.to_owned())
}

/// The examples of RFC 6455 5.7, as sent by either side.
#[test]
fn rfc_vectors() {
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(whole(&masked), (vec![text("Hello")], None));
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(whole(&pong), (vec![Owned::Pong(b"Hello".to_vec())], None));

    let mut stream = vec![0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    stream.extend([0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]);
    stream.extend([0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    stream.extend([0x82, 0x7e, 0x01, 0x00]);
    stream.extend([7; 256]);
    stream.extend([0x82, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00]);
    stream.extend([9; 65536]);
    let expected = vec![
        text("Hello"),
        text("Hello"),
        Owned::Ping(b"Hello".to_vec()),
        Owned::Binary(vec![7; 256]),
        Owned::Binary(vec![9; 65536]),
    ];
    assert_eq!(feed(&mut Decoder::client(), [&stream[..]], &Limits::default()), (expected, None));
}

/// Every rule: the bytes that break it, the last of them being the first wrong one, and the code.
#[test]
fn each_violation_comes_at_its_first_wrong_byte() {
    let close = |payload: &[u8]| frame(0x88, payload);
    let inside = |then: &[u8]| [&frame(0x01, b"a")[..], then].concat();
    let cases: Vec<(Vec<u8>, Violation, u16)> = vec![
        (vec![0xc1], Violation::ReservedBits, 1002),
        (vec![0xa1], Violation::ReservedBits, 1002),
        (vec![0x91], Violation::ReservedBits, 1002),
        (vec![0x83], Violation::ReservedOpcode, 1002),
        (vec![0x87], Violation::ReservedOpcode, 1002),
        (vec![0x8b], Violation::ReservedOpcode, 1002),
        (vec![0x8f], Violation::ReservedOpcode, 1002),
        (vec![0x81, 0x05], Violation::Unmasked, 1002),
        (vec![0x81, 0xfe, 0, 125], Violation::LengthForm, 1002),
        (vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::LengthForm, 1002),
        (vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1], Violation::LengthTopBit, 1002),
        (vec![0x89, 0xfe], Violation::ControlTooLong, 1002),
        (vec![0x88, 0xff], Violation::ControlTooLong, 1002),
        (vec![0x09], Violation::ControlFragmented, 1002),
        (vec![0x08], Violation::ControlFragmented, 1002),
        (vec![0x80], Violation::ContinuationUnexpected, 1002),
        (vec![0x00], Violation::ContinuationUnexpected, 1002),
        (inside(&[0x81]), Violation::ContinuationExpected, 1002),
        (inside(&[0x02]), Violation::ContinuationExpected, 1002),
        (inside(&[0x0a]), Violation::ControlFragmented, 1002),
        (close(&[3]), Violation::CloseLength, 1002),
        (close(&[0x03, 0xed]), Violation::CloseCode, 1002),
        (close(&[0x03, 0xe8, 0xff]), Violation::NotUtf8, 1007),
        (frame(0x81, b"\xff"), Violation::NotUtf8, 1007),
        (frame(0x81, "é".as_bytes().split_last().unwrap().1), Violation::NotUtf8, 1007),
        (inside(&frame(0x80, b"b\xc3")), Violation::NotUtf8, 1007),
        (vec![0x81, 0xff, 0, 0, 0, 0, 0, 4, 0, 1], Violation::FrameTooBig, 1009),
        (vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Violation::FrameTooBig, 1009),
        (inside(&[0x80, 0xff, 0, 0, 0, 0, 0, 4, 0, 0]), Violation::MessageTooBig, 1009),
    ];
    for (bytes, violation, code) in cases {
        assert_eq!(whole(&bytes), (vec![], Some(violation)), "{bytes:x?}");
        assert_eq!(whole(&bytes[..bytes.len() - 1]), (vec![], None), "too early: {bytes:x?}");
        let single = feed(&mut Decoder::default(), bytes.chunks(1), &Limits::default());
        assert_eq!(single, (vec![], Some(violation)), "byte by byte: {bytes:x?}");
        assert_eq!(violation.close_code().get(), code);
        assert!(violation.reason().len() <= 123);
    }
    let masked = frame(0x81, b"a");
    let client = feed(&mut Decoder::client(), [&masked[..2]], &Limits::default());
    assert_eq!(client, (vec![], Some(Violation::Masked)));
}

#[test]
fn largest_frame_and_message_are_taken_whole() {
    let limits = Limits { frame_bytes_max: 200, message_bytes_max: 300 };
    let mut decoder = Decoder::default();
    let (first, second) = (frame(0x02, &[1; 200]), frame(0x80, &[2; 100]));
    let (events, violation) = feed(&mut decoder, first.chunks(7).chain(second.chunks(7)), &limits);
    assert_eq!((events, violation), (vec![Owned::Binary([[1; 100], [1; 100], [2; 100]].concat())], None));
    assert!(decoder.is_idle());
    let over = feed(&mut decoder, [&frame(0x82, &[1; 201])[..4]], &limits);
    assert_eq!(over, (vec![], Some(Violation::FrameTooBig)));
}

/// A sequence that is wrong at its second or third byte is refused there, in the same frame, across
/// fragments, across chunks.
#[test]
fn utf8_is_refused_at_the_first_wrong_byte_wherever_it_is_cut() {
    let wrong: [&[u8]; 6] =
        [b"\xc0", b"\xed\xa0", b"\xf4\x90", b"\xe2\x82\x41", b"\xf0\x9f\x98\x41", b"\x80"];
    for wrong in wrong {
        let text = [b"\xce\xbaok", wrong].concat();
        let mut long = text.clone();
        long.extend([b'x'; 200]);
        // One frame of which only the beginning has come.
        let header_len = 8;
        let bytes = frame(0x81, &long);
        let (events, violation) = whole(&bytes[..header_len + text.len() - 1]);
        assert_eq!((events, violation), (vec![], None), "{wrong:x?}");
        assert_eq!(whole(&bytes[..header_len + text.len()]).1, Some(Violation::NotUtf8), "{wrong:x?}");
        // One byte a fragment.
        let mut decoder = Decoder::default();
        for (i, byte) in text.iter().enumerate() {
            let fragment = frame(if i == 0 { 0x01 } else { 0x00 }, &[*byte]);
            let violation = feed(&mut decoder, [&fragment[..]], &Limits::default()).1;
            let last = i + 1 == text.len();
            assert_eq!(violation, last.then_some(Violation::NotUtf8), "{wrong:x?} at {i}");
        }
    }
}

#[test]
fn control_frames_come_between_fragments_and_between_their_bytes() {
    let mut stream = frame(0x01, "κό".as_bytes());
    stream.extend(frame(0x89, b"ping"));
    stream.extend(frame(0x00, b""));
    stream.extend(frame(0x8a, b""));
    stream.extend(frame(0x80, "σμε".as_bytes()));
    stream.extend(frame(0x88, &[0x0f, 0xa0, b'!']));
    stream.extend(frame(0x81, b"after the end"));
    let expected = vec![
        Owned::Ping(b"ping".to_vec()),
        Owned::Pong(vec![]),
        text("κόσμε"),
        Owned::Close(Some((4000, "!".to_owned()))),
    ];
    for size in 1..=stream.len() {
        let mut decoder = Decoder::default();
        let got = feed(&mut decoder, stream.chunks(size), &Limits::default());
        assert_eq!(got, (expected.clone(), None), "pieces of {size}");
    }
}

#[test]
fn close_without_a_body_and_nothing_afterwards() {
    let mut decoder = Decoder::default();
    assert_eq!(
        feed(&mut decoder, [&frame(0x88, b"")[..]], &Limits::default()),
        (vec![Owned::Close(None)], None)
    );
    assert_eq!(feed(&mut decoder, [&[0xff; 40][..]], &Limits::default()), (vec![], None));
}

#[test]
fn after_a_violation_nothing_more_is_said_or_held() {
    let mut decoder = Decoder::default();
    assert_eq!(feed(&mut decoder, [&[0xff][..]], &Limits::default()).1, Some(Violation::ReservedBits));
    assert_eq!(feed(&mut decoder, [&frame(0x81, b"x")[..], &[0xff]], &Limits::default()), (vec![], None));
    assert!(decoder.is_idle());
}

/// What is announced and not sent takes no memory; what is given out is freed.
#[test]
fn memory_follows_what_came() {
    let mut decoder = Decoder::default();
    let bytes = frame(0x82, &[5; 200_000]);
    feed(&mut decoder, [&bytes[..24]], &Limits::default());
    assert!(!decoder.is_idle());
    assert!(decoder.held_bytes() < 300, "{}", decoder.held_bytes());
    let (events, _) = feed(&mut decoder, bytes[24..].chunks(4096), &Limits::default());
    assert_eq!(events, [Owned::Binary(vec![5; 200_000])]);
    assert!(decoder.is_idle() && decoder.held_bytes() == 0);
}

#[test]
fn an_unchecked_client_gets_text_as_bytes() {
    let mut stream = vec![0x81, 2, 0xff, 0xfe];
    stream.extend([0x01, 1, 0xff, 0x80, 1, 0xfe]);
    let got = feed(&mut Decoder::client_unchecked(), [&stream[..]], &Limits::default());
    assert_eq!(got, (vec![Owned::Binary(vec![0xff, 0xfe]); 2], None));
}

/// A whole message is lent out of the input, not copied.
#[test]
fn whole_messages_are_not_copied() {
    let mut bytes = frame(0x81, b"here");
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::default();
    let mut input = &mut bytes[..];
    let Ok(Some(Event::Text(text))) = decoder.next(&mut input, &Limits::default()) else { panic!("no text") };
    assert!(range.contains(&text.as_ptr()));
}

/// Random bytes, mostly close to valid frames: no panic, bounded memory, and the same verdict in any
/// chunking.
#[test]
fn smoke_of_random_streams() {
    let limits = Limits { frame_bytes_max: 600, message_bytes_max: 900 };
    let mut refused = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut stream = Vec::new();
        for _ in 0..random.below(6) {
            let first = *random.pick(&[0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x8b, 0xc1]);
            let len = *random.pick(&[0, 1, 2, 5, 125, 126, 300, 601]);
            let ascii = random.below(4) > 0;
            let payload: Vec<u8> =
                (0..len).map(|_| if ascii { random.byte() & 0x7f } else { random.byte() }).collect();
            stream.extend(frame(first, &payload));
        }
        for _ in 0..random.below(3) {
            if !stream.is_empty() {
                let at = random.below(stream.len());
                stream[at] = random.byte();
            }
        }
        let at_once = feed(&mut Decoder::default(), [&stream[..]], &limits);
        let in_pieces = feed(&mut Decoder::default(), stream.chunks(1 + random.below(40)), &limits);
        assert_eq!(at_once, in_pieces, "seed {seed}");
        refused += usize::from(at_once.1.is_some());
    }
    assert!((2_000..18_000).contains(&refused), "the mix is off: {refused} refused");
}

/// Whoever counts frames gets to count each, empty ones too, and can stop behind any.
#[test]
fn a_server_is_told_of_each_fragment_wherever_it_is_cut() {
    let stream = [frame(0x01, b"a"), frame(0x00, b""), frame(0x00, b"bc"), frame(0x80, b"d")].concat();
    let expected = (vec![Owned::Fragment, Owned::Fragment, Owned::Fragment, text("abcd")], None);
    for size in 1..=stream.len() {
        let got = harness::feed(&mut Decoder::default(), stream.chunks(size), &Limits::default());
        assert_eq!(got, expected, "pieces of {size}");
    }
}
