//! Who is let in, and to which shard.

use proto::ws::handshake::{Refusal, Upgrade};

use super::{Phase, acceptor::Acceptor};
use crate::inbox::Reservation;

/// The one path of the native protocol.
const PATH: &str = "/ws";

/// A place in a shard.
pub(super) struct Place {
    /// The shard's number.
    pub(super) shard: usize,
    /// Given back when dropped.
    pub(super) reservation: Reservation,
}

impl Acceptor {
    /// Decides, in one piece: whoever gets a place is counted in the shard's load before anybody else is looked at.
    pub(super) fn admit(&self, upgrade: &Upgrade) -> Result<Place, Refusal> {
        if upgrade.path != PATH && !self.settings.any_path {
            return Err(Refusal::NotFound);
        }
        if !self.allows(upgrade.origin.as_deref()) {
            return Err(Refusal::Origin);
        }
        let phase = *self.phase.borrow();
        match phase {
            Phase::Open => self.place().ok_or_else(|| self.full()),
            Phase::Starting => Err(self.starting()),
            Phase::Draining | Phase::Ended => Err(self.draining()),
        }
    }

    /// Origins bind browsers only, which always send theirs; without one there is nothing to protect.
    fn allows(&self, origin: Option<&str>) -> bool {
        let allowed = &self.settings.allowed_origins;
        allowed.is_empty()
            || origin.is_none_or(|origin| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
    }

    /// A place in the shard with the least load (connections and reservations), full ones left out.
    fn place(&self) -> Option<Place> {
        let load = |shard: &usize| self.links[*shard].load.load(std::sync::atomic::Ordering::Acquire);
        let open = (0..self.links.len()).filter(|shard| load(shard) < self.links[*shard].capacity);
        // Nobody else takes reservations, so the chosen shard cannot have filled meanwhile.
        let shard = open.min_by_key(load)?;
        let reservation = Reservation::take(&self.links[shard].load, self.links[shard].capacity)?;
        Some(Place { shard, reservation })
    }

    fn full(&self) -> Refusal {
        Refusal::Unavailable { reason: "full", retry_after_s: self.retry_after_s(5) }
    }

    fn starting(&self) -> Refusal {
        Refusal::Unavailable { reason: "starting", retry_after_s: self.retry_after_s(1) }
    }

    pub(super) fn draining(&self) -> Refusal {
        Refusal::Unavailable { reason: "draining", retry_after_s: self.retry_after_s(1) }
    }

    pub(super) fn overloaded(&self) -> Refusal {
        Refusal::Unavailable { reason: "overloaded", retry_after_s: self.retry_after_s(1) }
    }
}
