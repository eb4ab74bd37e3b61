//! What a consumer hands out, borrowed from librdkafka's fetch buffer.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;

use crate::native::Message;

/// A record, borrowed for the time of the callback: copy once what you keep.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What [`crate::Consumer::assign`] was given for the partition.
    pub tag: u32,
    /// The record's offset.
    pub offset: i64,
    /// Milliseconds since 1970, of its creation or its append as the topic is configured; -1 if it has none.
    pub ts_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone; an empty value is not.
    pub value: Option<&'a [u8]>,
    /// The headers; parsed when they are first asked for.
    pub headers: Headers<'a>,
}

/// What [`crate::Consumer::drain`] hands out. Per tag in the order of the log.
#[derive(Debug, Clone, Copy)]
pub enum Delivery<'a> {
    /// A record.
    Record(Record<'a>),
    /// The broker does not hold the offset that is due: passed by retention, or the topic was made anew, or a leader
    /// lost its end. Nothing more comes for the tag until [`crate::Consumer::seek`].
    ///
    /// An error that was under way while `seek` was called may still arrive after it, so judge by the watermarks and
    /// your own next offset, not by the error alone.
    OffsetOutOfRange {
        /// The partition's tag.
        tag: u32,
        /// The offset that was asked for; negative if librdkafka does not tell.
        offset: i64,
        /// librdkafka's words.
        text: &'a str,
    },
    /// The leader's log parts from ours below the offset that is due (KIP-320): what was read from `at` on is void, and
    /// other records take its offsets. Nothing more comes for the tag until [`crate::Consumer::seek`].
    Truncated {
        /// The partition's tag.
        tag: u32,
        /// The first void offset; none if it is not told: all that was read may be void.
        at: Option<i64>,
        /// librdkafka's words.
        text: &'a str,
    },
    /// librdkafka does not know the format of what it fetched and left it out: what it delivers next for the tag lies
    /// behind it. (A batch that is spoilt is fetched again instead, and comes as [`Delivery::Error`].)
    Skipped {
        /// The partition's tag.
        tag: u32,
        /// The first offset that is left out; negative if librdkafka does not tell.
        offset: i64,
        /// librdkafka's words.
        text: &'a str,
    },
    /// The broker refuses to let us read the partition, or to see the topic. librdkafka goes on trying, every 5 s where
    /// fetches are refused, and tells no second time. It is over with the next record of the tag, or with
    /// [`Delivery::Doubt`]: whoever asks then learns whether the topic may be seen again, and fetches are answered again.
    Refused {
        /// The partition's tag.
        tag: u32,
        /// librdkafka's words.
        text: &'a str,
    },
    /// The topic's id, or the partition's leader, is not the one it was (or there is none, or the cluster does not
    /// describe the topic, or does it again): what is delivered for the tag from now on may be of another incarnation
    /// of the topic. Comes before any record that was fetched after the change.
    Doubt {
        /// The partition's tag.
        tag: u32,
        /// The topic's new id, where that is what changed.
        id: Option<crate::TopicId>,
        /// What was seen.
        text: &'a str,
    },
    /// Another trouble of one partition. librdkafka goes on trying by itself. (A partition that is not there comes as
    /// [`crate::BrokerEvent::Other`].)
    Error {
        /// The partition's tag.
        tag: u32,
        /// librdkafka's words.
        text: &'a str,
    },
}

impl<'a> Delivery<'a> {
    /// What a message means. None: nothing to tell (an end of partition, which we do not ask for).
    pub(crate) fn of(message: &'a Message, tag: u32) -> Option<Self> {
        const RECORD: i32 = Code::RD_KAFKA_RESP_ERR_NO_ERROR as i32;
        const RESET: i32 = Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET as i32;
        const OUT_OF_RANGE: i32 = Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE as i32;
        const REFUSED: i32 = Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as i32;
        const UNKNOWN: i32 = Code::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED as i32;
        const END: i32 = Code::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32;
        match message.error() {
            RECORD => Some(Self::Record(Record {
                tag,
                offset: message.offset(),
                ts_ms: message.timestamp_ms(),
                key: message.key(),
                value: message.value(),
                headers: Headers(Origin::Message(message.raw(), PhantomData)),
            })),
            RESET | OUT_OF_RANGE => Some(Self::out_of_range(tag, message.offset(), message.error_text())),
            REFUSED => Some(Self::Refused { tag, text: message.error_text() }),
            // A batch of a format that librdkafka does not know is left out. One that is packed in a way it does not know
            // has the same code and is fetched again and again.
            UNKNOWN if message.error_text().contains("MagicByte") => {
                Some(Self::Skipped { tag, offset: message.offset(), text: message.error_text() })
            }
            END => None,
            _ => Some(Self::Error { tag, text: message.error_text() }),
        }
    }

    /// librdkafka has one code for an offset that is not held and for a log that was truncated below it.
    fn out_of_range(tag: u32, offset: i64, text: &'a str) -> Self {
        match truncation(text) {
            Some(at) => Self::Truncated { tag, at, text },
            None => Self::OffsetOutOfRange { tag, offset, text },
        }
    }
}

/// Whether librdkafka's words (2.12.1, `rdkafka_offset.c`) tell of a log that was truncated, and where its end is then.
fn truncation(text: &str) -> Option<Option<i64>> {
    if !text.contains("truncation detected") && !text.contains("No epoch found") {
        return None;
    }
    let (_, rest) = text.split_once("broker end offset is ").unwrap_or_default();
    let number = rest.split(|c: char| c != '-' && !c.is_ascii_digit()).next().unwrap_or_default();
    Some(number.parse().ok().filter(|&at| at >= 0))
}

/// A record's headers, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a>(Origin<'a>);

/// Where headers are read from.
#[derive(Debug, Clone, Copy)]
enum Origin<'a> {
    Message(*const sys::rd_kafka_message_t, PhantomData<&'a Message>),
    List(&'a [(&'a str, Option<&'a [u8]>)]),
}

impl<'a> Headers<'a> {
    /// Headers that do not come from librdkafka: what a modelled Kafka hands out.
    #[must_use]
    pub fn of(list: &'a [(&'a str, Option<&'a [u8]>)]) -> Self {
        Self(Origin::List(list))
    }

    /// Names and values in the record's order; a name may come again, a null value is None. A header whose name is
    /// not UTF-8 is left out.
    #[must_use]
    pub fn iter(&self) -> HeaderIter<'a> {
        let from = match self.0 {
            Origin::List(list) => HeadersFrom::List(list.iter()),
            Origin::Message(message, _) => {
                let mut headers = ptr::null_mut();
                // SAFETY: the message is alive for 'a. It may parse and keep its headers now; only this thread sees it,
                // since the raw pointer makes `Headers` neither Send nor Sync. Its errors (none, not readable) leave a
                // null.
                unsafe { sys::rd_kafka_message_headers(message, &raw mut headers) };
                HeadersFrom::Message(NativeHeaders { headers, next: 0, _message: PhantomData })
            }
        };
        HeaderIter(from)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// See [`Headers::iter`].
#[derive(Debug)]
pub struct HeaderIter<'a>(HeadersFrom<'a>);

#[derive(Debug)]
enum HeadersFrom<'a> {
    Message(NativeHeaders<'a>),
    List(std::slice::Iter<'a, (&'a str, Option<&'a [u8]>)>),
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            HeadersFrom::Message(headers) => headers.next(),
            HeadersFrom::List(list) => list.next().copied(),
        }
    }
}

#[derive(Debug)]
struct NativeHeaders<'a> {
    headers: *const sys::rd_kafka_headers_t,
    next: usize,
    _message: PhantomData<&'a Message>,
}

impl<'a> NativeHeaders<'a> {
    fn next(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        if self.headers.is_null() {
            return None;
        }
        loop {
            let (mut name, mut value, mut len) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0_usize);
            // SAFETY: the headers belong to the message, alive for 'a; the three places are ours.
            let code = unsafe {
                sys::rd_kafka_header_get_all(
                    self.headers,
                    self.next,
                    &raw mut name,
                    &raw mut value,
                    &raw mut len,
                )
            };
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            self.next += 1;
            // SAFETY: names end with a zero and belong to the message.
            let Ok(name) = unsafe { CStr::from_ptr::<'a>(name) }.to_str() else { continue };
            if value.is_null() {
                return Some((name, None));
            }
            // SAFETY: `len` bytes that belong to the message.
            let value: &'a [u8] = unsafe { std::slice::from_raw_parts(value.cast(), len) };
            return Some((name, Some(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::truncation;

    #[test]
    fn a_cut_is_known_by_its_words() {
        let words = "Partition log truncation detected at offset 100 (leader epoch 3): broker end offset is 80 (offset \
                     leader epoch 2). Reset to INVALID.: Local: Partition log truncation detected (broker 1)";
        assert_eq!(truncation(words), Some(Some(80)));
        let none = "No epoch found less or equal to offset 100 (leader epoch 3): broker end offset is -1 (offset leader \
                    epoch -1). Reset using configured policy.: Local: Partition log truncation detected";
        assert_eq!(truncation(none), Some(None));
        assert_eq!(truncation("truncation detected in other words"), Some(None));
        let retention =
            "fetch failed due to requested offset not available on the broker: Broker: Offset out of range";
        assert_eq!(truncation(retention), None);
    }
}
