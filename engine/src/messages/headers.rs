//! A record's headers as routes see them: of several with one name the last counts, and a null is none.

/// Headers of a record that need no allocation.
const INLINE: usize = 32;

/// A header with a value.
pub(crate) type Header<'a> = (&'a str, &'a [u8]);

/// Where headers are put together.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    inline: [Header<'a>; INLINE],
    len: usize,
    /// All of them, once they are more than fit.
    many: Vec<Header<'a>>,
}

impl Default for Room<'_> {
    fn default() -> Self {
        Self { inline: [("", &[]); INLINE], len: 0, many: Vec::new() }
    }
}

/// The headers that a record has, in their order. A later one of the same name takes the place of those before; whoever
/// reads them looks for the last, so that those may stay, but for a null: there is no header of that name then, whatever
/// came before.
pub(crate) fn present<'r, 'a>(
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    room: &'r mut Room<'a>,
) -> &'r [Header<'a>] {
    for (name, value) in headers {
        match value {
            Some(value) => room.push((name, value)),
            None => room.remove(name),
        }
    }
    room.headers()
}

impl<'a> Room<'a> {
    fn headers(&self) -> &[Header<'a>] {
        if self.many.is_empty() { &self.inline[..self.len] } else { &self.many }
    }

    fn push(&mut self, header: Header<'a>) {
        if self.many.is_empty() && self.len < INLINE {
            self.inline[self.len] = header;
            self.len += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.inline);
            self.len = 0;
        }
        self.many.push(header);
    }

    #[cold]
    fn remove(&mut self, name: &str) {
        self.many.retain(|(of, _)| *of != name);
        let mut kept = 0;
        for at in 0..self.len {
            if self.inline[at].0 != name {
                self.inline[kept] = self.inline[at];
                kept += 1;
            }
        }
        self.len = kept;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_counts_and_null_means_none() {
        let headers: [(&str, Option<&[u8]>); 6] = [
            ("a", Some(b"1")),
            ("b", Some(b"1")),
            ("a", Some(b"2")),
            ("b", None),
            ("c", None),
            ("c", Some(b"")),
        ];
        let mut room = Room::default();
        let expected: [Header<'_>; 3] = [("a", b"1"), ("a", b"2"), ("c", b"")];
        assert_eq!(present(headers, &mut room), expected);
        assert_eq!(present([("a", Some(&b"1"[..])), ("a", None)], &mut Room::default()), []);
        assert_eq!(present([], &mut Room::default()), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However many there are, who looks for the last of a name finds what a map would have.
        #[test]
        fn any_headers_are_those_of_a_map(
            headers in prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "d"]), prop::option::weighted(0.9, 0..9_u8)), 0..100),
        ) {
            let given: Vec<(&str, Option<[u8; 1]>)> =
                headers.iter().map(|(name, value)| (*name, value.map(|value| [value]))).collect();
            let mut map: BTreeMap<&str, [u8; 1]> = BTreeMap::new();
            for (name, value) in &given {
                match value {
                    Some(value) => map.insert(name, *value),
                    None => map.remove(name),
                };
            }
            let mut room = Room::default();
            let found = present(given.iter().map(|(name, value)| (*name, value.as_ref().map(|value| &value[..]))), &mut room);
            let last: BTreeMap<&str, [u8; 1]> = found.iter().map(|(name, value)| (*name, [value[0]])).collect();
            prop_assert_eq!(last, map);
            prop_assert!(found.len() <= given.len());
        }
    }
}
