//! What must be appended before any further record: entries without a frame.
//!
//! They are queued rather than done at once because the slab may be full in the middle of them; a queue keeps their
//! order, and the caller needs to remember nothing.

use std::collections::VecDeque;

use proto::native::reply::GapReason;

use crate::catalog::SourceNumber;

/// A gap in one partition, for every channel of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The partition.
    pub(super) tag: u32,
    /// What entries call it, or did when the gap came about.
    pub(super) source: SourceNumber,
    /// First offset that is missing.
    pub(super) from: i64,
    /// Last one, included; not below `from`.
    pub(super) to: i64,
}

/// Something to append: an entry each, however many channels there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Notice {
    /// The partition of this tag, as this source, has moved to this next offset.
    Place(u32, SourceNumber, i64),
    /// A gap; each shard tells it to those who are subscribed when it reads the entry.
    Gap(Bounds, GapReason),
    /// The same, of a log that was truncated: the place of the source that goes on comes right behind, and nobody
    /// stands between.
    Truncation(Bounds),
}

/// Notices in their order.
pub(super) type Notices = VecDeque<Notice>;
