//! `uringcast bench`: arguments become the load generator's plan; its report becomes a table, files and the exit code.
//! Its subcommands measure what stands beside such a run, or compare several.

mod bar;
mod baseline;
mod compare_runs;
mod latency;
mod words;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use perf::{
    Plan, Report,
    baseline::Baseline,
    plan::{Demands, Load, Produce, ServerView, Target},
    schedule::Rate,
};

use self::bar::Bar;
use crate::values::{self, Cores, Property};

const LOAD: &str = "Load";
const CLIENTS: &str = "Clients";
const KAFKA: &str = "Kafka";
const SERVER: &str = "Server under test";
const RESULT: &str = "Result";

const AFTER_HELP: &str = "\
Each client subscribes to --per-client of the channels key-0 .. key-(N-1), evenly spread, and with --broadcast-rate to \
one more channel shared by all. Each message carries a sequence number and its scheduled time; on every connection and \
channel no message may be missing, repeated, out of order, damaged, or from a channel not subscribed to. Latency is \
measured from the scheduled time, so that stalls are not hidden (no coordinated omission).

Use --poll-ms for CPU figures (clients that sleep in the kernel are woken by nearly every send, at the server's cost), \
and omit it for latencies. Do not mix the two.

Exit codes: 0 passed; 1 failed, see the last lines; 2 invalid argument.

Examples:
  uringcast bench --producer --brokers localhost:9092 --topic trades --clients 1000 --rate 100
  uringcast bench --producer --topic bench --clients 12000 --channels 1000 --per-client 5 --rate 500 --broadcast-rate 4
  uringcast bench --hold --clients 10000 --duration 60s
  uringcast bench --producer --clients 2000 --poll-ms 1 --admin 127.0.0.1:8081 --with-baseline --html run.html --json run.json
  uringcast bench compare-runs before.json after.json --html both.html";

/// Arguments of `uringcast bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(group = clap::ArgGroup::new("load").required(true).args(["producer", "listen_only", "hold", "worker"]))]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Produce the load through Kafka
    #[arg(long, help_heading = LOAD)]
    producer: bool,

    /// Measure a load produced elsewhere (verified if it is from uringcast produce --rate)
    #[arg(long, help_heading = LOAD)]
    listen_only: bool,

    /// Only hold the connections open
    #[arg(long, help_heading = LOAD)]
    hold: bool,

    /// A process of a bench with --processes.
    #[arg(long, hide = true)]
    worker: bool,

    /// Messages per second, over all keyed channels
    #[arg(long, value_name = "R", default_value = "100", help_heading = LOAD)]
    rate: Rate,

    /// Messages per second on an additional channel that every client subscribes to
    #[arg(long, value_name = "R", default_value = "0", help_heading = LOAD)]
    broadcast_rate: Rate,

    /// With --listen-only: every client also subscribes to the broadcast channel
    #[arg(long, help_heading = LOAD)]
    broadcast: bool,

    /// Number of keyed channels
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = LOAD)]
    channels: u32,

    /// Keyed channels per client
    #[arg(long, value_name = "K", default_value_t = 1, help_heading = LOAD)]
    per_client: u32,

    /// With --listen-only: channel name to use instead of key-N; repeatable
    #[arg(long = "channel", value_name = "NAME", help_heading = LOAD)]
    names: Vec<String>,

    /// Size of a value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256, help_heading = LOAD)]
    size: usize,

    /// Duration of the measurement
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::time_or_seconds, help_heading = LOAD)]
    duration: Duration,

    /// Warm-up load before it, verified but not measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = values::time_or_seconds, help_heading = LOAD)]
    warmup: Duration,

    /// Time to wait for the last messages
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time_or_seconds, help_heading = LOAD)]
    drain_wait: Duration,

    /// URL that clients connect to
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/ws", help_heading = CLIENTS)]
    url: String,

    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = CLIENTS)]
    clients: u32,

    /// New connections per second; 0: as fast as --connect-pending allows
    #[arg(long, value_name = "R", default_value_t = 2_000, help_heading = CLIENTS)]
    connect_rate: u32,

    /// Concurrent connection attempts per thread, up to the last acknowledgement
    #[arg(long, value_name = "N", default_value_t = 512, help_heading = CLIENTS)]
    connect_pending: u32,

    /// Maximum time from connect to the last acknowledgement
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time_or_seconds, help_heading = CLIENTS)]
    connect_timeout: Duration,

    /// Connect from 127.0.0.1, 127.0.0.2, ... in turn, if one address has too few ports
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = CLIENTS)]
    source_addresses: u8,

    /// Number of client threads
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = CLIENTS)]
    threads: u32,

    /// Number of processes with that many threads each, if one may open too few descriptors
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = CLIENTS)]
    processes: u32,

    /// Cores to pin client threads to, in turn: a list such as 1 or 0,2-3
    #[arg(long, value_name = "LIST", default_value = "none", value_parser = values::cores, help_heading = CLIENTS)]
    core: Cores,

    /// Read only every N ms, as remote clients would; for CPU figures
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    poll_ms: Option<u64>,

    /// Pass only if the server closes every connection with CODE during the load
    #[arg(long, value_name = "CODE", help_heading = CLIENTS)]
    expect_close: Option<u16>,

    /// Bootstrap brokers
    #[arg(long, value_name = "HOST:PORT", env = "KAFKA_BROKERS", default_value = "localhost:9092", value_parser = values::brokers, help_heading = KAFKA)]
    brokers: String,

    /// Topic to produce to; the server must route it
    #[arg(long, value_name = "TOPIC", default_value = "bench", help_heading = KAFKA)]
    topic: String,

    /// Channel template of the server's route, over {topic} and {key}
    #[arg(long, value_name = "TEMPLATE", default_value = "{key}", help_heading = KAFKA)]
    topic_channel: String,

    /// Producer linger time
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = values::time_or_seconds, help_heading = KAFKA)]
    linger: Duration,

    /// Disable producer idempotence (retries may then cause duplicates)
    #[arg(long, help_heading = KAFKA)]
    no_idempotence: bool,

    /// Set a librdkafka property; for secrets, VALUE may be @file:PATH or @env:NAME; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::property, help_heading = KAFKA)]
    kafka: Vec<Property>,

    /// The server's admin listener, to read its /metrics
    #[arg(long, value_name = "HOST:PORT", help_heading = SERVER)]
    admin: Option<String>,

    /// The server's process on this machine, for CPU time by thread and memory
    #[arg(long, value_name = "PID", help_heading = SERVER)]
    server_pid: Option<u32>,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = RESULT)]
    json: Option<PathBuf>,

    /// Write the report as a self-contained HTML page: summary, plots, tables, configuration
    #[arg(long, value_name = "FILE", help_heading = RESULT)]
    html: Option<PathBuf>,

    /// First measure the kernel's own cost on this machine (bench baseline), and report how close the server comes to it
    #[arg(long, alias = "with-floor", requires = "admin", help_heading = RESULT)]
    with_baseline: bool,

    /// Write the latency distribution in HdrHistogram's text format
    #[arg(long, value_name = "FILE", help_heading = RESULT)]
    hgrm: Option<PathBuf>,

    /// Fail if the 99th percentile latency exceeds this
    #[arg(long, value_name = "MS", help_heading = RESULT)]
    p99_max_ms: Option<f64>,

    /// Fail if any shard's number of connections deviates more from the mean
    #[arg(long, value_name = "PERCENT", requires = "admin", help_heading = RESULT)]
    spread_max: Option<f64>,

    /// Fail below this many deliveries per second of server CPU time
    #[arg(long, value_name = "N", help_heading = RESULT)]
    per_cpu_min: Option<f64>,

    /// Do not show progress
    #[arg(long, short, help_heading = RESULT)]
    quiet: bool,
}

/// What else there is to measure, or to do with a measurement.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Measure what sends, accepts and wake-ups cost in the kernel of this machine.
    #[command(alias = "floor")]
    Baseline(baseline::Args),
    /// Measure the latency of single messages through an idle server, beside a plain Kafka consumer.
    Latency(latency::Args),
    /// Compare reports of several runs side by side, with ratios.
    CompareRuns(compare_runs::Args),
}

/// Makes the run, or what the subcommand says.
pub(crate) fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    match args.command.take() {
        Some(Command::Baseline(args)) => return baseline::run(args),
        Some(Command::Latency(args)) => return latency::run(args),
        Some(Command::CompareRuns(args)) => return compare_runs::run(args),
        None => {}
    }
    if args.worker {
        perf::serve_worker()?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = match plan(&args).and_then(|plan| plan.check().map(|()| plan)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("uringcast bench: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let watched = !args.quiet && std::io::stderr().is_terminal();
    let baseline = args.with_baseline.then(|| measure_baseline(&plan, watched)).transpose()?;
    let mut report = if watched {
        let mut bar = Bar::default();
        let report = perf::run(&plan, Some(&mut |moment| bar.show(&moment)));
        bar.clear();
        report?
    } else {
        perf::run(&plan, None)?
    };
    if let Some(baseline) = baseline {
        report.compare_to_baseline(baseline);
    }
    finish(&args, &report)
}

fn measure_baseline(plan: &Plan, watched: bool) -> Result<Baseline, perf::Error> {
    let beside = perf::baseline::Plan::beside(plan);
    if watched {
        eprintln!("measuring the baseline, about {} s", beside.length().as_secs());
    }
    perf::baseline::measure(&beside)
}

fn finish(args: &Args, report: &Report) -> anyhow::Result<ExitCode> {
    print(&report.table())?;
    write(args.json.as_deref(), || report.json())?;
    write(args.html.as_deref(), || report.page())?;
    write(args.hgrm.as_deref(), || report.hgrm())?;
    Ok(if report.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// To standard output.
fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output")
}

/// To a file, if it was asked for.
fn write(path: Option<&Path>, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, text()).with_context(|| format!("cannot write {}", path.display()))
}

fn plan(args: &Args) -> Result<Plan, perf::Error> {
    let load = if args.producer {
        Load::Produce(Produce {
            brokers: args.brokers.clone(),
            properties: args
                .kafka
                .iter()
                .map(|Property { key, value }| (key.clone(), value.clone()))
                .collect(),
            rate: args.rate,
            broadcast_rate: args.broadcast_rate,
            size: args.size,
            linger: args.linger,
            idempotent: !args.no_idempotence,
        })
    } else if args.hold {
        Load::Hold
    } else {
        Load::Listen
    };
    let cores = match &args.core {
        Cores::Auto => Vec::new(),
        Cores::List(cores) => cores.clone(),
    };
    Ok(Plan {
        clients: args.clients,
        connect_rate: args.connect_rate,
        connect_pending: args.connect_pending,
        connect_timeout: args.connect_timeout,
        source_addresses: args.source_addresses,
        threads: args.threads,
        cores,
        processes: args.processes,
        worker_command: worker_command(args.processes)?,
        poll: args.poll_ms.map(Duration::from_millis),
        channels: args.channels,
        names: args.names.clone(),
        per_client: args.per_client,
        broadcast: args.broadcast || !args.broadcast_rate.is_zero(),
        topic: args.topic.clone(),
        topic_channel: args.topic_channel.clone(),
        load,
        warmup: args.warmup,
        duration: args.duration,
        drain_wait: args.drain_wait,
        expect_close: args.expect_close,
        demands: Demands {
            p99_ms_max: args.p99_max_ms,
            spread_percent_max: args.spread_max,
            per_cpu_second_min: args.per_cpu_min,
        },
        server: ServerView { admin: args.admin.as_deref().map(values::host_of), pid: args.server_pid },
        command: words::command(std::env::args()),
        ..Plan::new(Target::parse(&args.url)?)
    })
}

fn worker_command(processes: u32) -> Result<Vec<String>, perf::Error> {
    if processes == 1 {
        return Ok(Vec::new());
    }
    let program =
        std::env::current_exe().map_err(|error| perf::Error::Kernel(format!("this program: {error}")))?;
    Ok(vec![program.to_string_lossy().into_owned(), "bench".to_owned(), "--worker".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Args, clap::Error> {
        crate::testing::parse(words.split_whitespace())
    }

    #[test]
    fn the_capacity_test_can_be_said() {
        let words = "--producer --clients 12000 --channels 1000 --per-client 5 --rate 500 --broadcast-rate 4 \
            --duration 60 --p99-max-ms 250 --admin 127.0.0.1:8081 --spread-max 1 --core 1";
        let plan = plan(&parse(words).unwrap()).unwrap();
        plan.check().unwrap();
        assert_eq!((plan.clients, plan.spread().per_client(), plan.channel_count()), (12_000, 6, 1_001));
        assert_eq!((plan.duration, plan.cores), (Duration::from_secs(60), vec![1]));
        assert_eq!((plan.demands.p99_ms_max, plan.demands.spread_percent_max), (Some(250.0), Some(1.0)));
    }

    #[test]
    fn exactly_one_kind_of_load() {
        assert!(parse("--clients 1").is_err());
        assert!(parse("--producer --hold").is_err());
        for (words, hold) in [("--hold", true), ("--listen-only --broadcast", false)] {
            let plan = plan(&parse(words).unwrap()).unwrap();
            plan.check().unwrap();
            assert_eq!(matches!(plan.load, Load::Hold), hold);
            assert_eq!(plan.broadcast, !hold);
        }
    }

    #[test]
    fn a_subcommand_needs_no_load_and_takes_none() {
        for words in ["baseline", "floor", "latency --count 5", "compare-runs a.json b.json"] {
            assert!(parse(words).unwrap().command.is_some(), "{words}");
        }
        assert!(parse("--producer baseline").is_err(), "a run or something else");
        assert!(parse("--producer").unwrap().command.is_none());
        assert!(parse("--producer --with-baseline").is_err(), "the count of sends is in the metrics");
        for flag in ["--with-baseline", "--with-floor"] {
            assert!(parse(&format!("--producer {flag} --admin 127.0.0.1:8081")).unwrap().with_baseline);
        }
    }
}
