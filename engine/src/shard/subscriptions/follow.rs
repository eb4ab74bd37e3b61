//! Following the index: each entry is linked to its channel's chain, and the subscribers of what is new are marked.

use slab::{Gap, NO_CHANNEL, Reader};

use super::{Subscriptions, owed::Cursor, subscription::NIL};
use crate::shard::schedule::Schedule;

/// The tail, without a record of which only a part is published: nobody begins in the middle of one. (Nor between the
/// notices of a gap and the place where its partition goes on.)
pub(in crate::shard) fn whole_tail(reader: &Reader, read: u64) -> u64 {
    let mut tail = reader.tail();
    while tail > read && reader.entry(tail - 1).is_part() {
        tail -= 1;
    }
    tail
}

impl Subscriptions {
    /// Follows the index up to `tail`, and beyond it to the end of its record; `on_gap` gets the gaps of topics that are
    /// passed, and whether each is a part. Whom the rest concerns is marked by [`Self::mark_touched`].
    pub(in crate::shard) fn follow(
        &mut self,
        reader: &Reader,
        mut tail: u64,
        mut on_gap: impl FnMut(u64, Gap, bool),
    ) {
        let end = reader.tail();
        while tail < end && tail > self.read() && reader.entry(tail - 1).is_part() {
            tail += 1;
        }
        let floor = reader.floor();
        while self.read() < tail {
            let sequence = self.read();
            let entry = reader.entry(sequence);
            let new_source = self.chains.follow(entry, floor);
            if entry.channel == NO_CHANNEL {
                if let Some(gap) = entry.gap() {
                    on_gap(sequence, gap, entry.is_part());
                }
                continue;
            }
            if new_source {
                self.new_source(entry.channel, entry.source, entry.offset);
            }
            if self.touch(entry.channel) {
                self.touched.push((entry.channel, sequence));
            }
        }
    }

    /// Marks the subscribers of the channels that have new entries, each once.
    pub(in crate::shard) fn mark_touched(&mut self, reader: &Reader, schedule: &mut Schedule) {
        let mut touched = std::mem::take(&mut self.touched);
        for (channel, sequence) in touched.drain(..) {
            let segment = reader.entry(sequence).segment;
            self.mark(channel, sequence, |connection| schedule.mark(connection, sequence, segment));
        }
        self.touched = touched;
    }

    /// Notes that the channel has a new entry. True: it has subscribers, and is to be marked once.
    pub(super) fn touch(&mut self, channel: u32) -> bool {
        let Some(channel) = self.channels.get_mut(channel as usize) else { return false };
        let first = !channel.touched && !channel.members.is_empty();
        channel.touched |= first;
        first
    }

    /// The channel's caught-up subscribers are owed from `sequence` on; `on` gets each connection that owed nothing before.
    pub(super) fn mark(&mut self, channel: u32, sequence: u64, mut on: impl FnMut(u32)) {
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
}
