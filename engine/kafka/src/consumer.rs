//! The consumer: partitions assigned by their owner, one queue, drained in batches.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::client::Client;
use crate::clock::now;
use crate::native::{self, Batch, Partition, Queue, TopicHandle, partition_number, topic_name};
use crate::record::Delivery;
use crate::wake::{EventFd, Waker};
use crate::watch::SharedWatch;
use crate::{Ask, BrokerEvent, Error, Flow, Lookup, Read, Settings, Topic, TopicError, Wanted};

/// While no broker is connected, how often [`Consumer::events`] asks whether one is back, and how long it waits for
/// the answer: librdkafka tells when the last connection breaks, and not when one stands again.
const PROBE_EVERY: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);

/// How long every question must have been left without an answer until the client is replaced (longer than a broker's
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
/// new one, which goes on at each partition's next offset; the owner sees `Down` and `Up`.
///
/// Memory: prefetched records up to `queued.max.messages.kbytes` (64 MiB) in all, and one response a broker above it
/// (`fetch.max.bytes`, 8 MiB).
// The fields are dropped in this order: whatever came from the client before the client.
#[derive(Debug)]
pub struct Consumer {
    settings: Settings,
    assigned: HashMap<u32, Assigned>,
    tags: HashMap<Partition, u32>,
    /// The partition met last and its tag: records of a partition come in runs.
    last: Option<(Partition, u32)>,
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

#[derive(Debug)]
struct Assigned {
    /// Where reading was last told to begin.
    start: i64,
    c_name: CString,
    handle: TopicHandle,
    number: i32,
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
            assigned: HashMap::new(),
            tags: HashMap::new(),
            last: None,
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

    /// A handle for questions from other threads.
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
        let c_name =
            topic_name(topic).ok_or_else(|| Error::Unknown(format!("{topic:?} is no topic name")))?;
        let number = partition_number(partition)?;
        let handle = TopicHandle::new(&self.client, &c_name)?;
        let key = handle.partition(number);
        if self.assigned.contains_key(&tag) || self.tags.contains_key(&key) {
            return Err(Error::Tag(tag));
        }
        handle.start(number, checked(offset)?, &self.queue)?;
        self.tags.insert(key, tag);
        self.assigned.insert(tag, Assigned { start: offset, c_name, handle, number });
        Ok(())
    }

    /// Stops reading a partition: nothing with this tag is delivered afterwards.
    pub fn unassign(&mut self, tag: u32) -> Result<(), Error> {
        let assigned = self.assigned.remove(&tag).ok_or(Error::Tag(tag))?;
        let key = assigned.handle.partition(assigned.number);
        self.tags.remove(&key);
        self.last = None;
        self.batch.discard(key);
        assigned.handle.stop(assigned.number)
    }

    /// Goes on at another offset (0 or more): no record fetched before is delivered afterwards.
    ///
    /// Stops and starts the partition, since librdkafka's own seek refuses one that stands still after an error.
    pub fn seek(&mut self, tag: u32, offset: i64) -> Result<(), Error> {
        let offset = checked(offset)?;
        let assigned = self.assigned.get_mut(&tag).ok_or(Error::Tag(tag))?;
        assigned.handle.stop(assigned.number)?;
        assigned.start = offset;
        self.batch.discard(assigned.handle.partition(assigned.number));
        assigned.handle.start(assigned.number, offset, &self.queue)
    }

    /// Sleeps until there is something to drain, an event, a wake, or the timeout has passed. May return early.
    pub fn wait(&self, timeout: Duration) {
        // librdkafka tells of an arrival once until the queue is read, and a drain may have left some.
        if !self.batch.is_empty() || self.queue.len() > 0 {
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
    fn drain_while(&mut self, mut max: usize, on: &mut dyn FnMut(Delivery<'_>) -> Flow) -> usize {
        let mut done = 0;
        while done < max {
            let mut more = true;
            if self.batch.is_empty() {
                let wanted = max - done;
                let got = self.queue.fill(&mut self.batch, wanted);
                more = got == wanted.min(native::BATCH);
            }
            while done < max {
                let Some(message) = self.batch.take() else { break };
                // None: unassigned since it was fetched.
                let Some(tag) = self.tag_of(message.partition()) else { continue };
                let Some(delivery) = Delivery::of(&message, tag) else { continue };
                let flow = on(delivery);
                if flow == Flow::Again {
                    self.batch.put_back(message);
                    max = done;
                    break;
                }
                done += 1;
                if flow == Flow::Last {
                    max = done;
                }
            }
            if !more {
                break;
            }
        }
        if done > 0 {
            self.client.watch().answered();
        }
        done
    }

    fn tag_of(&mut self, partition: Partition) -> Option<u32> {
        if let Some((last, tag)) = self.last
            && last == partition
        {
            return Some(tag);
        }
        let tag = *self.tags.get(&partition)?;
        self.last = Some((partition, tag));
        Some(tag)
    }

    /// The next offset of a partition as far as drained. It passes control and aborted records, which are never
    /// delivered. None before the first record, and for a tag that is not assigned.
    #[must_use]
    pub fn position(&self, tag: u32) -> Option<i64> {
        let assigned = self.assigned.get(&tag)?;
        native::position(&self.client, &assigned.c_name, assigned.number)
    }

    /// The partition's high watermark as the last fetch told it; costs no request. None before the first.
    #[must_use]
    pub fn end(&self, tag: u32) -> Option<i64> {
        let assigned = self.assigned.get(&tag)?;
        native::end(&self.client, &assigned.c_name, assigned.number)
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
        if self.main.len() > 0 {
            self.client.serve();
        }
        self.client.look_after();
        self.renew_if_silent();
        self.client.watch().take()
    }

    fn renew_if_silent(&mut self) {
        let Some(silence) = self.client.watch().silence(now()) else {
            self.renew_after = RENEW_AFTER;
            return;
        };
        // A batch that a panic left behind counts as taken in the positions, so it has to be used up first.
        if silence < self.renew_after || !self.batch.is_empty() {
            return;
        }
        self.renew_after = (silence * 2).min(silence + RENEW_LONGEST);
        if let Err(error) = self.renew() {
            self.client.watch().fail(&format!("the client could not be replaced: {error}"));
        }
    }

    /// Goes on with a new client where the old one stands.
    fn renew(&mut self) -> Result<(), Error> {
        let client = Client::new(&self.settings, self.client.shared_watch())?;
        let (queue, main) = (Queue::new(&client)?, Queue::main(&client)?);
        let (mut assigned, mut tags) = (HashMap::new(), HashMap::new());
        for (&tag, old) in &self.assigned {
            let handle = TopicHandle::new(&client, &old.c_name)?;
            let start = self.position(tag).unwrap_or(old.start);
            handle.start(old.number, start, &queue)?;
            tags.insert(handle.partition(old.number), tag);
            assigned.insert(tag, Assigned { start, c_name: old.c_name.clone(), handle, number: old.number });
        }
        queue.notify(&self.event);
        main.notify(&self.event);
        // Two clients never tell of an arrival by the same descriptor.
        self.queue.mute();
        self.main.mute();
        self.current.store(Arc::clone(&client));
        self.tags = tags;
        self.last = None;
        let old = (
            std::mem::replace(&mut self.assigned, assigned),
            std::mem::replace(&mut self.queue, queue),
            std::mem::replace(&mut self.main, main),
            std::mem::replace(&mut self.client, client),
        );
        tracing::info!(target: "kafka", "no broker has answered for long: went on with a new client");
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

/// Negative offsets are orders to librdkafka ("beginning", "stored"), which we never give.
fn checked(offset: i64) -> Result<i64, Error> {
    if offset >= 0 { Ok(offset) } else { Err(Error::Client(format!("offset {offset} is negative"))) }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        for assigned in self.assigned.values() {
            // Fails for a partition that was never there; the client goes down in any case.
            let _ = assigned.handle.stop(assigned.number);
        }
        // A Lookup may keep the client alive; the descriptor is closed now.
        self.queue.mute();
        self.main.mute();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MockCluster, NewRecord, Producer, ProducerOptions};

    const LONG: Duration = Duration::from_secs(30);

    /// The offsets of the next `count` records, by tag.
    fn read(consumer: &mut Consumer, count: usize) -> HashMap<u32, Vec<i64>> {
        let (mut got, mut done) = (HashMap::new(), 0);
        let start = now();
        while done < count {
            assert!(start.elapsed() < LONG, "{done} of {count}");
            consumer.wait(Duration::from_millis(100));
            // In small steps, so that much of what was fetched is not yet drained.
            done += consumer.drain(7.min(count - done), &mut |delivery| match delivery {
                Delivery::Record(record) => {
                    got.entry(record.tag).or_insert_with(Vec::new).push(record.offset);
                }
                other @ (Delivery::OffsetOutOfRange { .. }
                | Delivery::Truncated { .. }
                | Delivery::Skipped { .. }
                | Delivery::Refused { .. }
                | Delivery::Doubt { .. }
                | Delivery::Error { .. }) => panic!("{other:?}"),
            });
        }
        got
    }

    #[test]
    fn a_new_client_goes_on_where_the_old_one_stands() {
        let mock = MockCluster::start(1).unwrap();
        mock.create_topic("t", 2).unwrap();
        let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
        let target = producer.target("t").unwrap();
        for n in 0..200_u32 {
            producer.send(&target, &NewRecord { partition: Some(n % 2), ..NewRecord::default() }).unwrap();
        }
        producer.flush(LONG).unwrap();

        let mut consumer = Consumer::new(&mock.settings()).unwrap();
        consumer.assign("t", 0, 0, 10).unwrap();
        consumer.assign("t", 1, 50, 11).unwrap();
        let (lookup, mut got) = (consumer.lookup(), HashMap::<u32, Vec<i64>>::new());
        // The first time before anything was read, the others amid what was fetched.
        for count in [20, 30, 100] {
            consumer.renew().unwrap();
            for (tag, offsets) in read(&mut consumer, count) {
                got.entry(tag).or_default().extend(offsets);
            }
        }
        assert_eq!(got[&10], (0..100).collect::<Vec<_>>());
        assert_eq!(got[&11], (50..100).collect::<Vec<_>>());

        assert!(Arc::ptr_eq(&consumer.client, &lookup.client()), "the lookup asks the old client");
        assert_eq!(lookup.watermarks("t", 0, LONG).unwrap(), (0, 100));
        consumer.seek(10, 98).unwrap();
        consumer.unassign(11).unwrap();
        assert_eq!(read(&mut consumer, 2), HashMap::from([(10, vec![98, 99])]));
    }
}
