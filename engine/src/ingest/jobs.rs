//! What must be appended before any further record: entries without a frame, and gap notices to whole topics.
//!
//! They are queued rather than done at once because the slab may be full in the middle of them; a queue keeps their
//! order, and the caller needs to remember nothing.

use std::{collections::VecDeque, sync::Arc};

use proto::native::reply::GapReason;

use crate::catalog::SourceNumber;

/// A gap in one partition, for every channel of its topic that a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The partition.
    pub source: SourceNumber,
    /// First offset that is missing.
    pub from: i64,
    /// Last one, included; not below `from`.
    pub to: i64,
}

/// Something to append.
#[derive(Debug)]
pub(super) enum Job {
    /// An entry without a frame: the partition has moved to this next offset.
    Place(SourceNumber, i64),
    /// Gap notices.
    Gap(Gap),
}

/// Gap notices of one partition, channel by channel. A channel that nobody holds needs none: who comes later begins behind
/// the gap.
#[derive(Debug)]
pub(super) struct Gap {
    /// As they were when the gap was found. A number that has been freed since is left out by comparing the name.
    pub(super) channels: Arc<[(u32, Arc<str>)]>,
    pub(super) bounds: Bounds,
    pub(super) reason: GapReason,
    /// Channels dealt with.
    pub(super) done: usize,
}

/// Jobs in their order.
pub(super) type Jobs = VecDeque<Job>;
