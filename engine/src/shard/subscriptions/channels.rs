//! A channel as a shard knows it, and who is subscribed to it.

use std::sync::Arc;

use super::owed::Cursor;

/// A subscriber as its channel sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) cursor: Cursor,
    pub(super) subscription: u32,
    pub(super) connection: u32,
}

const _: () = assert!(size_of::<Member>() == 16, "a broadcast walks over them");

/// A channel with a number this shard holds or has seen.
#[derive(Debug, Default)]
pub(in crate::shard) struct Channel {
    /// Its name while held.
    name: Option<Arc<str>>,
    /// Names of the topics whose routes can make the name.
    topics: Arc<[Arc<str>]>,
    /// Subscribe requests under way that have this channel's number but are not answered yet.
    reserved: u32,
    pub(super) members: Vec<Member>,
    /// Members that owe something.
    pub(super) owing: usize,
    /// Members that lag: where all others owe, an entry has nobody to mark, and looks at none.
    pub(super) lagging: usize,
    /// Has new entries that [`super::Subscriptions::mark`] has not dealt with.
    pub(super) touched: bool,
}

impl Channel {
    /// Its name, while its number is held.
    pub(in crate::shard) fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// Names of the topics whose routes can make its name.
    pub(in crate::shard) fn topics(&self) -> &Arc<[Arc<str>]> {
        &self.topics
    }

    /// Subscribers, and those of them that owe something.
    pub(in crate::shard) fn subscribers(&self) -> (usize, usize) {
        (self.members.len(), self.owing)
    }

    /// Its number is held for this name.
    pub(in crate::shard) fn hold(&mut self, name: Arc<str>, topics: Arc<[Arc<str>]>) {
        (self.name, self.topics) = (Some(name), topics);
    }

    /// Its number is needed until [`Self::unreserve`], whether anybody is subscribed or not.
    pub(in crate::shard) fn reserve(&mut self) {
        self.reserved += 1;
    }

    pub(in crate::shard) fn unreserve(&mut self) {
        self.reserved -= 1;
    }

    /// If nobody needs the number any more, the name that it was held for.
    pub(in crate::shard) fn take_unused_name(&mut self) -> Option<Arc<str>> {
        if !self.members.is_empty() || self.reserved > 0 {
            return None;
        }
        let name = self.name.take()?;
        self.topics = Arc::default();
        Some(name)
    }
}
