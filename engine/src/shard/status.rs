//! Whether what clients hold is known to be behind: of all topics, or of some.
//!
//! A channel is stale if all data is or one of its topics is. Each subscription has a bit that says what its client was
//! told of it, by an ack or a `status`; what differs is told at the connection's flushes, a bounded part at a time. So what
//! changed back before a client could be told is not told at all.

use std::{collections::BTreeMap, sync::Arc};

use proto::native::reply::{self, State};
use ring::{Key, Ring};

use super::{Shard, connection::Phase};
use crate::inbox::{DataState, Status};

/// Names in one message.
const NAMES_A_MESSAGE: usize = 50;

/// What is stale, and by how much, ms.
#[derive(Debug, Default)]
pub(super) struct Stale {
    all: Option<u64>,
    topics: BTreeMap<Arc<str>, u64>,
}

impl Stale {
    /// By how much a channel of these topics is stale; none: it is live.
    fn of(&self, topics: &[Arc<str>]) -> Option<u64> {
        let some = topics.iter().filter_map(|topic| self.topics.get(topic)).max().copied();
        self.all.max(some)
    }

    fn set(&mut self, status: &Status) {
        let lag_ms = match status.state {
            DataState::Stale { lag_ms } => Some(lag_ms),
            DataState::Live => None,
        };
        match (&status.topic, lag_ms) {
            (None, lag_ms) => self.all = lag_ms,
            (Some(topic), Some(lag_ms)) => drop(self.topics.insert(Arc::clone(topic), lag_ms)),
            (Some(topic), None) => drop(self.topics.remove(topic)),
        }
    }
}

fn state(stale: bool) -> State {
    if stale { State::Stale } else { State::Live }
}

impl<R: Ring> Shard<R> {
    /// The state of the data has changed: whom it concerns is told with the next flush.
    pub(super) fn status(&mut self, status: &Status) {
        self.stale.set(status);
        let mut concerned: Vec<u32> = Vec::new();
        match &status.topic {
            None => concerned.extend(self.connections.iter().map(|client| client.key.index())),
            Some(topic) => {
                concerned.extend(self.subscriptions.holders(std::slice::from_ref(topic)));
            }
        }
        for connection in concerned {
            self.owe_status(connection);
        }
    }

    /// A connection begins: it is told if all is stale.
    pub(super) fn greet_with_status(&mut self, key: Key) {
        if self.stale.all.is_some() {
            self.owe_status(key.index());
        }
    }

    fn owe_status(&mut self, connection: u32) {
        if let Some(client) = self.connections.at_mut(connection)
            && client.phase == Phase::Open
            && !client.owes_status
        {
            client.owes_status = true;
            self.queue_flush(connection);
        }
    }

    /// Whether the channel is stale now. It is told by whoever asks.
    pub(super) fn ack_stale(&mut self, connection: u32, channel: u32) -> bool {
        let stale = self.stale.of(self.subscriptions.channel(channel).topics()).is_some();
        if let Some(subscription) = self.subscriptions.find(connection, channel) {
            self.subscriptions.told_stale(subscription, stale);
        }
        stale
    }

    /// Tells the connection what it was told otherwise, as far as it reads what it is told.
    pub(super) fn tell_status(&mut self, connection: u32) {
        let limit = self.context.settings.limits.control_output_bytes;
        let held: Vec<_> = self.subscriptions.held(connection).collect();
        let now = |channel: u32| self.stale.of(self.subscriptions.channel(channel).topics());
        let differs = |&(subscription, channel): &(u32, u32)| {
            now(channel).is_some() != self.subscriptions.was_told_stale(subscription)
        };
        let mut changed: Vec<_> = held.iter().copied().filter(differs).collect();
        let Some(client) = self.connections.at_mut(connection) else { return };
        // All that it holds has come to one state, or it holds nothing and all data has.
        let all_stale = self.stale.all.is_some();
        let one_state = held.first().map_or(all_stale, |&(_, channel)| now(channel).is_some());
        let is_one = held.iter().all(|&(_, channel)| now(channel).is_some() == one_state);
        let told_otherwise = held.is_empty() && client.told_stale != all_stale;
        let all_changed = !held.is_empty() && changed.len() == held.len();
        if is_one && (told_otherwise || all_changed) {
            let lag_ms = held.iter().map(|&(_, channel)| now(channel)).min().unwrap_or(self.stale.all);
            reply::status(client.output.end(), state(one_state), None, lag_ms);
            client.told_stale = one_state;
            changed.iter().for_each(|&(at, _)| self.subscriptions.told_stale(at, one_state));
            changed.clear();
        }
        // The stale ones first.
        let stale = |channel: u32| self.stale.of(self.subscriptions.channel(channel).topics()).is_some();
        changed.sort_by_key(|&(_, channel)| !stale(channel));
        let mut told = Vec::new();
        for chunk in changed.chunk_by(|&(_, a), &(_, b)| stale(a) == stale(b)) {
            for some in chunk.chunks(NAMES_A_MESSAGE) {
                if client.control_bytes() > limit {
                    break;
                }
                let channels: Vec<_> = some.iter().map(|&(_, at)| self.subscriptions.channel(at)).collect();
                let names: Vec<&str> =
                    channels.iter().filter_map(|channel| channel.name().map(|name| &**name)).collect();
                let lag_ms = channels.iter().map(|channel| self.stale.of(channel.topics())).min().flatten();
                let is_stale = stale(some[0].1);
                reply::status(client.output.end(), state(is_stale), Some(&names), lag_ms);
                told.extend(some.iter().map(|&(subscription, _)| (subscription, is_stale)));
            }
        }
        client.owes_status = told.len() < changed.len();
        let key = client.key;
        told.into_iter().for_each(|(subscription, stale)| self.subscriptions.told_stale(subscription, stale));
        self.count_held(key);
    }
}
