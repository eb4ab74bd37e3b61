//! The checked settings every part is built from. Raw values (file, environment, flags) live in the `cli` crate; what
//! arrives here has been parsed, and [`Config::check`] has proven the relations between values.

use std::{net::SocketAddr, time::Duration};

use proto::{channel::Template, native::message::Payload};

pub use crate::limits::Limits;

use crate::error::Error;

/// Everything the server needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What clients are served.
    pub service: Service,
    /// Number of shards: threads with a ring each.
    pub shards: usize,
    /// Cores the shards are pinned to, in turn; empty: not pinned.
    pub cores: Vec<usize>,
    /// Public listener.
    pub listen: SocketAddr,
    /// Listener of /health, /metrics and /explain; none: no admin thread.
    pub admin: Option<SocketAddr>,
    /// The brokers and any librdkafka property.
    pub kafka: kafka::Settings,
    /// What becomes a channel.
    pub routes: Vec<Route>,
    /// Where a partition is first read from.
    pub from: From,
    /// Bounds on everything a peer can make us hold.
    pub limits: Limits,
    /// Origins a browser may come from; empty: any (no cookie is ever read).
    pub allowed_origins: Vec<String>,
    /// Who finds dead peers.
    pub keepalive: Keepalive,
    /// Time between two keep-alive turns of a connection, jittered by a tenth.
    pub ping_interval: Duration,
    /// How long a silent, unacknowledged peer has after its turn.
    pub ping_grace: Duration,
    /// From SIGTERM to exit at the latest.
    pub drain_timeout: Duration,
    /// Sizes of the slab.
    pub slab: SlabSizes,
}

/// What clients are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// Channels of messages from Kafka.
    #[default]
    Channels,
    /// Their own text and binary messages, on any path, without Kafka, welcome or request limits: for conformance suites
    /// and raw comparison. Everything else is as above: accept ring, shards, decoder, limits, keep-alive, drain.
    Echo,
}

/// Maps the records of one topic to channels.
#[derive(Debug, Clone)]
pub struct Route {
    /// Topic name, exact.
    pub topic: String,
    /// Makes the channel's name from a record.
    pub template: Template,
    /// How values are represented.
    pub payload: Payload,
    /// Record headers that messages carry.
    pub headers: Vec<String>,
    /// What happens to a value above the limit.
    pub oversized: Oversized,
}

impl Route {
    /// The same, with names of so many bytes at most.
    #[must_use]
    pub fn bounded(&self, name_bytes_max: usize) -> Self {
        Self { template: self.template.clone().with_name_bytes_max(name_bytes_max), ..self.clone() }
    }

    /// JSON values, no headers, and a gap for a value above the limit.
    #[must_use]
    pub fn new(topic: &str, template: Template) -> Self {
        Self {
            topic: topic.to_owned(),
            template,
            payload: Payload::Json,
            headers: Vec::new(),
            oversized: Oversized::Gap,
        }
    }
}

/// What happens to a record value above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversized {
    /// A gap notice in its place.
    Gap,
    /// The topic is read no further, and health says so.
    Stop,
}

/// Where a partition that was there at start is first read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Only what is produced after the start.
    Latest,
    /// All the log has.
    Earliest,
    /// The first record at or after this time, Unix ms.
    Timestamp(i64),
}

/// Who finds dead peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// Position notices and pings, judged by the peer's acknowledgements.
    WebSocket,
    /// The kernel's keep-alive probes and user timeout; costs no user-space work.
    Tcp,
}

/// Sizes of the slab. Memory at start: `bytes` + 64 B an entry, and 8 B an entry and shard.
#[derive(Debug, Clone, Copy)]
pub struct SlabSizes {
    /// Bytes of the circular region of a wire format.
    pub bytes: usize,
    /// Entries of the index, a power of two of at least 8,192.
    pub entries: usize,
    /// Frames above this many bytes live outside the region.
    pub large_frame_bytes: usize,
}

impl Default for SlabSizes {
    fn default() -> Self {
        Self { bytes: 64 << 20, entries: 1 << 20, large_frame_bytes: 64 << 10 }
    }
}

impl Config {
    /// One unpinned shard without an admin listener, and the defaults of `uringcast serve` for all else.
    #[must_use]
    pub fn new(listen: SocketAddr, kafka: kafka::Settings, routes: Vec<Route>) -> Self {
        Self {
            service: Service::Channels,
            shards: 1,
            cores: Vec::new(),
            listen,
            admin: None,
            kafka,
            routes,
            from: From::Latest,
            limits: Limits::default(),
            allowed_origins: Vec::new(),
            keepalive: Keepalive::WebSocket,
            ping_interval: Duration::from_secs(25),
            ping_grace: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            slab: SlabSizes::default(),
        }
    }

    /// Proves the relations between values that no single value shows.
    ///
    /// # Errors
    /// [`Error::Config`], naming the settings at odds.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::Config(text.to_owned()));
        if self.shards == 0 || self.shards > 64 {
            return refuse("shards must be 1 to 64");
        }
        if self.routes.is_empty() && self.service == Service::Channels {
            return refuse("no route: name at least one, for example --route 'trades={key}'");
        }
        if self.limits.connections < self.shards {
            return refuse("max-connections must be at least the number of shards");
        }
        // What a decoder holds is a little more than the message.
        if self.limits.client_bytes_per_shard / 2 < self.limits.client_message_bytes {
            return refuse("limit-client-bytes must be at least twice max-message");
        }
        if !self.slab.entries.is_power_of_two() || self.slab.entries < 8_192 {
            return refuse("slab entries must be a power of two of at least 8192");
        }
        if self.limits.record_value_bytes > self.slab.bytes / 16 {
            return refuse("max record value must be at most a sixteenth of the slab");
        }
        if self.slab.large_frame_bytes * 16 > self.slab.bytes {
            return refuse("large frames must begin at or below a sixteenth of the slab");
        }
        Ok(())
    }

    /// Connections the shard may hold: an even part, the first shards take the remainder.
    #[must_use]
    pub fn shard_capacity(&self, shard: usize) -> usize {
        self.limits.connections / self.shards + usize::from(shard < self.limits.connections % self.shards)
    }
}
