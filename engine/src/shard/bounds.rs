//! What clients can make a shard hold beyond one client's own limits, and who pays when it is too much: the largest
//! holder, for it has taken the least of what it was sent, or finished the least of what it sends.

use proto::ws::{close::CloseCode, decoder::Decoder};
use ring::{Key, Ring};

use super::{
    Shard,
    connection::{Connection, Phase},
    lifecycle::Why,
};

impl<R: Ring> Shard<R> {
    /// Above the limit of torn bytes the largest holder is reset.
    pub(super) fn limit_torn(&mut self) {
        while self.torn_bytes > self.settings.limits.torn_bytes_per_shard
            && let Some(largest) = self.connections.largest(Connection::torn_bytes)
        {
            self.end(largest, Why::Blocked);
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
        let held = |client: &Connection| client.own.block.as_ref().map_or(0, |(block, _)| block.len());
        if let Some(largest) = self.connections.largest(held) {
            self.end(largest, Why::Blocked);
        }
    }

    /// Puts the connection's decoder back, after it has read all there was, and books what of a message it keeps. Above
    /// the limit of incomplete messages the largest holder is closed.
    pub(super) fn keep_decoder(&mut self, key: Key, decoder: Decoder) {
        let Some(client) = self.connections.get_mut(key).filter(|client| client.phase == Phase::Open) else {
            return;
        };
        let held = decoder.held_bytes();
        client.decoder = decoder;
        self.incomplete_bytes += held;
        self.incomplete_bytes -= std::mem::replace(&mut client.incomplete, held);
        while self.incomplete_bytes > self.settings.limits.incomplete_bytes_per_shard
            && let Some(largest) = self.connections.largest(|client| client.incomplete)
        {
            self.close(largest, CloseCode::POLICY, "incomplete for too long", Why::Policy);
        }
    }

    /// The connection is heard no more.
    pub(super) fn drop_decoder(&mut self, key: Key) {
        let Some(client) = self.connections.get_mut(key) else { return };
        client.decoder = Decoder::default();
        self.incomplete_bytes -= std::mem::take(&mut client.incomplete);
    }
}
