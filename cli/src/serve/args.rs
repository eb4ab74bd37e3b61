//! What can be set, once: flags, their help, their defaults. Environment and file set the same things by the same names
//! (see `layers`), and every value goes through the same parser (see `values`).

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::values::{self, Address, Brokers, Cores, Property, RouteSpec, Start};

const TRAFFIC: &str = "Traffic";
const KAFKA: &str = "Kafka";
const THREADS: &str = "Threads";
const CLIENTS: &str = "Clients";
const LIMITS: &str = "Limits";
const SLAB: &str = "Memory of messages";
const OPERATION: &str = "Operation";

const AFTER_HELP: &str = "\
Each setting is taken from the command line, else from its environment variable, else from the file of --config, else \
from its default. Names are the same everywhere: --ping-interval 25s, URINGCAST_PING_INTERVAL=25s, ping-interval = \
\"25s\". In the file --limit-X is X of the table [limits], --slab-X is X of [slab], --kafka is the table [kafka], and \
--route is a [[route]] with topic, channel and, if wanted, payload (json, text, binary), headers (names) and oversized \
(gap, stop). In a variable, several routes, properties or origins are separated by semicolons.

Sizes are bytes or take KiB, MiB, GiB; times take ms, s, m, h.

Exit codes: 0 drained and nothing held; 2 a setting is wrong; 1 anything else, also a second signal.

Example:
  uringcast serve --brokers localhost:9092 --route 'trades={key}'";

/// Arguments of `uringcast serve`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Public listener, for WebSocket clients (path /ws); ":PORT" is all addresses
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080", value_parser = values::address, help_heading = TRAFFIC)]
    pub(super) lb_addr: Address,

    /// Listener of /health, /metrics and /explain; "none" leaves it out
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = values::address_or_none, help_heading = TRAFFIC)]
    pub(super) admin_addr: Address,

    /// What becomes a channel: records of TOPIC, named by TEMPLATE over {topic} {key} {partition} {header:NAME}; repeatable
    #[arg(long = "route", value_name = "TOPIC=TEMPLATE", value_parser = values::route, help_heading = TRAFFIC)]
    pub(super) routes: Vec<RouteSpec>,

    /// Routes of the file, which say more than a flag can.
    #[arg(skip)]
    pub(super) file_routes: Vec<RouteSpec>,

    /// Brokers to begin with, separated by commas
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", value_parser = values::brokers, help_heading = KAFKA)]
    pub(super) brokers: Brokers,

    /// Where partitions that are there at start are read from: latest, earliest, an RFC 3339 time, or Unix ms
    #[arg(long, value_name = "WHERE", default_value = "latest", value_parser = values::start, help_heading = KAFKA)]
    pub(super) from: Start,

    /// Any librdkafka property; VALUE may be @file:PATH or @env:NAME, for secrets; repeatable, adds to the file's
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::property, help_heading = KAFKA)]
    pub(super) kafka: Vec<Property>,

    /// Shards: threads with a ring and a part of the connections each [default: one a usable core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = THREADS)]
    pub(super) shards: Option<u16>,

    /// Cores the shards are pinned to, in turn: a list such as 0,2-3; none; or auto: a core each where there are enough
    #[arg(long, value_name = "LIST", default_value = "auto", value_parser = values::cores, help_heading = THREADS)]
    pub(super) cores: Cores,

    /// Connections, all shards together; more are refused with 503
    #[arg(long, value_name = "N", default_value = "12000", value_parser = values::count, help_heading = CLIENTS)]
    pub(super) max_connections: usize,

    /// Origin that browsers may come from, such as https://app.example; repeatable [default: any, for no cookie is read]
    #[arg(long = "allowed-origin", value_name = "ORIGIN", value_parser = values::origin, help_heading = CLIENTS)]
    pub(super) allowed_origins: Vec<String>,

    /// Largest frame and message of a client
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = values::size, help_heading = CLIENTS)]
    pub(super) max_message: usize,

    /// Who finds dead peers: WebSocket notices and pings, or the kernel's probes, which cost no work here
    #[arg(long, value_name = "WHO", default_value = "websocket", help_heading = CLIENTS)]
    pub(super) keepalive: Keepalive,

    /// Time between two signs of life
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = values::time, help_heading = CLIENTS)]
    pub(super) ping_interval: Duration,

    /// Time that a silent peer then has
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time, help_heading = CLIENTS)]
    pub(super) ping_grace: Duration,

    /// A socket that takes nothing for this long is closed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time, help_heading = CLIENTS)]
    pub(super) blocked_timeout: Duration,

    #[command(flatten)]
    pub(super) limits: LimitArgs,

    /// Bytes of messages that slow clients can still read; taken at start
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::size, help_heading = SLAB)]
    pub(super) slab_size: usize,

    /// Messages of the same, a power of two; 64 bytes each, and 8 a shard
    #[arg(long, value_name = "N", default_value = "1048576", value_parser = values::count, help_heading = SLAB)]
    pub(super) slab_entries: usize,

    /// Larger frames are kept apart, up to --limit-large-frames
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = values::size, help_heading = SLAB)]
    pub(super) slab_large_frame: usize,

    /// TOML file with settings
    #[arg(long, value_name = "FILE", help_heading = OPERATION)]
    pub(super) config: Option<PathBuf>,

    /// From SIGTERM or SIGINT to the exit at the latest; a second signal exits at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time, help_heading = OPERATION)]
    pub(super) drain_timeout: Duration,

    /// error, warn, info, debug, trace, or directives such as info,engine::ingest=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::log_level, help_heading = OPERATION)]
    pub(super) log_level: String,

    /// How log lines look, on stderr
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = OPERATION)]
    pub(super) log_format: LogFormat,
}

/// The table of limits in docs/PROTOCOL.md.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = LIMITS)]
pub(crate) struct LimitArgs {
    /// Channels of a connection (TOO_MANY_CHANNELS)
    #[arg(long = "limit-channels", value_name = "N", default_value = "1000", value_parser = values::count)]
    pub(super) channels: usize,

    /// Bytes of a channel's name (NAME_TOO_LONG)
    #[arg(long = "limit-channel-name", value_name = "SIZE", default_value = "255B", value_parser = values::size)]
    pub(super) channel_name: usize,

    /// Channels of a request (BAD_REQUEST)
    #[arg(long = "limit-channels-per-request", value_name = "N", default_value = "250", value_parser = values::count)]
    pub(super) channels_per_request: usize,

    /// Channels without a record, all clients together (TOO_MANY_CHANNELS)
    #[arg(long = "limit-empty-channels", value_name = "N", default_value = "1000000", value_parser = values::count)]
    pub(super) empty_channels: usize,

    /// Upgrade request (431)
    #[arg(long = "limit-upgrade-size", value_name = "SIZE", default_value = "16KiB", value_parser = values::size)]
    pub(super) upgrade_size: usize,

    /// Time for an upgrade request (408)
    #[arg(long = "limit-upgrade-time", value_name = "TIME", default_value = "5s", value_parser = values::time)]
    pub(super) upgrade_time: Duration,

    /// Handshakes at once; more wait in the kernel
    #[arg(long = "limit-handshakes", value_name = "N", default_value = "2048", value_parser = values::count)]
    pub(super) handshakes: usize,

    /// Refusals that wait for their client at once
    #[arg(long = "limit-refusals", value_name = "N", default_value = "512", value_parser = values::count)]
    pub(super) refusals: usize,

    /// Frames and requests a client may send at once; then it is read no faster than the rate
    #[arg(long = "limit-request-burst", value_name = "N", default_value = "200", value_parser = values::small_count)]
    pub(super) request_burst: u32,

    /// Frames and requests a second it may go on with
    #[arg(long = "limit-request-rate", value_name = "N", default_value = "200", value_parser = values::small_count)]
    pub(super) request_rate: u32,

    /// Failed requests a minute before a close with 1008
    #[arg(long = "limit-failed-requests", value_name = "N", default_value = "100", value_parser = values::small_count)]
    pub(super) failed_requests: u32,

    /// Value of a record (gap "oversized", or as its route says)
    #[arg(long = "limit-record-value", value_name = "SIZE", default_value = "1MiB", value_parser = values::size)]
    pub(super) record_value: usize,

    /// Answers and notices a client may leave unread before it is not read either
    #[arg(long = "limit-control-output", alias = "limit-own-bytes", value_name = "SIZE", default_value = "4KiB", value_parser = values::size)]
    pub(super) control_output: usize,

    /// Rests of half-sent messages, each shard
    #[arg(long = "limit-partial-frames", alias = "limit-torn-bytes", value_name = "SIZE", default_value = "64MiB", value_parser = values::size)]
    pub(super) partial_frames: usize,

    /// What clients sent and is not worked off, and answers they do not take, each shard
    #[arg(long = "limit-client-bytes", value_name = "SIZE", default_value = "24MiB", value_parser = values::size)]
    pub(super) client_bytes: usize,

    /// Large frames, all together
    #[arg(long = "limit-large-frames", value_name = "SIZE", default_value = "256MiB", value_parser = values::size)]
    pub(super) large_frames: usize,
}

/// Who finds dead peers. (No help for the single values: with it clap prints all help in its long form.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Keepalive {
    Websocket,
    Tcp,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
