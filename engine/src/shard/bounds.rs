//! What clients can make a shard hold beyond one client's own limits, and who pays when it is too much: the largest
//! holder, for it has taken the least of what it was sent, or had the most to say.

use proto::ws::close::CloseCode;
use ring::{Key, Ring};

use super::{
    Shard,
    connection::{Connection, Phase},
    lifecycle::CloseReason,
};

impl<R: Ring> Shard<R> {
    /// Above the limit on partial frames the largest holder is reset.
    pub(super) fn limit_partial_frames(&mut self) {
        while self.partial_bytes > self.context.settings.limits.partial_frame_bytes_per_shard
            && let Some(largest) = self.connections.largest(Connection::partial_bytes)
        {
            self.end(largest, CloseReason::Blocked);
        }
    }

    /// Ingest needs room that only a holder of a block can give, and this shard has one.
    pub(super) fn can_relieve(&self) -> bool {
        self.block_holders > 0 && self.reader.is_pressed()
    }

    /// The budget of large frames is used up by connections that took a part of one: the largest holder is reset. One
    /// a need, of the shard that is the first to answer.
    pub(super) fn relieve_blocks(&mut self) {
        if !self.can_relieve() {
            return;
        }
        let Some(_until_it_is_done) = self.reader.relief() else { return };
        let held = |client: &Connection| client.output.block.as_ref().map_or(0, |(block, _)| block.len());
        if let Some(largest) = self.connections.largest(held) {
            self.end(largest, CloseReason::Blocked);
        }
    }

    /// Counts what the connection holds by now.
    pub(super) fn count_held(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        let held = client.held_bytes();
        self.client_bytes += held;
        self.client_bytes -= std::mem::replace(&mut client.counted, held);
    }

    /// Above the limit of what clients make the shard hold, the largest holders are closed until an eighth of the limit
    /// is free: one look at all connections for so much that comes, not one for each that pays.
    pub(super) fn limit_client_bytes(&mut self) {
        let limit = self.context.settings.limits.client_bytes_per_shard;
        if self.client_bytes <= limit {
            return;
        }
        let mut holders: Vec<_> =
            self.connections.iter().map(|client| (client.counted, client.phase, client.key)).collect();
        holders.sort_unstable_by_key(|&(counted, ..)| std::cmp::Reverse(counted));
        let goal = limit - limit / 8;
        for &(_, _, key) in holders.iter().filter(|(_, phase, _)| *phase == Phase::Open) {
            if self.client_bytes <= goal {
                return;
            }
            // Its answers are what it does not read: only the frame that has begun to leave does leave.
            if let Some(client) = self.connections.get_mut(key) {
                client.output.drop_unbegun();
            }
            self.close(key, CloseCode::POLICY, "holds too many bytes", CloseReason::Policy);
        }
        // Nobody is left but those whose last frame is large.
        for &(_, _, key) in &holders {
            if self.client_bytes <= limit {
                return;
            }
            self.end(key, CloseReason::Blocked);
        }
    }
}
