//! What clients can make a shard hold beyond one client's own limits, and who pays when it is too much: the largest
//! holder, for it has taken the least of what it was sent, or had the most to say.

use proto::ws::close::CloseCode;
use slab::Reader;

use super::{Connections, reason::CloseReason};
use crate::shard::context::Context;

/// Above the limit on partial frames the largest holder is reset.
pub(in crate::shard) fn limit_partial_frames(connections: &mut Connections, context: &mut Context) {
    while connections.totals.partial_bytes > context.settings.limits.partial_frame_bytes_per_shard
        && let Some(largest) = connections.table.largest(|client| client.output.partial_bytes())
    {
        connections.end(context, largest, CloseReason::Blocked);
    }
}

/// Ingest needs room that only a holder of a block can give, and this shard has one.
pub(in crate::shard) fn can_relieve(connections: &Connections, reader: &Reader) -> bool {
    connections.totals.block_holders > 0 && reader.is_pressed()
}

/// The budget of large frames is used up by connections that took a part of one: the largest holder is reset. One a need,
/// of the shard that is the first to answer.
pub(in crate::shard) fn relieve_blocks(
    connections: &mut Connections,
    context: &mut Context,
    reader: &Reader,
) {
    if !can_relieve(connections, reader) {
        return;
    }
    let Some(_until_it_is_done) = reader.relief() else { return };
    if let Some(largest) = connections.table.largest(|client| client.output.block_bytes()) {
        connections.end(context, largest, CloseReason::Blocked);
    }
}

/// Above the limit of what clients make the shard hold, the largest holders are closed until an eighth of the limit is
/// free: one look at all connections for so much that comes, not one for each that pays.
pub(in crate::shard) fn limit_client_bytes(connections: &mut Connections, context: &mut Context) {
    let limit = context.settings.limits.client_bytes_per_shard;
    if connections.totals.client_bytes <= limit {
        return;
    }
    let mut holders: Vec<_> =
        connections.iter().map(|client| (client.counted, client.is_open(), client.key)).collect();
    holders.sort_unstable_by_key(|&(counted, ..)| std::cmp::Reverse(counted));
    let goal = limit - limit / 8;
    for &(_, _, key) in holders.iter().filter(|&&(_, is_open, _)| is_open) {
        if connections.totals.client_bytes <= goal {
            return;
        }
        // Its answers are what it does not read: only the frame that has begun to leave does leave.
        if let Some(client) = connections.table.get_mut(key) {
            connections.totals.change(client, |client| client.output.drop_unbegun());
        }
        connections.close(context, key, CloseCode::POLICY, "holds too many bytes", CloseReason::Policy);
    }
    // Nobody is left but those whose last frame is large.
    for &(_, _, key) in &holders {
        if connections.totals.client_bytes <= limit {
            return;
        }
        connections.end(context, key, CloseReason::Blocked);
    }
}
