//! A client as anybody may write one, and what it heard.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

use super::within;

/// A position of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pos {
    pub(crate) epoch: String,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
}

/// What a client is told, in order.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    Message {
        channel: String,
        pos: Pos,
        data: Value,
    },
    Gap {
        channel: String,
        from: Pos,
        to: Pos,
        reason: String,
    },
    /// None: `*`.
    Status {
        state: String,
        channels: Option<Vec<String>>,
    },
    Other(Value),
}

pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    pub(crate) heard: Vec<Heard>,
    /// Why it hears no more.
    pub(crate) ended: Option<String>,
    /// Answers to its subscribe requests.
    pub(crate) acks: Vec<Value>,
}

fn pos(value: &Value) -> Pos {
    let text = value.as_str().unwrap_or_default();
    let mut parts = text.split('.');
    let mut part = || parts.next().unwrap_or_else(|| panic!("no position: {text}"));
    let (epoch, partition, offset) = (part().to_owned(), part(), part());
    Pos { epoch, partition: partition.parse().unwrap(), offset: offset.parse().unwrap() }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array().map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn read(value: Value) -> Heard {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    match value["type"].as_str() {
        Some("message") => {
            Heard::Message { channel: text("channel"), pos: pos(&value["pos"]), data: value["data"].clone() }
        }
        Some("gap") => Heard::Gap {
            channel: text("channel"),
            from: pos(&value["from"]),
            to: pos(&value["to"]),
            reason: text("reason"),
        },
        Some("status") => Heard::Status { state: text("state"), channels: strings(&value["channels"]) },
        _ => Heard::Other(value),
    }
}

impl Client {
    /// Connects; the reason if it is not let in.
    pub(crate) fn connect(server: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(server).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (socket, _) =
            tungstenite::client(format!("ws://{server}/ws"), stream).map_err(|error| error.to_string())?;
        // From now on reading is looking whether there is something.
        socket.get_ref().set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Ok(Self { socket, heard: Vec::new(), ended: None, acks: Vec::new() })
    }

    /// Connects and waits for the ack of its channels.
    pub(crate) fn subscribed(server: SocketAddr, channels: &[&str]) -> Self {
        let mut client = Self::connect(server).unwrap();
        client.subscribe(channels);
        let acked = client.until(Duration::from_secs(10), |client| !client.acks.is_empty());
        assert!(acked.is_some(), "no ack for {channels:?}: {:?} {:?}", client.ended, client.heard);
        client
    }

    pub(crate) fn subscribe(&mut self, channels: &[&str]) {
        self.send(&json!({"type": "subscribe", "id": 1, "data": {"channels": channels}}).to_string());
    }

    pub(crate) fn send(&mut self, text: &str) {
        if let Err(error) = self.socket.send(Message::text(text)) {
            self.ended = Some(error.to_string());
        }
    }

    /// Takes in what has come.
    pub(crate) fn look(&mut self) {
        while self.ended.is_none() {
            match self.socket.read() {
                Ok(Message::Text(text)) => text.lines().for_each(|line| self.hear(line)),
                Ok(Message::Close(frame)) => self.ended = Some(format!("closed: {frame:?}")),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => self.ended = Some(error.to_string()),
            }
        }
    }

    fn hear(&mut self, line: &str) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if value["type"] == "subscription_ack" {
            self.acks.push(value);
        } else {
            self.heard.push(read(value));
        }
    }

    /// Looks until it holds; what that took, ms.
    pub(crate) fn until(&mut self, patience: Duration, mut holds: impl FnMut(&Self) -> bool) -> Option<u64> {
        within(patience, || {
            self.look();
            holds(self)
        })
    }

    /// Messages of a channel: position and data, in order.
    pub(crate) fn messages<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = (&'a Pos, &'a Value)> {
        self.heard.iter().filter_map(move |heard| {
            let Heard::Message { channel: name, pos, data } = heard else { return None };
            (name == channel).then_some((pos, data))
        })
    }

    /// The field `n` of a channel's messages, in order.
    pub(crate) fn numbers(&self, channel: &str) -> Vec<i64> {
        self.messages(channel).map(|(_, data)| data["n"].as_i64().unwrap_or(-1)).collect()
    }

    /// Gaps of a channel: reason, first and last missing.
    pub(crate) fn gaps<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = (&'a str, &'a Pos, &'a Pos)> {
        self.heard.iter().filter_map(move |heard| {
            let Heard::Gap { channel: name, from, to, reason } = heard else { return None };
            (name == channel).then_some((reason.as_str(), from, to))
        })
    }

    /// States told, with the channels they were about (none: all).
    pub(crate) fn states(&self) -> Vec<(&str, Option<&[String]>)> {
        let told = self.heard.iter().filter_map(|heard| {
            let Heard::Status { state, channels } = heard else { return None };
            Some((state.as_str(), channels.as_deref()))
        });
        told.collect()
    }

    /// The last state it was told about a channel.
    pub(crate) fn state_of(&self, channel: &str) -> Option<&str> {
        let about = |channels: &Option<&[String]>| {
            channels.is_none_or(|channels| channels.iter().any(|name| name == channel))
        };
        self.states().into_iter().rfind(|(_, channels)| about(channels)).map(|(state, _)| state)
    }

    /// How the ack says a channel is.
    pub(crate) fn result(&self, channel: &str) -> Value {
        self.acks
            .iter()
            .map(|ack| &ack["results"][channel])
            .find(|result| !result.is_null())
            .cloned()
            .unwrap_or_default()
    }
}
