//! `uringcast echo`: the server's own accept ring, shards, decoder and limits, sending clients their messages back; for
//! conformance suites and raw comparison with other servers.

use std::{process::ExitCode, time::Duration};

use engine::config::{Config, Limits, Service, SlabSizes};

use crate::{
    serve,
    values::{self, Address, Cores},
};

/// Arguments of `uringcast echo`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Echo text and binary messages back to WebSocket clients, on any path, without Kafka: for conformance \
        suites and raw comparison with other servers. Connections, frames, limits, keep-alive and drain work as in serve; \
        there are no request limits. Reading from a client pauses until it has taken the previous message, so it holds at \
        most two messages of --max-message."
)]
pub(crate) struct Args {
    /// WebSocket listener; ":PORT" listens on all addresses
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001", value_parser = values::address)]
    lb_addr: Address,

    /// Admin listener for /health and /metrics; "none" disables it
    #[arg(long, value_name = "ADDR", default_value = "none", value_parser = values::address_or_none)]
    admin_addr: Address,

    /// Maximum size of a frame or message sent by a client
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = values::size)]
    max_message: usize,

    /// Maximum connections of all shards; more are refused with 503
    #[arg(long, value_name = "N", default_value = "12000", value_parser = values::count)]
    max_connections: usize,

    /// Number of shards: threads that each serve a part of the connections [default: one per usable core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: Option<u16>,

    /// Cores to pin the shards to, in turn: a list such as 0,2-3; none; or auto (one core each if there are enough)
    #[arg(long, value_name = "LIST", default_value = "auto", value_parser = values::cores)]
    cores: Cores,

    /// Ping interval
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = values::time)]
    ping_interval: Duration,

    /// Time to wait for a response before closing
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time)]
    ping_grace: Duration,

    /// Close a connection that accepts no data for this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time)]
    blocked_timeout: Duration,

    /// Maximum time from SIGTERM or SIGINT to exit; a second signal exits immediately
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time)]
    drain_timeout: Duration,

    /// Log level: error, warn, info, debug, trace, or directives such as info,engine::shard=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::log_level)]
    log_level: String,

    /// Log format, on stderr
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: serve::LogFormat,
}

/// Runs it until a signal ends it.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    serve::log_to_stderr(&args.log_level, args.log_format)?;
    serve::run_until_a_signal(config(args))
}

fn config(args: Args) -> Result<Config, String> {
    let (shards, cores) = serve::shards_and_cores(args.shards, args.cores);
    let limits = Limits::default();
    let listen = args.lb_addr.ok_or("the listener cannot be left out")?;
    let config = Config {
        service: Service::Echo,
        shards,
        cores,
        admin: args.admin_addr,
        limits: Limits {
            client_bytes_per_shard: limits.client_bytes_per_shard.max(args.max_message.saturating_mul(2)),
            connections: args.max_connections,
            client_message_bytes: args.max_message,
            blocked_timeout: args.blocked_timeout,
            // The slab stays empty: as small as it may be.
            record_value_bytes: 1,
            ..limits
        },
        ping_interval: args.ping_interval,
        ping_grace: args.ping_grace,
        drain_timeout: args.drain_timeout,
        slab: SlabSizes { bytes: 1 << 20, entries: 8_192, large_frame_bytes: 1 << 10 },
        ..Config::new(listen, kafka::Settings::new(String::new()), Vec::new())
    };
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_reach_the_engine_and_odd_ones_are_refused() {
        let parsed = |argv: &[&str]| config(crate::testing::parse(argv).unwrap());
        let echo = parsed(&["--max-message", "1MiB", "--shards", "2", "--max-connections", "9"]).unwrap();
        assert_eq!((echo.service, echo.shards, echo.limits.connections), (Service::Echo, 2, 9));
        assert_eq!(echo.limits.client_message_bytes, 1 << 20);
        assert!(
            parsed(&["--shards", "3", "--max-connections", "2"]).unwrap_err().contains("max-connections")
        );
    }
}
