//! Where producers place a record by its key.
//!
//! A producer may place records as it likes: these tell where a record is expected, not where it is.

use std::ptr;

use rdkafka_sys as sys;

use crate::native::partition_number;

/// The two rules that nearly all producers follow for records with a key, both by librdkafka's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioner {
    /// Of Java's producer and of most others, and librdkafka's `murmur2_random`: murmur2 without its sign, modulo the
    /// partitions.
    Murmur2,
    /// Of librdkafka's default, `consistent_random`: CRC-32, modulo the partitions. (It places an empty key at random.)
    Consistent,
}

impl Partitioner {
    /// The partition of a record with this key, in a topic with so many partitions. None: the topic has none (or more
    /// than Kafka can number).
    ///
    /// ```
    /// use kafka::Partitioner;
    ///
    /// assert_eq!(Partitioner::Murmur2.partition(b"BTC", 12), Some(10));
    /// assert_eq!(Partitioner::Consistent.partition(b"BTC", 12), Some(2));
    /// assert_eq!(Partitioner::Murmur2.partition(b"BTC", 0), None);
    /// ```
    #[must_use]
    pub fn partition(self, key: &[u8], partitions: u32) -> Option<u32> {
        let count = partition_number(partitions).ok().filter(|count| *count > 0)?;
        let rule = match self {
            Self::Murmur2 => sys::rd_kafka_msg_partitioner_murmur2,
            Self::Consistent => sys::rd_kafka_msg_partitioner_consistent,
        };
        // SAFETY: both read the key's bytes and the count, which is above 0, and neither topic nor opaques
        // (rdkafka_msg.c); they keep nothing.
        let partition = unsafe {
            rule(ptr::null(), key.as_ptr().cast(), key.len(), count, ptr::null_mut(), ptr::null_mut())
        };
        u32::try_from(partition).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With so many partitions the partition is all but the hash itself.
    const MOST: u32 = i32::MAX as u32;

    #[test]
    fn murmur2_agrees_with_kafkas_own_vectors() {
        // UtilsTest.testMurmur2 of Kafka's Java client.
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            // Utils.toPositive.
            let positive = hash.cast_unsigned() & 0x7fff_ffff;
            let found = Partitioner::Murmur2.partition(key, MOST);
            assert_eq!(found, Some(positive), "{}", key.escape_ascii());
            assert_eq!(Partitioner::Murmur2.partition(key, 10), Some(positive % 10));
        }
    }

    #[test]
    fn consistent_is_crc_32() {
        // The check value of CRC-32/ISO-HDLC, which is zlib's.
        assert_eq!(Partitioner::Consistent.partition(b"123456789", MOST), Some(0xcbf4_3926 % MOST));
        assert_eq!(Partitioner::Consistent.partition(b"", 7), Some(0));
    }

    #[test]
    fn no_partitions_no_place() {
        for rule in [Partitioner::Murmur2, Partitioner::Consistent] {
            assert_eq!((rule.partition(b"k", 0), rule.partition(b"k", u32::MAX)), (None, None));
            assert_eq!(rule.partition(b"k", 1), Some(0));
        }
    }
}
