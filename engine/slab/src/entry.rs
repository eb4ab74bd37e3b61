//! What the index has of each message: where it came from, and where its frames lie.

/// Wire formats an entry has room for.
pub const FORMATS: usize = 1;
/// The native JSON protocol's format.
pub const NATIVE: usize = 0;
/// Channel of entries without a frame: a partition moved, nothing to deliver.
pub const NO_CHANNEL: u32 = u32::MAX;

/// Where a frame lies: a range of the region's virtual bytes, or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The virtual byte it begins at; or, with [`Place::BLOCK`], the block's running number.
    pub(super) begin: u64,
    len: u32,
}

impl Place {
    /// No frame.
    pub(super) const NONE: Self = Self { begin: 0, len: 0 };
    const BLOCK: u64 = 1 << 63;

    pub(super) fn region(begin: u64, len: u32) -> Self {
        Self { begin, len }
    }

    pub(super) fn block(number: u64, len: u32) -> Self {
        Self { begin: number | Self::BLOCK, len }
    }

    #[inline]
    pub(super) fn block_number(&self) -> Option<u64> {
        (self.begin & Self::BLOCK != 0).then_some(self.begin & !Self::BLOCK)
    }

    /// Whether this frame lies right behind the other in the region, so that both leave as one slice.
    #[must_use]
    #[inline]
    pub fn follows(&self, previous: &Self) -> bool {
        previous.len > 0
            && previous.block_number().is_none()
            && self.begin == previous.begin + u64::from(previous.len)
    }

    /// Bytes of the frame; 0: none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a place without bytes is no place")]
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

/// What an entry says. It never changes once published.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Channel number, or [`NO_CHANNEL`].
    pub channel: u32,
    /// Source number (`catalog`).
    pub source: u32,
    /// Kafka offset.
    pub offset: i64,
    /// The source's next offset behind this entry: one more, or the same where this is a part ([`Self::is_part`]).
    pub next_offset: i64,
    /// Kafka timestamp, Unix ms; of a gap ([`Self::gap`]), the last offset missing.
    pub ts_ms: i64,
    /// When ingest read it, ns of the monotonic clock.
    pub ingest_ns: u64,
    /// Of a gap, why; 0: it is none.
    gap_reason: u8,
    /// Running number of the segment it lies in; floors are begins of segments. Wraps.
    pub segment: u32,
    /// Place per format; length 0: none.
    pub frames: [Place; FORMATS],
}

impl Entry {
    /// What the index is filled with at start.
    pub(super) const VACANT: Self = Self {
        channel: NO_CHANNEL,
        source: 0,
        offset: 0,
        next_offset: 0,
        ts_ms: 0,
        ingest_ns: 0,
        gap_reason: 0,
        segment: 0,
        frames: [Place::NONE; FORMATS],
    };

    pub(super) fn new(meta: Meta, behind: Behind, segment: u32, frames: [Place; FORMATS]) -> Self {
        let Meta { channel, source, offset, ts_ms, ingest_ns } = meta;
        let Behind { next_offset, gap_reason } = behind;
        Self { channel, source, offset, next_offset, ts_ms, ingest_ns, gap_reason, segment, frames }
    }

    /// The gap of a whole topic that this entry stands for.
    #[must_use]
    #[inline]
    pub fn gap(&self) -> Option<Gap> {
        let Self { source, offset: from, ts_ms: to, gap_reason: reason, .. } = *self;
        (reason != 0).then_some(Gap { source, from, to, reason })
    }

    /// More entries of the same offsets follow, see [`crate::Writer::append_part`].
    #[must_use]
    #[inline]
    pub fn is_part(&self) -> bool {
        self.next_offset == self.offset
    }
}

const _: () = assert!(size_of::<Entry>() == 64);

/// What an entry says beside its [`Meta`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind {
    pub(super) next_offset: i64,
    pub(super) gap_reason: u8,
}

/// A gap in one partition, for every channel that its topic feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Source number (`catalog`).
    pub source: u32,
    /// First offset that is missing.
    pub from: i64,
    /// Last one, included.
    pub to: i64,
    /// Why, as a number of the wire format's; never 0.
    pub reason: u8,
}

/// What the writer gives for an entry.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// See [`Entry::channel`].
    pub channel: u32,
    /// See [`Entry::source`].
    pub source: u32,
    /// See [`Entry::offset`].
    pub offset: i64,
    /// See [`Entry::ts_ms`].
    pub ts_ms: i64,
    /// See [`Entry::ingest_ns`].
    pub ingest_ns: u64,
}
