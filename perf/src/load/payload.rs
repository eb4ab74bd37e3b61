//! The value of a record: a stamp and a checkable filling.
//!
//! `{"seq":N,"t":T,"ch":"KEY","pad":"..."}`: number within the channel from 0, intended time of sending in ns
//! since 1970, the record's key, and one letter (which one depends on the number) up to the wanted size. A
//! damaged or mixed message does not pass as whole.

/// What a value tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// Number within the channel, from 0.
    pub seq: u64,
    /// Intended time of sending, ns since 1970.
    pub t_ns: u64,
    /// Key of the record.
    pub key: &'a [u8],
    /// The filling is what it should be.
    pub intact: bool,
}

const END: &[u8] = b"\"}";

/// What JSON numbers hold exactly everywhere; keeps sums of what a peer sends from overflowing.
const SEQ_MAX: u64 = 1 << 53;

/// Writes a value of `size` bytes (or as short as its stamp allows) into `out`, which is cleared first.
pub fn write(out: &mut Vec<u8>, seq: u64, t_ns: u64, key: &str, size: usize) {
    use std::io::Write;
    out.clear();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"seq\":{seq},\"t\":{t_ns},\"ch\":\"{key}\",\"pad\":\"");
    let filled = size.saturating_sub(END.len()).max(out.len());
    out.resize(filled, filling(seq));
    out.extend_from_slice(END);
}

/// Reads a value; `None`: not one of ours.
#[must_use]
pub fn read(value: &[u8]) -> Option<Stamp<'_>> {
    let (seq, rest) = number(value.strip_prefix(b"{\"seq\":")?)?;
    if seq > SEQ_MAX {
        return None;
    }
    let (t_ns, rest) = number(rest.strip_prefix(b",\"t\":")?)?;
    let rest = rest.strip_prefix(b",\"ch\":\"")?;
    let key_len = rest.iter().position(|byte| *byte == b'"')?;
    let (key, rest) = rest.split_at(key_len);
    let pad = rest.strip_prefix(b"\",\"pad\":\"")?.strip_suffix(END)?;
    let letter = filling(seq);
    // A fold, not `all`: without the early end it is a few vector instructions.
    let intact = pad.iter().fold(0, |wrong, byte| wrong | (byte ^ letter)) == 0;
    Some(Stamp { seq, t_ns, key, intact })
}

/// Whether a key can stand in a value without escapes.
#[must_use]
pub fn key_fits(key: &str) -> bool {
    !key.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
}

fn filling(seq: u64) -> u8 {
    b"abcdefghijklmnopqrstuvwxyz"[(seq % 26) as usize]
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at(digits);
    let mut value: u64 = 0;
    for digit in number {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (digits > 0).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_are_json_and_read_back() {
        let mut value = Vec::new();
        for size in [0, 60, 256, 10_000] {
            write(&mut value, 42, 1_700_000_000_000_000_000, "key-7", size);
            let stamp_len = r#"{"seq":42,"t":1700000000000000000,"ch":"key-7","pad":""}"#.len();
            assert_eq!(value.len(), size.max(stamp_len));
            let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(json["seq"], 42);
            assert_eq!(json["ch"], "key-7");
            let stamp = Stamp { seq: 42, t_ns: 1_700_000_000_000_000_000, key: b"key-7", intact: true };
            assert_eq!(read(&value), Some(stamp));
        }
    }

    #[test]
    fn a_mixed_filling_is_seen() {
        let mut value = Vec::new();
        write(&mut value, 3, 9, "k", 100);
        for at in [50, 70, 97] {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert!(!read(&damaged).unwrap().intact, "byte {at}");
        }
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        let mut value = Vec::new();
        write(&mut value, 1, 2, "k", 64);
        for cut in 0..value.len() {
            assert_eq!(read(&value[..cut]), None);
        }
        for other in [
            &b"{\"seq\":,\"t\":1,\"ch\":\"k\",\"pad\":\"\"}"[..],
            b"{\"seq\":99999999999999999999,\"t\":1,\"ch\":\"k\",\"pad\":\"\"}",
            b"{\"seq\":9007199254740993,\"t\":1,\"ch\":\"k\",\"pad\":\"\"}",
            b"{\"price\":1}",
            b"[]",
        ] {
            assert_eq!(read(other), None);
        }
        assert!(key_fits("BTC-USD.trade é"));
        assert!(!key_fits("a\"b") && !key_fits("a\\") && !key_fits("a\nb"));
    }
}
