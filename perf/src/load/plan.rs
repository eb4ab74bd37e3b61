//! What a run shall do, checked before anything is opened.

use std::{net::SocketAddr, time::Duration};

use proto::channel::{Fields, Template};
use serde::{Deserialize, Serialize};

use crate::{Error, schedule::Rate, series::Grid, spread::Spread};

/// Key of the channel that everybody holds.
pub const BROADCAST_KEY: &str = "broadcast";

/// Everything a run needs. Plain data, so that a worker process is given the same plan as a thread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where the clients connect.
    pub target: Target,
    /// Connections in total.
    pub clients: u32,
    /// Connections begun a second in total; 0: as fast as `connect_pending` allows.
    pub connect_rate: u32,
    /// Connections of a client thread that are between connect and last acknowledgement at once.
    pub connect_pending: u32,
    /// From connect to last acknowledgement at most.
    pub connect_timeout: Duration,
    /// Local addresses 127.0.0.1, 127.0.0.2, ... that the connections come from in turn; 0 or 1: the kernel
    /// chooses.
    pub source_addresses: u8,
    /// Client threads in each process.
    pub threads: u32,
    /// Cores the client threads are pinned to, in turn; empty: not pinned.
    pub cores: Vec<usize>,
    /// Processes; 1: only this one.
    pub processes: u32,
    /// What starts a process that calls [`crate::serve_worker`]: program and arguments. Needed for more than
    /// one process.
    #[serde(skip)]
    pub worker_command: Vec<String>,
    /// Read every so often like remote clients (for CPU figures); none: read as data comes (for latency).
    pub poll: Option<Duration>,
    /// Keyed channels `key-0`, `key-1`, ...; not used when `names` is not empty.
    pub channels: u32,
    /// Channels by name, for data that others produce.
    pub names: Vec<String>,
    /// Keyed channels that a client holds.
    pub per_client: u32,
    /// Every client holds the broadcast channel too.
    pub broadcast: bool,
    /// The topic, for the template and the producer.
    pub topic: String,
    /// Makes a channel's name from topic and key, as the server's route does.
    pub topic_channel: String,
    /// Where messages come from.
    pub load: Load,
    /// Beginning of the load, whose messages are checked but not in the figures.
    pub warmup: Duration,
    /// Length of the measured part (or of holding).
    pub duration: Duration,
    /// How long the last messages may take to arrive after the end of the load.
    pub drain_wait: Duration,
    /// The server is expected to close every connection with this code during the run.
    pub expect_close: Option<u16>,
    /// Limits that fail the run when passed.
    pub demands: Demands,
    /// Where the server is looked at from outside.
    pub server: ServerView,
    /// The exact command, for the report.
    pub command: String,
}

/// Limits beyond correctness that a run must keep.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Demands {
    /// Largest 99th percentile of latency, ms.
    pub p99_ms_max: Option<f64>,
    /// Largest deviation of a shard's connections from their mean, percent.
    pub spread_percent_max: Option<f64>,
    /// Smallest number of deliveries per server CPU-second.
    pub per_cpu_second_min: Option<f64>,
}

/// Where the server is looked at from outside; both may be none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServerView {
    /// `HOST:PORT` of its /metrics.
    pub admin: Option<String>,
    /// Its process on this machine.
    pub pid: Option<u32>,
}

/// Where messages come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Load {
    /// We produce them through Kafka.
    Produce(Produce),
    /// Somebody else does.
    Listen,
    /// There are none: connections are held.
    Hold,
}

/// The load that we produce.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Produce {
    /// `HOST:PORT,...`.
    pub brokers: String,
    /// librdkafka properties. They may hold passwords and go neither into a report nor to a worker process.
    #[serde(skip)]
    pub properties: Vec<(String, String)>,
    /// Messages a second over all keyed channels, in turn.
    pub rate: Rate,
    /// Messages a second on the broadcast channel.
    pub broadcast_rate: Rate,
    /// Bytes of a value; it is never shorter than its stamp.
    pub size: usize,
    /// How long a batch of the producer waits for company.
    pub linger: Duration,
    /// No loss, duplicate or disorder by the producer's retries.
    pub idempotent: bool,
}

/// A WebSocket address, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where to connect.
    pub addr: SocketAddr,
    /// For the `Host` header.
    pub host: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Reads `ws://HOST:PORT/PATH` and resolves the host.
    ///
    /// # Errors
    /// [`Error::Plan`] with what is wrong with the text, or with the resolver's answer.
    pub fn parse(url: &str) -> Result<Self, Error> {
        use std::net::ToSocketAddrs;
        let refuse = |why: String| Error::Plan(format!("url {url:?}: {why}"));
        let rest = url
            .strip_prefix("ws://")
            .ok_or_else(|| refuse("must begin with ws:// (TLS is not supported)".to_owned()))?;
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/ws"),
        };
        let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        // The kernel's accept is on one address; IPv4 first, for the source addresses of loopback.
        let mut found: Vec<SocketAddr> =
            with_port.to_socket_addrs().map_err(|error| refuse(error.to_string()))?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        let addr = *found.first().ok_or_else(|| refuse("the name has no address".to_owned()))?;
        Ok(Self { addr, host: host.to_owned(), path: path.to_owned() })
    }
}

impl Plan {
    /// A plan with the defaults of the command line: one client that listens to one channel for ten seconds.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            clients: 1,
            connect_rate: 2_000,
            connect_pending: 512,
            connect_timeout: Duration::from_secs(10),
            source_addresses: 1,
            threads: 1,
            cores: Vec::new(),
            processes: 1,
            worker_command: Vec::new(),
            poll: None,
            channels: 1,
            names: Vec::new(),
            per_client: 1,
            broadcast: false,
            topic: "bench".to_owned(),
            topic_channel: "{key}".to_owned(),
            load: Load::Listen,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(10),
            drain_wait: Duration::from_secs(10),
            expect_close: None,
            demands: Demands::default(),
            server: ServerView::default(),
            command: String::new(),
        }
    }

    /// Number of channels in play: the keyed ones, then the broadcast channel if there is one.
    #[must_use]
    pub fn channel_count(&self) -> u32 {
        self.keyed() + u32::from(self.broadcast)
    }

    /// Number of keyed (or named) channels.
    #[must_use]
    pub fn keyed(&self) -> u32 {
        if self.names.is_empty() {
            self.channels
        } else {
            u32::try_from(self.names.len()).unwrap_or(u32::MAX)
        }
    }

    /// Who holds what.
    #[must_use]
    pub fn spread(&self) -> Spread {
        Spread::new(self.keyed(), self.per_client, self.broadcast)
    }

    /// Kafka keys by channel number.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.names.clone();
        if keys.is_empty() {
            keys.extend((0..self.channels).map(|number| format!("key-{number}")));
        }
        if self.broadcast {
            keys.push(BROADCAST_KEY.to_owned());
        }
        keys
    }

    /// The name that the server's route makes of one key.
    ///
    /// # Errors
    /// As of [`Self::channel_names`].
    pub fn channel_name(&self, key: &str) -> Result<String, Error> {
        let refuse = |why: String| Error::Plan(format!("topic-channel {:?}: {why}", self.topic_channel));
        let template = Template::parse(&self.topic_channel).map_err(|error| refuse(error.to_string()))?;
        if self.topic_channel.contains("{partition}") || self.topic_channel.contains("{header:") {
            return Err(refuse("only {topic} and {key} can be foreseen here".to_owned()));
        }
        let mut name = String::new();
        let fields = Fields { topic: &self.topic, partition: 0, key: Some(key.as_bytes()), headers: &[] };
        template.render(&mut name, &fields).map_err(|miss| refuse(format!("key {key:?}: {miss:?}")))?;
        Ok(name)
    }

    /// Names by channel number, as the server makes them. Channels given by name are already that.
    ///
    /// # Errors
    /// [`Error::Plan`]: the template cannot be read, or draws on what a key does not give.
    pub fn channel_names(&self) -> Result<Vec<String>, Error> {
        let mut names = self.names.clone();
        for key in &self.keys()[names.len()..] {
            names.push(self.channel_name(key)?);
        }
        Ok(names)
    }

    /// Connections of worker `worker` (threads of all processes, counted through).
    #[must_use]
    pub fn share(&self, worker: u32) -> std::ops::Range<u32> {
        let workers = self.workers();
        let (even, rest) = (self.clients / workers, self.clients % workers);
        let first = worker * even + worker.min(rest);
        first..first + even + u32::from(worker < rest)
    }

    /// Client threads over all processes.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.threads * self.processes
    }

    /// The intervals of its series, for a load that begins at `mark_ns`.
    pub(crate) fn grid(&self, mark_ns: u64) -> Grid {
        Grid::new(mark_ns, self.warmup + self.duration + self.drain_wait)
    }

    /// Proves what no single value shows.
    ///
    /// # Errors
    /// [`Error::Plan`], naming the settings at odds.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::Plan(text.to_owned()));
        if self.clients == 0 {
            return refuse("clients must be at least 1");
        }
        if self.threads == 0 || self.processes == 0 || self.threads > 1_024 || self.processes > 1_024 {
            return refuse("threads and processes must be 1 to 1024");
        }
        if self.processes > 1 && self.worker_command.is_empty() {
            return refuse("processes need a worker command");
        }
        if self.workers() > self.clients {
            return refuse("more client threads than clients");
        }
        if self.connect_pending == 0 {
            return refuse("connect-pending must be at least 1");
        }
        if self.per_client > self.keyed() {
            return refuse("per-client is more than there are channels");
        }
        if self.per_client == 0 && !self.broadcast && !matches!(self.load, Load::Hold) {
            return refuse("clients hold no channel: set per-client or broadcast-rate");
        }
        if self.source_addresses > 1 && !self.target.addr.is_ipv4() {
            return refuse("source-addresses are of 127.0.0.0/8 and need an IPv4 server");
        }
        if let Load::Produce(produce) = &self.load {
            if !self.names.is_empty() {
                return refuse("channels by name cannot be produced to: use channels");
            }
            if self.broadcast == produce.broadcast_rate.is_zero() {
                return refuse("the broadcast channel needs a broadcast-rate, and the other way round");
            }
            if produce.rate.is_zero() && produce.broadcast_rate.is_zero() {
                return refuse("rate and broadcast-rate are both 0");
            }
            if !produce.rate.is_zero() && self.channels == 0 {
                return refuse("a rate needs channels");
            }
        }
        self.channel_names().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small plan that passes its check.
    fn plan() -> Plan {
        let target = Target::parse("ws://127.0.0.1:8080/ws").unwrap();
        Plan { clients: 10, channels: 4, per_client: 2, ..Plan::new(target) }
    }

    #[test]
    fn addresses() {
        let target = Target::parse("ws://127.0.0.1:9000/ws?welcome=0").unwrap();
        assert_eq!(target.addr, SocketAddr::from(([127, 0, 0, 1], 9000)));
        assert_eq!((target.host.as_str(), target.path.as_str()), ("127.0.0.1:9000", "/ws?welcome=0"));
        assert_eq!(Target::parse("ws://127.0.0.1").unwrap().path, "/ws");
        assert_eq!(Target::parse("ws://127.0.0.1").unwrap().addr.port(), 80);
        assert!(Target::parse("ws://[::1]:5/x").unwrap().addr.is_ipv6());
        for wrong in ["wss://127.0.0.1/ws", "127.0.0.1:80", "ws:///ws", "ws://no such host/"] {
            assert!(matches!(Target::parse(wrong), Err(Error::Plan(_))), "{wrong}");
        }
    }

    #[test]
    fn shares_are_even_and_cover_all_clients_once() {
        let plan = Plan { clients: 1_003, threads: 3, processes: 2, ..plan() };
        let shares: Vec<_> = (0..plan.workers()).map(|worker| plan.share(worker)).collect();
        assert_eq!(shares[0].start, 0);
        assert_eq!(shares.last().unwrap().end, 1_003);
        assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(shares.iter().all(|share| (167..=168).contains(&share.len())));
    }

    #[test]
    fn names_come_from_the_template() {
        let plan = Plan { topic_channel: "{topic}/{key}.trade".to_owned(), broadcast: true, ..plan() };
        let names = plan.channel_names().unwrap();
        assert_eq!(names.first().unwrap(), "bench/key-0.trade");
        assert_eq!(names.last().unwrap(), "bench/broadcast.trade");
        assert_eq!(u32::try_from(names.len()).unwrap(), plan.channel_count());
        let named = Plan { names: vec!["BTC.trade".to_owned()], per_client: 1, ..plan };
        assert_eq!(named.channel_names().unwrap(), ["BTC.trade", "bench/broadcast.trade"]);
    }

    #[test]
    fn settings_at_odds_are_refused_by_name() {
        let produce = Produce {
            brokers: "localhost:9092".to_owned(),
            properties: Vec::new(),
            rate: Rate::per_second(10),
            broadcast_rate: Rate::ZERO,
            size: 256,
            linger: Duration::from_millis(5),
            idempotent: true,
        };
        assert!(plan().check().is_ok());
        assert!(Plan { load: Load::Produce(produce.clone()), ..plan() }.check().is_ok());
        let silent = Produce { rate: Rate::ZERO, ..produce.clone() };
        for (wrong, word) in [
            (Plan { clients: 0, ..plan() }, "clients"),
            (Plan { threads: 11, ..plan() }, "threads"),
            (Plan { processes: 0, ..plan() }, "processes"),
            (Plan { processes: 2, ..plan() }, "worker command"),
            (Plan { per_client: 5, ..plan() }, "per-client"),
            (Plan { per_client: 0, ..plan() }, "per-client"),
            (Plan { connect_pending: 0, ..plan() }, "connect-pending"),
            (Plan { topic_channel: "{key".to_owned(), ..plan() }, "topic-channel"),
            (Plan { topic_channel: "{partition}".to_owned(), ..plan() }, "topic-channel"),
            (Plan { load: Load::Produce(silent), ..plan() }, "rate"),
            (Plan { load: Load::Produce(produce), broadcast: true, ..plan() }, "broadcast-rate"),
        ] {
            let text = wrong.check().unwrap_err().to_string();
            assert!(text.contains(word), "{text:?} does not name {word:?}");
        }
    }
}
