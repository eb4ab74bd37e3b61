//! A subscription, and the lists of a connection that it stands in.

/// No index: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// A subscription as its connection sees it.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: u32,
    /// Place in the channel's members; [`NIL`]: the subscription is free.
    pub(super) member: u32,
    /// Neighbours in the connection's list of all its subscriptions.
    pub(super) previous: u32,
    pub(super) next: u32,
    /// Neighbours in the connection's list of owing ones, or of lagged ones: never in both.
    pub(super) previous_owing: u32,
    pub(super) next_owing: u32,
    /// While it lags: the source that it misses from its cursor's offset on; [`NIL`]: it misses nothing.
    pub(super) source: u32,
    /// While it lags: where the other sources stand that it misses; [`NIL`]: there are none.
    pub(super) others: u32,
}

const _: () = assert!(size_of::<Subscription>() == 32);

/// Heads of a connection's lists, kept apart from the connection so that marking stays in few cache lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// The first and last of those that owe, in the order of what they owe: a floor looks at no more than it passes.
    pub(super) owing: u32,
    pub(super) newest: u32,
    pub(super) lagged: u32,
    pub(super) all: u32,
}

impl Heads {
    pub(super) const EMPTY: Self = Self { owing: NIL, newest: NIL, lagged: NIL, all: NIL };
}
