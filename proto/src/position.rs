//! Positions: what a client can hand back (docs/PROTOCOL.md, "Positions").
//!
//! ```
//! use proto::position::{self, AnyPosition, Epoch, Position, Vector};
//!
//! let epoch = Epoch::of("4L6g3nShT-eMCtK--X86sw", b"topic id");
//! let text = Position { epoch, partition: 3, offset: 1207 }.to_string();
//! assert_eq!(text, format!("{epoch}.3.1207"));
//! assert!(matches!(position::parse(&text), Ok(AnyPosition::Record(Position { offset: 1207, .. }))));
//!
//! let whole = Vector { epoch, next: vec![1208, -1, 0] };
//! assert_eq!(position::parse(&whole.to_string()), Ok(AnyPosition::Topic(whole)));
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Characters of an epoch.
const EPOCH_LEN: usize = 8;

/// Identity of a topic's history in a cluster: eight characters of base64url, so never a dot.
///
/// A new epoch voids a client's offsets: the topic was made anew, or this is another cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch([u8; EPOCH_LEN]);

impl Epoch {
    /// The epoch of a topic. Its id (16 bytes, KIP-516) is unique by itself and stands alone, with an empty
    /// `cluster_id`; where brokers have none, the cluster's id and the topic's name stand in.
    ///
    /// Clients keep epochs, so the same inputs must give the same text on every node and in every version,
    /// for ever. It is FNV-1a of 64 bits over the cluster's id, a zero byte and the topic's id, folded to 48
    /// bits (the way its authors give for fewer bits), big-endian, in base64url. Two histories that a client
    /// could confuse collide with a chance of 2^-48.
    #[must_use]
    pub fn of(cluster_id: &str, topic_id: &[u8]) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in cluster_id.bytes().chain([0]).chain(topic_id.iter().copied()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let [_, _, folded @ ..] = ((hash >> 48) ^ (hash & 0xffff_ffff_ffff)).to_be_bytes();
        let mut text = [b'A'; EPOCH_LEN];
        // Six bytes are always eight characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(folded, &mut text);
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only base64url gets in.
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// Reads the text of an epoch.
    ///
    /// # Errors
    /// [`PositionError::Epoch`].
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        let bytes: [u8; EPOCH_LEN] = text.as_bytes().try_into().map_err(|_| PositionError::Epoch)?;
        let valid = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if valid { Ok(Self(bytes)) } else { Err(PositionError::Epoch) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of one record: `EPOCH.PARTITION.OFFSET`, in decimal without leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Of the topic.
    pub epoch: Epoch,
    /// Partition.
    pub partition: u32,
    /// Offset of the record, not negative.
    pub offset: i64,
}

impl Position {
    /// Reads the position of a record.
    ///
    /// # Errors
    /// What is wrong with the text; [`PositionError::Shape`] also for a topic-wide position.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        let (epoch, partition, offset) = parts(text)?;
        if partition == "*" {
            return Err(PositionError::Shape);
        }
        Ok(Self {
            epoch: Epoch::parse(epoch)?,
            partition: decimal(partition).ok_or(PositionError::Partition)?,
            offset: decimal(offset).ok_or(PositionError::Offset)?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.partition, self.offset)
    }
}

/// A topic-wide position: the next offset of every partition, `EPOCH.*.VECTOR`.
///
/// VECTOR is base64url, without padding, of one LEB128 number a partition: its next offset plus one, or zero if it
/// is unresolved: where reading of it begins was not known yet, and resuming begins there. A partition beyond the
/// end was added later, and is read from its start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vector {
    /// Of the topic.
    pub epoch: Epoch,
    /// Next offset by partition; -1: unresolved. Nothing below is written; it counts as -1.
    pub next: Vec<i64>,
}

impl Vector {
    /// Reads a topic-wide position.
    ///
    /// # Errors
    /// What is wrong with the text; [`PositionError::Shape`] also for the position of a record.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        let (epoch, star, vector) = parts(text)?;
        if star != "*" {
            return Err(PositionError::Shape);
        }
        let epoch = Epoch::parse(epoch)?;
        let bytes = URL_SAFE_NO_PAD.decode(vector).map_err(|_| PositionError::Vector)?;
        // At least one byte a partition: what this allocates is bounded by the text.
        let mut next = Vec::with_capacity(bytes.iter().filter(|byte| **byte < 0x80).count());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (number, after) = leb128(rest).ok_or(PositionError::Vector)?;
            next.push(i64::try_from(i128::from(number) - 1).map_err(|_| PositionError::Vector)?);
            rest = after;
        }
        Ok(Self { epoch, next })
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(self.next.len() * 4);
        for next in &self.next {
            put_leb128(&mut bytes, u64::try_from(*next).map_or(0, |next| next + 1));
        }
        write!(f, "{}.*.", self.epoch)?;
        base64::display::Base64Display::new(&bytes, &URL_SAFE_NO_PAD).fmt(f)
    }
}

/// Either kind of position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnyPosition {
    /// Of one record.
    Record(Position),
    /// Of a whole topic.
    Topic(Vector),
}

/// Why a text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PositionError {
    /// Not three parts, or not of the kind asked for.
    #[error("not of the form EPOCH.PARTITION.OFFSET or EPOCH.*.VECTOR")]
    Shape,
    /// Not eight characters of base64url.
    #[error("the epoch is not eight characters of base64url")]
    Epoch,
    /// Not a number of 32 bits.
    #[error("the partition is not a number")]
    Partition,
    /// Not a number of 63 bits.
    #[error("the offset is not a number")]
    Offset,
    /// Not what [`Vector`] describes.
    #[error("the vector is damaged")]
    Vector,
}

/// Reads a position of either kind. What it accepts is what [`Position`] and [`Vector`] write, to the
/// character.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<AnyPosition, PositionError> {
    if parts(text)?.1 == "*" {
        Vector::parse(text).map(AnyPosition::Topic)
    } else {
        Position::parse(text).map(AnyPosition::Record)
    }
}

fn parts(text: &str) -> Result<(&str, &str, &str), PositionError> {
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(first), Some(second), Some(third), None) => Ok((first, second, third)),
        _ => Err(PositionError::Shape),
    }
}

/// A number as we write it: without sign or leading zeros, so that one position has one text.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn put_leb128(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f).to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// The number at the front, and what follows. None: cut off, over 64 bits, or longer than need be.
fn leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(i).ok()?;
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return (*byte != 0 || i == 0).then_some((number, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epoch() -> Epoch {
        Epoch::parse("abcDEF-_").unwrap()
    }

    /// Fixed for ever: clients out there hold these. (Computed by another implementation.)
    #[test]
    fn epoch_vectors() {
        let id: Vec<u8> = (0..16).collect();
        assert_eq!(Epoch::of("4L6g3nShT-eMCtK--X86sw", &id).as_str(), "cEcjyXqD");
        assert_eq!(Epoch::of("4L6g3nShT-eMCtK--X86sw", b"odin.trades").as_str(), "FUUibX_g");
        assert_eq!(Epoch::of("", b"").as_str(), "vUyGARi8");
    }

    #[test]
    fn epochs_differ_by_cluster_and_topic() {
        assert_ne!(Epoch::of("a", b"t"), Epoch::of("b", b"t"));
        assert_ne!(Epoch::of("a", b"t"), Epoch::of("a", b"u"));
        assert_ne!(Epoch::of("ab", b"c"), Epoch::of("a", b"bc"));
    }

    #[test]
    fn texts_are_fixed() {
        let position = Position { epoch: epoch(), partition: 12, offset: 4_000_000_000 };
        assert_eq!(position.to_string(), "abcDEF-_.12.4000000000");
        let vector = Vector { epoch: epoch(), next: vec![0, -1, 126, 127, 1_000_000] };
        // LEB128: 01 | 00 | 7f | 80 01 | c1 84 3d
        assert_eq!(vector.to_string(), "abcDEF-_.*.AQB_gAHBhD0");
        assert_eq!(Vector { epoch: epoch(), next: vec![] }.to_string(), "abcDEF-_.*.");
        assert_eq!(Vector { epoch: epoch(), next: vec![i64::MIN, -7] }.to_string(), "abcDEF-_.*.AAA");
    }

    #[test]
    fn what_is_no_position() {
        let cases = [
            ("", PositionError::Shape),
            ("abcDEF-_", PositionError::Shape),
            ("abcDEF-_.1", PositionError::Shape),
            ("abcDEF-_.1.2.3", PositionError::Shape),
            ("abcDEF-.1.2", PositionError::Epoch),
            ("abcDEF-_x.1.2", PositionError::Epoch),
            ("abcDEF-+.1.2", PositionError::Epoch),
            ("abcdé-_.1.2", PositionError::Epoch),
            ("abcDEF-_..2", PositionError::Partition),
            ("abcDEF-_.-1.2", PositionError::Partition),
            ("abcDEF-_.+1.2", PositionError::Partition),
            ("abcDEF-_.01.2", PositionError::Partition),
            ("abcDEF-_.4294967296.2", PositionError::Partition),
            ("abcDEF-_.1.", PositionError::Offset),
            ("abcDEF-_.1.-2", PositionError::Offset),
            ("abcDEF-_.1.00", PositionError::Offset),
            ("abcDEF-_.1.9223372036854775808", PositionError::Offset),
            ("abcDEF-_.*.=", PositionError::Vector),
            ("abcDEF-_.*.gA", PositionError::Vector),   // 80: cut off
            ("abcDEF-_.*.gAA", PositionError::Vector),  // 80 00: longer than need be
            ("abcDEF-_.*.AQ==", PositionError::Vector), // padded
            ("abcDEF-_.*.AR", PositionError::Vector),   // bits after the end
            ("abcDEF-_.*._____________w", PositionError::Vector), // ten times ff
            ("abcDEF-_.*.gYCAgICAgICAAQ", PositionError::Vector), // 2^63 + 1
            ("abcDEF-_.*.gICAgICAgICAAg", PositionError::Vector), // 2^64
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(Position::parse("abcDEF-_.*.AQ"), Err(PositionError::Shape));
        assert_eq!(Vector::parse("abcDEF-_.1.1"), Err(PositionError::Shape));
    }

    fn next() -> impl Strategy<Value = i64> {
        prop_oneof![Just(-1), Just(i64::MAX), 0..1_000_i64, 0..i64::MAX]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn positions_come_back(cluster in "\\PC{0,9}", partition: u32, offset in 0..=i64::MAX) {
            let position = Position { epoch: Epoch::of(&cluster, b"t"), partition, offset };
            prop_assert_eq!(parse(&position.to_string()), Ok(AnyPosition::Record(position)));
            prop_assert_eq!(Position::parse(&position.to_string()), Ok(position));
        }

        #[test]
        fn vectors_come_back(next in prop::collection::vec(next(), 0..40)) {
            let vector = Vector { epoch: epoch(), next };
            prop_assert_eq!(parse(&vector.to_string()), Ok(AnyPosition::Topic(vector)));
        }

        /// Whatever is accepted is written again to the character: a position has one text.
        #[test]
        fn accepted_texts_are_canonical(text in "abcDEF-_\\.([0-9]{1,3}\\.[0-9]{1,20}|\\*\\.[A-Da-f_-]{0,12})") {
            match parse(&text) {
                Ok(AnyPosition::Record(position)) => prop_assert_eq!(position.to_string(), text),
                Ok(AnyPosition::Topic(vector)) => prop_assert_eq!(vector.to_string(), text),
                Err(_) => {}
            }
        }

        #[test]
        fn any_text_is_judged(text in "\\PC{0,30}") {
            let _ = parse(&text);
        }
    }
}
