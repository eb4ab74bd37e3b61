//! `uringcast demo`: broker, data, server and a page that shows it live, in one process.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, bail};
use engine::{
    config::{Config, Route},
    server::{self, Addresses, Handle, Summary},
};
use kafka::{Admin, Consumer, MockCluster, Settings, TopicError};
use perf::market::{Market, ROUTES};
use proto::channel::Template;

use crate::serve;

mod market;
mod page;

/// Topic for a load generator beside the market, with a route of its own: `{key}` alone could make the market's names too.
const BENCH: (&str, &str) = ("bench", "bench.{key}");
/// Partitions of each topic.
const PARTITIONS: u32 = 3;
/// How long the server may take to listen, and then to know where every partition begins.
const START: Duration = Duration::from_secs(30);
/// How long brokers may take to create a topic.
const CREATE: Duration = Duration::from_secs(20);
/// The market is the same each time.
const SEED: u64 = 7;

/// Arguments of `uringcast demo`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run everything live without external services: an embedded mock broker, a synthetic market on a few \
        hundred keys, the server, and a page for your browser. With --brokers it uses a real Kafka."
)]
pub(crate) struct Args {
    /// Address to serve the page on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    page_addr: SocketAddr,

    /// WebSocket listener (path /ws)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    lb_addr: SocketAddr,

    /// Admin listener for /health and /metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin_addr: SocketAddr,

    /// Bootstrap brokers of a real Kafka, instead of the embedded mock; missing topics are created
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,

    /// Number of keys: nine in ten are instruments, the others matches
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=300))]
    keys: u32,

    /// Records per second
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,

    /// Number of shards: threads that each serve a part of the connections
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,

    /// Stop after this time, as on SIGTERM
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,

    /// Log level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: String,
}

/// Runs it until a signal ends it, or `--for` is over.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (control, handle) = server::control();
    serve::prepare(&args.log_level, handle.clone())?;
    // Lives as long as this function.
    let mock = if args.brokers.is_none() { Some(MockCluster::start(1)?) } else { None };
    let settings = match (&args.brokers, &mock) {
        (Some(brokers), _) => Settings::new(brokers.clone()),
        (None, Some(mock)) => mock.settings(),
        (None, None) => bail!("no broker"),
    };
    create_topics(mock.as_ref(), &settings)?;

    let config = config(args, settings.clone())?;
    let server =
        thread::Builder::new().name("server".to_owned()).spawn(move || server::run(config, control))?;
    let Some(addresses) = started(&handle) else { return ended(server) };
    let market = Market::new(args.keys, SEED);
    let shown = page::serve(args.page_addr, page::render(&page_config(&market, addresses)))?;
    // The mock's settings are for consumers.
    let producer =
        market::MarketProducer::start(&Settings::new(settings.brokers.clone()), market, args.rate)?;
    say(args, &settings, addresses, shown);

    // The timer's thread ends with the process, or with the server, whichever is first.
    let (over, wait) = mpsc::channel::<()>();
    if let Some(seconds) = args.seconds {
        thread::Builder::new().name("timer".to_owned()).spawn(move || {
            if wait.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout) {
                handle.drain();
            }
        })?;
    }
    let outcome = ended(server);
    drop(over);
    producer.stop();
    outcome
}

/// Creates what is missing.
fn create_topics(mock: Option<&MockCluster>, settings: &Settings) -> anyhow::Result<()> {
    let names = ROUTES.iter().map(|(topic, _)| *topic).chain([BENCH.0]);
    if let Some(mock) = mock {
        for name in names {
            mock.create_topic(name, PARTITIONS)?;
        }
        return Ok(());
    }
    let (consumer, admin) = (Consumer::new(settings)?, Admin::new(settings)?);
    for name in names {
        match consumer.topic(name, CREATE) {
            Ok(_) => Ok(()),
            Err(TopicError::Unknown) => Ok(admin.create_topic(name, PARTITIONS, 1, &[], CREATE)?),
            Err(error) => Err(anyhow::Error::from(error)),
        }
        .with_context(|| format!("topic {name}"))?;
    }
    Ok(())
}

fn config(args: &Args, kafka: Settings) -> anyhow::Result<Config> {
    let shards = usize::from(args.shards);
    let cores = server::usable_cores();
    let route = |(topic, template): (&str, &str)| -> anyhow::Result<Route> {
        let template = Template::parse(template).with_context(|| format!("template {template}"))?;
        Ok(Route::new(topic, template))
    };
    let routes = ROUTES.into_iter().chain([BENCH]).map(route).collect::<Result<_, _>>()?;
    Ok(Config {
        shards,
        cores: if shards <= cores.len() { cores } else { Vec::new() },
        admin: Some(args.admin_addr),
        drain_timeout: Duration::from_secs(15),
        ..Config::new(args.lb_addr, kafka, routes)
    })
}

/// Waits until clients are let in; none: the server has ended, and its thread knows why.
fn started(handle: &Handle) -> Option<Addresses> {
    let addresses = handle.addresses(START)?;
    handle.is_ready_within(START).then_some(addresses)
}

/// The end of the server, by whatever.
fn ended(server: JoinHandle<Result<Summary, engine::error::Error>>) -> anyhow::Result<ExitCode> {
    let Ok(outcome) = server.join() else { bail!("the server panicked") };
    let summary = outcome?;
    say_end(&summary);
    Ok(ExitCode::SUCCESS)
}

/// What the page has to know.
fn page_config(market: &Market, addresses: Addresses) -> serde_json::Value {
    let topic = |(topic, template): (&str, &str)| {
        let kind = template.rsplit('.').next().unwrap_or_default();
        let keys = if kind == "score" { market.matches() } else { market.instruments() };
        let channels: Vec<_> = keys.iter().map(|key| template.replace("{key}", key)).collect();
        serde_json::json!({ "name": topic, "kind": kind, "channels": channels })
    };
    serde_json::json!({
        "socket_port": addresses.public.port(),
        "symbols": market.instruments(),
        "topics": ROUTES.into_iter().map(topic).collect::<Vec<_>>(),
    })
}

#[expect(clippy::print_stdout, reason = "this command talks to a person")]
fn say(args: &Args, settings: &Settings, addresses: Addresses, page: SocketAddr) {
    let broker = if args.brokers.is_some() { "Kafka" } else { "an embedded mock broker" };
    println!("uringcast demo");
    println!("  page     http://{page}/");
    println!("  clients  ws://{}/ws", addresses.public);
    if let Some(admin) = addresses.admin {
        println!("  health   http://{admin}/health and /metrics");
    }
    println!("  brokers  {} ({broker})", settings.brokers);
    println!(
        "  data     {} records a second on {} keys, topics prices, trades, scores",
        args.rate, args.keys
    );
    match args.seconds {
        Some(seconds) => println!("It ends by itself after {seconds} s; Ctrl-C ends it now."),
        None => println!("Ctrl-C ends it."),
    }
}

#[expect(clippy::print_stdout, reason = "this command talks to a person")]
fn say_end(summary: &Summary) {
    println!(
        "Drained in {} ms after {} s: {} connections, {} messages delivered, nothing held.",
        summary.drained_ms,
        summary.served_ms / 1_000,
        summary.connections,
        summary.deliveries
    );
}
