//! What a subscription is owed, and what it missed while it lagged.

use super::links::NONE;

/// What a subscription is owed, in eight bytes: nothing, all from a sequence on, or (it lags) nothing before it has been told
/// of what it missed, which begins with this offset of its first source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(u64);

impl Cursor {
    pub(super) const CAUGHT_UP: Self = Self(NONE);
    const LAGGED: u64 = 1 << 63;

    /// [`NONE`]: caught up.
    pub(super) fn at(sequence: u64) -> Self {
        debug_assert!(sequence < Self::LAGGED || sequence == NONE, "fewer than 2^63 entries");
        Self(sequence)
    }

    pub(super) fn lagged(offset: i64) -> Self {
        let offset = u64::try_from(offset).expect("an offset of Kafka");
        debug_assert!(offset < Self::LAGGED - 1, "fewer than 2^63 - 1 records");
        Self(Self::LAGGED | offset)
    }

    /// First sequence owed, or [`NONE`].
    pub(super) const fn owed(self) -> u64 {
        if self.0 & Self::LAGGED == 0 { self.0 } else { NONE }
    }

    pub(super) fn owes(self) -> bool {
        self.owed() != NONE
    }

    /// The first missed offset, while it lags.
    pub(super) fn missed(self) -> Option<i64> {
        let lags = self.0 & Self::LAGGED != 0 && self != Self::CAUGHT_UP;
        lags.then(|| i64::try_from(self.0 & !Self::LAGGED).expect("63 bits"))
    }
}

/// What a lagged subscription missed: the first offset it was owed, by source. Mostly there is one source, which costs no
/// list of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) first: Option<(u32, i64)>,
    pub(super) more: Vec<(u32, i64)>,
}

impl Missed {
    /// It misses the source from this offset on, or from an earlier one that is known already.
    pub(super) fn add(&mut self, source: u32, offset: i64) {
        if let Some((_, from)) = self.iter_mut().find(|(known, _)| *known == source) {
            *from = offset.min(*from);
        } else if self.first.is_none() {
            self.first = Some((source, offset));
        } else {
            self.more.push((source, offset));
        }
    }

    /// In the order of the sources: what came to its end is told of before what took its place.
    pub(super) fn sort(&mut self) {
        if let Some(first) = self.first
            && !self.more.is_empty()
        {
            self.more.push(first);
            self.more.sort_unstable();
            self.first = Some(self.more.remove(0));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
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
