//! Who is subscribed to what, and what they are owed.
//!
//! What marking touches stands in the channel's own list, side by side, so that a broadcast to 20,000 subscribers walks
//! memory in order. Subscribing is O(1); a disconnect costs its own subscriptions only.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::links::NONE;

/// No index: the end of a list.
pub(crate) const NIL: u32 = u32::MAX;

/// A subscriber as its channel sees it.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// First sequence owed, or [`NONE`]: caught up.
    cursor: u64,
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

/// What a lagged subscription missed: the first offset it was owed, by source. Mostly there is one source, which costs no
/// list of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    first: Option<(u32, i64)>,
    more: Vec<(u32, i64)>,
}

impl Missed {
    /// It misses the source from this offset on, or from an earlier one that is known already.
    pub(crate) fn add(&mut self, source: u32, offset: i64) {
        if let Some((_, from)) = self.iter_mut().find(|(known, _)| *known == source) {
            *from = offset.min(*from);
        } else if self.first.is_none() {
            self.first = Some((source, offset));
        } else {
            self.more.push((source, offset));
        }
    }

    /// In the order of the sources: what came to its end is told of before what took its place.
    pub(crate) fn sort(&mut self) {
        if let Some(first) = self.first
            && !self.more.is_empty()
        {
            self.more.push(first);
            self.more.sort_unstable();
            self.first = Some(self.more.remove(0));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.first.iter().chain(&self.more).copied()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut (u32, i64)> {
        self.first.iter_mut().chain(&mut self.more)
    }
}

impl FromIterator<(u32, i64)> for Missed {
    fn from_iter<I: IntoIterator<Item = (u32, i64)>>(items: I) -> Self {
        let mut items = items.into_iter();
        Self { first: items.next(), more: items.collect() }
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
    /// Set while lagged.
    missed: Option<Box<Missed>>,
}

const _: () = assert!(size_of::<Subscription>() == 32);

/// Heads of a connection's lists, kept apart from the connection so that marking stays in few cache lines.
#[derive(Debug, Clone, Copy)]
struct Heads {
    owing: u32,
    all: u32,
    lagged: u32,
    count: u32,
}

impl Heads {
    const EMPTY: Self = Self { owing: NIL, all: NIL, lagged: NIL, count: 0 };
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
        self.heads.get(connection as usize).map_or(0, |heads| heads.count as usize)
    }

    /// The connection's subscription to the channel.
    pub(crate) fn find(&self, connection: u32, channel: u32) -> Option<u32> {
        self.by_pair.get(&(connection, channel)).copied()
    }

    /// Adds a caught-up subscription. It must not be held already.
    pub(crate) fn add(&mut self, connection: u32, channel: u32) {
        if connection as usize >= self.heads.len() {
            self.heads.resize(connection as usize + 1, Heads::EMPTY);
        }
        let subscription = self.free.pop().unwrap_or_else(|| index(self.subscriptions.len()));
        let heads = &mut self.heads[connection as usize];
        let next = std::mem::replace(&mut heads.all, subscription);
        heads.count += 1;
        if next != NIL {
            self.subscriptions[next as usize].previous = subscription;
        }
        let members = &mut self.channel_mut(channel).members;
        let member = index(members.len());
        members.push(Member { cursor: NONE, subscription, connection });
        self.channels_in_use += usize::from(member == 0);
        let made = Subscription {
            channel,
            member,
            previous: NIL,
            next,
            previous_owing: NIL,
            next_owing: NIL,
            missed: None,
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
        if self.owes_or_lags(subscription) {
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
        heads.all = NIL;
        heads.owing = NIL;
        heads.lagged = NIL;
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
            if member.cursor != NONE {
                continue;
            }
            let subscription = &mut self.subscriptions[member.subscription as usize];
            if subscription.missed.is_some() {
                continue;
            }
            member.cursor = sequence;
            channel.owing += 1;
            let heads = &mut self.heads[member.connection as usize];
            let next = std::mem::replace(&mut heads.owing, member.subscription);
            (subscription.previous_owing, subscription.next_owing) = (NIL, next);
            if next == NIL {
                on(member.connection);
            } else {
                self.subscriptions[next as usize].previous_owing = member.subscription;
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

    /// First sequence the subscription is owed, or [`NONE`].
    pub(crate) fn cursor(&self, subscription: u32) -> u64 {
        let Subscription { channel, member, .. } = self.subscriptions[subscription as usize];
        self.channels[channel as usize].members[member as usize].cursor
    }

    /// Moves an owing subscription's cursor; [`NONE`]: caught up. The owing list is mended by [`Self::settle`].
    pub(crate) fn advance(&mut self, subscription: u32, cursor: u64) {
        let Subscription { channel, member, .. } = self.subscriptions[subscription as usize];
        let channel = &mut self.channels[channel as usize];
        let member = &mut channel.members[member as usize];
        debug_assert_ne!(member.cursor, NONE, "only an owing subscription advances");
        member.cursor = cursor;
        channel.owing -= usize::from(cursor == NONE);
    }

    /// Takes the caught-up subscriptions off the connection's owing list; gives the oldest sequence still owed.
    pub(crate) fn settle(&mut self, connection: u32) -> u64 {
        let Some(heads) = self.heads.get(connection as usize) else { return NONE };
        let (mut at, mut oldest) = (heads.owing, NONE);
        while at != NIL {
            let next = self.subscriptions[at as usize].next_owing;
            let cursor = self.cursor(at);
            if cursor == NONE {
                self.unlink(connection, at);
            }
            oldest = oldest.min(cursor);
            at = next;
        }
        oldest
    }

    /// The oldest sequence that the connection is owed, or [`NONE`].
    pub(crate) fn oldest(&self, connection: u32) -> u64 {
        self.owing(connection).map(|(cursor, _)| cursor).min().unwrap_or(NONE)
    }

    /// A subscription lags: it owes nothing, and keeps what it missed. Nothing of its connection is between an
    /// [`Self::advance`] and the [`Self::settle`] behind it.
    pub(crate) fn lag(&mut self, connection: u32, subscription: u32, missed: Missed) {
        if self.cursor(subscription) != NONE {
            self.advance(subscription, NONE);
            self.unlink(connection, subscription);
        }
        let next = std::mem::replace(&mut self.heads[connection as usize].lagged, subscription);
        if next != NIL {
            self.subscriptions[next as usize].previous_owing = subscription;
        }
        let lagging = &mut self.subscriptions[subscription as usize];
        (lagging.previous_owing, lagging.next_owing) = (NIL, next);
        let before = lagging.missed.replace(Box::new(missed));
        assert!(before.is_none(), "a subscription lags once");
        self.channels[lagging.channel as usize].lagging += 1;
    }

    /// Some subscription of the connection lags.
    pub(crate) fn lags(&self, connection: u32) -> bool {
        self.heads.get(connection as usize).is_some_and(|heads| heads.lagged != NIL)
    }

    /// One of the connection's lagged subscriptions is caught up from now on: its channel, and what it missed.
    pub(crate) fn recover(&mut self, connection: u32) -> Option<(u32, Missed)> {
        let lagged = self.heads.get(connection as usize)?.lagged;
        let missed = self.subscriptions.get_mut(lagged as usize)?.missed.take()?;
        self.unlink(connection, lagged);
        let channel = self.channel_of(lagged);
        self.channels[channel as usize].lagging -= 1;
        Some((channel, *missed))
    }

    /// What a lagged subscription missed.
    pub(crate) fn missed_mut(&mut self, subscription: u32) -> Option<&mut Missed> {
        self.subscriptions[subscription as usize].missed.as_deref_mut()
    }

    /// The channel got an entry of a source not seen before, or not for long: whoever lags there misses it from this offset on.
    pub(crate) fn new_source(&mut self, channel: u32, source: u32, offset: i64) {
        let Some(channel) = self.channels.get(channel as usize).filter(|channel| channel.lagging > 0) else {
            return;
        };
        for member in &channel.members {
            if let Some(missed) = &mut self.subscriptions[member.subscription as usize].missed
                && missed.iter().all(|(known, _)| known != source)
            {
                missed.add(source, offset);
            }
        }
    }

    /// Channel of a subscription.
    pub(crate) fn channel_of(&self, subscription: u32) -> u32 {
        self.subscriptions[subscription as usize].channel
    }

    /// Channels with at least one subscriber.
    pub(crate) fn channels_in_use(&self) -> usize {
        self.channels_in_use
    }

    /// It stands in one of the two lists.
    fn owes_or_lags(&self, subscription: u32) -> bool {
        self.cursor(subscription) != NONE || self.subscriptions[subscription as usize].missed.is_some()
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
        }
    }

    /// Takes the subscription out of its channel and frees it; the connection's lists are the caller's.
    fn free_one(&mut self, connection: u32, subscription: u32) {
        let freed = &mut self.subscriptions[subscription as usize];
        let (channel, member) = (freed.channel, std::mem::replace(&mut freed.member, NIL));
        let lagged = freed.missed.take().is_some();
        let members = &mut self.channels[channel as usize];
        let gone = members.members.swap_remove(member as usize);
        members.owing -= usize::from(gone.cursor != NONE);
        members.lagging -= usize::from(lagged);
        self.channels_in_use -= usize::from(members.members.is_empty());
        if let Some(moved) = members.members.get(member as usize) {
            self.subscriptions[moved.subscription as usize].member = member;
        }
        self.by_pair.remove(&(connection, channel));
        self.heads[connection as usize].count -= 1;
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
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// What a subscription is owed, as naively as can be.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Owed {
        Nothing,
        From(u64),
        Lagged,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u32, u32),
        Remove(u32, u32),
        RemoveAll(u32),
        Mark(u32),
        /// Advances the connection's owing subscriptions: to caught up where the bit is set.
        Flush(u32, u8),
        Lag(u32),
        Recover(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (connection, channel) = (0..6u32, 0..5u32);
        prop_oneof![
            4 => (connection.clone(), channel.clone()).prop_map(|(a, b)| Step::Add(a, b)),
            2 => (connection.clone(), channel.clone()).prop_map(|(a, b)| Step::Remove(a, b)),
            1 => connection.clone().prop_map(Step::RemoveAll),
            4 => channel.prop_map(Step::Mark),
            4 => (connection.clone(), any::<u8>()).prop_map(|(a, b)| Step::Flush(a, b)),
            1 => connection.clone().prop_map(Step::Lag),
            1 => connection.prop_map(Step::Recover),
        ]
    }

    fn check(real: &mut Subscriptions, model: &BTreeMap<(u32, u32), Owed>) {
        assert_eq!(real.len(), model.len());
        let in_use: BTreeSet<u32> = model.keys().map(|&(_, channel)| channel).collect();
        assert_eq!(real.channels_in_use(), in_use.len());
        for connection in 0..6 {
            let of_it = || model.iter().filter(|((holder, _), _)| *holder == connection);
            let held: BTreeSet<u32> = real.held(connection).collect();
            assert_eq!(held, of_it().map(|((_, channel), _)| *channel).collect());
            assert_eq!(real.count(connection), held.len());
            let oldest = of_it()
                .filter_map(|(_, owed)| if let Owed::From(at) = owed { Some(*at) } else { None })
                .min();
            assert_eq!(real.settle(connection), oldest.unwrap_or(NONE));
            assert_eq!(real.owes(connection), oldest.is_some());
            assert_eq!(real.lags(connection), of_it().any(|(_, owed)| *owed == Owed::Lagged));
            let owing: BTreeMap<u32, u64> =
                real.owing(connection).map(|(cursor, at)| (real.channel_of(at), cursor)).collect();
            let expected: BTreeMap<u32, u64> = of_it()
                .filter_map(
                    |((_, channel), owed)| {
                        if let Owed::From(at) = owed { Some((*channel, *at)) } else { None }
                    },
                )
                .collect();
            assert_eq!(owing, expected);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_map(steps in prop::collection::vec(step(), 1..120)) {
            let mut real = Subscriptions::default();
            let mut model: BTreeMap<(u32, u32), Owed> = BTreeMap::new();
            for (sequence, step) in (0u64..).zip(steps) {
                match step {
                    Step::Add(connection, channel) => {
                        if real.find(connection, channel).is_none() {
                            real.add(connection, channel);
                            prop_assert!(model.insert((connection, channel), Owed::Nothing).is_none());
                        }
                    }
                    Step::Remove(connection, channel) => {
                        let was = model.remove(&(connection, channel)).is_some();
                        prop_assert_eq!(real.remove(connection, channel), was);
                    }
                    Step::RemoveAll(connection) => {
                        let mut left = BTreeSet::new();
                        real.remove_all(connection, |channel| assert!(left.insert(channel)));
                        let expected = model.keys().filter(|key| key.0 == connection).map(|key| key.1).collect();
                        prop_assert_eq!(left, expected);
                        model.retain(|key, _| key.0 != connection);
                    }
                    Step::Mark(channel) => {
                        let owed = |model: &BTreeMap<(u32, u32), Owed>| -> BTreeSet<u32> {
                            model.iter().filter(|(_, o)| matches!(o, Owed::From(_))).map(|(key, _)| key.0).collect()
                        };
                        let before = owed(&model);
                        for (key, owed) in &mut model {
                            if key.1 == channel && *owed == Owed::Nothing {
                                *owed = Owed::From(sequence);
                            }
                        }
                        let mut newly = BTreeSet::new();
                        if real.touch(channel) {
                            prop_assert!(!real.touch(channel), "marked once");
                            real.mark(channel, sequence, |connection| assert!(newly.insert(connection)));
                        }
                        prop_assert_eq!(newly, owed(&model).difference(&before).copied().collect::<BTreeSet<_>>());
                    }
                    Step::Flush(connection, bits) => {
                        let owing: Vec<_> = real.owing(connection).collect();
                        for (nth, (_, at)) in owing.into_iter().enumerate() {
                            let caught_up = bits >> (nth % 8) & 1 == 1;
                            let channel = real.channel_of(at);
                            real.advance(at, if caught_up { NONE } else { sequence });
                            let owed = if caught_up { Owed::Nothing } else { Owed::From(sequence) };
                            model.insert((connection, channel), owed);
                        }
                    }
                    Step::Lag(connection) => {
                        let first = real.owing(connection).next();
                        if let Some((_, at)) = first {
                            let channel = real.channel_of(at);
                            real.lag(connection, at, Missed::from_iter([(0, 1)]));
                            model.insert((connection, channel), Owed::Lagged);
                        }
                    }
                    Step::Recover(connection) => {
                        let mut recovered = BTreeSet::new();
                        while let Some((channel, missed)) = real.recover(connection) {
                            prop_assert_eq!(missed.iter().collect::<Vec<_>>(), [(0, 1)]);
                            prop_assert!(recovered.insert(channel));
                        }
                        for (key, owed) in &mut model {
                            if key.0 == connection && *owed == Owed::Lagged {
                                prop_assert!(recovered.remove(&key.1));
                                *owed = Owed::Nothing;
                            }
                        }
                        prop_assert!(recovered.is_empty());
                    }
                }
                check(&mut real, &model);
            }
        }
    }
}
