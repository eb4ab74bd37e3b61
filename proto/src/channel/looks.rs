//! What a key looks like: a guess by its bytes, for people who wonder why no record of theirs arrives.

use std::fmt;

use super::text;

/// A guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Looks {
    /// Nothing in it.
    Empty,
    /// Text of no special form.
    Text,
    /// A JSON string, its quotes included: what a JSON serializer makes of a key.
    Quoted,
    /// A JSON object.
    Object,
    /// An integer of four bytes, the highest first.
    Int(i32),
    /// The same of eight.
    Long(i64),
    /// A zero byte, a schema's id, then Avro or another of a schema registry.
    Schema(u32),
    /// None of these.
    Binary,
}

impl Looks {
    /// Of a key. Four or eight bytes that are text count as such, whatever they were meant to be.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        if let Ok(text) = text(key) {
            return match text.as_bytes() {
                [] => Self::Empty,
                [b'"', .., b'"'] if serde_json::from_str::<String>(text).is_ok() => Self::Quoted,
                [b'{', .., b'}'] => Self::Object,
                _ => Self::Text,
            };
        }
        if let Ok(bytes) = key.try_into() {
            return Self::Int(i32::from_be_bytes(bytes));
        }
        if let Ok(bytes) = key.try_into() {
            return Self::Long(i64::from_be_bytes(bytes));
        }
        match *key {
            [0, a, b, c, d, ..] => Self::Schema(u32::from_be_bytes([a, b, c, d])),
            _ => Self::Binary,
        }
    }

    /// A word for it, for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Text => "text",
            Self::Quoted => "quoted",
            Self::Object => "object",
            Self::Int(_) | Self::Long(_) => "integer",
            Self::Schema(_) => "schema",
            Self::Binary => "binary",
        }
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Text => f.write_str("text"),
            Self::Quoted => f.write_str("a JSON string, with its quotes"),
            Self::Object => f.write_str("a JSON object"),
            Self::Int(value) => write!(f, "an integer of 4 bytes: {value}"),
            Self::Long(value) => write!(f, "an integer of 8 bytes: {value}"),
            Self::Schema(id) => write!(f, "Avro or another of a schema registry, schema id {id}"),
            Self::Binary => f.write_str("binary"),
        }
    }
}

/// Whether a key says what `asked` says, but in another form: in quotes, as an integer, behind a schema's id, or with
/// other spaces or letters of another case.
#[must_use]
pub fn in_other_form(key: &[u8], asked: &str) -> bool {
    match Looks::of(key) {
        Looks::Empty | Looks::Object | Looks::Binary => false,
        Looks::Text => {
            let same = |key: &str| key != asked && key.trim().eq_ignore_ascii_case(asked.trim());
            text(key).is_ok_and(same)
        }
        Looks::Quoted => serde_json::from_slice::<String>(key).is_ok_and(|key| key == asked),
        Looks::Int(value) => value.to_string() == asked,
        Looks::Long(value) => value.to_string() == asked,
        Looks::Schema(_) => !asked.is_empty() && key.ends_with(asked.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_by_their_bytes() {
        for (key, looks, said) in [
            (&b""[..], Looks::Empty, "empty"),
            (b"BTC", Looks::Text, "text"),
            (b"EURU", Looks::Text, "text"),
            (b"\"BTC\"", Looks::Quoted, "a JSON string, with its quotes"),
            (b"\"", Looks::Text, "text"),
            (b"\"a\"b\"", Looks::Text, "text"),
            (b"{\"id\":1}", Looks::Object, "a JSON object"),
            (b"\0\0\0A", Looks::Int(65), "an integer of 4 bytes: 65"),
            (b"\0\0\0\xc8", Looks::Int(200), "an integer of 4 bytes: 200"),
            (b"\xff\xff\xff\xff", Looks::Int(-1), "an integer of 4 bytes: -1"),
            (b"\0\0\0\0\0\0\x01\0", Looks::Long(256), "an integer of 8 bytes: 256"),
            (b"\0\0\0\0\x2a\x06BTC", Looks::Schema(42), "Avro or another of a schema registry, schema id 42"),
            (b"\xff", Looks::Binary, "binary"),
            (b"\0", Looks::Binary, "binary"),
        ] {
            assert_eq!(Looks::of(key), looks, "{}", key.escape_ascii());
            assert_eq!(looks.to_string(), said);
        }
    }

    #[test]
    fn the_same_in_another_form_is_recognised() {
        let other: [(&[u8], &str); 7] = [
            (b"\"BTC\"", "BTC"),
            (b"\"a\\\"b\"", "a\"b"),
            (b"\0\0\0\xc8", "200"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", "-1"),
            (b"\0\0\0\0\x2a\x06BTC", "BTC"),
            (b"btc", "BTC"),
            (b"BTC ", "BTC"),
        ];
        for (key, asked) in other {
            assert!(in_other_form(key, asked), "{}", key.escape_ascii());
        }
        let not: [(&[u8], &str); 7] = [
            (b"BTC", "BTC"),
            (b"ETH", "BTC"),
            (b"\"BTC\"", "\"BTC\""),
            (b"\0\0\0A", "66"),
            (b"", "BTC"),
            (b"\0\0\0\0\x2a", ""),
            (b"\xffBTC", "BTC"),
        ];
        for (key, asked) in not {
            assert!(!in_other_form(key, asked), "{}", key.escape_ascii());
        }
    }
}
