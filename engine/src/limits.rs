//! Bounds on everything a peer can make the server hold, in one table: what the server keeps to, its defaults, the flags
//! that set them, and the rows of the tables in docs/operations.md and docs/PROTOCOL.md.
//!
//! A new limit is a row here; `serve` has its flag, variable and key then, and a test says how the documents get their rows.

use std::time::Duration;

/// What a limit counts. Decides how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Time,
}

/// One limit, for those who show or set any of them.
#[derive(Debug)]
pub struct Limit {
    /// Its field of [`Limits`].
    pub field: &'static str,
    /// Its flag, without dashes.
    pub flag: &'static str,
    /// Names that the flag once had and that still work.
    pub former: &'static [&'static str],
    /// What it counts.
    pub unit: Unit,
    /// The line of `--help`.
    pub help: &'static str,
    /// What the documents write right behind its default.
    pub note: &'static str,
    /// What is bounded.
    pub bounds: &'static str,
    /// What happens when it is exceeded.
    pub exceeded: &'static str,
    /// Its value, in its unit.
    pub get: fn(&Limits) -> u64,
    /// Sets it, in its unit; what the field cannot hold becomes the most that it can.
    pub set: fn(&mut Limits, u64),
}

/// A field's type.
trait Field {
    fn to_number(self) -> u64;
    fn of_number(number: u64) -> Self;
}

impl Field for usize {
    fn to_number(self) -> u64 {
        self as u64
    }

    fn of_number(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Field for u32 {
    fn to_number(self) -> u64 {
        u64::from(self)
    }

    fn of_number(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Field for Duration {
    fn to_number(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }

    fn of_number(number: u64) -> Self {
        Self::from_millis(number)
    }
}

macro_rules! limits {
    ($(
        $(#[$doc:meta])*
        $field:ident: $type:ty = $default:expr, $unit:ident {
            flag: $flag:literal,
            $(former: $former:literal,)?
            help: $help:literal,
            $(note: $note:literal,)?
            bounds: $bounds:literal,
            exceeded: $exceeded:literal,
        }
    )*) => {
        /// What the server keeps to.
        #[derive(Debug, Clone)]
        pub struct Limits {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Limits {
            /// Every limit, in the order in which help and documents have them.
            pub const TABLE: &'static [Limit] = &[$(Limit {
                field: stringify!($field),
                flag: $flag,
                former: &[$($former)?],
                unit: Unit::$unit,
                help: $help,
                note: concat!($($note)?),
                bounds: $bounds,
                exceeded: $exceeded,
                get: |limits| limits.$field.to_number(),
                set: |limits, number| limits.$field = Field::of_number(number),
            },)*];
        }
    };
}

limits! {
    /// Connections over all shards; the first shards take the remainder.
    connections: usize = 12_000, Count {
        flag: "max-connections",
        help: "Maximum connections of all shards; more are refused with 503",
        bounds: "connections over all shards; the first shards take the remainder",
        exceeded: "503 with Retry-After and a JSON reason",
    }

    /// Channels a connection may hold.
    channels_per_connection: usize = 1_000, Count {
        flag: "limit-channels",
        help: "Channels per connection (TOO_MANY_CHANNELS)",
        bounds: "channels per connection",
        exceeded: "`TOO_MANY_CHANNELS`",
    }

    /// Bytes of a channel's name.
    channel_name_bytes: usize = 255, Bytes {
        flag: "limit-channel-name",
        help: "Length of a channel name (NAME_TOO_LONG)",
        bounds: "length of a channel name",
        exceeded: "`NAME_TOO_LONG`; a record with such a name is counted (`bad_name`)",
    }

    /// Channels named in one request.
    channels_per_request: usize = 250, Count {
        flag: "limit-channels-per-request",
        help: "Channels per request (BAD_REQUEST)",
        bounds: "channels per request",
        exceeded: "`BAD_REQUEST`",
    }

    /// Channels without a record, over the process.
    empty_channels: usize = 1_000_000, Count {
        flag: "limit-empty-channels",
        help: "Channels without any record, over all clients (TOO_MANY_CHANNELS)",
        bounds: "channels without a record; half of them are reserved for clients that hold less than their share of that half",
        exceeded: "`TOO_MANY_CHANNELS`",
    }

    /// Bytes of a client's frame and of its message.
    client_message_bytes: usize = 256 << 10, Bytes {
        flag: "max-message",
        help: "Maximum size of a frame or message sent by a client",
        bounds: "size of a client's frame or message",
        exceeded: "close 1009",
    }

    /// Bytes of an upgrade request.
    upgrade_bytes: usize = 16 << 10, Bytes {
        flag: "limit-upgrade-size",
        help: "Size of an upgrade request (431)",
        bounds: "size of an upgrade request",
        exceeded: "431",
    }

    /// Time for an upgrade request.
    upgrade_time: Duration = Duration::from_secs(5), Time {
        flag: "limit-upgrade-time",
        help: "Time to receive an upgrade request (408)",
        bounds: "time to receive an upgrade request",
        exceeded: "408",
    }

    /// Handshakes under way at once.
    handshakes: usize = 2_048, Count {
        flag: "limit-handshakes",
        help: "Concurrent handshakes; further connections wait in the kernel",
        bounds: "concurrent handshakes",
        exceeded: "further connections wait in the kernel",
    }

    /// Refusals whose answer is still being delivered.
    lingering_refusals: usize = 512, Count {
        flag: "limit-refusals",
        help: "Refused connections kept open until their client has read the response",
        bounds: "refused connections kept open until their client has read the response",
        exceeded: "further ones get the response, but are not waited for",
    }

    /// Frames and requests of a client that are worked off at once.
    request_burst: u32 = 200, Count {
        flag: "limit-request-burst",
        help: "Frames and requests a client may send in a burst; beyond it, reading is limited to the rate",
        bounds: "frames and requests a client may send in a burst",
        exceeded: "reading is limited to the rate",
    }

    /// Frames and requests of a client that are worked off in a second after that; it is read no faster.
    requests_per_second: u32 = 200, Count {
        flag: "limit-request-rate",
        help: "Sustained frames and requests per second, per client",
        note: "/s",
        bounds: "sustained frames and requests per client",
        exceeded: "reading is limited to it",
    }

    /// Failed requests a minute before a close with 1008.
    failed_requests_per_minute: u32 = 100, Count {
        flag: "limit-failed-requests",
        help: "Failed requests per minute before the connection is closed with 1008",
        note: "/min",
        bounds: "failed requests",
        exceeded: "close 1008",
    }

    /// Bytes of a record's value.
    record_value_bytes: usize = 1 << 20, Bytes {
        flag: "limit-record-value",
        help: "Size of a record value; a larger one becomes a gap \"oversized\", or stops the topic if its route says so",
        note: ", at most 1/16 of the slab",
        bounds: "size of a record value",
        exceeded: "gap `oversized`, or the topic stops, as its route says",
    }

    /// Control output (answers, notices) of a client that it has not taken, above which it is not read.
    control_output_bytes: usize = 4 << 10, Bytes {
        flag: "limit-control-output",
        former: "limit-own-bytes",
        help: "Unsent control output (replies, notices) of a client above which reading from it stops",
        note: ", plus one reply",
        bounds: "unsent control output (replies, notices) per client",
        exceeded: "reading from the client stops until it has taken some",
    }

    /// Bytes of partial frames a shard holds.
    partial_frame_bytes_per_shard: usize = 64 << 20, Bytes {
        flag: "limit-partial-frames",
        former: "limit-torn-bytes",
        help: "Per-shard limit on partially written frames",
        note: " per shard",
        bounds: "partially written frames",
        exceeded: "the connection that holds most is reset",
    }

    /// Bytes that clients make a shard hold, partial frames apart: what they sent and is not worked off, requests that
    /// wait, answers they do not take.
    client_bytes_per_shard: usize = 24 << 20, Bytes {
        flag: "limit-client-bytes",
        help: "Per-shard limit on incomplete or unprocessed client messages, and on unsent replies",
        note: " per shard, at least twice `--max-message`",
        bounds: "incomplete or unprocessed client messages, and unsent replies",
        exceeded: "the connections that hold most are closed with 1008, until an eighth of it is free",
    }

    /// Bytes of large frames outside the slab.
    large_frame_bytes: usize = 256 << 20, Bytes {
        flag: "limit-large-frames",
        help: "Total size of frames above --slab-large-frame",
        bounds: "frames above `--slab-large-frame`",
        exceeded: "the oldest are dropped, then the connection that holds most is reset; ingest never waits for a client",
    }

    /// A socket that takes nothing for this long is closed.
    blocked_timeout: Duration = Duration::from_secs(30), Time {
        flag: "blocked-timeout",
        help: "Close a connection that accepts no data for this long",
        bounds: "time for which a connection accepts no data",
        exceeded: "close 1008, then reset",
    }
}

impl Limits {
    /// Bytes of a JSON string at most for one of text: a control character is six.
    const ESCAPED: usize = 6;
    /// Bytes of a message beside what is counted, at most: field names, positions, numbers.
    const ENVELOPE_BYTES: usize = 512;
    /// Bytes of an answer for each channel beside its name: its result and a position of its own.
    const RESULT_BYTES: usize = 1024;

    /// Bytes of the largest message that clients are sent, but for record headers that a route passes on, which nothing
    /// bounds but the brokers: a value that is no JSON becomes a string, all of it escaped; an answer names each channel
    /// twice.
    #[must_use]
    pub fn server_message_bytes(&self) -> usize {
        let name = self.channel_name_bytes * Self::ESCAPED;
        let record = self.record_value_bytes * Self::ESCAPED + name;
        // A refused name may be as long as its request.
        let names = (self.channels_per_request * name).max(self.client_message_bytes * Self::ESCAPED);
        let answer = 2 * names + self.channels_per_request * Self::RESULT_BYTES;
        record.max(answer) + Self::ENVELOPE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_set_and_read_by_its_row() {
        let mut limits = Limits::default();
        for (number, limit) in (70_000..).zip(Limits::TABLE) {
            (limit.set)(&mut limits, number);
        }
        for (number, limit) in (70_000..).zip(Limits::TABLE) {
            assert_eq!((limit.get)(&limits), number, "{}", limit.field);
        }
        assert_eq!(limits.connections, 70_000);
        assert_eq!(limits.upgrade_time, Duration::from_millis(70_007));
        for limit in Limits::TABLE {
            (limit.set)(&mut limits, u64::MAX);
        }
        assert_eq!(limits.request_burst, u32::MAX, "no wrap to a small one");
    }

    #[test]
    fn no_two_limits_share_a_flag() {
        let names = |limit: &'static Limit| limit.former.iter().chain([&limit.flag]);
        let all: Vec<_> = Limits::TABLE.iter().flat_map(names).collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), different.len(), "{all:?}");
    }
}
