//! Who is subscribed to what, and what they are owed.
//!
//! What marking touches stands in the channel's own list, side by side, so that a broadcast to 20,000 subscribers walks
//! memory in order. Subscribing is O(1); a disconnect costs its own subscriptions only.

mod chains;
mod channels;
pub(super) mod follow;
mod gaps;
mod lagging;
mod owed;
mod positions;
mod subscription;

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use self::{
    chains::Chains,
    channels::Member,
    owed::{Cursor, NONE},
    subscription::{Heads, NIL, Subscription},
};
pub(super) use self::{
    channels::Channel,
    gaps::{Gaps, Noted},
    owed::Owed,
    positions::Positions,
};

/// All subscriptions of a shard.
#[derive(Debug)]
pub(super) struct Subscriptions {
    channels: Vec<Channel>,
    subscriptions: Vec<Subscription>,
    /// By subscription: its client was told that it is stale.
    told_stale: Vec<bool>,
    free: Vec<u32>,
    heads: Vec<Heads>,
    /// Subscriptions by connection.
    counts: Vec<u32>,
    /// Further sources that lagged subscriptions miss, and which of these lists are free.
    others: Vec<Vec<(u32, i64)>>,
    others_free: Vec<u32>,
    /// Of one call of [`Self::settle`], kept for its memory.
    staying: Vec<(u64, u32)>,
    by_pair: HashMap<(u32, u32), u32, RandomState>,
    channels_in_use: usize,
    chains: Chains,
    /// Channels with new entries whose subscribers are not marked yet, and the first of those entries.
    touched: Vec<(u32, u64)>,
}

impl Subscriptions {
    /// None yet, of a shard that follows an index of so many slots from `read` on.
    pub(super) fn new(index_entries: usize, read: u64) -> Self {
        Self {
            channels: Vec::new(),
            subscriptions: Vec::new(),
            told_stale: Vec::new(),
            free: Vec::new(),
            heads: Vec::new(),
            counts: Vec::new(),
            others: Vec::new(),
            others_free: Vec::new(),
            staying: Vec::new(),
            by_pair: HashMap::default(),
            channels_in_use: 0,
            chains: Chains::new(index_entries, read),
            touched: Vec::new(),
        }
    }

    /// The first sequence not yet followed: the shard's reading place, the present of all its subscriptions.
    #[inline]
    pub(super) fn read(&self) -> u64 {
        self.chains.read()
    }

    /// The entries of each channel.
    pub(super) fn chains(&self) -> &Chains {
        &self.chains
    }

    /// The channel of this number.
    pub(super) fn channel(&self, channel: u32) -> &Channel {
        &self.channels[channel as usize]
    }

    /// The channel of this number, made if it is new here.
    pub(super) fn channel_mut(&mut self, channel: u32) -> &mut Channel {
        let index = channel as usize;
        if index >= self.channels.len() {
            self.channels.resize_with(index + 1, Channel::default);
        }
        &mut self.channels[index]
    }

    /// All subscriptions.
    pub(super) fn len(&self) -> usize {
        self.subscriptions.len() - self.free.len()
    }

    /// Subscriptions of the connection.
    pub(super) fn count(&self, connection: u32) -> usize {
        self.counts.get(connection as usize).map_or(0, |count| *count as usize)
    }

    /// The connection's subscription to the channel.
    pub(super) fn find(&self, connection: u32, channel: u32) -> Option<u32> {
        self.by_pair.get(&(connection, channel)).copied()
    }

    /// Adds a caught-up subscription. It must not be held already.
    pub(super) fn add(&mut self, connection: u32, channel: u32) {
        if connection as usize >= self.heads.len() {
            self.heads.resize(connection as usize + 1, Heads::EMPTY);
            self.counts.resize(connection as usize + 1, 0);
        }
        let subscription = self.free.pop().unwrap_or_else(|| index(self.subscriptions.len()));
        let heads = &mut self.heads[connection as usize];
        let next = std::mem::replace(&mut heads.all, subscription);
        self.counts[connection as usize] += 1;
        if next != NIL {
            self.subscriptions[next as usize].previous = subscription;
        }
        let members = &mut self.channel_mut(channel).members;
        let member = index(members.len());
        members.push(Member { cursor: Cursor::CAUGHT_UP, subscription, connection });
        self.channels_in_use += usize::from(member == 0);
        let made = Subscription {
            channel,
            member,
            previous: NIL,
            next,
            previous_owing: NIL,
            next_owing: NIL,
            source: NIL,
            others: NIL,
        };
        match self.subscriptions.get_mut(subscription as usize) {
            Some(free) => *free = made,
            None => {
                self.subscriptions.push(made);
                self.told_stale.push(false);
            }
        }
        let before = self.by_pair.insert((connection, channel), subscription);
        assert!(before.is_none(), "a connection holds a channel once");
    }

    /// Ends the subscription to the channel. False: it was not held.
    pub(super) fn remove(&mut self, connection: u32, channel: u32) -> bool {
        let Some(subscription) = self.find(connection, channel) else { return false };
        if self.place(subscription).cursor != Cursor::CAUGHT_UP {
            self.unlink(connection, subscription);
        }
        let Subscription { previous, next, .. } = self.subscriptions[subscription as usize];
        if previous == NIL {
            self.heads[connection as usize].all = next;
        } else {
            self.subscriptions[previous as usize].next = next;
        }
        if next != NIL {
            self.subscriptions[next as usize].previous = previous;
        }
        self.free_one(connection, subscription);
        true
    }

    /// Ends all subscriptions of the connection; `on` gets each channel's number.
    pub(super) fn remove_all(&mut self, connection: u32, mut on: impl FnMut(u32)) {
        let Some(heads) = self.heads.get_mut(connection as usize) else { return };
        let mut at = heads.all;
        *heads = Heads::EMPTY;
        while at != NIL {
            let Subscription { channel, next, .. } = self.subscriptions[at as usize];
            self.free_one(connection, at);
            on(channel);
            at = next;
        }
    }

    /// The connection's subscriptions and their channels.
    pub(super) fn held(&self, connection: u32) -> impl Iterator<Item = (u32, u32)> {
        self.held_from(connection, None)
    }

    /// The connection's subscriptions and their channels, from this one on; none: from the first.
    pub(super) fn held_from(&self, connection: u32, from: Option<u32>) -> impl Iterator<Item = (u32, u32)> {
        let all = || self.heads.get(connection as usize).map_or(NIL, |heads| heads.all);
        let first = from.unwrap_or_else(all);
        let list = self.list(first, |subscription| subscription.next);
        list.map(|at| (at, self.subscriptions[at as usize].channel))
    }

    /// What the client was told of the subscription.
    pub(super) fn was_told_stale(&self, subscription: u32) -> bool {
        self.told_stale[subscription as usize]
    }

    /// Notes what the client is told of the subscription.
    pub(super) fn told_stale(&mut self, subscription: u32, stale: bool) {
        self.told_stale[subscription as usize] = stale;
    }

    /// Who holds channels that one of these topics feeds; each once for each such channel.
    pub(super) fn holders(&self, topics: &[Arc<str>]) -> impl Iterator<Item = u32> {
        let fed = |channel: &&Channel| channel.topics().iter().any(|topic| topics.contains(topic));
        self.channels.iter().filter(fed).flat_map(|channel| &channel.members).map(|member| member.connection)
    }

    /// The connection owes something.
    pub(super) fn owes(&self, connection: u32) -> bool {
        self.heads.get(connection as usize).is_some_and(|heads| heads.owing != NIL)
    }

    /// The connection's owing subscriptions and their cursors.
    pub(super) fn owing(&self, connection: u32) -> impl Iterator<Item = (u64, u32)> {
        let first = self.heads.get(connection as usize).map_or(NIL, |heads| heads.owing);
        self.list(first, |subscription| subscription.next_owing).map(|at| (self.place(at).cursor.first(), at))
    }

    /// What the subscription is owed.
    pub(super) fn owed(&self, subscription: u32) -> Owed {
        self.place(subscription).cursor.owed()
    }

    /// The subscription was sent the entry at `sequence`: it is owed the channel's next one, if there is one. The owing
    /// list is mended by [`Self::settle`].
    #[inline]
    pub(super) fn delivered(&mut self, subscription: u32, sequence: u64) {
        self.advance(subscription, self.chains.next(sequence));
    }

    fn advance(&mut self, subscription: u32, next: Option<u64>) {
        let Subscription { channel, member, .. } = self.subscriptions[subscription as usize];
        let channel = &mut self.channels[channel as usize];
        let member = &mut channel.members[member as usize];
        debug_assert!(member.cursor.owes(), "only an owing subscription advances");
        member.cursor = next.map_or(Cursor::CAUGHT_UP, Cursor::at);
        channel.owing -= usize::from(next.is_none());
    }

    /// After a flush: takes the caught-up subscriptions off the connection's owing list and puts the others in order; gives
    /// the oldest sequence still owed.
    pub(super) fn settle(&mut self, connection: u32) -> Option<u64> {
        if !self.owes(connection) {
            return None;
        }
        let mut staying = std::mem::take(&mut self.staying);
        staying.clear();
        staying.extend(self.owing(connection).filter(|(cursor, _)| *cursor != NONE));
        staying.sort_unstable();
        let (mut first, mut last) = (NIL, NIL);
        for &(_, at) in &staying {
            let subscription = &mut self.subscriptions[at as usize];
            (subscription.previous_owing, subscription.next_owing) = (last, NIL);
            if last == NIL {
                first = at;
            } else {
                self.subscriptions[last as usize].next_owing = at;
            }
            last = at;
        }
        let heads = &mut self.heads[connection as usize];
        (heads.owing, heads.newest) = (first, last);
        let oldest = staying.first().map(|(cursor, _)| *cursor);
        self.staying = staying;
        oldest
    }

    /// The oldest that the connection is owed: the sequence and the subscription.
    pub(super) fn oldest(&self, connection: u32) -> Option<(u64, u32)> {
        self.owing(connection).next()
    }

    /// Where the subscription stands in its channel.
    fn place(&self, subscription: u32) -> &Member {
        let Subscription { channel, member, .. } = self.subscriptions[subscription as usize];
        &self.channels[channel as usize].members[member as usize]
    }

    /// Channel of a subscription.
    pub(super) fn channel_of(&self, subscription: u32) -> u32 {
        self.subscriptions[subscription as usize].channel
    }

    /// Channels with at least one subscriber.
    pub(super) fn channels_in_use(&self) -> usize {
        self.channels_in_use
    }

    /// Takes the subscription off the list of owing or of lagged ones that it stands in.
    fn unlink(&mut self, connection: u32, subscription: u32) {
        let Subscription { previous_owing, next_owing, .. } = self.subscriptions[subscription as usize];
        if previous_owing != NIL {
            self.subscriptions[previous_owing as usize].next_owing = next_owing;
        } else {
            let heads = &mut self.heads[connection as usize];
            let head = if heads.owing == subscription { &mut heads.owing } else { &mut heads.lagged };
            debug_assert_eq!(*head, subscription, "the first of a list is its head");
            *head = next_owing;
        }
        if next_owing != NIL {
            self.subscriptions[next_owing as usize].previous_owing = previous_owing;
        } else if self.heads[connection as usize].newest == subscription {
            self.heads[connection as usize].newest = previous_owing;
        }
    }

    /// Takes the subscription out of its channel and frees it; the connection's lists are the caller's.
    fn free_one(&mut self, connection: u32, subscription: u32) {
        self.drop_others(subscription);
        let freed = &mut self.subscriptions[subscription as usize];
        let (channel, member) = (freed.channel, std::mem::replace(&mut freed.member, NIL));
        let members = &mut self.channels[channel as usize];
        let gone = members.members.swap_remove(member as usize);
        members.owing -= usize::from(gone.cursor.owes());
        members.lagging -= usize::from(gone.cursor.missed().is_some());
        self.channels_in_use -= usize::from(members.members.is_empty());
        if let Some(moved) = members.members.get(member as usize) {
            self.subscriptions[moved.subscription as usize].member = member;
        }
        self.by_pair.remove(&(connection, channel));
        self.counts[connection as usize] -= 1;
        self.free.push(subscription);
    }

    fn list(&self, first: u32, next: impl Fn(&Subscription) -> u32) -> impl Iterator<Item = u32> {
        let mut at = first;
        std::iter::from_fn(move || {
            let here = (at != NIL).then_some(at)?;
            at = next(&self.subscriptions[here as usize]);
            Some(here)
        })
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).expect("fewer than 2^32 subscriptions")
}

#[cfg(test)]
mod tests;
