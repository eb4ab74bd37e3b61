//! Positions: what a client can hand back.

use std::fmt;

/// Identity of a topic's history in a cluster: eight characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// The epoch of a topic: a stable hash, the same on every node and in every version.
    pub fn of(cluster_id: &str, topic_id: &[u8]) -> Self {
        let _ = (cluster_id, topic_id);
        todo!()
    }
    /// Its text.
    pub fn as_str(&self) -> &str {
        todo!()
    }
    /// Reads the text of an epoch.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        let _ = text;
        todo!()
    }
}
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of one record: `EPOCH.PARTITION.OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Of the topic.
    pub epoch: Epoch,
    /// Partition.
    pub partition: u32,
    /// Offset of the record, not negative.
    pub offset: i64,
}
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

/// A topic-wide position: the next offset of every partition, `EPOCH.*.VECTOR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// Of the topic.
    pub epoch: Epoch,
    /// Next offset by partition; -1: unknown.
    pub next: Vec<i64>,
}
impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

/// Either kind of position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyPosition {
    /// Of one record.
    Record(Position),
    /// Of a whole topic.
    Topic(Vector),
}

/// Why a text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Not three parts.
    #[error("not EPOCH.PARTITION.OFFSET or EPOCH.*.VECTOR")]
    Shape,
    /// Not eight characters of base64url.
    #[error("the epoch is not eight characters of base64url")]
    Epoch,
    /// Not a partition number.
    #[error("the partition is not a number")]
    Partition,
    /// Not an offset.
    #[error("the offset is not a number")]
    Offset,
    /// Not a vector of offsets.
    #[error("the vector is not base64url of offsets")]
    Vector,
}

/// Reads a position of either kind.
pub fn parse(text: &str) -> Result<AnyPosition, PositionError> {
    let _ = text;
    todo!()
}
