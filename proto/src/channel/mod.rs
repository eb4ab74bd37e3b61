//! Channel names from records.
//!
//! A route's [`Template`] makes the name of the channel that a record belongs to. It is applied, never
//! re-split: a key may contain dots, spaces and any UTF-8, as long as it is text ([`text`]).
//!
//! ```
//! use proto::channel::{Fields, Miss, Template};
//!
//! let template = Template::parse("{key}.trade")?;
//! let fields = Fields { topic: "odin.trades", partition: 0, key: Some(b"BTC"), headers: &[] };
//! let mut name = String::new();
//! assert_eq!(template.render(&mut name, &fields), Ok(()));
//! assert_eq!(name, "BTC.trade");
//! assert!(template.could_make("odin.trades", "ETH.trade"));
//! assert!(!template.could_make("odin.trades", "ETH.orders"));
//! assert_eq!(template.render(&mut name, &Fields { key: None, ..fields }), Err(Miss::NoKey));
//! # Ok::<(), proto::channel::TemplateError>(())
//! ```

pub mod looks;
#[cfg(test)]
mod tests;

use std::fmt;

/// Longest channel name in bytes, unless set (docs/PROTOCOL.md, "Limits").
pub const NAME_BYTES_MAX: usize = 255;

/// Makes a channel's name from a record: literals and `{topic}`, `{key}`, `{partition}`, `{header:NAME}`.
///
/// A brace that is meant literally is written twice. `{key}`, `{partition}` and each header may stand once:
/// repeating one can tell no two channels apart, and would make [`could_make`](Self::could_make) a search.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Vec<Part>,
    name_bytes_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Never empty, and never two in a row.
    Literal(String),
    Topic,
    Key,
    Partition,
    Header(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it.
    #[error("a template may not be empty")]
    Empty,
    /// `{` without its `}`.
    #[error("`{{` without its `}}` (a literal brace is written twice)")]
    Unclosed,
    /// `}` without its `{`.
    #[error("`}}` without its `{{` (a literal brace is written twice)")]
    Unopened,
    /// A word in braces that names no field.
    #[error("`{{{0}}}` is none of {{topic}}, {{key}}, {{partition}}, {{header:NAME}}")]
    UnknownField(String),
    /// A field that stands twice.
    #[error("`{{{0}}}` may stand only once")]
    Repeated(String),
}

/// What a template draws on.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// Partition of the record.
    pub partition: u32,
    /// Key of the record.
    pub key: Option<&'a [u8]>,
    /// Headers of the record; of several with one name the last counts, as in Kafka's own clients.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a record makes no name. Callers count by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// The record has no key.
    NoKey,
    /// The key is not UTF-8.
    KeyNotUtf8,
    /// The key is UTF-8, but no text; see [`text`].
    KeyBinary,
    /// The record lacks a header.
    NoHeader,
    /// The header is not UTF-8.
    HeaderNotUtf8,
    /// The header is UTF-8, but no text; see [`text`].
    HeaderBinary,
    /// The name has this many bytes, more than a name may have.
    NameTooLong(usize),
    /// The name would be empty.
    Empty,
}

impl Miss {
    const fn of_key(why: NotText) -> Self {
        match why {
            NotText::NotUtf8 => Self::KeyNotUtf8,
            NotText::Binary => Self::KeyBinary,
        }
    }

    const fn of_header(why: NotText) -> Self {
        match why {
            NotText::NotUtf8 => Self::HeaderNotUtf8,
            NotText::Binary => Self::HeaderBinary,
        }
    }

    /// A word for it, as metrics have it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::KeyNotUtf8 => "key_not_utf8",
            Self::KeyBinary => "key_binary",
            Self::NoHeader => "no_header",
            Self::HeaderNotUtf8 => "header_not_utf8",
            Self::HeaderBinary => "header_binary",
            Self::NameTooLong(_) => "name_too_long",
            Self::Empty => "name_empty",
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("the record has no key"),
            Self::KeyNotUtf8 => f.write_str("the key is not UTF-8"),
            Self::KeyBinary => {
                f.write_str("the key is binary: it begins with a control character or has a zero byte")
            }
            Self::NoHeader => f.write_str("the record lacks a header that the name is made from"),
            Self::HeaderNotUtf8 => f.write_str("the header that the name is made from is not UTF-8"),
            Self::HeaderBinary => f.write_str(
                "the header that the name is made from is binary: it begins with a control character or has a zero byte",
            ),
            Self::NameTooLong(len) => write!(f, "the name would have {len} bytes, more than a name may have"),
            Self::Empty => f.write_str("the name would be empty"),
        }
    }
}

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotText {
    /// They are not UTF-8.
    NotUtf8,
    /// They begin with a control character or have a zero byte.
    Binary,
}

/// The text that a key or header is, as part of a name.
///
/// Integers as Kafka's serializers write them (4 or 8 bytes, the highest first) are UTF-8 or not by their value: 65 is,
/// 200 is not. They must all meet one fate, and no text begins with a control character or has a zero byte in it, so
/// neither counts as text, which leaves out all integers up to 2^29 or 2^61, and the framing of a schema registry. What
/// cannot be told by its bytes: an integer beyond, all bytes of which happen to be characters.
///
/// # Errors
/// Why they are none.
#[inline]
pub fn text(bytes: &[u8]) -> Result<&str, NotText> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotText::NotUtf8)?;
    let binary = bytes.first().is_some_and(u8::is_ascii_control) || has_zero(bytes);
    if binary { Err(NotText::Binary) } else { Ok(text) }
}

/// Whether a byte is zero. Keys are short and this is done for each record: up to 16 bytes are looked at as two words
/// that overlap, not one by one.
#[inline]
fn has_zero(bytes: &[u8]) -> bool {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) if bytes.len() <= 8 => {
            let word = |first, last| {
                u64::from(u32::from_ne_bytes(first)) << 32 | u64::from(u32::from_ne_bytes(last))
            };
            has_zero_byte(word(*first, *last))
        }
        _ => match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) if bytes.len() <= 16 => {
                has_zero_byte(u64::from_ne_bytes(*first)) || has_zero_byte(u64::from_ne_bytes(*last))
            }
            _ => bytes.contains(&0),
        },
    }
}

/// By the borrow that subtracting one from each byte makes out of a zero (Warren, Hacker's Delight, 6-1).
const fn has_zero_byte(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, for the operator who wrote it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let from = &rest[at..];
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let field = from.strip_prefix('{').ok_or(TemplateError::Unopened)?;
            let (field, after) = field.split_once('}').ok_or(TemplateError::Unclosed)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            let part = Part::field(field).ok_or_else(|| TemplateError::UnknownField(field.to_owned()))?;
            if part != Part::Topic && parts.contains(&part) {
                return Err(TemplateError::Repeated(field.to_owned()));
            }
            parts.push(part);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if parts.is_empty() {
            Err(TemplateError::Empty)
        } else {
            Ok(Self { parts, name_bytes_max: NAME_BYTES_MAX })
        }
    }

    /// Longest name in bytes that it makes; [`NAME_BYTES_MAX`] unless set.
    #[must_use]
    pub fn with_name_bytes_max(self, bytes: usize) -> Self {
        Self { name_bytes_max: bytes, ..self }
    }

    /// Names of the record headers that it draws on.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Header(name) => Some(name.as_str()),
            Part::Literal(_) | Part::Topic | Part::Key | Part::Partition => None,
        })
    }

    /// Whether it draws on the record's partition.
    #[must_use]
    pub fn names_partition(&self) -> bool {
        self.parts.contains(&Part::Partition)
    }

    /// Writes the name of the channel that the record belongs to into `out`, which is cleared first.
    ///
    /// # Errors
    /// Why the record belongs to no channel; `out` then holds nothing of use.
    pub fn render(&self, out: &mut String, fields: &Fields<'_>) -> Result<(), Miss> {
        out.clear();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Topic => out.push_str(fields.topic),
                Part::Key => {
                    let key = fields.key.ok_or(Miss::NoKey)?;
                    out.push_str(text(key).map_err(Miss::of_key)?);
                }
                Part::Partition => {
                    // Writing to a String cannot fail.
                    let _ = fmt::Write::write_fmt(out, format_args!("{}", fields.partition));
                }
                Part::Header(name) => {
                    let header = fields.headers.iter().rfind(|(of, _)| of == name).ok_or(Miss::NoHeader)?;
                    out.push_str(text(header.1).map_err(Miss::of_header)?);
                }
            }
        }
        match out.len() {
            0 => Err(Miss::Empty),
            len if len > self.name_bytes_max => Err(Miss::NameTooLong(len)),
            _ => Ok(()),
        }
    }

    /// Whether some record of this topic could belong to a channel of this name: exactly the names that
    /// [`render`](Self::render) makes. Its cost is the name's length times the number of parts, whatever a
    /// client thinks up.
    #[must_use]
    pub fn could_make(&self, topic: &str, name: &str) -> bool {
        if name.is_empty() || name.len() > self.name_bytes_max {
            return false;
        }
        // reached[i]: the parts so far can make the first i bytes of the name.
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            reached = match part {
                Part::Literal(text) => {
                    step(&reached, name, |rest| rest.starts_with(text.as_bytes()).then_some(text.len()))
                }
                Part::Topic => {
                    step(&reached, name, |rest| rest.starts_with(topic.as_bytes()).then_some(topic.len()))
                }
                Part::Partition => step_partition(&reached, name),
                Part::Key | Part::Header(_) => step_text(&reached, name),
            };
        }
        reached[name.len()]
    }
}

/// As [`Template::parse`] reads it.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Topic => f.write_str("{topic}"),
            Part::Key => f.write_str("{key}"),
            Part::Partition => f.write_str("{partition}"),
            Part::Header(name) => write!(f, "{{header:{name}}}"),
        })
    }
}

impl Part {
    fn field(text: &str) -> Option<Self> {
        Some(match text {
            "topic" => Self::Topic,
            "key" => Self::Key,
            "partition" => Self::Partition,
            _ => Self::Header(text.strip_prefix("header:").filter(|name| !name.is_empty())?.to_owned()),
        })
    }
}

/// Where one can be after a part of which there is one way to match, from every place where one could be
/// before it.
fn step(reached: &[bool], name: &str, matched: impl Fn(&[u8]) -> Option<usize>) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for (at, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
        if let Some(len) = matched(&name.as_bytes()[at..]) {
            next[at + len] = true;
        }
    }
    next
}

/// As `step`, for any [`text`], none at all too. Where a character is cut in two, what follows cannot match but for
/// another such field, all of which this one could take as well.
fn step_text(reached: &[bool], name: &str) -> Vec<bool> {
    // A text that has begun reaches up to here.
    let mut begun = false;
    let mut next: Vec<bool> = reached
        .iter()
        .zip(name.bytes())
        .map(|(&reached, byte)| {
            let here = reached || begun;
            begun = byte != 0 && (begun || (reached && !byte.is_ascii_control()));
            here
        })
        .collect();
    next.push(begun || reached[name.len()]);
    next
}

/// As `step`, for a number of 32 bits without leading zeros: up to ten ways to match.
fn step_partition(reached: &[bool], name: &str) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for (at, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
        let rest = &name.as_bytes()[at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let longest = if rest.first() == Some(&b'0') { 1 } else { 10 };
        for len in 1..=digits.min(longest) {
            next[at + len] |= name[at..at + len].parse::<u32>().is_ok();
        }
    }
    next
}
