//! A modelled Kafka that keeps its log: clusters, topics with incarnations, partitions with leaders, epochs and
//! transactions; the consumer's and the asker's face (`kafka::Read`, `kafka::Ask`), and all that can happen to them. In
//! one thread, by one seed.
//!
//! - [`log`]: one partition: records, holes, transactions, leader epochs;
//! - [`cluster`]: topics and brokers, and what can be done to them;
//! - [`happen`]: chance does it;
//! - [`reader`]: librdkafka as far as its consumer shows: it fetches ahead, so what it fetched before a change is delivered
//!   after it, and it says what librdkafka would say;
//! - [`asker`]: lookups, with answers that are late, missing, or of a broker that is behind. Things happen between two
//!   lookups of one look.
//!
//! What is written here is written down in the [`Model`](crate::model::Model) as well, by which the oracle judges.

mod asker;
pub(crate) mod cluster;
pub(crate) mod happen;
pub(crate) mod log;
mod reader;

use std::{
    cell::{Ref, RefCell, RefMut},
    rc::Rc,
};

pub(crate) use asker::Asker;
pub(crate) use cluster::{Cluster, Options};
pub(crate) use reader::Reader;

use crate::{model::Model, rng::Rng};

/// A cluster; clones are the same. It belongs to one thread.
#[derive(Debug, Clone)]
pub(crate) struct Kafka(Rc<RefCell<Cluster>>);

impl Kafka {
    pub(crate) fn new(options: Options, rng: Rng) -> Self {
        Self(Rc::new(RefCell::new(Cluster::new(options, rng))))
    }

    pub(crate) fn get(&self) -> Ref<'_, Cluster> {
        self.0.borrow()
    }

    /// The truth, for the oracle.
    pub(crate) fn model(&self) -> Ref<'_, Model> {
        Ref::map(self.0.borrow(), |cluster| &cluster.model)
    }

    pub(crate) fn get_mut(&self) -> RefMut<'_, Cluster> {
        self.0.borrow_mut()
    }

    /// A consumer. What it reads is written down as read; there is one in a world.
    pub(crate) fn reader(&self) -> Reader {
        self.get_mut().client = Some(reader::Client::default());
        Reader(self.clone())
    }

    pub(crate) fn asker(&self) -> Asker {
        Asker(self.clone())
    }

    /// librdkafka's threads get some time: the consumer fetches. True: something came.
    pub(crate) fn fetch(&self) -> bool {
        self.get_mut().fetch()
    }
}
