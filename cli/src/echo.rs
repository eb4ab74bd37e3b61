//! `uringcast echo`: the server's own accept ring, shards, decoder and limits, sending clients their messages back; for
//! conformance suites and raw comparison with other servers.

use std::{process::ExitCode, time::Duration};

use engine::config::{Config, Limits, Service, SlabSizes};

use crate::serve::{
    self,
    values::{self, Address, Cores},
};

/// Arguments of `uringcast echo`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Send WebSocket clients their own text and binary messages back, on any path, without Kafka: for \
        conformance suites and raw comparison with other servers. Connections, frames, limits, keep-alive and drain are \
        those of serve; there are no request limits. A client that sends a message and does not read it is not read \
        either until it has taken what it was sent, so it holds at most two messages of --max-message."
)]
pub(crate) struct Args {
    /// Listener for WebSocket clients; ":PORT" is all addresses
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001", value_parser = values::address)]
    lb_addr: Address,

    /// Listener of /health and /metrics; "none" leaves it out
    #[arg(long, value_name = "ADDR", default_value = "none", value_parser = values::address_or_none)]
    admin_addr: Address,

    /// Largest frame and message of a client
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = values::size)]
    max_message: usize,

    /// Connections, all shards together; more are refused with 503
    #[arg(long, value_name = "N", default_value = "12000", value_parser = values::count)]
    max_connections: usize,

    /// Shards: threads with a ring and a part of the connections each [default: one a usable core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: Option<u16>,

    /// Cores the shards are pinned to, in turn: a list such as 0,2-3; none; or auto: a core each where there are enough
    #[arg(long, value_name = "LIST", default_value = "auto", value_parser = values::cores)]
    cores: Cores,

    /// Time between two pings
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = values::time)]
    ping_interval: Duration,

    /// Time that a silent peer then has
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time)]
    ping_grace: Duration,

    /// A socket that takes nothing for this long is closed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time)]
    blocked_timeout: Duration,

    /// From SIGTERM or SIGINT to the exit at the latest; a second signal exits at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time)]
    drain_timeout: Duration,

    /// error, warn, info, debug, trace, or directives such as info,engine::shard=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::log_level)]
    log_level: String,

    /// How log lines look, on stderr
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
