use crate::position::{AnyPosition, Epoch, Position, PositionError, Vector, parse};

/// The same bytes as a text and as numbers: what is accepted is written again to the character, and what is
/// written is read back.
pub fn position(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        judged(text);
    }
    let number = |bytes: &[u8; 8]| i64::from_le_bytes(*bytes);
    let next: Vec<i64> = input.as_chunks().0.iter().map(number).collect();
    let epoch = Epoch::of("fuzz", input);
    assert_eq!(Epoch::parse(epoch.as_str()), Ok(epoch));
    for (partition, offset) in (0..).zip(&next).filter(|(_, offset)| **offset >= 0) {
        let position = Position { epoch, partition, offset: *offset };
        assert_eq!(parse(&position.to_string()), Ok(AnyPosition::Record(position)));
    }
    let vector = Vector { epoch, next: next.into_iter().map(|next| next.max(-1)).collect() };
    assert_eq!(parse(&vector.to_string()), Ok(AnyPosition::Topic(vector)));
}

fn judged(text: &str) {
    if let Ok(epoch) = Epoch::parse(text) {
        assert_eq!(epoch.to_string(), text);
    }
    match parse(text) {
        Ok(AnyPosition::Record(position)) => {
            assert_eq!(position.to_string(), text);
            assert!(position.offset >= 0);
            assert_eq!(Position::parse(text), Ok(position));
            assert_eq!(Vector::parse(text), Err(PositionError::Shape));
        }
        Ok(AnyPosition::Topic(vector)) => {
            assert_eq!(vector.to_string(), text);
            assert!(vector.next.iter().all(|next| *next >= -1));
            assert_eq!(Vector::parse(text), Ok(vector));
            assert_eq!(Position::parse(text), Err(PositionError::Shape));
        }
        Err(_) => assert!(Position::parse(text).is_err() && Vector::parse(text).is_err()),
    }
}
