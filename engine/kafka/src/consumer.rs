//! The consumer: partitions assigned by their owner, one queue, drained in batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::assigned::{Assigned, Assignment, Progress};
use crate::changes::{Change, Meaning};
use crate::client::Client;
use crate::clock::now;
use crate::native::{self, Batch, Message, Queue, TopicHandle, partition_number, topic_name};
use crate::offsets;
use crate::record::Delivery;
use crate::wake::{EventFd, Waker};
use crate::watch::SharedWatch;
use crate::{Ask, BrokerEvent, Error, Flow, Lookup, Read, Settings, Topic, TopicError, TopicId, Wanted};

/// While no broker is connected, how often [`Consumer::events`] asks whether one is back, and how long it waits for
/// the answer: librdkafka tells when the last connection breaks, and not when one stands again.
const PROBE_EVERY: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);

/// Time between two looks at the partitions that are refused; thousands may be.
const PERMISSION_EVERY: Duration = Duration::from_millis(100);

/// How long every lookup must have been left without an answer until the client is replaced (longer than a broker's
/// restart takes), and how far that doubles while it does not help.
const RENEW_AFTER: Duration = Duration::from_secs(30);
const RENEW_LONGEST: Duration = Duration::from_secs(120);

/// A consumer without a group: it reads what [`Consumer::assign`] names, from where it says, and commits nothing.
///
/// One thread owns it: [`Consumer::wait`], [`Consumer::drain`], [`Consumer::events`], again. Other threads hold a
/// [`Waker`] or a [`Lookup`].
///
/// librdkafka can lose all its brokers and never look for them again (see `reminder`; seen with 2.12.1: a broker that
/// it wants to be rid of, and that somebody still refers to, stays for ever and passes for a connection in progress). So
/// when no broker has answered a [`Lookup`] for 30 s and no record came, [`Consumer::news`] replaces the client by a
/// new one, which goes on at each partition's next offset; the owner sees `Down` and `Up`. It does so at once when a
/// topic was made anew whose leader epochs librdkafka takes for outdated: it would never find the new leader.
///
/// Memory: prefetched records up to `queued.max.messages.kbytes` (64 MiB) in all, and one response a broker above it
/// (`fetch.max.bytes`, 8 MiB).
// The fields are dropped in this order: whatever came from the client before the client.
#[derive(Debug)]
pub struct Consumer {
    settings: Settings,
    assignment: Assignment,
    /// What is to be told before any more of the batch.
    notes: VecDeque<Note>,
    /// How many partitions are marked as refused, and when it was last asked whether they still are.
    refused: usize,
    asked_permission: Option<Instant>,
    batch: Batch,
    queue: Queue,
    main: Queue,
    event: EventFd,
    woken: Arc<EventFd>,
    probed: Option<Instant>,
    renew_after: Duration,
    client: Arc<Client>,
    /// The same client, for the lookups.
    current: Arc<ArcSwap<Client>>,
}

/// A delivery that is not a message of librdkafka's.
#[derive(Debug)]
struct Note {
    tag: u32,
    meaning: Meaning,
    /// The topic's new id, where that is what changed.
    id: Option<TopicId>,
    text: String,
}

impl Note {
    fn delivery(&self) -> Delivery<'_> {
        match self.meaning {
            Meaning::Anew | Meaning::Doubt => {
                Delivery::Doubt { tag: self.tag, id: self.id, text: &self.text }
            }
            Meaning::Refused => Delivery::Refused { tag: self.tag, text: &self.text },
        }
    }
}

impl Consumer {
    /// Connects lazily: fails only on bad settings or an exhausted machine.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let client = Client::new(settings, SharedWatch::default())?;
        let (queue, main) = (Queue::new(&client)?, Queue::main(&client)?);
        let (event, woken) = (EventFd::new()?, Arc::new(EventFd::new()?));
        queue.notify(&event);
        main.notify(&event);
        Ok(Self {
            settings: settings.clone(),
            assignment: Assignment::default(),
            notes: VecDeque::new(),
            refused: 0,
            asked_permission: None,
            batch: Batch::new(),
            queue,
            main,
            event,
            woken,
            probed: None,
            renew_after: RENEW_AFTER,
            current: Arc::new(ArcSwap::new(Arc::clone(&client))),
            client,
        })
    }

    /// A handle for lookups from other threads.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        Lookup::new(&self.current)
    }

    /// See [`Lookup::cluster_id`].
    #[must_use]
    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.lookup().cluster_id(timeout)
    }

    /// See [`Lookup::topic`].
    pub fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        self.lookup().topic(name, timeout)
    }

    /// See [`Lookup::watermarks`].
    pub fn watermarks(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(i64, i64), Error> {
        self.lookup().watermarks(topic, partition, timeout)
    }

    /// See [`Lookup::offset_for_time`].
    pub fn offset_for_time(
        &self,
        topic: &str,
        partition: u32,
        ts_ms: i64,
        timeout: Duration,
    ) -> Result<i64, Error> {
        self.lookup().offset_for_time(topic, partition, ts_ms, timeout)
    }

    /// Reads a partition from `offset` (0 or more) on; `tag` comes back with each of its records. Asks no broker: an
    /// offset that is not there shows as a [`Delivery`], a partition that is not there as a [`BrokerEvent::Other`].
    pub fn assign(&mut self, topic: &str, partition: u32, offset: i64, tag: u32) -> Result<(), Error> {
        let name = topic_name(topic).ok_or_else(|| Error::Unknown(format!("{topic:?} is no topic name")))?;
        let number = partition_number(partition)?;
        let progress = Progress::from(checked(offset)?);
        let handle = TopicHandle::new(&self.client, &name)?;
        let part = self.assignment.add(tag, name, handle, number, progress)?;
        let started = start(&self.client, &self.queue, part);
        if started.is_err() {
            self.assignment.remove(tag)?;
        }
        started
    }

    /// Stops reading a partition: nothing with this tag is delivered afterwards.
    pub fn unassign(&mut self, tag: u32) -> Result<(), Error> {
        let part = self.assignment.remove(tag)?;
        self.refused -= usize::from(part.refused);
        self.notes.retain(|note| note.tag != tag);
        self.batch.discard(part.key());
        part.handle.stop(part.number)
    }

    /// Goes on at another offset (0 or more): no record fetched before is delivered afterwards. Up to the next offset,
    /// the broker is told the leader epoch of the last record: has the log been truncated below it,
    /// [`Delivery::Truncated`] comes.
    ///
    /// Stops and starts the partition, since librdkafka's own seek refuses one that stands still after an error.
    pub fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error> {
        let (offset, whole) = (checked(offset)?, self.batch.is_empty());
        let part = self.assignment.get_mut(tag)?;
        *part.progress_mut() = part.progress().seek(offset, theirs(&self.client, part, whole));
        self.refused -= usize::from(std::mem::take(&mut part.refused));
        part.handle.stop(part.number)?;
        self.batch.discard(part.key());
        start(&self.client, &self.queue, part)
    }

    /// Sleeps until there is something to drain, an event, a wake, or the timeout has passed. May return early.
    pub fn wait(&self, timeout: Duration) {
        // librdkafka tells of an arrival once until the queue is read, and a drain may have left some.
        if !self.batch.is_empty() || !self.notes.is_empty() || self.queue.len() > 0 {
            return;
        }
        self.event.wait_for_either(&self.woken, timeout);
    }

    /// A waker for [`Consumer::wait`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.woken))
    }

    /// Hands out at most `max` deliveries that have arrived, without waiting; returns how many.
    ///
    /// If `on` panics, its delivery is gone and the next call goes on with the one after it.
    pub fn drain(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>)) -> usize {
        self.drain_while(max, &mut |delivery| {
            on(delivery);
            Flow::Next
        })
    }

    /// See [`Read::drain`].
    fn drain_while(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> usize {
        let (mut done, mut records) = (0, false);
        self.listen();
        while done < max {
            let mut more = true;
            if self.batch.is_empty() {
                let wanted = max - done;
                let got = self.queue.fill(&mut self.batch, wanted);
                more = got == wanted.min(native::BATCH);
                // Whatever has changed before a record of this batch was fetched is told before it.
                self.listen();
            }
            while done < max {
                let flow = if let Some(note) = self.notes.pop_front() {
                    let flow = on(note.delivery());
                    if flow == Flow::Again {
                        self.notes.push_front(note);
                    }
                    flow
                } else {
                    let Some(message) = self.batch.take() else { break };
                    match self.hand_out(message, on) {
                        None => continue,
                        Some(flow) => {
                            records |= flow != Flow::Again;
                            flow
                        }
                    }
                };
                done += usize::from(flow != Flow::Again);
                if flow != Flow::Next {
                    return self.drained(done, records);
                }
            }
            if !more {
                break;
            }
        }
        self.drained(done, records)
    }

    fn drained(&self, done: usize, records: bool) -> usize {
        if records {
            self.client.watch().answered();
        }
        done
    }

    /// Hands out one message. None: there is nothing to hand out, or something else comes first.
    fn hand_out(&mut self, message: Message, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> Option<Flow> {
        // None: unassigned since it was fetched.
        let part = self.assignment.of(message.partition())?;
        let delivery = Delivery::of(&message, part.tag)?;
        let is_record = matches!(delivery, Delivery::Record(_));
        let epoch = message.leader_epoch().filter(|_| is_record);
        if part.progress().falls(epoch) {
            part.progress_mut().forget_epochs();
            let text = "the leader epoch of the records falls".to_owned();
            self.notes.push_back(Note { tag: part.tag, meaning: Meaning::Doubt, id: None, text });
            self.batch.put_back(message);
            return None;
        }
        let flow = on(delivery);
        if flow == Flow::Again {
            self.batch.put_back(message);
            return Some(flow);
        }
        if is_record {
            part.progress_mut().took(message.offset(), epoch);
            self.refused -= usize::from(std::mem::take(&mut part.refused));
        } else {
            part.progress_mut().failed(message.offset());
            let refused = matches!(Delivery::of(&message, part.tag), Some(Delivery::Refused { .. }));
            if refused && !std::mem::replace(&mut part.refused, true) {
                self.refused += 1;
            }
        }
        Some(flow)
    }

    /// Learns what has become of topics and leaders so far.
    fn listen(&mut self) {
        self.client.serve(&self.main);
        for change in self.client.watch().changes() {
            self.note(&change);
        }
        if self.refused > 0 {
            self.look_for_permission();
        }
    }

    fn note(&mut self, change: &Change) {
        let concerned = |part: &&mut Assigned| {
            part.name.as_bytes() == change.topic.as_bytes()
                && change.partition.is_none_or(|number| number == part.number)
        };
        let anew = change.meaning == Meaning::Anew;
        let id = if anew { self.client.watch().topic_id(&change.topic) } else { None };
        for part in self.assignment.iter_mut().filter(concerned) {
            if anew {
                part.progress_mut().forget_epochs();
            }
            let text = change.text.clone();
            self.notes.push_back(Note { tag: part.tag, meaning: change.meaning, id, text });
        }
    }

    /// librdkafka tells of a refusal once and of its end not at all. But a refused fetch takes the end of the partition
    /// with it (-1), and the first one that is answered brings it back.
    fn look_for_permission(&mut self) {
        let time = now();
        if self.asked_permission.is_some_and(|last| time.duration_since(last) < PERMISSION_EVERY) {
            return;
        }
        self.asked_permission = Some(time);
        for part in self.assignment.iter_mut().filter(|part| part.refused) {
            if offsets::end(&self.client, &part.name, part.number).is_some() {
                part.refused = false;
                self.refused -= 1;
                let text = "fetches are answered again".to_owned();
                self.notes.push_back(Note { tag: part.tag, meaning: Meaning::Doubt, id: None, text });
            }
        }
    }

    /// The next offset of a partition as far as handed out. It passes control and aborted records, which are never
    /// delivered. None before the first record, and for a tag that is not assigned.
    #[must_use]
    pub fn position(&self, tag: u32) -> Option<i64> {
        let part = self.assignment.get(tag)?;
        part.progress().position(theirs(&self.client, part, self.batch.is_empty()))
    }

    /// The partition's high watermark as the last fetch told it; costs no request. None before the first, and while
    /// fetches are refused.
    #[must_use]
    pub fn end(&self, tag: u32) -> Option<i64> {
        let part = self.assignment.get(tag)?;
        offsets::end(&self.client, &part.name, part.number)
    }

    /// See [`Read::reads`].
    #[must_use]
    pub fn reads(&self, tag: u32) -> Option<TopicId> {
        let part = self.assignment.get(tag)?;
        self.client.watch().topic_id(part.name.to_str().ok()?)
    }

    /// What happened to the connections since the last call. To be called after each [`Consumer::wait`], or at least
    /// once a second. While no broker is connected, a call may take 200 ms twice a second.
    pub fn events(&mut self) -> Vec<BrokerEvent> {
        self.probe();
        self.news()
    }

    /// The same, but never waits: for an owner who has another thread call [`Lookup::probe`] while no broker is
    /// connected.
    pub fn news(&mut self) -> Vec<BrokerEvent> {
        self.client.serve(&self.main);
        self.client.look_after();
        self.renew_if_stuck();
        self.client.watch().take()
    }

    fn renew_if_stuck(&mut self) {
        if self.client.watch().is_stuck() {
            return self.replace("a topic was made anew and its leader epochs have begun anew");
        }
        let Some(silence) = self.client.watch().silence(now()) else {
            self.renew_after = RENEW_AFTER;
            return;
        };
        if silence < self.renew_after {
            return;
        }
        self.renew_after = (silence * 2).min(silence + RENEW_LONGEST);
        self.replace("no broker has answered for long");
    }

    fn replace(&mut self, why: &str) {
        match self.renew() {
            Ok(()) => tracing::info!(target: "kafka", "{why}: replaced the client"),
            Err(error) => self.client.watch().fail(&format!("failed to replace the client: {error}")),
        }
    }

    /// Goes on with a new client where the old one stands: what was taken from it and not handed out comes again.
    fn renew(&mut self) -> Result<(), Error> {
        let client = Client::new(&self.settings, self.client.shared_watch())?;
        let (queue, main) = (Queue::new(&client)?, Queue::main(&client)?);
        let (mut assignment, whole) = (Assignment::default(), self.batch.is_empty());
        for old in self.assignment.iter() {
            let handle = TopicHandle::new(&client, &old.name)?;
            let progress = old.progress().go_on(theirs(&self.client, old, whole));
            let part = assignment.add(old.tag, old.name.clone(), handle, old.number, progress)?;
            start(&client, &queue, part)?;
        }
        queue.notify(&self.event);
        main.notify(&self.event);
        // Two clients never tell of an arrival by the same descriptor.
        self.queue.mute();
        self.main.mute();
        self.current.store(Arc::clone(&client));
        self.refused = 0;
        let old = (
            std::mem::replace(&mut self.batch, Batch::new()),
            std::mem::replace(&mut self.assignment, assignment),
            std::mem::replace(&mut self.queue, queue),
            std::mem::replace(&mut self.main, main),
            std::mem::replace(&mut self.client, client),
        );
        // It may take for ever to end a client that has lost its mind.
        let grave = std::thread::Builder::new().name("kafka-old-client".to_owned());
        grave.spawn(move || drop(old)).map(drop).map_err(|error| Error::Client(error.to_string()))
    }

    /// Finds out whether a broker is back.
    fn probe(&mut self) {
        if !self.client.watch().is_down() {
            return;
        }
        let time = now();
        if self.probed.is_some_and(|last| time.duration_since(last) < PROBE_EVERY) {
            return;
        }
        self.probed = Some(time);
        self.lookup().probe(PROBE_TIMEOUT);
    }
}

impl Read for Consumer {
    fn assign(&mut self, topic: &str, partition: u32, offset: i64, tag: u32) -> Result<(), Error> {
        Self::assign(self, topic, partition, offset, tag)
    }

    fn unassign(&mut self, tag: u32) -> Result<(), Error> {
        Self::unassign(self, tag)
    }

    fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error> {
        Self::seek(self, tag, offset)
    }

    fn drain(&mut self, max: usize, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> usize {
        self.drain_while(max, on)
    }

    fn position(&self, tag: u32) -> Option<i64> {
        Self::position(self, tag)
    }

    fn end(&self, tag: u32) -> Option<i64> {
        Self::end(self, tag)
    }

    fn reads(&self, tag: u32) -> Option<TopicId> {
        Self::reads(self, tag)
    }

    fn news(&mut self) -> Vec<BrokerEvent> {
        Self::news(self)
    }
}

/// A consumer that only asks.
impl Ask for Consumer {
    fn cluster_id(&self, timeout: Duration) -> Result<Option<String>, Error> {
        Ask::cluster_id(&self.lookup(), timeout)
    }

    fn topic(&self, name: &str, timeout: Duration) -> Result<Topic, TopicError> {
        self.lookup().topic(name, timeout)
    }

    fn offsets(&self, wanted: &[Wanted<'_>], timeout: Duration) -> Vec<Result<i64, Error>> {
        self.lookup().offsets(wanted, timeout)
    }

    fn probe(&self, timeout: Duration) -> bool {
        self.lookup().probe(timeout)
    }

    fn news(&mut self) -> Vec<BrokerEvent> {
        Self::news(self)
    }
}

/// Has librdkafka fetch a partition from where it stands.
fn start(client: &Client, queue: &Queue, part: &Assigned) -> Result<(), Error> {
    let (offset, epoch) = part.progress().start();
    part.handle.start(part.number, offset, queue)?;
    if let Some(epoch) = epoch {
        offsets::validate(client, &part.name, part.number, offset, epoch);
    }
    Ok(())
}

/// librdkafka's position. It counts a batch whole, so it says nothing while some of one is left.
fn theirs(client: &Client, part: &Assigned, whole: bool) -> Option<i64> {
    if whole { offsets::position(client, &part.name, part.number) } else { None }
}

/// Negative offsets are orders to librdkafka ("beginning", "stored"), which we never give.
fn checked(offset: i64) -> Result<i64, Error> {
    if offset >= 0 { Ok(offset) } else { Err(Error::Client(format!("offset {offset} is negative"))) }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        for part in self.assignment.iter() {
            // Fails for a partition that was never there; the client goes down in any case.
            let _ = part.handle.stop(part.number);
        }
        // A Lookup may keep the client alive; the descriptor is closed now.
        self.queue.mute();
        self.main.mute();
    }
}

#[cfg(test)]
mod tests;
