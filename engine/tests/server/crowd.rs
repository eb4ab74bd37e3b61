//! The whole server in this process, on librdkafka's mock broker, with real sockets and foreign (tungstenite) clients.

use std::{collections::HashMap, time::Duration};

use engine::config::{Config, Limits, SlabSizes};
use kafka::{MockCluster, NewRecord, Producer, ProducerOptions};
use serde_json::{Value, json};
use testkit::node::{self, Client, Node, PATIENCE};
use tungstenite::{Message, protocol::frame::coding::CloseCode};

fn config(mock: &MockCluster) -> Config {
    Config {
        admin: None,
        limits: Limits { record_value_bytes: 256 << 10, ..Limits::default() },
        drain_timeout: Duration::from_secs(10),
        slab: SlabSizes { bytes: 8 << 20, entries: 1 << 16, large_frame_bytes: 64 << 10 },
        ..node::config(mock.settings(), "trades", "{key}")
    }
}

fn read(client: &mut Client) -> Value {
    loop {
        match client.read().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                panic!("unexpected {other:?}")
            }
        }
    }
}

fn ask(client: &mut Client, request: &Value) -> Value {
    client.send(Message::text(request.to_string())).unwrap();
    read(client)
}

#[test]
fn a_hundred_clients_get_every_message_once_and_in_order_and_are_told_of_the_drain() {
    const KEYS: usize = 20;
    const RECORDS: usize = 2_000;
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("trades", 4).unwrap();
    let server = Node::ready(config(&mock));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for (nth, client) in clients.iter_mut().enumerate() {
        let channels = [format!("key-{}", nth % KEYS), "all".to_owned()];
        let ack = ask(client, &json!({"type": "subscribe", "id": nth, "data": {"channels": channels}}));
        assert_eq!(ack["type"], "subscription_ack");
        assert_eq!(ack["id"], nth);
        assert_eq!(ack["subscribed"], json!(channels));
        assert_eq!(ack["count"], 2);
        assert_eq!(ack["pos"].as_array().map(Vec::len), Some(1), "one topic-wide position a topic: {ack}");
    }

    let producer = Producer::new(&mock.settings(), &ProducerOptions::default()).unwrap();
    let target = producer.target("trades").unwrap();
    for sequence in 0..RECORDS {
        let key = if sequence % 10 == 0 { "all".to_owned() } else { format!("key-{}", sequence % KEYS) };
        let value = json!({"seq": sequence}).to_string();
        let record =
            NewRecord { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..NewRecord::default() };
        producer.send(&target, &record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();

    for (nth, client) in clients.iter_mut().enumerate() {
        let own = nth % KEYS;
        let of_key = (0..RECORDS).filter(|sequence| sequence % 10 != 0 && sequence % KEYS == own).count();
        let mut expected: HashMap<String, Vec<usize>> = HashMap::new();
        for sequence in 0..RECORDS {
            let key = if sequence % 10 == 0 { "all".to_owned() } else { format!("key-{}", sequence % KEYS) };
            expected.entry(key).or_default().push(sequence);
        }
        let mut got: HashMap<String, Vec<usize>> = HashMap::new();
        for _ in 0..of_key + RECORDS / 10 {
            let message = read(client);
            assert_eq!(message["type"], "message", "{message}");
            let sequence = message["data"]["seq"].as_u64().unwrap();
            let channel = message["channel"].as_str().unwrap().to_owned();
            got.entry(channel).or_default().push(usize::try_from(sequence).unwrap());
        }
        for (channel, sequences) in got {
            assert_eq!(sequences, expected[&channel], "{channel}");
        }
        let pong = ask(client, &json!({"type": "heartbeat", "id": 7}));
        assert_eq!((&pong["type"], &pong["id"]), (&json!("pong"), &json!(7)));
        let position = read(client);
        assert_eq!(position["type"], "position", "everything has been sent: {position}");
    }

    server.handle.drain();
    for client in &mut clients {
        loop {
            match client.read() {
                Ok(Message::Close(Some(close))) => {
                    assert_eq!(close.code, CloseCode::Away);
                    break;
                }
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
        client.flush().ok();
    }
    drop(clients);
    let summary = server.end().unwrap();
    assert_eq!(summary.connections, 100);
}
