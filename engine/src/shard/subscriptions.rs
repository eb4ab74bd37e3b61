//! Who is subscribed to what, and what they are owed.
//!
//! What marking touches stands in the channel's own list, side by side, so that a broadcast to 20,000 subscribers walks
//! memory in order. Subscribing is O(1); a disconnect costs its own subscriptions only.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{
    links::NONE,
    owed::{Cursor, Missed},
};

/// No index: the end of a list.
pub(crate) const NIL: u32 = u32::MAX;

/// A subscriber as its channel sees it.
#[derive(Debug, Clone, Copy)]
struct Member {
    cursor: Cursor,
    subscription: u32,
    connection: u32,
}

/// A channel with a number this shard holds or has seen.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// Its name while held.
    pub(crate) name: Option<Arc<str>>,
    /// Names of the topics whose routes can make the name.
    pub(crate) topics: Arc<[Arc<str>]>,
    /// Subscribe requests under way that have this channel's number but are not answered yet.
    pub(crate) reserved: u32,
    members: Vec<Member>,
    /// Members that owe something.
    owing: usize,
    /// Members that lag: where all others owe, an entry has nobody to mark, and looks at none.
    lagging: usize,
    /// Has new entries that [`Subscriptions::mark`] has not dealt with.
    touched: bool,
}

impl Channel {
    /// Subscribers, and those of them that owe something.
    pub(crate) fn subscribers(&self) -> (usize, usize) {
        (self.members.len(), self.owing)
    }

    /// Nobody needs the number any more.
    pub(crate) fn is_unused(&self) -> bool {
        self.members.is_empty() && self.reserved == 0
    }
}

#[derive(Debug)]
struct Subscription {
    channel: u32,
    /// Place in the channel's members; [`NIL`]: the subscription is free.
    member: u32,
    /// Neighbours in the connection's list of all its subscriptions.
    previous: u32,
    next: u32,
    /// Neighbours in the connection's list of owing ones, or of lagged ones: never in both.
    previous_owing: u32,
    next_owing: u32,
    /// While it lags: the source that it misses from its cursor's offset on; [`NIL`]: it misses nothing.
    source: u32,
    /// While it lags: where the other sources stand that it misses; [`NIL`]: there are none.
    others: u32,
}

const _: () = assert!(size_of::<Subscription>() == 32);

/// Heads of a connection's lists, kept apart from the connection so that marking stays in few cache lines.
#[derive(Debug, Clone, Copy)]
struct Heads {
    /// The first and last of those that owe, in the order of what they owe: a floor looks at no more than it passes.
    owing: u32,
    newest: u32,
    lagged: u32,
    all: u32,
}

impl Heads {
    const EMPTY: Self = Self { owing: NIL, newest: NIL, lagged: NIL, all: NIL };
}

/// All subscriptions of a shard.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
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
}

impl Subscriptions {
    /// The channel of this number.
    pub(crate) fn channel(&self, channel: u32) -> &Channel {
        &self.channels[channel as usize]
    }

    /// The channel of this number, made if it is new here.
    pub(crate) fn channel_mut(&mut self, channel: u32) -> &mut Channel {
        let index = channel as usize;
        if index >= self.channels.len() {
            self.channels.resize_with(index + 1, Channel::default);
        }
        &mut self.channels[index]
    }

    /// All subscriptions.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len() - self.free.len()
    }

    /// Subscriptions of the connection.
    pub(crate) fn count(&self, connection: u32) -> usize {
        self.counts.get(connection as usize).map_or(0, |count| *count as usize)
    }

    /// The connection's subscription to the channel.
    pub(crate) fn find(&self, connection: u32, channel: u32) -> Option<u32> {
        self.by_pair.get(&(connection, channel)).copied()
    }

    /// Adds a caught-up subscription. It must not be held already.
    pub(crate) fn add(&mut self, connection: u32, channel: u32) {
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
    pub(crate) fn remove(&mut self, connection: u32, channel: u32) -> bool {
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
    pub(crate) fn remove_all(&mut self, connection: u32, mut on: impl FnMut(u32)) {
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

    /// The channels the connection holds.
    pub(crate) fn held(&self, connection: u32) -> impl Iterator<Item = u32> + '_ {
        let first = self.heads.get(connection as usize).map_or(NIL, |heads| heads.all);
        self.list(first, |subscription| subscription.next).map(|at| self.subscriptions[at as usize].channel)
    }

    /// The connection's subscriptions and their channels, from this one on; [`NIL`]: from the first.
    pub(crate) fn held_from(&self, connection: u32, from: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let all = || self.heads.get(connection as usize).map_or(NIL, |heads| heads.all);
        let first = if from == NIL { all() } else { from };
        let list = self.list(first, |subscription| subscription.next);
        list.map(|at| (at, self.subscriptions[at as usize].channel))
    }

    /// What the client was told of the subscription.
    pub(crate) fn was_told_stale(&self, subscription: u32) -> bool {
        self.told_stale[subscription as usize]
    }

    /// Notes what the client is told of the subscription.
    pub(crate) fn told_stale(&mut self, subscription: u32, stale: bool) {
        self.told_stale[subscription as usize] = stale;
    }

    /// Numbers of channels are below it.
    pub(crate) fn channel_count(&self) -> u32 {
        index(self.channels.len())
    }

    /// Connection and subscription of the channel's member in this place.
    pub(crate) fn member(&self, channel: u32, place: usize) -> Option<(u32, u32)> {
        let member = self.channels[channel as usize].members.get(place)?;
        Some((member.connection, member.subscription))
    }

    /// Notes that the channel has a new entry. True: it has subscribers, and is to be marked once.
    pub(crate) fn touch(&mut self, channel: u32) -> bool {
        let Some(channel) = self.channels.get_mut(channel as usize) else { return false };
        let first = !channel.touched && !channel.members.is_empty();
        channel.touched |= first;
        first
    }

    /// The channel's caught-up subscribers are owed from `sequence` on; `on` gets each connection that owed nothing before.
    pub(crate) fn mark(&mut self, channel: u32, sequence: u64, mut on: impl FnMut(u32)) {
        let Some(channel) = self.channels.get_mut(channel as usize) else { return };
        channel.touched = false;
        if channel.owing + channel.lagging == channel.members.len() {
            return;
        }
        for member in &mut channel.members {
            if member.cursor != Cursor::CAUGHT_UP {
                continue;
            }
            member.cursor = Cursor::at(sequence);
            channel.owing += 1;
            let heads = &mut self.heads[member.connection as usize];
            // Newer than all that the connection owes, so it comes last.
            let previous = std::mem::replace(&mut heads.newest, member.subscription);
            let subscription = &mut self.subscriptions[member.subscription as usize];
            (subscription.previous_owing, subscription.next_owing) = (previous, NIL);
            if previous == NIL {
                heads.owing = member.subscription;
                on(member.connection);
            } else {
                self.subscriptions[previous as usize].next_owing = member.subscription;
            }
        }
    }

    /// The connection owes something.
    pub(crate) fn owes(&self, connection: u32) -> bool {
        self.heads.get(connection as usize).is_some_and(|heads| heads.owing != NIL)
    }

    /// The connection's owing subscriptions and their cursors.
    pub(crate) fn owing(&self, connection: u32) -> impl Iterator<Item = (u64, u32)> + '_ {
        let first = self.heads.get(connection as usize).map_or(NIL, |heads| heads.owing);
        self.list(first, |subscription| subscription.next_owing).map(|at| (self.cursor(at), at))
    }

    /// The first of the connection's owing subscriptions and its cursor; [`Self::next_owing`] has the others.
    pub(crate) fn first_owing(&self, connection: u32) -> Option<(u32, u64)> {
        self.owing(connection).next().map(|(cursor, subscription)| (subscription, cursor))
    }

    /// The one behind an owing subscription. To be asked before that one is taken off the list.
    pub(crate) fn next_owing(&self, subscription: u32) -> Option<(u32, u64)> {
        let next = self.subscriptions[subscription as usize].next_owing;
        (next != NIL).then(|| (next, self.cursor(next)))
    }

    /// First sequence the subscription is owed, or [`NONE`].
    pub(crate) fn cursor(&self, subscription: u32) -> u64 {
        self.place(subscription).cursor.owed()
    }

    /// Moves an owing subscription's cursor; [`NONE`]: caught up. The owing list is mended by [`Self::settle`].
    pub(crate) fn advance(&mut self, subscription: u32, cursor: u64) {
        let Subscription { channel, member, .. } = self.subscriptions[subscription as usize];
        let channel = &mut self.channels[channel as usize];
        let member = &mut channel.members[member as usize];
        debug_assert!(member.cursor.owes(), "only an owing subscription advances");
        member.cursor = Cursor::at(cursor);
        channel.owing -= usize::from(cursor == NONE);
    }

    /// After a flush: takes the caught-up subscriptions off the connection's owing list and puts the others in order; gives
    /// the oldest sequence still owed.
    pub(crate) fn settle(&mut self, connection: u32) -> u64 {
        if !self.owes(connection) {
            return NONE;
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
        let oldest = staying.first().map_or(NONE, |(cursor, _)| *cursor);
        self.staying = staying;
        oldest
    }

    /// The oldest sequence that the connection is owed, or [`NONE`].
    pub(crate) fn oldest(&self, connection: u32) -> u64 {
        self.owing(connection).next().map_or(NONE, |(cursor, _)| cursor)
    }

    /// A subscription lags: it owes nothing, and keeps what it missed. Nothing of its connection is between an
    /// [`Self::advance`] and the [`Self::settle`] behind it.
    pub(crate) fn lag(&mut self, connection: u32, subscription: u32, missed: Missed) {
        let before = self.place(subscription).cursor;
        assert!(before.missed().is_none(), "a subscription lags once");
        if before.owes() {
            self.unlink(connection, subscription);
        }
        let next = std::mem::replace(&mut self.heads[connection as usize].lagged, subscription);
        if next != NIL {
            self.subscriptions[next as usize].previous_owing = subscription;
        }
        let (source, offset) = missed.first.unwrap_or((NIL, 0));
        let others = if missed.more.is_empty() { NIL } else { self.keep_others(missed.more) };
        let lagging = &mut self.subscriptions[subscription as usize];
        (lagging.previous_owing, lagging.next_owing) = (NIL, next);
        (lagging.source, lagging.others) = (source, others);
        let channel = &mut self.channels[lagging.channel as usize];
        channel.members[lagging.member as usize].cursor = Cursor::lagged(offset);
        channel.owing -= usize::from(before.owes());
        channel.lagging += 1;
    }

    /// Some subscription of the connection lags.
    pub(crate) fn lags(&self, connection: u32) -> bool {
        self.heads.get(connection as usize).is_some_and(|heads| heads.lagged != NIL)
    }

    /// One of the connection's lagged subscriptions is caught up from now on: its channel, and what it missed.
    pub(crate) fn recover(&mut self, connection: u32) -> Option<(u32, Missed)> {
        let lagged = self.heads.get(connection as usize)?.lagged;
        let missed = self.missed(lagged)?;
        self.unlink(connection, lagged);
        self.drop_others(lagged);
        let Subscription { channel, member, .. } = self.subscriptions[lagged as usize];
        let of = &mut self.channels[channel as usize];
        of.members[member as usize].cursor = Cursor::CAUGHT_UP;
        of.lagging -= 1;
        Some((channel, missed))
    }

    /// What a lagged subscription missed.
    fn missed(&self, subscription: u32) -> Option<Missed> {
        let &Subscription { source, others, .. } = self.subscriptions.get(subscription as usize)?;
        let offset = self.place(subscription).cursor.missed()?;
        let first = (source != NIL).then_some((source, offset));
        let more = self.others.get(others as usize).cloned().unwrap_or_default();
        Some(Missed { first, more })
    }

    /// The subscription lags.
    pub(crate) fn is_lagging(&self, subscription: u32) -> bool {
        self.place(subscription).cursor.missed().is_some()
    }

    /// A lagged subscription misses the source from this offset on as well, if it does not from an earlier one.
    pub(crate) fn miss(&mut self, subscription: u32, source: u32, offset: i64) {
        let Some(mut missed) = self.missed(subscription) else { return };
        missed.add(source, offset);
        self.drop_others(subscription);
        let (source, offset) = missed.first.unwrap_or((NIL, 0));
        let others = if missed.more.is_empty() { NIL } else { self.keep_others(missed.more) };
        let lagging = &mut self.subscriptions[subscription as usize];
        (lagging.source, lagging.others) = (source, others);
        let member = &mut self.channels[lagging.channel as usize].members[lagging.member as usize];
        member.cursor = Cursor::lagged(offset);
    }

    /// The channel got an entry of a source not seen before, or not for long: whoever lags there misses it from this offset on.
    pub(crate) fn new_source(&mut self, channel: u32, source: u32, offset: i64) {
        let of = self.channels.get(channel as usize).filter(|channel| channel.lagging > 0);
        for place in 0..of.map_or(0, |of| of.members.len()) {
            let Member { cursor, subscription, .. } = self.channels[channel as usize].members[place];
            if cursor.missed().is_none() {
                continue;
            }
            let Subscription { source: first, others, .. } = self.subscriptions[subscription as usize];
            let others = self.others.get(others as usize).map_or(&[][..], Vec::as_slice);
            if first != source && others.iter().all(|(known, _)| *known != source) {
                self.miss(subscription, source, offset);
            }
        }
    }

    fn keep_others(&mut self, others: Vec<(u32, i64)>) -> u32 {
        if let Some(free) = self.others_free.pop() {
            self.others[free as usize] = others;
            return free;
        }
        self.others.push(others);
        index(self.others.len() - 1)
    }

    fn drop_others(&mut self, subscription: u32) {
        let others = std::mem::replace(&mut self.subscriptions[subscription as usize].others, NIL);
        if others != NIL {
            self.others[others as usize] = Vec::new();
            self.others_free.push(others);
        }
    }

    /// Where the subscription stands in its channel.
    fn place(&self, subscription: u32) -> &Member {
        let Subscription { channel, member, .. } = self.subscriptions[subscription as usize];
        &self.channels[channel as usize].members[member as usize]
    }

    /// Channel of a subscription.
    pub(crate) fn channel_of(&self, subscription: u32) -> u32 {
        self.subscriptions[subscription as usize].channel
    }

    /// Channels with at least one subscriber.
    pub(crate) fn channels_in_use(&self) -> usize {
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
