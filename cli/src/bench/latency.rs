//! `uringcast bench latency`: one message at a time, beside a plain Kafka consumer.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use perf::{
    latency::{self, Plan},
    plan::Target,
};

use super::{print, words, write};
use crate::values::{self, Property};

const AFTER_HELP: &str = "\
A subscriber of the server and a plain consumer of the same topic wait for the same records. The plain consumer's latency \
is Kafka's share; the difference, message by message, is what the server adds. The two fetch independently, so the \
subscriber may come first.

Server and machine should be otherwise idle.

Exit codes: 0 both received every message; 1 they did not, or it could not be measured; 2 invalid argument.";

/// Arguments of `uringcast bench latency`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// URL that the subscriber connects to
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/ws")]
    url: String,

    /// Bootstrap brokers
    #[arg(long, value_name = "HOST:PORT", env = "KAFKA_BROKERS", default_value = "localhost:9092", value_parser = values::brokers)]
    brokers: String,

    /// Topic to produce to; the server must route it
    #[arg(long, value_name = "TOPIC", default_value = "bench")]
    topic: String,

    /// Key of the records
    #[arg(long, value_name = "KEY", default_value = "key-0")]
    key: String,

    /// Channel template of the server's route, over {topic} and {key}
    #[arg(long, value_name = "TEMPLATE", default_value = "{key}")]
    topic_channel: String,

    /// Number of messages
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    count: u32,

    /// Mean time between two messages
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = values::time_or_seconds)]
    interval: Duration,

    /// Size of a value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,

    /// Set a librdkafka property of producer and consumer; for secrets, VALUE may be @file:PATH or @env:NAME; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::property)]
    kafka: Vec<Property>,

    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plan = match plan(&args).and_then(|plan| plan.check().map(|()| plan)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("uringcast bench latency: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let report = latency::run(&plan)?;
    print(&report.table())?;
    write(args.json.as_deref(), || report.json())?;
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(args: &Args) -> Result<Plan, perf::Error> {
    let target = Target::parse(&args.url)?;
    // The load generator's own rule of names.
    let one = perf::Plan {
        topic: args.topic.clone(),
        topic_channel: args.topic_channel.clone(),
        ..perf::Plan::new(target.clone())
    };
    Ok(Plan {
        target,
        brokers: args.brokers.clone(),
        properties: args.kafka.iter().map(|Property { key, value }| (key.clone(), value.clone())).collect(),
        topic: args.topic.clone(),
        channel: one.channel_name(&args.key)?,
        key: args.key.clone(),
        count: args.count,
        interval: args.interval,
        size: args.size,
        command: words::command(std::env::args()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_comes_from_topic_key_and_template() {
        let plan = |words: &'static str| plan(&crate::testing::parse(words.split_whitespace()).unwrap());
        let usual = plan("").unwrap();
        assert_eq!(
            (usual.channel.as_str(), usual.count, usual.interval),
            ("key-0", 1_000, Duration::from_millis(10))
        );
        usual.check().unwrap();
        let other =
            plan("--topic t --key BTC --topic-channel {topic}.{key} --count 5 --interval 1s").unwrap();
        assert_eq!((other.channel.as_str(), other.key.as_str()), ("t.BTC", "BTC"));
        assert!(plan("--topic-channel {key").is_err() && plan("--url http://x/").is_err());
    }
}
