//! Subscriptions that lag: the floor has passed what they were owed, and they keep what they missed until their client can
//! be told.

use super::{
    Subscriptions,
    channels::Member,
    index,
    owed::{Cursor, Missed},
    subscription::{NIL, Subscription},
};

impl Subscriptions {
    /// A subscription lags: it owes nothing, and keeps what it missed. Nothing of its connection is between an
    /// [`Self::advance`] and the [`Self::settle`] behind it.
    pub(in crate::shard) fn lag(&mut self, connection: u32, subscription: u32, missed: Missed) {
        let before = self.place(subscription).cursor;
        assert!(before.missed().is_none(), "a subscription lags once");
        if before.owes() {
            self.unlink(connection, subscription);
        }
        let next = std::mem::replace(&mut self.heads[connection as usize].lagged, subscription);
        if next != NIL {
            self.subscriptions[next as usize].previous_owing = subscription;
        }
        let lagging = &mut self.subscriptions[subscription as usize];
        (lagging.previous_owing, lagging.next_owing) = (NIL, next);
        let channel = lagging.channel;
        self.keep(subscription, missed);
        let channel = &mut self.channels[channel as usize];
        channel.owing -= usize::from(before.owes());
        channel.lagging += 1;
    }

    /// Some subscription of the connection lags.
    pub(in crate::shard) fn lags(&self, connection: u32) -> bool {
        self.heads.get(connection as usize).is_some_and(|heads| heads.lagged != NIL)
    }

    /// One of the connection's lagged subscriptions is caught up from now on: its channel, and what it missed.
    pub(in crate::shard) fn recover(&mut self, connection: u32) -> Option<(u32, Missed)> {
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

    /// A lagged subscription misses the source from this offset on as well, if it does not from an earlier one.
    pub(in crate::shard) fn miss(&mut self, subscription: u32, source: u32, offset: i64) {
        let Some(mut missed) = self.missed(subscription) else { return };
        missed.add(source, offset);
        self.drop_others(subscription);
        self.keep(subscription, missed);
    }

    /// Writes down what the subscription missed: the first offset in its cursor.
    fn keep(&mut self, subscription: u32, missed: Missed) {
        let (source, offset) = missed.first.unwrap_or((NIL, 0));
        let others = if missed.more.is_empty() { NIL } else { self.keep_others(missed.more) };
        let lagging = &mut self.subscriptions[subscription as usize];
        (lagging.source, lagging.others) = (source, others);
        let member = &mut self.channels[lagging.channel as usize].members[lagging.member as usize];
        member.cursor = Cursor::lagged(offset);
    }

    /// The channel got an entry of a source not seen before, or not for long: whoever lags there misses it from this offset on.
    pub(super) fn new_source(&mut self, channel: u32, source: u32, offset: i64) {
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

    pub(super) fn drop_others(&mut self, subscription: u32) {
        let others = std::mem::replace(&mut self.subscriptions[subscription as usize].others, NIL);
        if others != NIL {
            self.others[others as usize] = Vec::new();
            self.others_free.push(others);
        }
    }
}
