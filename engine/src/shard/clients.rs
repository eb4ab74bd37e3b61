//! The parts of a shard that its clients have a share in, in one value, and what concerns several of them.

use super::{
    connections::{Connections, ItemState, Pending},
    context::Context,
    lookups::Lookups,
    stale::Stale,
    subscriptions::{Gaps, Positions, Subscriptions},
};

/// Each part has its state to itself; here are the ways between them.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) connections: Connections,
    pub(super) subscriptions: Subscriptions,
    pub(super) lookups: Lookups,
    pub(super) positions: Positions,
    /// Gaps of whole topics that may still be untold to somebody.
    pub(super) gaps: Gaps,
    pub(super) stale: Stale,
    pub(super) context: Context,
}

impl Clients {
    /// Gives back all that those hold or wait for who have closed or ended: due after each input and each batch, and before
    /// a place can be handed out again.
    pub(super) fn reap(&mut self) {
        while let Some((key, pending)) = self.connections.next_left() {
            if let Some(pending) = pending {
                self.release(&pending);
            }
            let mut left = Vec::new();
            self.subscriptions.remove_all(key.index(), |channel| left.push(channel));
            left.into_iter().for_each(|channel| self.give_back_if_unused(channel));
        }
    }

    /// A request is not waited for any more: it gives up what it had reserved.
    fn release(&mut self, pending: &Pending) {
        for item in pending.items() {
            if let ItemState::Known(channel) = item.state {
                self.unreserve(channel);
            }
        }
    }

    /// A request needs the channel's number no more.
    pub(super) fn unreserve(&mut self, channel: u32) {
        self.subscriptions.channel_mut(channel).unreserve();
        self.give_back_if_unused(channel);
    }

    /// Gives the number back to ingest when the last subscriber is gone.
    pub(super) fn give_back_if_unused(&mut self, channel: u32) {
        if let Some(name) = self.subscriptions.channel_mut(channel).take_unused_name() {
            self.lookups.give_back(&name, channel);
        }
    }

    /// The connection has yet to be told of something before it may go on.
    pub(super) fn is_behind(&self, connection: u32) -> bool {
        let is_untold = || {
            let client = self.connections.at(connection);
            client.is_some_and(|client| client.is_open() && client.untold().is_some())
        };
        self.subscriptions.lags(connection) || is_untold()
    }

    /// A place is handed out with nothing attached: what stayed with it would be its next client's, who never asked for
    /// it. Better no server than one that tells people what is not theirs.
    pub(super) fn assert_unattached(&self, connection: u32) {
        assert_eq!(self.subscriptions.count(connection), 0, "place {connection} holds subscriptions");
        assert!(!self.subscriptions.owes(connection), "place {connection} owes");
        assert!(!self.subscriptions.lags(connection), "place {connection} lags");
        assert!(
            self.context.schedule.is_unknown(connection),
            "place {connection} is in a queue or in a list"
        );
    }
}
