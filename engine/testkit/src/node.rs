//! A whole server in this process: real rings, real sockets, foreign (tungstenite) clients.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use engine::{
    config::{Config, Route, SlabSizes},
    error::Error,
    server::{self, Addresses, Handle, Summary},
};
use proto::channel::Template;
use serde_json::Value;
use tungstenite::{Message, WebSocket};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub type Client = WebSocket<TcpStream>;

/// Both listeners on free ports, one route, a small slab. Tests change the rest.
pub fn config(kafka: kafka::Settings, topic: &str, template: &str) -> Config {
    let local: SocketAddr = ([127, 0, 0, 1], 0).into();
    let route = Route::new(topic, Template::parse(template).unwrap());
    Config {
        shards: 2,
        admin: Some(local),
        slab: SlabSizes { bytes: 4 << 20, entries: 8_192, large_frame_bytes: 32 << 10 },
        ..Config::new(local, kafka, vec![route])
    }
}

pub struct Node {
    pub handle: Handle,
    pub addresses: Addresses,
    thread: JoinHandle<Result<Summary, Error>>,
}

impl Node {
    /// Waits until it listens, and for nothing else.
    pub fn start(config: Config) -> Self {
        let (control, handle) = server::control();
        let thread = std::thread::spawn(move || server::run(config, control));
        let Some(addresses) = handle.addresses(PATIENCE) else {
            panic!("does not listen: {:?}", thread.join());
        };
        Self { handle, addresses, thread }
    }

    /// The same, and waits until it is ready.
    pub fn ready(config: Config) -> Self {
        let node = Self::start(config);
        let health = || node.addresses.admin.map(|_| node.health());
        assert!(node.handle.is_ready_within(PATIENCE), "not ready: {:?}", health());
        node
    }

    /// A client that is not welcomed.
    pub fn connect(&self) -> Client {
        self.open("/ws?welcome=0")
    }

    /// A client, welcomed.
    pub fn client(&self) -> Client {
        let mut client = self.open("/ws");
        assert!(text(&mut client).contains("\"welcome\""));
        client
    }

    fn open(&self, target: &str) -> Client {
        let public = self.addresses.public;
        let stream = TcpStream::connect(public).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        tungstenite::client(format!("ws://{public}{target}"), stream).unwrap().0
    }

    /// A client that holds a channel.
    pub fn subscriber(&self, channel: &str) -> Client {
        let mut client = self.client();
        let request = format!(r#"{{"type":"subscribe","id":1,"data":{{"channels":["{channel}"]}}}}"#);
        client.send(Message::text(request)).unwrap();
        assert!(text(&mut client).contains("subscription_ack"));
        client
    }

    /// What the admin listener answers: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.addresses.admin.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub fn health(&self) -> (u16, Value) {
        let (status, body) = self.get("/health");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Waits until it ends; something must have told it to.
    pub fn end(self) -> Result<Summary, Error> {
        self.thread.join().unwrap()
    }
}

/// The next message, which must be one.
pub fn text(client: &mut Client) -> String {
    client.read().unwrap().into_text().unwrap().to_string()
}
