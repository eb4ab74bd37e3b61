//! Ingest: from Kafka's partitions to the slab.
//!
//! Two threads. The *ingest thread* ([`Ingest`]) owns the consumer and the [`Bus`]: it drains records, renders their
//! channels, encodes each frame once, appends, publishes once a batch, and answers the shards' questions in between. It
//! makes no call that waits for a broker. The *topic watcher* ([`Watcher`]) makes all of those: it resolves start
//! positions, looks for new partitions, topics and lives every few seconds, and sends what it finds.
//!
//! The bus knows no Kafka and no clock, so the simulation drives the same code with a source of its own.
//!
//! What must always hold here: order within a partition never changes; nothing is dropped without a counter and nothing
//! skipped without a gap notice; a channel's number never means two names at once; a question is answered whatever the
//! brokers and the other shards do.

mod bus;
mod channels;
mod consumer;
mod encode;
mod explain;
mod feed;
mod jobs;
mod outbox;
mod reach;
mod routes;
mod sources;
mod watch;
mod watcher;

#[cfg(test)]
mod tests;

pub use self::{
    bus::{Bus, Taken},
    consumer::{Ingest, Setup, new},
    encode::Record,
    jobs::Bounds,
    watcher::Watcher,
};
