//! Writing JSON text by hand: what every message and reply is made of.

/// Appends a JSON string, quotes included.
///
/// Escapes what RFC 8259 7 asks for and nothing else. Runs without escapes are copied at once, and most
/// strings are one run.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| ESCAPE[usize::from(*byte)] != 0) {
        out.extend_from_slice(&rest[..at]);
        put_escaped(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// For every byte what follows the backslash: `u` for `\u00XX`, zero if it needs no escape.
const ESCAPE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[0x22] = b'"';
    table[0x5c] = b'\\';
    table
};

#[cold]
fn put_escaped(out: &mut Vec<u8>, byte: u8) {
    let escape = ESCAPE[usize::from(byte)];
    out.extend_from_slice(&[b'\\', escape]);
    if escape == b'u' {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Appends a number in decimal.
pub(super) fn put_u64(out: &mut Vec<u8>, number: u64) {
    // 20 digits are enough for 64 bits.
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        // Below ten, so it is its lowest byte.
        digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a number in decimal, with `-` where it is negative.
pub(super) fn put_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    put_u64(out, number.unsigned_abs());
}

/// Appends `items` between `open` and `close`, with commas.
pub(super) fn put_list<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: impl IntoIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        put_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes() {
        assert_eq!(string("a\"b\\c/é\u{7f}"), "\"a\\\"b\\\\c/é\u{7f}\"");
        assert_eq!(string("\u{8}\t\n\u{c}\r\u{1}\u{1f}"), r#""\b\t\n\f\r\u0001\u001f""#);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn strings_come_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(unsigned: u64, signed in prop_oneof![any::<i64>(), Just(i64::MIN), Just(0)]) {
            let mut out = Vec::new();
            put_u64(&mut out, unsigned);
            out.push(b' ');
            put_i64(&mut out, signed);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{unsigned} {signed}"));
        }
    }
}
