//! What a subscription is owed, and what it missed while it lagged.

/// No sequence: nothing is owed, no entry is known.
pub(super) const NONE: u64 = u64::MAX;

/// What a subscription is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum Owed {
    /// Nothing: what comes next is new.
    CaughtUp,
    /// All from this sequence on.
    From(u64),
    /// Nothing, before its client has been told of what it missed.
    Lagged,
}

/// An [`Owed`] in eight bytes. While it lags: the first offset that it missed of its first source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(u64);

impl Cursor {
    pub(super) const CAUGHT_UP: Self = Self(NONE);
    const LAGGED: u64 = 1 << 63;

    pub(super) fn at(sequence: u64) -> Self {
        debug_assert!(sequence < Self::LAGGED, "fewer than 2^63 entries");
        Self(sequence)
    }

    pub(super) fn lagged(offset: i64) -> Self {
        let offset = u64::try_from(offset).expect("an offset of Kafka");
        debug_assert!(offset < Self::LAGGED - 1, "fewer than 2^63 - 1 records");
        Self(Self::LAGGED | offset)
    }

    pub(super) fn owed(self) -> Owed {
        match self {
            Self::CAUGHT_UP => Owed::CaughtUp,
            Self(sequence) if sequence & Self::LAGGED == 0 => Owed::From(sequence),
            Self(_) => Owed::Lagged,
        }
    }

    /// First sequence owed, or [`NONE`].
    pub(super) const fn first(self) -> u64 {
        if self.0 & Self::LAGGED == 0 { self.0 } else { NONE }
    }

    pub(super) fn owes(self) -> bool {
        self.first() != NONE
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
pub(in crate::shard) struct Missed {
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
    pub(in crate::shard) fn sort(&mut self) {
        if let Some(first) = self.first
            && !self.more.is_empty()
        {
            self.more.push(first);
            self.more.sort_unstable();
            self.first = Some(self.more.remove(0));
        }
    }

    pub(in crate::shard) fn iter(&self) -> impl Iterator<Item = (u32, i64)> {
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
