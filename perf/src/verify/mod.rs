//! What every connection must see: each channel's numbers, all of them, once, in order, and nothing else.

use std::{collections::HashMap, ops::Range};

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};

use crate::{payload, spread::Spread};

/// What was seen, over all connections of a verifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages of the run, each once.
    pub fresh: u64,
    /// Messages that never came, of connections that stayed open; those that gap notices announced are among
    /// them.
    pub lost: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one.
    pub disordered: u64,
    /// Messages of a channel that the connection does not hold.
    pub foreign: u64,
    /// Messages whose record key is not their channel's.
    pub misrouted: u64,
    /// Messages whose filling is not that of their number.
    pub corrupt: u64,
    /// Messages that do not carry our stamp.
    pub unstamped: u64,
    /// Messages sent before the load began.
    pub stale: u64,
    /// Gap notices.
    pub gaps: u64,
}

impl Counts {
    /// Takes in those of another verifier.
    pub fn add(&mut self, other: &Self) {
        let Self { fresh, lost, duplicated, disordered, foreign, misrouted, corrupt, unstamped, stale, gaps } =
            other;
        self.fresh += fresh;
        self.lost += lost;
        self.duplicated += duplicated;
        self.disordered += disordered;
        self.foreign += foreign;
        self.misrouted += misrouted;
        self.corrupt += corrupt;
        self.unstamped += unstamped;
        self.stale += stale;
        self.gaps += gaps;
    }
}

/// The numbers of a channel from the mark on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The lowest.
    pub first: u64,
    /// One more than the highest.
    pub next: u64,
}

/// A message of the run that came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Intended time of sending, ns since 1970.
    pub t_ns: u64,
    /// On the channel that everybody holds.
    pub broadcast: bool,
}

/// Whose load it is, which decides what the first message of a channel has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Ours: number 0, and nothing stamped before the mark belongs to it.
    Ours,
    /// Somebody else's: whatever a subscription begins with, but from the mark on the same for all of a
    /// channel.
    Others,
}

/// Checks the messages of a range of clients. A word or two a subscription; nothing is allocated while all is
/// well.
#[derive(Debug)]
pub struct Verifier {
    spread: Spread,
    clients: Range<u32>,
    origin: Origin,
    by_name: HashMap<Box<str>, u32, FixedState>,
    keys: Option<Vec<Box<[u8]>>>,
    mark_ns: u64,
    /// Next number of each subscription, by client and place; `UNSEEN` before the first message.
    next: Vec<u64>,
    /// First number of each subscription of others' load; 0 if it came before the mark.
    start: Vec<u64>,
    /// By channel, from the mark on; others' load only.
    seen: Vec<Option<Seen>>,
    holes: Holes,
    counts: Counts,
}

const UNSEEN: u64 = u64::MAX;

impl Verifier {
    /// For `clients`, who hold what `spread` says of the channels `names`. `keys` are those of their records,
    /// if known.
    #[must_use]
    pub fn new(
        spread: Spread,
        clients: Range<u32>,
        origin: Origin,
        names: &[String],
        keys: Option<&[String]>,
    ) -> Self {
        let subscriptions = clients.len() * spread.per_client();
        let (next, starts) = match origin {
            Origin::Ours => (0, 0),
            Origin::Others => (UNSEEN, subscriptions),
        };
        Self {
            by_name: names.iter().map(|name| name.as_str().into()).zip(0..).collect(),
            keys: keys.map(|keys| keys.iter().map(|key| key.as_bytes().into()).collect()),
            mark_ns: u64::MAX,
            next: vec![next; subscriptions],
            start: vec![0; starts],
            seen: vec![None; names.len()],
            holes: Holes::default(),
            counts: Counts::default(),
            spread,
            clients,
            origin,
        }
    }

    /// The load begins: every subscription must have what is stamped from here on.
    pub fn begin(&mut self, mark_ns: u64) {
        self.mark_ns = mark_ns;
    }

    /// What was seen so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// By channel, what others have sent since the mark as far as it came here.
    #[must_use]
    pub fn seen(&self) -> &[Option<Seen>] {
        &self.seen
    }

    /// A gap notice came.
    pub fn gap(&mut self) {
        self.counts.gaps += 1;
    }

    /// A message came to connection `connection` (of this verifier's, from 0). `None`: nothing to measure.
    #[inline]
    pub fn message(&mut self, connection: u32, channel: &str, data: Option<&[u8]>) -> Option<Arrival> {
        let held = self.by_name.get(channel).and_then(|&channel| {
            self.spread.place(self.clients.start + connection, channel).map(|place| (channel, place))
        });
        let Some((channel, place)) = held else {
            self.counts.foreign += 1;
            return None;
        };
        let Some(stamp) = data.and_then(payload::read) else {
            self.counts.unstamped += 1;
            return None;
        };
        if self.keys.as_ref().is_some_and(|keys| *keys[channel as usize] != *stamp.key) {
            self.counts.misrouted += 1;
            return None;
        }
        self.counts.corrupt += u64::from(!stamp.intact);
        let subscription = connection as usize * self.spread.per_client() + place;
        let fresh = self.number(subscription, channel, stamp.seq, stamp.t_ns >= self.mark_ns);
        let broadcast = self.spread.broadcast() == Some(channel);
        fresh.then_some(Arrival { t_ns: stamp.t_ns, broadcast })
    }

    /// Whether number `seq` is of this run and new to its subscription.
    fn number(&mut self, subscription: usize, channel: u32, seq: u64, after_mark: bool) -> bool {
        match self.origin {
            Origin::Ours if !after_mark => {
                self.counts.stale += 1;
                return false;
            }
            Origin::Others if after_mark => {
                let seen = self.seen[channel as usize].get_or_insert(Seen { first: seq, next: 0 });
                *seen = Seen { first: seen.first.min(seq), next: seen.next.max(seq + 1) };
            }
            Origin::Ours | Origin::Others => {}
        }
        let next = &mut self.next[subscription];
        if seq == *next {
            *next = seq + 1;
        } else if *next == UNSEEN {
            *next = seq + 1;
            self.start[subscription] = if after_mark { seq } else { 0 };
        } else if seq > *next {
            self.counts.lost = self.counts.lost.saturating_add(seq - *next);
            self.holes.open(subscription, *next..seq);
            *next = seq + 1;
        } else if self.holes.fill(subscription, seq) {
            self.counts.lost = self.counts.lost.saturating_sub(1);
            self.counts.disordered += 1;
        } else if let Some(start) = self.start.get_mut(subscription).filter(|start| seq < **start) {
            // Before what the subscription began with: it is not known whether the ones in between were meant
            // for it.
            self.holes.open(subscription, seq + 1..*start);
            self.counts.lost = self.counts.lost.saturating_add(*start - seq - 1);
            self.counts.disordered += 1;
            *start = seq;
        } else {
            self.counts.duplicated += 1;
            return false;
        }
        self.counts.fresh += 1;
        true
    }

    /// How many messages of the load are still to come, over the connections of which `open` is true. `ends`
    /// by channel.
    #[must_use]
    pub fn outstanding(&self, ends: &[Option<Seen>], open: impl Fn(u32) -> bool) -> u64 {
        let mut outstanding = 0_u64;
        self.each_open(open, |subscription, channel| {
            let Some(end) = ends[channel as usize] else { return };
            let next = self.next[subscription];
            let next = if next == UNSEEN { end.first } else { next };
            outstanding = outstanding.saturating_add(end.next.saturating_sub(next));
        });
        outstanding
    }

    /// The run is over: what did not come to an open connection is lost.
    pub fn settle(&mut self, ends: &[Option<Seen>], open: impl Fn(u32) -> bool) {
        let mut lost = self.outstanding(ends, &open);
        self.each_open(open, |subscription, channel| {
            let (Some(end), Some(start)) = (ends[channel as usize], self.start.get(subscription)) else {
                return;
            };
            lost = lost.saturating_add(start.saturating_sub(end.first));
        });
        self.counts.lost = self.counts.lost.saturating_add(lost);
    }

    fn each_open(&self, open: impl Fn(u32) -> bool, mut visit: impl FnMut(usize, u32)) {
        let per_client = self.spread.per_client();
        for connection in 0..u32::try_from(self.clients.len()).unwrap_or(u32::MAX) {
            if open(connection) {
                let first = connection as usize * per_client;
                for (place, channel) in self.spread.channels_of(self.clients.start + connection).enumerate() {
                    visit(first + place, channel);
                }
            }
        }
    }
}

/// Numbers that were jumped over, so that a late one is told from a repeated one. Bounded: it fills only when
/// things go wrong.
#[derive(Debug, Default)]
struct Holes {
    by_subscription: HashMap<usize, Vec<Range<u64>>, FixedState>,
    ranges: usize,
}

const HOLES_MAX: usize = 100_000;

impl Holes {
    fn open(&mut self, subscription: usize, numbers: Range<u64>) {
        if !numbers.is_empty() && self.ranges < HOLES_MAX {
            self.ranges += 1;
            self.by_subscription.entry(subscription).or_default().push(numbers);
        }
    }

    /// Takes a number out; false: it was not missing (or not remembered).
    fn fill(&mut self, subscription: usize, number: u64) -> bool {
        if self.ranges == 0 {
            return false;
        }
        let Some(ranges) = self.by_subscription.get_mut(&subscription) else { return false };
        let Some(at) = ranges.iter().position(|range| range.contains(&number)) else { return false };
        let range = ranges.swap_remove(at);
        self.ranges -= 1;
        self.open(subscription, range.start..number);
        self.open(subscription, number + 1..range.end);
        true
    }
}

#[cfg(test)]
mod tests;
