//! `uringcast produce`: lines, a stamped synthetic load or a market into Kafka.

use std::{
    io::BufRead,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use kafka::{NewRecord, ProducerOptions, SendError};
use perf::{
    Clock,
    market::{Market, ROUTES},
    plan::BROADCAST_KEY,
    produce::Sender,
    schedule::{Rate, Schedule},
};

use crate::values::{self, Property};

/// How long the brokers may take to acknowledge what was sent.
const FLUSH_MAX: Duration = Duration::from_secs(30);
const ADMIN_MAX: Duration = Duration::from_secs(15);
/// Without an end: a hundred years.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

const AFTER_HELP: &str = "\
Without --rate or --market, lines of standard input are sent: KEY<TAB>VALUE, or just a value for a record without a \
key; KEY<TAB> with no value is a tombstone.

With --rate, values can be verified by uringcast bench --listen-only; keys are key-0 .. key-(N-1).

With --market, synthetic prices, trades and scores go to the topics prices, trades and scores (prefixed by --prefix); \
routes for them: prices={key}.price trades={key}.trade scores={key}.score

Examples:
  echo 'BTC<TAB>{\"price\":1}' | uringcast produce --topic trades
  uringcast produce --market --rate 200";

/// Arguments of `uringcast produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Bootstrap brokers
    #[arg(long, value_name = "HOST:PORT", env = "KAFKA_BROKERS", default_value = "localhost:9092", value_parser = values::brokers)]
    brokers: String,

    /// Topic for lines and for --rate
    #[arg(long, value_name = "TOPIC", default_value = "bench")]
    topic: String,

    /// Create missing topics with this many partitions
    #[arg(long, value_name = "PARTITIONS")]
    create: Option<u32>,

    /// Records per second over all keys; [default with --market: 100]
    #[arg(long, value_name = "R")]
    rate: Option<Rate>,

    /// Additional records per second with the key "broadcast"
    #[arg(long, value_name = "R", default_value = "0", requires = "rate")]
    broadcast_rate: Rate,

    /// Number of keys; [default with --market: 300]
    #[arg(long, value_name = "N")]
    keys: Option<u32>,

    /// Size of a value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,

    /// Duration [default: until interrupted]
    #[arg(long, value_name = "TIME", value_parser = values::time_or_seconds)]
    duration: Option<Duration>,

    /// Produce a synthetic market
    #[arg(long)]
    market: bool,

    /// Prefix of the market's topic names
    #[arg(long, value_name = "TEXT", default_value = "", requires = "market")]
    prefix: String,

    /// Random seed of the market
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Producer linger time
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = values::time_or_seconds)]
    linger: Duration,

    /// Set a librdkafka property; for secrets, VALUE may be @file:PATH or @env:NAME; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::property)]
    kafka: Vec<Property>,
}

/// Produces until done or interrupted.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let properties = args.kafka.iter().map(|Property { key, value }| (key.clone(), value.clone())).collect();
    let settings = kafka::Settings { brokers: args.brokers.clone(), properties };
    let linger_ms = u32::try_from(args.linger.as_millis()).unwrap_or(u32::MAX);
    let options = ProducerOptions { idempotent: true, linger_ms };
    let topics: Vec<String> = if args.market {
        ROUTES.iter().map(|(topic, _)| format!("{}{topic}", args.prefix)).collect()
    } else {
        vec![args.topic.clone()]
    };
    if let Some(partitions) = args.create {
        create(&settings, &topics, partitions)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop)).context("signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signals")?;
    }
    if args.market {
        return market(&args, &settings, &options, &topics, &stop);
    }
    match args.rate {
        Some(rate) => stamped(&args, rate, &settings, &options, &stop),
        None => lines(&args, &settings, &options, std::io::stdin().lock(), &stop),
    }
}

/// Creates topics; one that exists is left as it is.
fn create(settings: &kafka::Settings, topics: &[String], partitions: u32) -> anyhow::Result<()> {
    let admin = kafka::Admin::new(settings)?;
    for topic in topics {
        match admin.create_topic(topic, partitions, 1, &[], ADMIN_MAX) {
            Ok(()) => eprintln!("created topic {topic} with {partitions} partitions"),
            Err(error) if error.to_string().to_lowercase().contains("exists") => {}
            Err(error) => return Err(error).with_context(|| format!("cannot create topic {topic}")),
        }
    }
    Ok(())
}

/// What `bench --listen-only` checks.
fn stamped(
    args: &Args,
    rate: Rate,
    settings: &kafka::Settings,
    options: &ProducerOptions,
    stop: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    let count = args.keys.unwrap_or(1);
    let keys = (0..count).map(|key| format!("key-{key}")).chain([BROADCAST_KEY.to_owned()]).collect();
    let sender = Sender::new(settings, options, &args.topic, keys, args.size)?;
    let clock = Clock::start();
    let schedule = Schedule::new(count, rate, args.broadcast_rate, args.duration.unwrap_or(FOREVER));
    let produced = sender.run(clock, schedule, clock.now_ns(), stop);
    eprintln!(
        "{} records acknowledged, {} failed; at most {:.1} ms late",
        produced.delivered,
        produced.failed + produced.unacknowledged,
        produced.lateness.percentile_ms(100.0)
    );
    if let Some(error) = produced.error {
        bail!("{error}");
    }
    Ok(ExitCode::SUCCESS)
}

fn market(
    args: &Args,
    settings: &kafka::Settings,
    options: &ProducerOptions,
    topics: &[String],
    stop: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    let out = Out::new(settings, options, topics, stop)?;
    let mut market = Market::new(args.keys.unwrap_or(300), args.seed);
    let clock = Clock::start();
    let begin_ns = clock.now_ns();
    let rate = args.rate.unwrap_or(Rate::per_second(100));
    for due in Schedule::new(1, rate, Rate::ZERO, args.duration.unwrap_or(FOREVER)) {
        clock.sleep_until(begin_ns + due.at_ns);
        if stop.load(Relaxed) {
            break;
        }
        let record = market.next(clock.now_ns() / 1_000_000);
        let topic = ROUTES.iter().position(|(topic, _)| *topic == record.topic).unwrap_or(0);
        out.send(topic, Some(record.key.as_bytes()), Some(record.value.as_bytes()))?;
    }
    out.finish()
}

/// `KEY<TAB>VALUE` a line.
fn lines(
    args: &Args,
    settings: &kafka::Settings,
    options: &ProducerOptions,
    input: impl BufRead,
    stop: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    let out = Out::new(settings, options, std::slice::from_ref(&args.topic), stop)?;
    for line in input.split(b'\n') {
        let line = line.context("standard input")?;
        if stop.load(Relaxed) {
            break;
        }
        let (key, value) = record_of(&line);
        out.send(0, key, value)?;
    }
    out.finish()
}

/// Key and value of a line.
fn record_of(line: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    match line.iter().position(|byte| *byte == b'\t') {
        Some(tab) => (Some(&line[..tab]), Some(&line[tab + 1..]).filter(|value| !value.is_empty())),
        None => (None, Some(line)),
    }
}

/// A producer to some topics that waits when its queue is full.
struct Out<'a> {
    producer: kafka::Producer,
    targets: Vec<kafka::Target>,
    clock: Clock,
    stop: &'a AtomicBool,
}

impl<'a> Out<'a> {
    fn new(
        settings: &kafka::Settings,
        options: &ProducerOptions,
        topics: &[String],
        stop: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        let producer = kafka::Producer::new(settings, options)?;
        let targets = topics.iter().map(|topic| producer.target(topic)).collect::<Result<_, _>>()?;
        Ok(Self { producer, targets, clock: Clock::start(), stop })
    }

    fn send(&self, topic: usize, key: Option<&[u8]>, value: Option<&[u8]>) -> anyhow::Result<()> {
        let record = NewRecord { key, value, ..NewRecord::default() };
        loop {
            match self.producer.send(&self.targets[topic], &record) {
                Err(SendError::Full) if !self.stop.load(Relaxed) => {
                    self.clock.sleep_until(self.clock.now_ns() + 1_000_000);
                }
                sent => return Ok(sent?),
            }
        }
    }

    fn finish(self) -> anyhow::Result<ExitCode> {
        let flushed = self.producer.flush(FLUSH_MAX);
        let counts = self.producer.counts();
        eprintln!("{} records acknowledged, {} failed", counts.delivered, counts.failed);
        if counts.failed > 0 {
            bail!("{}", self.producer.last_error().unwrap_or_else(|| "given up on".to_owned()));
        }
        flushed?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys_and_values() {
        assert_eq!(record_of(b"k\tv"), (Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!(record_of(b"k\tv\tw"), (Some(&b"k"[..]), Some(&b"v\tw"[..])));
        assert_eq!(record_of(b"k\t"), (Some(&b"k"[..]), None));
        assert_eq!(record_of(b"\tv"), (Some(&b""[..]), Some(&b"v"[..])));
        assert_eq!(record_of(b"v"), (None, Some(&b"v"[..])));
    }
}
