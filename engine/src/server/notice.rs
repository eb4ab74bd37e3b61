//! What reaches the supervisor, and from whom.

use std::fmt;

use crate::{error::Error, shard};

/// What reaches the supervisor.
#[derive(Debug)]
pub(super) enum Notice {
    /// End in order.
    Drain,
    /// End now, without the jitter.
    Stop,
    /// A shard has its ring.
    ShardReady,
    /// A thread has ended, by panic too.
    Ended(Thread, Outcome),
}

/// A thread of the server. Its name, which /proc and debuggers show, has at most 15 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thread {
    Shard(usize),
    Ingest,
    Watcher,
    Accept,
    Admin,
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => write!(f, "shard-{shard}"),
            Self::Ingest => f.write_str("ingest"),
            Self::Watcher => f.write_str("watcher"),
            Self::Accept => f.write_str("accept"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

/// How a thread ended; shards leave a report.
pub(super) type Outcome = Result<Option<shard::Report>, Error>;
