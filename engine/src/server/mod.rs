//! The whole: makes every part, spawns every thread, and takes everything down again in order.
//!
//! [`run`] blocks the caller's thread, which becomes the supervisor: it sleeps in one inbox for the end of a thread, a
//! command of the [`Handle`], or readiness. Order of a start: what can fail fast first (settings, kernel, ports), then
//! shards, ingest, accept ring, admin; clients are let in once ingest knows where every partition begins. Order of an end:
//! see `drain.rs`.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use slab::{Reader, Writer};
use sync::Waker;
use tokio::sync::watch;

use crate::{
    accept::{self, Phase},
    admin,
    catalog::SharedCatalog,
    clock::Now,
    config::{Config, Service},
    error::Error,
    health::Health,
    inbox::{ShardLink, ToIngest, ToShard},
    ingest,
    metrics::{AcceptMetrics, IngestMetrics, ShardMetrics},
    shard,
};

mod control;
mod cores;
mod drain;
mod notice;
mod threads;

use control::Event;
pub use control::{Addresses, Control, Handle, Summary, control};
pub use cores::usable_cores;
use notice::{Notice, Thread};
use threads::Threads;

/// Messages a shard's inbox holds.
const SHARD_INBOX: usize = 4_096;
/// Messages ingest's inbox holds.
const INGEST_INBOX: usize = 16_384;
/// Entries between two checkpoints of the slab's index.
const CHECKPOINT: usize = 1_024;
/// Slots beyond a shard's capacity: a closed connection gives its place back a little before its slot.
const SPARE_SLOTS: usize = 256;
/// How often readiness is looked at while the server starts.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the server until the [`Handle`] ends it, or a thread does. Blocks.
///
/// # Errors
/// Why it could not start, which thread failed, or what it still held at the end ([`Error::Drain`]).
pub fn run(config: Config, control: Control) -> Result<Summary, Error> {
    config.check()?;
    cores::check(&config.cores)?;
    ring::probe().map_err(|error| Error::Kernel(error.to_string()))?;
    raise_limits();
    tracing::info!(
        service = ?config.service,
        version = env!("CARGO_PKG_VERSION"),
        shards = config.shards,
        connections = config.limits.connections,
        brokers = config.kafka.brokers,
        routes = config.routes.len(),
        "starting"
    );
    let listeners = Listeners::bind(&config)?;
    let addresses = listeners.addresses()?;
    let mut server = Server::start(&config, control, listeners)?;
    let admin = addresses.admin.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tracing::info!(public = %addresses.public, admin, "listening");
    server.tell(Event::Listening(addresses));
    server.supervise();
    server.drain(config.drain_timeout)
}

/// Each shard's table of descriptors is bounded by the process's limit.
fn raise_limits() {
    match ring::raise_descriptor_limit() {
        Ok(limit) => tracing::debug!(limit, "limit on file descriptors"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit on file descriptors"),
    }
}

struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, Error> {
        let public = accept::bind(config.listen, &config.into())?;
        let admin = config.admin.map(admin::bind).transpose()?;
        Ok(Self { public, admin })
    }

    fn addresses(&self) -> Result<Addresses, Error> {
        let of = |listener: &TcpListener| -> Result<SocketAddr, Error> {
            listener
                .local_addr()
                .map_err(|error| Error::Kernel(format!("a listener has no address: {error}")))
        };
        Ok(Addresses { public: of(&self.public)?, admin: self.admin.as_ref().map(of).transpose()? })
    }
}

struct Server {
    links: Arc<[ShardLink<OwnedFd>]>,
    to_ingest: flume::Sender<ToIngest>,
    ingest_waker: Arc<Waker>,
    shards: Arc<[Arc<ShardMetrics>]>,
    accept: Arc<AcceptMetrics>,
    health: Arc<Health>,
    phase: watch::Sender<Phase>,
    obeyed: flume::Receiver<Phase>,
    threads: Threads,
    control: Control,
    /// What each shard held when it ended.
    reports: Vec<Option<shard::Report>>,
    /// The first thing that went wrong.
    failure: Option<Error>,
    /// Somebody has told the server to end.
    told: bool,
    /// The drain is to be skipped.
    stop: bool,
    began: Now,
}

/// What belongs to one shard and is made for it before its thread.
struct ShardParts {
    inbox: flume::Receiver<ToShard<OwnedFd>>,
    reader: Reader,
}

impl Server {
    fn start(config: &Config, control: Control, listeners: Listeners) -> Result<Self, Error> {
        let (mut writer, readers) = slab::slab(sizes(config), config.shards);
        let (links, inboxes): (Vec<_>, Vec<_>) = (0..config.shards).map(|shard| link(config, shard)).unzip();
        writer.set_wakers(links.iter().map(|link| Arc::clone(&link.waker)).collect());
        let (to_ingest, lookups) = flume::bounded(INGEST_INBOX);
        let (phase, _) = watch::channel(Phase::Starting);
        let (obeys, obeyed) = flume::unbounded();
        let mut server = Self {
            links: links.into(),
            to_ingest,
            ingest_waker: Arc::new(Waker::unset()),
            shards: (0..config.shards).map(|_| Arc::default()).collect(),
            accept: Arc::default(),
            health: Arc::default(),
            phase,
            obeyed,
            threads: Threads::new(control.sender()),
            control,
            reports: vec![None; config.shards],
            failure: None,
            told: false,
            stop: false,
            began: Now::read(),
        };
        let catalog = SharedCatalog::default();
        let ingest_metrics = Arc::<IngestMetrics>::default();
        let ingest = match config.service {
            Service::Channels => {
                Some(server.make_ingest(config, writer, lookups, &catalog, &ingest_metrics)?)
            }
            // Nothing is published, and there is nothing to wait for.
            Service::Echo => {
                server.health.set_ready();
                None
            }
        };
        let parts = inboxes.into_iter().zip(readers).map(|(inbox, reader)| ShardParts { inbox, reader });
        let started = server
            .start_shards(config, parts, &catalog)
            .and_then(|()| server.start_others(config, listeners, obeys, (catalog, ingest_metrics), ingest));
        match started {
            Ok(()) => Ok(server),
            Err(error) => {
                server.failure = Some(error);
                server.drain(config.drain_timeout).and(Err(Error::Drain("the start failed".to_owned())))
            }
        }
    }

    fn make_ingest(
        &self,
        config: &Config,
        writer: Writer,
        lookups: flume::Receiver<ToIngest>,
        catalog: &SharedCatalog,
        metrics: &Arc<IngestMetrics>,
    ) -> Result<ingest::OverKafka, Error> {
        ingest::new(ingest::Setup {
            config,
            writer,
            links: self.links.iter().map(|link| (link.inbox.clone(), Arc::clone(&link.waker))).collect(),
            lookups,
            waker: Arc::clone(&self.ingest_waker),
            catalog: Arc::clone(catalog),
            metrics: Arc::clone(metrics),
            health: Arc::clone(&self.health),
        })
    }

    /// Starts the shards and waits until each has its ring.
    fn start_shards(
        &mut self,
        config: &Config,
        parts: impl Iterator<Item = ShardParts>,
        catalog: &SharedCatalog,
    ) -> Result<(), Error> {
        let cores = cores::plan(config);
        for (index, ShardParts { inbox, reader }) in parts.enumerate() {
            let setup = shard::Setup {
                index,
                reader,
                inbox,
                waker: Arc::clone(&self.links[index].waker),
                load: Arc::clone(&self.links[index].load),
                ingest: self.ingest_link(),
                catalog: Arc::clone(catalog),
                settings: shard_settings(config, index),
                metrics: Arc::clone(&self.shards[index]),
                seed: random(),
            };
            let core = cores.get(index).copied();
            let ready = self.control.sender();
            self.threads.spawn(Thread::Shard(index), move || run_shard(setup, core, &ready))?;
        }
        let mut ready = 0;
        while ready < config.shards {
            let Some(notice) = self.control.next(None) else { continue };
            ready += usize::from(matches!(notice, Notice::ShardReady));
            self.note(notice);
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn start_others(
        &mut self,
        config: &Config,
        listeners: Listeners,
        obeys: flume::Sender<Phase>,
        (catalog, ingest_metrics): (SharedCatalog, Arc<IngestMetrics>),
        ingest: Option<ingest::OverKafka>,
    ) -> Result<(), Error> {
        if let Some((ingest, watcher)) = ingest {
            self.threads.spawn(Thread::Ingest, move || {
                ingest.run();
                Ok(None)
            })?;
            self.threads.spawn(Thread::Watcher, move || {
                watcher.run();
                Ok(None)
            })?;
        }
        let setup = accept::Setup {
            listener: listeners.public,
            links: Arc::clone(&self.links),
            settings: config.into(),
            metrics: Arc::clone(&self.accept),
            phase: self.phase.subscribe(),
            obeyed: obeys,
            seed: random(),
        };
        self.threads.spawn(Thread::Accept, move || accept::run(setup).map(|()| None))?;
        if let Some(listener) = listeners.admin {
            let names_max = config.limits.channel_name_bytes;
            let bounded = config.routes.iter().map(|route| route.bounded(names_max));
            let view = admin::View {
                links: Arc::clone(&self.links),
                shards: Arc::clone(&self.shards),
                ingest: ingest_metrics,
                accept: Arc::clone(&self.accept),
                health: Arc::clone(&self.health),
                routes: bounded.collect(),
                catalog,
                to_ingest: self.to_ingest.clone(),
                ingest_waker: Arc::clone(&self.ingest_waker),
                started_unix_ms: self.began.unix_ms,
            };
            let phase = self.phase.subscribe();
            self.threads.spawn(Thread::Admin, move || admin::run(listener, view, phase).map(|()| None))?;
        }
        Ok(())
    }

    fn ingest_link(&self) -> shard::IngestLink {
        let waker = Arc::clone(&self.ingest_waker);
        shard::IngestLink { inbox: self.to_ingest.clone(), wake: Box::new(move || waker.wake()) }
    }

    /// Waits for a reason to end; accepts clients once ingest is ready.
    fn supervise(&mut self) {
        let mut open = false;
        while !self.told && self.failure.is_none() {
            if !open && self.health.is_ready() {
                open = true;
                // In this order: whoever hears that clients may come can connect.
                self.turn(Phase::Open);
                self.health.set_open();
                tracing::info!(start_ms = Now::read().mono_ms() - self.began.mono_ms(), "ready");
                self.tell(Event::Ready);
            }
            let wait = if open { None } else { Some(LOOK) };
            if let Some(notice) = self.control.next(wait) {
                self.note(notice);
            }
        }
    }

    /// Takes note of what happened.
    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::ShardReady => {}
            Notice::Drain => {
                tracing::info!("draining");
                self.told = true;
            }
            Notice::Stop => {
                tracing::info!("stopping");
                self.told = true;
                self.stop = true;
            }
            Notice::Ended(thread, outcome) => {
                self.threads.join(thread);
                match outcome {
                    Ok(report) => {
                        if let (Thread::Shard(shard), Some(report)) = (thread, report) {
                            self.reports[shard] = Some(report);
                        }
                        // Nobody but the drain tells a thread to end.
                        if *self.phase.borrow() < Phase::Draining {
                            self.fail(Error::Thread(format!("{thread} ended by itself")));
                        }
                    }
                    Err(error) => self.fail(error),
                }
            }
        }
    }

    fn fail(&mut self, error: Error) {
        tracing::error!(%error, "server failed");
        self.failure.get_or_insert(error);
    }

    fn tell(&self, event: Event) {
        self.control.tell(event);
    }

    fn loads(&self) -> usize {
        self.links.iter().map(|link| link.load.load(Ordering::Acquire)).sum()
    }
}

fn run_shard(
    setup: shard::Setup<OwnedFd>,
    core: Option<usize>,
    ready: &flume::Sender<Notice>,
) -> Result<Option<shard::Report>, Error> {
    let shard = setup.index;
    if let Some(core) = core {
        cores::pin(core);
    }
    let descriptors = u32::try_from(setup.settings.capacity + SPARE_SLOTS).unwrap_or(u32::MAX);
    let ring = ring::KernelRing::new(&ring::Setup { descriptors, ..ring::Setup::default() })
        .map_err(|error| Error::Kernel(format!("the ring of shard {shard}: {error}")))?;
    // The supervisor cannot be gone: it joins this thread.
    let _ = ready.send(Notice::ShardReady);
    let report = shard::run(setup, ring).map_err(|error| Error::Kernel(format!("shard {shard}: {error}")))?;
    Ok(Some(report))
}

fn link(config: &Config, shard: usize) -> (ShardLink<OwnedFd>, flume::Receiver<ToShard<OwnedFd>>) {
    let (inbox, receiver) = flume::bounded(SHARD_INBOX);
    let load = Arc::new(AtomicUsize::new(0));
    let capacity = config.shard_capacity(shard);
    (ShardLink { inbox, waker: Arc::new(Waker::unset()), load, capacity }, receiver)
}

fn sizes(config: &Config) -> slab::Sizes {
    slab::Sizes {
        bytes: config.slab.bytes,
        entries: config.slab.entries,
        checkpoint: CHECKPOINT,
        large_frame_bytes: config.slab.large_frame_bytes,
        blocks_bytes: config.limits.large_frame_bytes,
    }
}

fn shard_settings(config: &Config, shard: usize) -> shard::Settings {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4);
    shard::Settings {
        service: config.service,
        limits: config.limits.clone(),
        keepalive: config.keepalive,
        ping_interval_ms: ms(config.ping_interval),
        ping_grace_ms: ms(config.ping_grace),
        index_entries: config.slab.entries,
        capacity: config.shard_capacity(shard),
    }
}

/// A seed: differs between threads and starts.
fn random() -> u64 {
    RandomState::new().hash_one(0_u64)
}

#[cfg(test)]
mod tests;
