//! What all handshakes of the accept thread share. There is one thread, so cells will do.

use std::{cell::Cell, os::fd::OwnedFd, rc::Rc, sync::Arc};

use tokio::sync::{Semaphore, watch};

use super::{Phase, Settings};
use crate::{inbox::ShardLink, metrics::AcceptMetrics};

/// What all handshakes of the thread share.
pub(super) struct Acceptor {
    pub(super) links: Arc<[ShardLink<OwnedFd>]>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<AcceptMetrics>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) lingering: Arc<Semaphore>,
    next_id: Cell<u64>,
    random: Cell<u64>,
}

impl Acceptor {
    pub(super) fn new(
        links: Arc<[ShardLink<OwnedFd>]>,
        settings: Settings,
        metrics: Arc<AcceptMetrics>,
        phase: watch::Receiver<Phase>,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            links,
            handshakes: Arc::new(Semaphore::new(settings.handshakes)),
            lingering: Arc::new(Semaphore::new(settings.lingering_refusals)),
            settings,
            metrics,
            phase,
            next_id: Cell::new(0),
            random: Cell::new(seed | 1),
        })
    }

    pub(super) fn show_held(&self) {
        let held = |bound: usize, free: &Semaphore| (bound - free.available_permits()) as u64;
        self.metrics.handshakes.set(held(self.settings.handshakes, &self.handshakes));
        self.metrics.lingering.set(held(self.settings.lingering_refusals, &self.lingering));
    }

    /// The id of the next connection.
    pub(super) fn take_id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// `least_s` to three times that, so that those who were refused together do not come back together.
    pub(super) fn retry_after_s(&self, least_s: u32) -> u32 {
        // xorshift64: any spread will do.
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        let spread = u64::from(least_s) * 2 + 1;
        least_s + u32::try_from(x % spread).unwrap_or(0)
    }
}
