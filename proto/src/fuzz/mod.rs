//! What fuzzing runs: one function a target, each a claim about any bytes, which panics where it does not hold.
//!
//! Built for `fuzz/` (with `cfg(fuzzing)`, see `scripts/fuzz`) and for tests: `cargo test` runs every target
//! over the committed seeds, so a target cannot rot, and a finding stays a test by adding its input to them.

mod decoder;
mod handshake;
mod message;
mod position;
mod requests;
mod template;
#[cfg(test)]
mod tests;

pub use decoder::decoder;
pub use handshake::handshake;
pub use message::message;
pub use position::position;
pub use requests::requests;
pub use template::template;

/// A target: takes any input, panics where it breaks a promise.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also its file in `fuzz/targets` and its folder in `fuzz/seeds`.
pub const TARGETS: [(&str, Target); 6] = [
    ("decoder", decoder),
    ("handshake", handshake),
    ("requests", requests),
    ("position", position),
    ("template", template),
    ("message", message),
];

/// The first line and what follows it; all of it where there is but one.
fn line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    end.map_or((input, &[]), |end| (&input[..end], &input[end + 1..]))
}

/// Takes the one text frame that was written out of its frame.
fn unframed(frame: &mut [u8]) -> &str {
    use crate::ws::decoder::{Decoder, Event, Limits};

    let limits = Limits { frame_bytes_max: usize::MAX, message_bytes_max: usize::MAX };
    let (mut decoder, mut input) = (Decoder::client(), &mut frame[..]);
    let text = match decoder.next(&mut input, &limits) {
        // Whole in the input, so it is lent out of that.
        Ok(Some(Event::Text(text))) => text.len(),
        other => panic!("no text frame but {other:?}"),
    };
    assert!(input.is_empty(), "more than one frame");
    let begin = frame.len() - text;
    std::str::from_utf8(&frame[begin..]).unwrap_or_else(|error| panic!("{error}"))
}
