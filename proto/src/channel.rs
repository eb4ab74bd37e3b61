//! Channel names from records.

/// Makes a channel's name from a record: literals and `{topic}`, `{key}`, `{partition}`, `{header:NAME}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it.
    #[error("a template may not be empty")]
    Empty,
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
    /// Headers of the record; of several with one name the last counts.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a record makes no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// The record has no key.
    NoKey,
    /// The key is not UTF-8.
    KeyNotUtf8,
    /// The record lacks a header.
    NoHeader,
    /// The header is not UTF-8.
    HeaderNotUtf8,
    /// The name has this many bytes, more than a name may have.
    NameTooLong(usize),
    /// The name would be empty.
    Empty,
}

impl Template {
    /// Reads a template. Literal braces are written twice.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let _ = text;
        todo!()
    }
    /// Longest name in bytes that it makes; 255 unless set.
    #[must_use]
    pub fn with_name_bytes_max(self, bytes: usize) -> Self {
        let _ = bytes;
        todo!()
    }
    /// Names of the record headers that it draws on.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
    /// Writes the name of the channel that the record belongs to into `out`, which is cleared first.
    pub fn render(&self, out: &mut String, fields: &Fields<'_>) -> Result<(), Miss> {
        let _ = (out, fields);
        todo!()
    }
    /// Whether some record of this topic could belong to a channel of this name.
    pub fn could_make(&self, topic: &str, name: &str) -> bool {
        let _ = (topic, name);
        todo!()
    }
}
