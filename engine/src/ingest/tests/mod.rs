//! The bus with a real slab and real readers.

mod channels;
mod cluster;
mod explain;
mod full;
mod gaps;
mod records;
mod tally;

use std::sync::Arc;

use arc_swap::ArcSwap;
use flume::{Receiver, Sender};
use proto::{channel::Template, native::message::Payload, position::Epoch};
use serde_json::Value;
use slab::{Entry, Full, NATIVE, NO_CHANNEL, Reader, Sizes, slab};
use sync::Waker;

use super::{Bus, Record, Taken};
use crate::{
    catalog::{Catalog, SharedCatalog, Start},
    config::{Limits, Oversized, Route},
    inbox::{Answer, ChannelLookup, ToIngest, ToShard},
    metrics::IngestMetrics,
};

/// A small slab: 256 entries, so that floors move often.
pub(super) const SMALL: Sizes =
    Sizes { bytes: 1 << 16, entries: 256, checkpoint: 16, large_frame_bytes: 1 << 12, blocks_bytes: 1 << 20 };

/// A bus, its slab's readers, and the shards' ends of the inboxes.
pub(super) struct World {
    pub(super) bus: Bus<()>,
    pub(super) readers: Vec<Reader>,
    pub(super) inboxes: Vec<Receiver<ToShard<()>>>,
    pub(super) to_ingest: Sender<ToIngest>,
    pub(super) catalog: SharedCatalog,
    pub(super) metrics: Arc<IngestMetrics>,
    pub(super) now_ns: u64,
    /// How far each reader has been looked at by [`World::read`].
    read: Vec<u64>,
}

pub(super) fn route(topic: &str, template: &str) -> Route {
    Route::new(topic, Template::parse(template).unwrap())
}

pub(super) fn keyed<'a>(offset: i64, key: &'a str, value: &'a str) -> Record<'a> {
    Record { offset, ts_ms: offset, key: Some(key.as_bytes()), value: Some(value.as_bytes()), headers: &[] }
}

impl World {
    pub(super) fn new(routes: &[Route], shards: usize) -> Self {
        Self::with(routes, shards, SMALL, &Limits::default(), 64)
    }

    pub(super) fn with(routes: &[Route], shards: usize, sizes: Sizes, limits: &Limits, inbox: usize) -> Self {
        let (writer, readers) = slab(sizes, shards);
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| flume::bounded(inbox)).unzip();
        let links = senders.into_iter().map(|inbox| (inbox, Arc::new(Waker::unset()))).collect();
        let (to_ingest, lookups) = flume::unbounded();
        let catalog: SharedCatalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
        let metrics = Arc::new(IngestMetrics::default());
        let bus =
            Bus::new(writer, routes, limits, links, lookups, Arc::clone(&catalog), Arc::clone(&metrics));
        Self { bus, readers, inboxes, to_ingest, catalog, metrics, now_ns: 1, read: vec![0; shards] }
    }

    /// A topic with partitions that begin at 0: their tags, which are the numbers of their sources, too, as long as no log
    /// is truncated.
    pub(super) fn topic(&mut self, name: &str, partitions: u32) -> Vec<u32> {
        let topic = self.bus.add_topic(name, Epoch::of("cluster", name.as_bytes()));
        (0..partitions).map(|_| self.bus.add_partition(topic, Start::At(0))).collect()
    }

    pub(super) fn accept(&mut self, tag: u32, record: &Record<'_>) -> Result<Taken, Full> {
        self.now_ns += 1;
        self.bus.accept(tag, record, self.now_ns)
    }

    /// The record has to be taken; readers acknowledge whatever is asked.
    pub(super) fn take(&mut self, tag: u32, record: &Record<'_>) {
        while self.accept(tag, record).map(|taken| assert_eq!(taken, Taken::Done)).is_err() {
            self.bus.publish();
            self.acknowledge_all();
        }
    }

    pub(super) fn acknowledge_all(&mut self) {
        for reader in &mut self.readers {
            let floor = reader.asked_floor();
            reader.acknowledge(floor);
        }
    }

    /// Publishes; what a reader sees that it has not read before.
    pub(super) fn read(&mut self, reader: usize) -> Vec<(Entry, Option<Value>)> {
        self.bus.turn(self.now_ns).unwrap();
        self.bus.publish();
        let end = &self.readers[reader];
        let tail = end.tail();
        let begin = self.read[reader].max(end.floor());
        self.read[reader] = tail;
        let look = |sequence| (*end.entry(sequence), parse(end.bytes(sequence, NATIVE).bytes()));
        (begin..tail).map(look).collect()
    }

    /// The same, frames only.
    pub(super) fn messages(&mut self, reader: usize) -> Vec<Value> {
        self.read(reader).into_iter().filter_map(|(_, frame)| frame).collect()
    }

    pub(super) fn ask(&self, shard: usize, name: &str) {
        self.to_ingest
            .send(ToIngest::Lookup(ChannelLookup { shard, name: name.into(), modest: true }))
            .unwrap();
    }

    /// Asks, and expects the answer.
    pub(super) fn hold(&mut self, shard: usize, name: &str) -> Answer {
        self.ask(shard, name);
        assert!(self.bus.answer_lookups());
        self.answer(shard)
    }

    pub(super) fn answer(&self, shard: usize) -> Answer {
        match self.inboxes[shard].try_recv() {
            Ok(ToShard::Channel(answer)) => answer,
            other => panic!("an answer, not {other:?}"),
        }
    }

    pub(super) fn release(&mut self, shard: usize, channel: u32) {
        self.to_ingest.send(ToIngest::Release { shard, channel }).unwrap();
        assert!(self.bus.answer_lookups());
    }
}

/// The JSON of a frame; none: no frame.
pub(super) fn parse(frame: &[u8]) -> Option<Value> {
    let header = match frame.get(1)? {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    Some(serde_json::from_slice(&frame[header..]).unwrap())
}
