//! A subscribe request that waits for answers of ingest.

use std::sync::Arc;

use proto::native::request::ErrorCode;

/// Memory beside its bytes that a name takes while it is asked for.
const NAME_OVERHEAD_BYTES: usize = 96;

/// One channel of a subscribe request under way.
#[derive(Debug)]
pub(in crate::shard) struct Item {
    pub(in crate::shard) name: Arc<str>,
    pub(in crate::shard) state: ItemState,
}

/// What is known of an [`Item`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum ItemState {
    /// Ingest has been asked.
    Asked,
    /// The channel's number, reserved for this request.
    Known(u32),
    /// Refused.
    Refused(ErrorCode),
}

/// A subscribe request that waits for answers of ingest.
#[derive(Debug)]
pub(in crate::shard) struct Pending {
    id: Option<i64>,
    items: Vec<Item>,
    /// Items that ingest has not answered for.
    asked: usize,
    /// Bytes of memory that it holds, and has others hold.
    held_bytes: usize,
}

impl Pending {
    pub(in crate::shard) fn new(id: Option<i64>, items: Vec<Item>) -> Self {
        let asked = items.iter().filter(|item| item.state == ItemState::Asked).count();
        // A name stands in the item, in the shard's table and in the lookup.
        let each = size_of::<Item>() + NAME_OVERHEAD_BYTES;
        let held_bytes = items.iter().map(|item| each + item.name.len()).sum();
        Self { id, items, asked, held_bytes }
    }

    /// All answers are there.
    pub(in crate::shard) fn is_complete(&self) -> bool {
        self.asked == 0
    }

    pub(in crate::shard) fn id(&self) -> Option<i64> {
        self.id
    }

    pub(in crate::shard) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Bytes of memory that it holds, and has others hold.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Ingest has answered for a name: whether that was the last; none: it does not wait for that.
    pub(super) fn answer(&mut self, name: &str, state: ItemState) -> Option<bool> {
        let asked = |item: &&mut Item| item.state == ItemState::Asked && &*item.name == name;
        let item = self.items.iter_mut().find(asked)?;
        item.state = state;
        self.asked -= 1;
        Some(self.is_complete())
    }
}
