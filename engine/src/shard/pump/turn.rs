//! Who is flushed in a turn.

use ring::Ring;
use slab::Reader;

use super::{BATCH, Pump, reclaim::reclaim};
use crate::shard::{clients::Clients, schedule::Schedule};

/// Connections flushed in one turn.
const FLUSHES_A_TURN: usize = 256;

/// Flushes a turn's worth of connections: the ready queue, and of the backlog at most half a turn's while the ready queue
/// is not empty. The floor is looked at between batches.
pub(in crate::shard) fn turn(
    pump: &mut Pump,
    clients: &mut Clients,
    reader: &mut Reader,
    ring: &mut impl Ring,
) {
    let (ready_waiting, backlog_waiting) = clients.context.schedule.waiting();
    let ready_left = ready_waiting.min(FLUSHES_A_TURN - backlog_waiting.min(FLUSHES_A_TURN / 2));
    let backlog_left = backlog_waiting.min(FLUSHES_A_TURN - ready_left);
    let ready = |schedule: &mut Schedule, batch: &mut Vec<u32>, most| {
        schedule.take_ready(batch, most, u64::MAX);
    };
    flush_queue(pump, clients, reader, ring, ready_left, ready);
    flush_queue(pump, clients, reader, ring, backlog_left, Schedule::take_backlog);
}

/// Flushes so many connections of the queue that `take` fills a batch from.
fn flush_queue(
    pump: &mut Pump,
    clients: &mut Clients,
    reader: &mut Reader,
    ring: &mut impl Ring,
    mut left: usize,
    take: impl Fn(&mut Schedule, &mut Vec<u32>, usize),
) {
    while left > 0 {
        take(&mut clients.context.schedule, &mut pump.batch, left.min(BATCH));
        if pump.batch.is_empty() {
            return;
        }
        left -= pump.batch.len();
        pump.flush(clients, reader, ring);
        reclaim(pump, clients, reader, ring);
    }
}
