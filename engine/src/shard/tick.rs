//! A shard, and its turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ring::{Completion, EnterError, Key, Ring, Wait};
use slab::Reader;
use sync::Waker;

use super::{
    clients::Clients,
    connections::{Connections, bounds, drain::Drain},
    context::Context,
    events, hear, inbox,
    lookups::Lookups,
    notices,
    pump::{Pump, reclaim::reclaim, turn::turn},
    setup::Setup,
    stale::Stale,
    subscriptions::{Gaps, Positions, Subscriptions, follow::whole_tail},
    timers::Timer,
};
use crate::{clock::Now, inbox::ToShard};

/// Index entries followed in one turn at most: about half a millisecond.
const ENTRIES_A_TURN: u64 = 16_384;

/// What the shard would do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// There is work: another turn at once.
    No,
    /// Nothing to do until something comes, or for this long.
    Sleep(Wait),
    /// It has ended.
    Ended,
}

/// One shard.
#[derive(Debug)]
pub struct Shard<R: Ring> {
    pub(super) ring: R,
    reader: Reader,
    inbox: flume::Receiver<ToShard<R::Descriptor>>,
    waker: Arc<Waker>,
    load: Arc<AtomicUsize>,
    pub(super) clients: Clients,
    pump: Pump,
    drain: Drain,
    /// Lists of a turn, kept for their memory.
    completions: Vec<Completion>,
    fired: Vec<(Key, Timer)>,
    received: Vec<u8>,
}

impl<R: Ring> Shard<R> {
    /// A shard on `ring`, which reads the slab from its present tail on.
    pub fn new(setup: Setup<R::Descriptor>, ring: R, now: Now) -> Self {
        let read = setup.reader.tail();
        let ring_waker = ring.waker();
        setup.waker.arm(Box::new(move || ring_waker.wake()));
        let subscriptions = Subscriptions::new(setup.settings.index_entries, read);
        let mut context = Context::new(setup.index, setup.settings, setup.metrics, setup.seed, now);
        context.schedule.moved_to(read);
        let clients = Clients {
            connections: Connections::default(),
            subscriptions,
            lookups: Lookups::new(setup.index, setup.ingest),
            positions: Positions::new(setup.catalog),
            gaps: Gaps::default(),
            stale: Stale::default(),
            context,
        };
        Self {
            ring,
            reader: setup.reader,
            inbox: setup.inbox,
            waker: setup.waker,
            load: setup.load,
            clients,
            pump: Pump::default(),
            drain: Drain::No,
            completions: Vec::new(),
            fired: Vec::new(),
            received: Vec::new(),
        }
    }

    /// One turn. The wait is what [`Self::idle`] allowed.
    ///
    /// # Errors
    /// The ring is of no more use.
    pub fn tick(&mut self, now: impl FnOnce() -> Now, wait: Wait) -> Result<(), EnterError> {
        let Self { ring, reader, clients, pump, drain, completions, fired, received, .. } = self;
        clients.context.ops.hand_to(ring);
        ring.enter(wait, completions)?;
        if wait != Wait::No {
            self.waker.awake();
            clients.context.metrics.sleeps.add(1);
        }
        clients.context.now = now();
        clients.context.metrics.ticks.add(1);
        clients.context.turn += 1;

        for completion in completions.drain(..) {
            events::completed(clients, reader, ring, received, completion);
        }
        clients.connections.rearm(&mut clients.context);
        inbox::read(clients, reader, ring, &self.inbox, drain);
        clients.context.timers.turn(clients.context.now.mono_ms(), fired);
        for (key, timer) in fired.drain(..) {
            events::fired(clients, reader, key, timer);
        }
        hear::work_off_backlogs(clients, reader);
        drain.go_on(&mut clients.connections, &mut clients.context);
        clients.reap();
        let read = clients.subscriptions.read();
        notices::follow(clients, reader, whole_tail(reader, read).min(read + ENTRIES_A_TURN));
        turn(pump, clients, reader, ring);
        reclaim(pump, clients, reader, ring);
        bounds::relieve_blocks(&mut clients.connections, &mut clients.context, reader);
        bounds::limit_client_bytes(&mut clients.connections, &mut clients.context);
        clients.reap();
        clients.lookups.post();
        clients.context.ops.hand_to(ring);
        debug_assert!(clients.connections.is_reaped(), "nobody who has left holds anything");
        self.show();
        Ok(())
    }

    /// What to do after a turn. Before it says sleep it has said so to the waker and looked at everything again: whoever
    /// publishes something afterwards finds the flag and wakes the ring.
    pub fn idle(&mut self) -> Idle {
        if self.has_ended() {
            return Idle::Ended;
        }
        if self.has_work() {
            return Idle::No;
        }
        self.waker.about_to_sleep();
        if self.has_work() {
            self.waker.awake();
            return Idle::No;
        }
        let context = &self.clients.context;
        let mut wait_ms = context.timers.next_ms(context.now.mono_ms());
        if !self.clients.lookups.is_posted() || self.drain.is_on() {
            wait_ms = Some(wait_ms.unwrap_or(10).min(10));
        }
        Idle::Sleep(wait_ms.map_or(Wait::Forever, |ms| Wait::For(Duration::from_millis(ms))))
    }

    /// Another turn would find something to do that no completion or timer brings. (A shard that sleeps while this is
    /// true has lost a wake.)
    #[must_use]
    pub fn has_work(&self) -> bool {
        let Clients { connections, subscriptions, context, .. } = &self.clients;
        whole_tail(&self.reader, subscriptions.read()) != subscriptions.read()
            || self.reader.asked_floor() != self.reader.floor()
            || bounds::can_relieve(connections, &self.reader)
            || !self.inbox.is_empty()
            || context.schedule.has_work()
            || !context.ops.is_empty()
            || connections.has_backlogs()
    }

    /// Drained: nobody is here, and nobody is on the way.
    fn has_ended(&self) -> bool {
        let Clients { connections, lookups, .. } = &self.clients;
        self.drain.is_on()
            && connections.len() == 0
            && self.inbox.is_empty()
            && lookups.is_posted()
            // A stop does not wait for who is on the way: the accept ring finds the inbox gone and says goodbye itself.
            && (self.drain == Drain::Stop || self.load.load(Ordering::Acquire) == 0 && !lookups.wait())
    }

    /// The gauges of a turn.
    fn show(&self) {
        let Clients { connections, subscriptions, context, .. } = &self.clients;
        let (metrics, totals) = (&context.metrics, connections.totals());
        metrics.connections.set(connections.len() as u64);
        metrics.subscriptions.set(subscriptions.len() as u64);
        metrics.channels.set(subscriptions.channels_in_use() as u64);
        metrics.lag_entries.set(self.reader.tail() - subscriptions.read());
        metrics.blocked.set(context.schedule.blocked() as u64);
        metrics.torn_bytes.set(totals.partial_bytes as u64);
        metrics.client_bytes.set(totals.client_bytes as u64);
        metrics.descriptors.set(self.ring.held().descriptors as u64);
    }
}
