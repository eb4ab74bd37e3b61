//! The end of a lag: a gap notice for what was missed, and on at live.

use proto::native::reply;
use slab::Reader;

use super::gaps;
use crate::shard::clients::Clients;

/// A lagged connection's socket takes bytes again: one gap notice a partition, and on at live. One subscription after the
/// other while its control output is below the limit; the rest go on lagging, up to the next flush. `folds_left`:
/// subscriptions that gaps may yet make lag in this batch.
pub(in crate::shard) fn go_live(
    clients: &mut Clients,
    reader: &Reader,
    connection: u32,
    folds_left: &mut usize,
) {
    if clients.gaps.is_within_truncation(clients.subscriptions.read()) {
        return;
    }
    // What it is not told of yet makes all that it holds lag: of many connections in a batch, not at once.
    if clients.connections.at(connection).is_some_and(|client| client.untold().is_some()) {
        if *folds_left == 0 {
            return;
        }
        *folds_left = folds_left.saturating_sub(gaps::fold(clients, reader, connection));
    }
    let Clients { connections, subscriptions, positions, context, .. } = clients;
    let limit = context.settings.limits.control_output_bytes;
    let present = positions.present(reader, subscriptions.read());
    while let Some(client) = connections.at(connection)
        && client.control_bytes() <= limit
        && let Some((channel, mut missed)) = subscriptions.recover(connection)
    {
        missed.sort();
        let Some(name) = subscriptions.channel(channel).name() else { continue };
        let begun = subscriptions.chains().begun(channel);
        for (source, from) in missed.iter() {
            let Some((from, to, reason)) = present.gap(source, from, begun) else { continue };
            connections.append(connection, |out| reply::gap(out, name, &from, &to, reason));
            context.metrics.gaps.add(1);
        }
    }
}
