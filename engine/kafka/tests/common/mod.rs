//! What both test programs use: records owned, and waiting with an end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kafka::{BrokerEvent, Consumer, Delivery, NewRecord, Producer, ProducerOptions, Settings};
pub(crate) use kafka_local::LONG;

/// A record, copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) tag: u32,
    pub(crate) offset: i64,
    pub(crate) ts_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A delivery, copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Record(Owned),
    OutOfRange { tag: u32, offset: i64 },
    Truncated { tag: u32, at: Option<i64> },
    Skipped { tag: u32, offset: i64 },
    Refused { tag: u32, text: String },
    Doubt { tag: u32, text: String },
    Error { tag: u32, text: String },
}

impl Got {
    pub(crate) fn is_doubt(&self) -> bool {
        matches!(self, Self::Doubt { .. })
    }

    pub(crate) fn record(self) -> Result<Owned, Self> {
        if let Self::Record(record) = self { Ok(record) } else { Err(self) }
    }

    pub(crate) fn of(delivery: Delivery<'_>) -> Self {
        match delivery {
            Delivery::Record(record) => Self::Record(Owned {
                tag: record.tag,
                offset: record.offset,
                ts_ms: record.ts_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                    .collect(),
            }),
            Delivery::OffsetOutOfRange { tag, offset, .. } => Self::OutOfRange { tag, offset },
            Delivery::Truncated { tag, at, .. } => Self::Truncated { tag, at },
            Delivery::Skipped { tag, offset, .. } => Self::Skipped { tag, offset },
            Delivery::Refused { tag, text } => Self::Refused { tag, text: text.to_owned() },
            Delivery::Doubt { tag, text, .. } => Self::Doubt { tag, text: text.to_owned() },
            Delivery::Error { tag, text } => Self::Error { tag, text: text.to_owned() },
        }
    }
}

/// Drains until `enough` says so; panics with what came if it never does.
pub(crate) fn drain_until(consumer: &mut Consumer, enough: impl FnMut(&[Got]) -> bool) -> Vec<Got> {
    drain_and_watch(consumer, &mut Vec::new(), enough)
}

/// The same, and keeps the events that came meanwhile.
pub(crate) fn drain_and_watch(
    consumer: &mut Consumer,
    seen: &mut Vec<BrokerEvent>,
    mut enough: impl FnMut(&[Got]) -> bool,
) -> Vec<Got> {
    let deadline = Instant::now() + LONG;
    let mut got = Vec::new();
    while !enough(&got) {
        assert!(Instant::now() < deadline, "not enough in {LONG:?}, events {seen:?}: {got:?}");
        consumer.wait(Duration::from_millis(100));
        consumer.drain(usize::MAX, &mut |delivery| got.push(Got::of(delivery)));
        seen.extend(consumer.events());
    }
    got
}

/// The next `count` deliveries, which must be records.
pub(crate) fn records(consumer: &mut Consumer, count: usize) -> Vec<Owned> {
    let got = drain_until(consumer, |got| got.iter().filter(|got| !got.is_doubt()).count() >= count);
    owned(got, count)
}

/// These deliveries, which must be so many records; doubts between them are no matter.
pub(crate) fn owned(mut got: Vec<Got>, count: usize) -> Vec<Owned> {
    got.retain(|got| !got.is_doubt());
    assert_eq!(got.len(), count, "more than was asked for");
    got.into_iter()
        .map(|got| got.record().unwrap_or_else(|other| panic!("not a record: {other:?}")))
        .collect()
}

/// The offsets of the records among these.
pub(crate) fn offsets_in(got: &[Got]) -> Vec<i64> {
    got.iter()
        .filter_map(|got| if let Got::Record(record) = got { Some(record.offset) } else { None })
        .collect()
}

/// Asserts that nothing comes for a while.
pub(crate) fn nothing(consumer: &mut Consumer, during: Duration) {
    let deadline = Instant::now() + during;
    let mut got = Vec::new();
    while Instant::now() < deadline {
        consumer.wait(Duration::from_millis(20));
        consumer.drain(usize::MAX, &mut |delivery| got.push(Got::of(delivery)));
    }
    got.retain(|got| !got.is_doubt());
    assert_eq!(got, []);
}

/// Waits until an event has come for each of these; panics with what came if one never does.
pub(crate) fn events(consumer: &mut Consumer, wanted: &[&dyn Fn(&BrokerEvent) -> bool]) -> Vec<BrokerEvent> {
    let deadline = Instant::now() + LONG;
    let mut seen = Vec::new();
    while !wanted.iter().all(|fits| seen.iter().any(fits)) {
        assert!(Instant::now() < deadline, "an event has not come in {LONG:?}: {seen:?}");
        consumer.wait(Duration::from_millis(50));
        consumer.drain(usize::MAX, &mut |delivery| {
            assert!(matches!(delivery, Delivery::Doubt { .. }), "{delivery:?} amid {seen:?}");
        });
        seen.extend(consumer.events());
    }
    seen
}

/// Sends these values to one partition and waits until they are there.
pub(crate) fn produce(
    settings: &Settings,
    topic: &str,
    partition: u32,
    values: impl IntoIterator<Item = String>,
) {
    let producer = Producer::new(settings, &ProducerOptions::default()).unwrap();
    let target = producer.target(topic).unwrap();
    let mut count = 0;
    for value in values {
        let record =
            NewRecord { partition: Some(partition), value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.send(&target, &record).unwrap();
        count += 1;
    }
    producer.flush(LONG).unwrap();
    let counts = producer.counts();
    assert_eq!(
        (counts.sent, counts.delivered, counts.failed),
        (count, count, 0),
        "{:?}",
        producer.last_error()
    );
}

/// Values that are numbers.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| n.to_string())
}

/// A way to a broker, whose other end and whose answers can be changed.
pub(crate) struct Relay {
    address: String,
    way: Arc<Mutex<Way>>,
}

struct Way {
    target: String,
    spoil: Option<Spoil>,
}

/// Changes what a broker says, in place.
pub(crate) type Spoil = Box<dyn FnMut(&mut [u8]) + Send>;

impl Relay {
    pub(crate) fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let way = Arc::new(Mutex::new(Way { target: target.to_owned(), spoil: None }));
        let shared = Arc::clone(&way);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let target = shared.lock().unwrap().target.clone();
                let Ok(broker) = TcpStream::connect(&target) else { continue };
                let (client_again, broker_again) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
                std::thread::spawn(move || copy(client_again, broker_again, |_| ()));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    copy(broker, client, |bytes| {
                        if let Some(spoil) = &mut shared.lock().unwrap().spoil {
                            spoil(bytes);
                        }
                    });
                });
            }
        });
        Self { address, way }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn redirect(&self, target: &str) {
        self.way.lock().unwrap().target = target.to_owned();
    }

    pub(crate) fn spoil(&self, spoil: Option<Spoil>) {
        self.way.lock().unwrap().spoil = spoil;
    }
}

/// Copies whole answers or requests (a length and so many bytes) until one side ends.
fn copy(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut [u8])) {
    let mut frame = Vec::new();
    loop {
        frame.resize(4, 0);
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        let len = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        frame.resize(4 + len, 0);
        if from.read_exact(&mut frame[4..]).is_err() {
            break;
        }
        change(&mut frame[4..]);
        if to.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// A relay to the first of these brokers, and that broker's own port.
pub(crate) fn relayed(brokers: &str) -> (Relay, u16) {
    let broker = brokers.split(',').next().unwrap();
    let relay = Relay::to(broker);
    let port = broker.rsplit_once(':').unwrap().1.parse().unwrap();
    (relay, port)
}

/// The metadata's port of the broker becomes the relay's, so that all answers come through it.
pub(crate) fn lead_through(relay: &Relay, port: u16, bytes: &mut [u8]) {
    let ours: u16 = relay.address().rsplit_once(':').unwrap().1.parse().unwrap();
    replace(bytes, &u32::from(port).to_be_bytes(), &u32::from(ours).to_be_bytes());
}

pub(crate) fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let mut count = 0;
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
    }
    count
}
