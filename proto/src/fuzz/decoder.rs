use tungstenite::protocol::Role;

use crate::ws::decoder::harness::{Owned, feed, messages, pieces, theirs};
use crate::ws::decoder::{Decoder, Limits};

/// Small, so that inputs of a few hundred bytes pass them.
const LIMITS: Limits = Limits { frame_bytes_max: 200, message_bytes_max: 300 };

/// Four bytes that say how the stream is cut, then the stream.
///
/// The same events and the same verdict in any cut, on either side of a connection; what is taken, tungstenite
/// takes as well and reads the same from it; what tungstenite refuses is refused.
pub fn decoder(input: &[u8]) {
    let Some((sizes, stream)) = input.split_first_chunk::<4>() else { return };
    let cut = pieces(stream, &sizes.map(|size| usize::from(size) + 1));
    for (make, role) in [(Decoder::default as fn() -> Decoder, Role::Server), (Decoder::client, Role::Client)]
    {
        let (events, violation) = feed(&mut make(), [stream], &LIMITS);
        assert_eq!(
            feed(&mut make(), cut.iter().copied(), &LIMITS),
            (events.clone(), violation),
            "cut differs"
        );
        let mut events = messages(events);
        // IANA has given this code out; tungstenite does not know it.
        let newer = events.pop_if(|last| matches!(last, Owned::Close(Some((1014, _))))).is_some();
        let (their_events, refused) = theirs(stream, role, &LIMITS);
        assert!(their_events.starts_with(&events), "we read {events:?}, tungstenite {their_events:?}");
        if violation.is_none() {
            let count = events.len() + usize::from(newer);
            assert_eq!((their_events.len(), refused), (count, false), "tungstenite judges otherwise");
        }
    }
    unchecked(stream, &cut);
}

/// The load generator's way: the same but that text comes as bytes and is not judged.
fn unchecked(stream: &[u8], cut: &[&[u8]]) {
    let at_once = feed(&mut Decoder::client_unchecked(), [stream], &LIMITS);
    assert_eq!(feed(&mut Decoder::client_unchecked(), cut.iter().copied(), &LIMITS), at_once, "cut differs");
    let (checked, violation) = feed(&mut Decoder::client(), [stream], &LIMITS);
    let as_bytes: Vec<Owned> = checked
        .into_iter()
        .map(|event| match event {
            Owned::Text(text) => Owned::Binary(text.into_bytes()),
            Owned::Binary(_) | Owned::Ping(_) | Owned::Pong(_) | Owned::Fragment | Owned::Close(_) => event,
        })
        .collect();
    assert!(at_once.0.starts_with(&as_bytes), "checked {as_bytes:?}, unchecked {:?}", at_once.0);
    assert!(violation.is_some() || at_once.0.len() == as_bytes.len(), "more is read unchecked");
}
