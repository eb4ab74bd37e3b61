//! A thousand clients that subscribe and never read a byte, on real sockets: the others' latency does not move, and neither
//! the process nor the kernel holds more than its bounded part for them.

use std::{io::Write as _, net::SocketAddr, thread::JoinHandle, time::Duration};

use engine::{
    clock::Now,
    config::{Config, Limits, SlabSizes},
};
use kafka::{MockCluster, NewRecord, Producer, ProducerOptions};
use proto::ws::{
    frame::{OpCode, put_masked},
    handshake::client_request,
};
use socket2::{Domain, Socket, Type};
use testkit::node::{self, Client, Node, PATIENCE, text};
use tungstenite::Message;

const STUCK: u64 = 1_000;
const READERS: u64 = 8;
/// Messages before and after the stuck clients come: more than their sockets take, and more than the slab holds.
const BEFORE: usize = 300;
const AFTER: usize = 1_500;
const VALUE_BYTES: usize = 1_000;
/// Of the kernel's memory for each of them. Without TCP_NOTSENT_LOWAT it is about four megabytes.
const KERNEL_BYTES_EACH: u64 = 160 << 10;
/// Of the process's: a partial frame of a good kilobyte, the connection, its subscription.
const PROCESS_BYTES_EACH: u64 = 16 << 10;

fn config(kafka: kafka::Settings) -> Config {
    Config {
        limits: Limits { record_value_bytes: 64 << 10, ..Limits::default() },
        drain_timeout: Duration::from_secs(10),
        slab: SlabSizes { bytes: 1 << 20, entries: 8_192, large_frame_bytes: 64 << 10 },
        ..node::config(kafka, "t", "{key}")
    }
}

const SUBSCRIBE: &str = r#"{"type":"subscribe","id":1,"data":{"channels":["all"]}}"#;

/// Reads all messages; gives the time from producer to client of each, ms, and stays.
fn reader(node: &Node) -> JoinHandle<(Vec<f64>, Client)> {
    let mut client = node.connect();
    client.send(Message::text(SUBSCRIBE)).unwrap();
    assert!(text(&mut client).contains("subscription_ack"));
    std::thread::spawn(move || {
        let mut took = Vec::new();
        while took.len() < BEFORE + AFTER {
            let text = text(&mut client);
            let now_ns = Now::read().mono_ns;
            let message: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(message["data"]["n"], took.len(), "once and in order: {text:.200}");
            let at_ns = message["data"]["at"].as_u64().unwrap();
            took.push(Duration::from_nanos(now_ns - at_ns).as_secs_f64() * 1_000.0);
        }
        (took, client)
    })
}

/// Asks for an upgrade and the channel, and never reads.
fn stuck(public: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The client's half of the kernel's memory is not what is looked at.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&public.into()).unwrap();
    let mut bytes = client_request("test", "/ws", b"sixteen of bytes");
    put_masked(&mut bytes, OpCode::Text, SUBSCRIBE.as_bytes(), [1, 2, 3, 4]);
    (&socket).write_all(&bytes).unwrap();
    socket
}

/// The sum over the shards of a metric.
fn metric(node: &Node, name: &str) -> u64 {
    let (_, text) = node.get("/metrics");
    let start = format!("uringcast_{name}{{");
    let values = text.lines().filter(|line| line.starts_with(&start));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn wait_for(node: &Node, name: &str, wanted: u64) {
    let limit_ms = Now::read().mono_ms() + 30_000;
    while metric(node, name) < wanted {
        assert!(Now::read().mono_ms() < limit_ms, "{name}: {} of {wanted}", metric(node, name));
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Bytes of the kernel's TCP buffers, of the whole host.
fn kernel_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let words: Vec<&str> = text.lines().find(|line| line.starts_with("TCP:")).unwrap().split(' ').collect();
    let at = words.iter().position(|word| *word == "mem").unwrap();
    words[at + 1].parse::<u64>().unwrap() * 4_096
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[test]
fn clients_that_never_read_cost_the_others_nothing() {
    let _turn = crate::turn();
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    let node = Node::ready(config(cluster.settings()));
    let readers: Vec<_> = (0..READERS).map(|_| reader(&node)).collect();

    let producer = Producer::new(&cluster.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("t").unwrap();
    let produce = |range: std::ops::Range<usize>| {
        for n in range {
            let (at, pad) = (Now::read().mono_ns, "x".repeat(VALUE_BYTES));
            let value = format!(r#"{{"n":{n},"at":{at},"pad":"{pad}"}}"#);
            let record =
                NewRecord { key: Some(b"all"), value: Some(value.as_bytes()), ..NewRecord::default() };
            producer.send(&target, &record).unwrap();
            std::thread::park_timeout(Duration::from_millis(4));
        }
        producer.flush(PATIENCE).unwrap();
    };
    produce(0..BEFORE);
    let (kernel_before, resident_before) = (kernel_bytes(), resident_bytes());
    let stuck: Vec<Socket> = (0..STUCK).map(|_| stuck(node.addresses.public)).collect();
    wait_for(&node, "shard_subscriptions", STUCK + READERS);
    produce(BEFORE..BEFORE + AFTER);
    let (times, readers): (Vec<_>, Vec<_>) = readers.into_iter().map(|reader| reader.join().unwrap()).unzip();

    // All of them are there, full, and behind what the slab holds: it went round twice.
    wait_for(&node, "shard_lagged_total", STUCK);
    assert_eq!(metric(&node, "shard_blocked"), STUCK);
    assert_eq!(metric(&node, "shard_load"), STUCK + READERS, "nobody was dropped");
    let kernel = kernel_bytes().saturating_sub(kernel_before);
    assert!(kernel > STUCK * (16 << 10), "{kernel} bytes: their sockets are not full, this shows nothing");
    assert!(kernel < STUCK * KERNEL_BYTES_EACH, "the kernel holds {} bytes for each", kernel / STUCK);
    let resident = resident_bytes().saturating_sub(resident_before);
    assert!(resident < STUCK * PROCESS_BYTES_EACH, "the process holds {} bytes for each", resident / STUCK);

    let of = |range: std::ops::Range<usize>| -> Vec<f64> {
        times.iter().flat_map(|times| &times[range.clone()]).copied().collect()
    };
    // The first ones after they came fill their sockets, which is work.
    let (before, after) = (median(&of(50..BEFORE)), median(&of(BEFORE + 200..BEFORE + AFTER)));
    assert!(after < 2.0 * before + 10.0, "{before} ms before they came, {after} ms with them");

    // They do not hold the drain either.
    node.handle.drain();
    let summary = node.end().unwrap();
    assert_eq!(summary.connections, STUCK + READERS);
    assert!(summary.drained_ms < 10_000, "{summary:?}");
    drop((stuck, readers));
}
