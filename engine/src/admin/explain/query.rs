//! What is asked: the query of /explain.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// A record that somebody wonders about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its key; none: it has none.
    pub key: Option<Vec<u8>>,
    /// Its partition, if it is known.
    pub partition: Option<u32>,
    /// Its headers, as far as they matter.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Asked {
    /// Reads `topic=T&key=K&partition=N&header=NAME%3DVALUE`: `topic` once, `header` as often as need be. Values are
    /// percent-encoded (RFC 3986, section 2.1; a `+` is a plus), so that a key may be any bytes.
    ///
    /// # Errors
    /// What is wrong with it, for whoever asks.
    pub fn parse(query: &str) -> Result<Self, String> {
        let (mut topic, mut key, mut partition, mut headers) = (None, None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` has no value"))?;
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            match name {
                "topic" => topic = Some(Arc::from(text(&bytes, name)?)),
                "key" => key = Some(bytes),
                "partition" => {
                    let number = text(&bytes, name)?.parse();
                    partition = Some(number.map_err(|_| format!("`{value}` is not a partition"))?);
                }
                "header" => {
                    let at = bytes.iter().position(|byte| *byte == b'=');
                    let at = at.ok_or_else(|| format!("`{value}` is not NAME%3DVALUE"))?;
                    headers.push((text(&bytes[..at], name)?.to_owned(), bytes[at + 1..].to_vec()));
                }
                _ => return Err(format!("`{name}` is not one of topic, key, partition, header")),
            }
        }
        Ok(Self { topic: topic.ok_or("`topic` is missing")?, key, partition, headers })
    }
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("`{name}` is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_asked_about_byte_by_byte() {
        let asked =
            Asked::parse("topic=odin.trades&key=a%00%ff%26+%2B&partition=7&header=r%3D=%3D&header=s%3D");
        let expected = Asked {
            topic: "odin.trades".into(),
            key: Some(b"a\0\xff&++".to_vec()),
            partition: Some(7),
            headers: vec![("r".to_owned(), b"==".to_vec()), ("s".to_owned(), Vec::new())],
        };
        assert_eq!(asked, Ok(expected));
        let plain = Asked::parse("topic=t").unwrap();
        assert_eq!((plain.key, plain.partition, plain.headers), (None, None, Vec::new()));
        assert_eq!(Asked::parse("key=&topic=t").unwrap().key, Some(Vec::new()), "empty is not absent");
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        for (query, named) in [
            ("", "`topic` is missing"),
            ("topic", "`topic` has no value"),
            ("topic=%ff", "`topic` is not UTF-8"),
            ("topic=t&partition=-1", "`-1` is not a partition"),
            ("topic=t&header=region", "`region` is not NAME%3DVALUE"),
            ("topic=t&keys=a", "`keys` is not one of "),
        ] {
            let error = Asked::parse(query).unwrap_err();
            assert!(error.starts_with(named), "{query}: {error}");
        }
    }
}
