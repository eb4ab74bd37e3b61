//! A small sample of the keys that were read, for those who wonder why theirs is not among them.

use super::encode::Record;
use crate::inbox::KeyFacts;

/// Distinct keys kept of a topic.
const KEYS: usize = 16;
/// Bytes kept of a key.
const KEY_BYTES: usize = 64;
/// Of the first records every key is looked at: a slow topic has its sample soon.
const FIRST: u32 = 64;
/// Then of one in so many, which costs a record next to nothing. A prime, so that it is not in step with a producer that
/// goes round its keys.
const STRIDE: u32 = 61;

/// Keys of one incarnation of a topic: the last distinct ones of those looked at.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Records until one is looked at.
    due: u32,
    /// How many were looked at, up to `FIRST`.
    looked: u32,
    kept: Vec<Kept>,
    /// Place of the next one, once all are taken.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: [u8; KEY_BYTES],
    /// Of the whole key; none: there was no key.
    len: Option<usize>,
    partition: u32,
    offset: i64,
}

impl Default for Keys {
    fn default() -> Self {
        Self { due: 1, looked: 0, kept: Vec::with_capacity(KEYS), next: 0 }
    }
}

impl Keys {
    /// A record was read.
    #[inline]
    pub(crate) fn see(&mut self, partition: u32, record: &Record<'_>) {
        self.due -= 1;
        if self.due == 0 {
            self.look(partition, record);
        }
    }

    #[cold]
    fn look(&mut self, partition: u32, record: &Record<'_>) {
        self.looked = FIRST.min(self.looked + 1);
        self.due = if self.looked < FIRST { 1 } else { STRIDE };
        let key = record.key.unwrap_or_default();
        let (front, len) = (&key[..key.len().min(KEY_BYTES)], record.key.map(<[u8]>::len));
        if self.kept.iter().any(|kept| kept.len == len && kept.front() == front) {
            return;
        }
        let mut kept = Kept { bytes: [0; KEY_BYTES], len, partition, offset: record.offset };
        kept.bytes[..front.len()].copy_from_slice(front);
        if self.kept.len() < KEYS {
            self.kept.push(kept);
        } else {
            self.kept[self.next] = kept;
            self.next = (self.next + 1) % KEYS;
        }
    }

    /// The sample, the latest last.
    pub(crate) fn sample(&self) -> Vec<KeyFacts> {
        let (later, earlier) = self.kept.split_at(self.next);
        let fact = |kept: &Kept| KeyFacts {
            key: kept.len.map(|_| kept.front().to_vec()),
            len: kept.len.unwrap_or(0),
            partition: kept.partition,
            offset: kept.offset,
        };
        earlier.iter().chain(later).map(fact).collect()
    }
}

impl Kept {
    fn front(&self) -> &[u8] {
        &self.bytes[..self.len.unwrap_or(0).min(KEY_BYTES)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(keys: &mut Keys, offset: i64, key: Option<&[u8]>) {
        keys.see(3, &Record { offset, ts_ms: 0, key, value: None, headers: &[] });
    }

    fn texts(keys: &Keys) -> Vec<Option<Vec<u8>>> {
        keys.sample().into_iter().map(|fact| fact.key).collect()
    }

    #[test]
    fn each_key_is_kept_once_with_the_place_of_its_first_record() {
        let mut keys = Keys::default();
        let long = [b'x'; 100];
        for (offset, key) in
            [(0, Some(&b"a"[..])), (1, None), (2, Some(b"")), (3, Some(b"a")), (4, Some(&long))]
        {
            see(&mut keys, offset, key);
        }
        let fact = |key: Option<&[u8]>, len, offset| KeyFacts {
            key: key.map(<[u8]>::to_vec),
            len,
            partition: 3,
            offset,
        };
        let expected = [
            fact(Some(b"a"), 1, 0),
            fact(None, 0, 1),
            fact(Some(b""), 0, 2),
            fact(Some(&long[..64]), 100, 4),
        ];
        assert_eq!(keys.sample(), expected);
        see(&mut keys, 5, Some(&long[..99]));
        assert_eq!(keys.sample().len(), 5, "another length is another key");
    }

    #[test]
    fn the_sample_is_bounded_and_moves_with_the_records() {
        let mut keys = Keys::default();
        let key = |n: i64| format!("key-{n}").into_bytes();
        for n in 0..20 {
            see(&mut keys, n, Some(&key(n)));
        }
        assert_eq!(texts(&keys), (4..20).map(|n| Some(key(n))).collect::<Vec<_>>());
        // From now on one of many is looked at.
        for n in 20..10_000 {
            see(&mut keys, n, Some(&key(n)));
        }
        let facts = keys.sample();
        assert_eq!(facts.len(), KEYS);
        assert!(facts.iter().all(|fact| fact.offset > 8_000), "{facts:?}");
        assert!(facts.is_sorted_by_key(|fact| fact.offset), "the latest last");
    }
}
