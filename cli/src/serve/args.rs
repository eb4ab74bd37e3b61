//! What can be set, once: flags, their help, their defaults. Environment and file set the same things by the same names
//! (see `layers`), and every value goes through the same parser (see `values`).

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::limits::LimitArgs;
use crate::values::{self, Address, Brokers, Cores, Property, RouteSpec, Start};

const TRAFFIC: &str = "Traffic";
const KAFKA: &str = "Kafka";
const THREADS: &str = "Threads";
pub(super) const CLIENTS: &str = "Clients";
pub(super) const LIMITS: &str = "Limits";
const SLAB: &str = "Message memory";
const OPERATION: &str = "Operation";

const AFTER_HELP: &str = "\
A setting is taken from the command line, else its environment variable, else the file given by --config, else its \
default. Names are the same everywhere: --ping-interval 25s, URINGCAST_PING_INTERVAL=25s, ping-interval = \
\"25s\". In the file, --limit-X is the key X of table [limits], --slab-X the key X of [slab], --kafka the table [kafka], and \
--route a table [[route]] with topic, channel and optionally payload (json, text, binary), headers (names) and oversized \
(gap, stop). In a variable, several routes, properties or origins are separated by semicolons.

Sizes are in bytes unless they end in KiB, MiB or GiB; times need a unit: ms, s, m or h.

Exit codes: 0 drained, nothing left open; 2 invalid setting; 1 any other failure, or a second signal.

Example:
  uringcast serve --brokers localhost:9092 --route 'trades={key}'";

/// Arguments of `uringcast serve`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Public WebSocket listener (path /ws); ":PORT" listens on all addresses
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080", value_parser = values::address, help_heading = TRAFFIC)]
    pub(super) lb_addr: Address,

    /// Admin listener for /health, /metrics and /explain; "none" disables it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = values::address_or_none, help_heading = TRAFFIC)]
    pub(super) admin_addr: Address,

    /// Map records of TOPIC to channels named by TEMPLATE, from {topic} {key} {partition} {header:NAME}; repeatable
    #[arg(long = "route", value_name = "TOPIC=TEMPLATE", value_parser = values::route, help_heading = TRAFFIC)]
    pub(super) routes: Vec<RouteSpec>,

    /// Routes of the file, which say more than a flag can.
    #[arg(skip)]
    pub(super) file_routes: Vec<RouteSpec>,

    /// Bootstrap brokers, separated by commas
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", value_parser = values::brokers, help_heading = KAFKA)]
    pub(super) brokers: Brokers,

    /// Start position of partitions that exist at startup: latest, earliest, an RFC 3339 time, or Unix ms
    #[arg(long, value_name = "WHERE", default_value = "latest", value_parser = values::start, help_heading = KAFKA)]
    pub(super) from: Start,

    /// Set a librdkafka property; for secrets, VALUE may be @file:PATH or @env:NAME; repeatable, added to those of the
    /// file
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::property, help_heading = KAFKA)]
    pub(super) kafka: Vec<Property>,

    /// Number of shards: threads that each serve a part of the connections [default: one per usable core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = THREADS)]
    pub(super) shards: Option<u16>,

    /// Cores to pin the shards to, in turn: a list such as 0,2-3; none; or auto (one core each if there are enough)
    #[arg(long, value_name = "LIST", default_value = "auto", value_parser = values::cores, help_heading = THREADS)]
    pub(super) cores: Cores,

    #[command(flatten)]
    pub(super) limits: LimitArgs,

    /// Allowed browser origin, such as https://app.example; repeatable [default: any, as cookies are not used]
    #[arg(long = "allowed-origin", value_name = "ORIGIN", value_parser = values::origin, help_heading = CLIENTS)]
    pub(super) allowed_origins: Vec<String>,

    /// How dead peers are detected: by WebSocket pings and notices, or by TCP keep-alive probes of the kernel
    #[arg(long, value_name = "WHO", default_value = "websocket", help_heading = CLIENTS)]
    pub(super) keepalive: Keepalive,

    /// Keep-alive interval
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = values::time, help_heading = CLIENTS)]
    pub(super) ping_interval: Duration,

    /// Time to wait for a response before closing
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time, help_heading = CLIENTS)]
    pub(super) ping_grace: Duration,

    /// Memory for recent messages, which slow clients can still read; allocated at startup
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::size, help_heading = SLAB)]
    pub(super) slab_size: usize,

    /// Number of recent messages kept, a power of two; takes 64 bytes each, and 8 more per shard
    #[arg(long, value_name = "N", default_value = "1048576", value_parser = values::count, help_heading = SLAB)]
    pub(super) slab_entries: usize,

    /// Frames above this size are stored separately, up to --limit-large-frames
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = values::size, help_heading = SLAB)]
    pub(super) slab_large_frame: usize,

    /// TOML configuration file
    #[arg(long, value_name = "FILE", help_heading = OPERATION)]
    pub(super) config: Option<PathBuf>,

    /// Maximum time from SIGTERM or SIGINT to exit; a second signal exits immediately
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time, help_heading = OPERATION)]
    pub(super) drain_timeout: Duration,

    /// Log level: error, warn, info, debug, trace, or directives such as info,engine::ingest=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::log_level, help_heading = OPERATION)]
    pub(super) log_level: String,

    /// Log format, on stderr
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = OPERATION)]
    pub(super) log_format: LogFormat,
}

/// How dead peers are detected. (No help for the single values: with it clap prints all help in its long form.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Keepalive {
    Websocket,
    Tcp,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
