//! Ingest: from Kafka's partitions to the slab.
//!
//! Two threads. The *ingest thread* ([`Ingest`]) owns the consumer and the [`Bus`]: it drains records, renders their
//! channels, encodes each frame once, appends, publishes once a batch, and answers the shards' lookups in between. It
//! makes no call that waits for a broker. The *topic watcher* ([`Watcher`]) makes all of those: it resolves start
//! positions, looks for new partitions, topics and incarnations every few seconds, and sends what it finds.
//!
//! Neither waits for time by itself: [`Ingest::turn`] is one turn, [`Watcher::look`] one look, and both reach Kafka through
//! traits, so the simulation drives the same code over a modelled Kafka.
//!
//! Each piece of state has one owner: Topics what is read and how far, Channels names and numbers, Publisher the slab's
//! writer, Outbox what shards are yet to be told, Faults what cannot be read and who is told. The bus joins the first four
//! without Kafka and clock. A file imports only from those behind it: thread, findings, reading, records, bus, explain, faults,
//! publisher, tally, topics, channels, outbox, notices, watcher.
//!
//! What must always hold here: order within a partition never changes; nothing is dropped without a counter and nothing
//! skipped without a gap notice; a channel's number never means two names at once; a lookup is answered whatever the
//! brokers and the other shards do.

mod bus;
mod channels;
mod explain;
mod faults;
mod findings;
mod notices;
mod outbox;
mod publisher;
mod reading;
mod records;
mod tally;
mod thread;
mod topics;
mod watcher;

#[cfg(test)]
mod tests;

pub use self::{
    bus::{Bus, Taken},
    thread::{Ingest, OverKafka, Rest, Setup, new, over},
    watcher::Watcher,
};
pub use crate::messages::Record;
