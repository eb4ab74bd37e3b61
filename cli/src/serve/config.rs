//! From arguments to the engine's settings.

use engine::config::{Config, Keepalive, Route, Service, SlabSizes};

use super::args::{self, Args};
use crate::values::{Cores, RouteSpec};

/// Builds the engine's settings and has them checked. The error names the settings at odds.
pub(super) fn config(args: Args) -> Result<Config, String> {
    let (shards, cores) = shards_and_cores(args.shards, args.cores);
    let listen = args.lb_addr.ok_or("the public listener cannot be left out")?;
    let routes = if args.routes.is_empty() { args.file_routes } else { args.routes };
    let config = Config {
        service: Service::Channels,
        shards,
        cores,
        listen,
        admin: args.admin_addr,
        kafka: kafka::Settings {
            brokers: args.brokers,
            properties: args.kafka.into_iter().map(|property| (property.key, property.value)).collect(),
        },
        routes: routes.into_iter().map(route).collect(),
        from: args.from,
        limits: args.limits.0,
        allowed_origins: args.allowed_origins,
        keepalive: match args.keepalive {
            args::Keepalive::Websocket => Keepalive::WebSocket,
            args::Keepalive::Tcp => Keepalive::Tcp,
        },
        ping_interval: args.ping_interval,
        ping_grace: args.ping_grace,
        drain_timeout: args.drain_timeout,
        slab: SlabSizes {
            bytes: args.slab_size,
            entries: args.slab_entries,
            large_frame_bytes: args.slab_large_frame,
        },
    };
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

/// How many shards, and the cores they are pinned to; none: not pinned.
pub(crate) fn shards_and_cores(shards: Option<u16>, cores: Cores) -> (usize, Vec<usize>) {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = shards.map_or(usable, usize::from);
    let cores = match cores {
        Cores::List(cores) => cores,
        Cores::Auto if shards <= usable => engine::server::usable_cores(),
        Cores::Auto => Vec::new(),
    };
    (shards, cores)
}

fn route(spec: RouteSpec) -> Route {
    let RouteSpec { topic, template, payload, headers, oversized } = spec;
    Route { topic, template, payload, headers, oversized }
}

#[cfg(test)]
mod tests {
    use engine::config::Limits;

    use super::*;
    use crate::testing::parse;

    fn parsed(argv: &[&str]) -> Config {
        config(parse(argv).unwrap()).unwrap()
    }

    #[test]
    fn the_flags_defaults_are_the_engines() {
        let config = parsed(&["--route", "trades={key}"]);
        assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
        assert_eq!(format!("{:?}", config.slab), format!("{:?}", SlabSizes::default()));
    }

    #[test]
    fn connections_are_spread_evenly_and_the_first_shards_take_the_remainder() {
        let spread = |connections: &str, shards: usize| -> Vec<usize> {
            let number = shards.to_string();
            let argv = ["--route", "t={key}", "--shards", &number, "--max-connections", connections];
            let config = parsed(&argv);
            (0..shards).map(|shard| config.shard_capacity(shard)).collect()
        };
        assert_eq!(spread("12000", 3), [4_000; 3]);
        assert_eq!(spread("12", 5), [3, 3, 2, 2, 2]);
        assert_eq!(spread("5", 5), [1; 5]);
    }

    #[test]
    fn settings_at_odds_are_named() {
        let cases: [(&[&str], &str); 5] = [
            (&["--shards", "3", "--max-connections", "2"], "max-connections"),
            (&["--slab-entries", "10000"], "power of two"),
            (&["--slab-entries", "4096"], "8192"),
            (&["--limit-record-value", "5MiB"], "record value"),
            (&["--slab-large-frame", "5MiB"], "large frames"),
        ];
        for (argv, said) in cases {
            let argv = ["--route", "t={key}"].iter().chain(argv);
            let error = config(parse(argv).unwrap()).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn more_shards_than_cores_are_not_pinned() {
        assert!(parsed(&["--route", "t={key}", "--shards", "64"]).cores.is_empty());
        assert!(!parsed(&["--route", "t={key}", "--shards", "1"]).cores.is_empty());
        assert!(parsed(&["--route", "t={key}", "--shards", "1", "--cores", "none"]).cores.is_empty());
    }

    #[test]
    fn typed_routes_replace_the_files() {
        let mut args: Args = parse([""; 0]).unwrap();
        assert!(config(args.clone()).unwrap_err().contains("no route"));
        args.file_routes = vec![crate::values::route("filed={key}").unwrap()];
        assert_eq!(config(args.clone()).unwrap().routes[0].topic, "filed");
        args.routes = vec![crate::values::route("typed={key}").unwrap()];
        let config = config(args).unwrap();
        assert_eq!(config.routes.len(), 1);
        assert_eq!(config.routes[0].topic, "typed");
    }
}
