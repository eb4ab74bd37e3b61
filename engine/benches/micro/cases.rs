//! What is counted. Each case makes ready what it needs, hands the work alone to [`measured`], and checks that the work was
//! done: a number for nothing done would look like progress.

use std::hint::black_box;

use proto::{
    channel::{Fields, Miss, Template},
    native::message::{Message, Payload, message},
    ws::{
        decoder::{Decoder, Event, Limits},
        frame::{OpCode, put_masked},
    },
};
use testkit::world::{Client, Heard, Plan, World, epoch};

/// One thing that is counted.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) input: &'static str,
    /// How many operations a count is the mean of.
    pub(crate) operations: u64,
    /// Does so many.
    pub(crate) run: fn(u64),
}

pub(crate) const CASES: [Case; 11] = [
    Case { name: "route", input: "{key}.trade to a name", operations: 1_000, run: route },
    Case { name: "frame_encode", input: "a message of 256 B JSON", operations: 1_000, run: frame_encode },
    Case {
        name: "frame_decode",
        input: "a masked subscribe request, in a chunk of many",
        operations: 1_000,
        run: |frames| frame_decode(frames, usize::MAX),
    },
    Case {
        name: "frame_decode_bytes",
        input: "the same, byte by byte",
        operations: 100,
        run: |frames| frame_decode(frames, 1),
    },
    Case { name: "unmask", input: "a masked binary frame of 4 KiB", operations: 100, run: unmask },
    Case {
        name: "ingest_record",
        input: "a record of 256 B JSON routed, encoded, appended",
        operations: 1_000,
        run: ingest_record,
    },
    Case {
        name: "index_follow",
        input: "an entry of a channel without subscribers",
        operations: 1_000,
        run: index_follow,
    },
    Case {
        name: "send_1",
        input: "a connection marked and sent 1 message in place",
        operations: 500,
        run: |sends| gather(sends, 1),
    },
    Case {
        name: "gather_64",
        input: "a connection marked and sent 64 messages of 2 channels, gathered",
        operations: 500,
        run: |sends| gather(sends, 64),
    },
    Case {
        name: "subscribe_100",
        input: "a request for 100 channels, answered",
        operations: 20,
        run: |clients| subscribe(clients, Part::Subscribe),
    },
    Case {
        name: "disconnect_100",
        input: "the end of a connection that holds 100 channels",
        operations: 20,
        run: |clients| subscribe(clients, Part::Disconnect),
    },
];

/// What is counted runs in here, and nowhere else: callgrind knows this function by its name.
#[inline(never)]
pub(crate) fn measured(work: &mut dyn FnMut()) {
    work();
    // So that the call above is not the last thing: it would become a jump, and the work no part of this function.
    black_box(());
}

/// The first turn of several only warms: lists grow, names get their numbers.
fn measured_unless(warming: bool, work: &mut dyn FnMut()) {
    if warming { work() } else { measured(work) }
}

/// Makes a JSON object of nearly so many bytes.
pub(crate) fn json(bytes: usize) -> String {
    let mut text =
        String::from(r#"{"symbol":"BTC","side":"buy","price":64012.25,"size":0.125,"seq":123456789"#);
    for n in 0.. {
        let field = format!(r#","f{n}":{}.5"#, n * 7_919);
        if text.len() + field.len() + 1 > bytes {
            break;
        }
        text.push_str(&field);
    }
    text.push('}');
    text
}

fn count(operations: u64) -> usize {
    usize::try_from(operations).unwrap()
}

fn route(records: u64) {
    let template = Template::parse("{key}.trade").unwrap();
    let fields = Fields { topic: "odin.trades", partition: 3, key: Some(b"BTC-USD"), headers: &[] };
    let mut name = String::with_capacity(64);
    // Not by name: whether so small a function is inlined here would depend on code elsewhere.
    let render = black_box(Template::render as fn(&Template, &mut String, &Fields<'_>) -> Result<(), Miss>);
    measured(&mut || {
        for _ in 0..records {
            render(&template, &mut name, black_box(&fields)).unwrap();
        }
    });
    assert_eq!(name, "BTC-USD.trade");
}

fn frame_encode(messages: u64) {
    let (value, epoch) = (json(256), epoch());
    let shown = Message {
        channel: "BTC.trade",
        epoch: &epoch,
        partition: 3,
        offset: 123_456_789,
        ts_ms: 1_700_000_000_000,
        value: Some(value.as_bytes()),
        headers: &[],
    };
    let mut out = Vec::with_capacity(1_024);
    measured(&mut || {
        for _ in 0..messages {
            out.clear();
            black_box(message(&mut out, black_box(&shown), Payload::Json));
        }
    });
    assert!(out.ends_with(format!("{value}}}").as_bytes()));
}

fn frame_decode(frames: u64, chunk: usize) {
    let request = br#"{"type":"subscribe","id":7,"data":{"channels":["BTC.trade","ETH.trade"]}}"#;
    let mut stream = Vec::new();
    (0..frames).for_each(|_| put_masked(&mut stream, OpCode::Text, request, [1, 2, 3, 4]));
    let (mut decoder, limits, mut seen) = (Decoder::default(), Limits::default(), 0);
    measured(&mut || {
        for mut input in stream.chunks_mut(chunk.min(1 << 30)) {
            while let Some(event) = decoder.next(&mut input, &limits).unwrap() {
                seen += u64::from(black_box(event) == Event::Text(std::str::from_utf8(request).unwrap()));
            }
        }
    });
    assert_eq!(seen, frames);
}

fn unmask(frames: u64) {
    let payload: Vec<u8> = (0..=255).cycle().take(4_096).collect();
    let mut stream = Vec::new();
    (0..frames).for_each(|_| put_masked(&mut stream, OpCode::Binary, &payload, [0xd1, 0xd2, 0xd3, 0xd4]));
    let (mut decoder, limits, mut seen) = (Decoder::default(), Limits::default(), 0);
    let mut input = &mut stream[..];
    measured(&mut || {
        while let Some(event) = decoder.next(&mut input, &limits).unwrap() {
            black_box(&event);
            seen += 1;
        }
    });
    assert_eq!(seen, frames);
    let begin = stream.len() - payload.len();
    assert_eq!(stream[begin..], payload);
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key-{n}")).collect()
}

fn ingest_record(records: u64) {
    let mut world = World::new(&Plan::default());
    let (keys, value) = (keys(100), json(256));
    // Each channel has its number by now.
    keys.iter().for_each(|key| world.produce(Some(key), &value));
    world.turn();
    let before = world.ingest.entries.get();
    measured(&mut || {
        for n in 0..count(records) {
            world.produce(Some(&keys[n * 31 % keys.len()]), &value);
        }
        world.bus.publish();
    });
    assert_eq!(world.ingest.entries.get() - before, records);
}

fn index_follow(entries: u64) {
    let mut world = World::new(&Plan::default());
    let _other = world.subscriber(&["nobody.trade"]);
    let keys = keys(100);
    for turn in 0..2 {
        for n in 0..count(entries) {
            world.produce(Some(&keys[n * 31 % keys.len()]), "1");
        }
        world.bus.publish();
        measured_unless(turn == 0, &mut || world.shard_turn());
        assert_eq!(world.metrics.lag_entries.get(), 0);
    }
}

/// Fifty connections that hold two channels get `messages` each in one send, as often as it takes. Beside them stands a
/// channel of which they get nothing, so that what they are owed does not lie back to back.
fn gather(sends: u64, messages: usize) {
    const CONNECTIONS: u64 = 50;
    let mut world = World::new(&Plan::default());
    let connect = |_| world.subscriber(&["a.trade", "b.trade"]);
    let mut clients: Vec<Client> = (0..CONNECTIONS.min(sends)).map(connect).collect();
    // The first round grows lists.
    for round in 0..=sends.div_ceil(CONNECTIONS) {
        for key in ["a", "x", "b", "y"].iter().cycle().take(messages * 2) {
            world.produce(Some(key), r#"{"price":101.5}"#);
        }
        world.bus.publish();
        let before = (world.metrics.sends.get(), world.metrics.deliveries.get());
        measured_unless(round == 0, &mut || world.shard_turn());
        let made = world.metrics.sends.get() - before.0;
        assert_eq!(made, clients.len() as u64, "one send each");
        assert_eq!(world.metrics.deliveries.get() - before.1, made * messages as u64);
        clients.iter_mut().for_each(|client| assert_eq!(client.offsets().len(), messages));
        world.turn();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Subscribe,
    Disconnect,
}

/// A client that comes, subscribes and goes, while another holds the same channels: their numbers are known. Each in a
/// world of its own: one in twenty seeds of the hash makes pairs of numbers collide, and costs a tenth more (seen).
fn subscribe(clients: u64, part: Part) {
    let channels: Vec<String> = (0..100).map(|n| format!("key-{n}.trade")).collect();
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    for _ in 0..clients {
        let mut world = World::new(&Plan::default());
        let _holder = world.subscriber(&channels);
        // The first grows lists.
        for warming in [true, false] {
            let mut client = world.connect();
            client.subscribe(1, &channels);
            measured_unless(warming || part != Part::Subscribe, &mut || {
                (0..3).for_each(|_| world.shard_turn());
            });
            let heard = client.heard();
            assert!(matches!(&heard[..], [Heard::Json(ack)] if ack["count"] == 100), "{heard:?}");
            assert_eq!(world.metrics.subscriptions.get(), 200);
            client.peer.half_close();
            measured_unless(warming || part != Part::Disconnect, &mut || {
                (0..3).for_each(|_| world.shard_turn());
            });
            assert_eq!(world.metrics.subscriptions.get(), 100);
        }
    }
}
