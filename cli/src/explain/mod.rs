//! `uringcast explain`: diagnoses why a record was not delivered by a running server.
//!
//! The server finds it out (/explain of its admin listener); here it is asked, and shown.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, process::ExitCode};

use anyhow::Context as _;
use engine::admin::explain::Explanation;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::values;

mod text;

const AFTER_HELP: &str = "\
Shows route, channel, expected partition, subscribers by shard and the newest message still in memory, then every reason \
found why the record is not delivered. The expected partition is that of the Java producer (murmur2) and of librdkafka's \
default partitioner (CRC-32); a producer may use another.

Exit codes: 0 the topic is routed and no reason was found; 1 a reason was found, or the server does not respond; 2 \
invalid argument.

Examples:
  uringcast explain trades BTC
  uringcast explain alerts --header region=eu --admin 10.0.0.7:8081 --json";

/// Arguments of `uringcast explain`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Topic of the record
    topic: String,

    /// Key of the record, any bytes; omit it for a record without a key
    key: Option<OsString>,

    /// The server's admin listener
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8081", value_parser = admin)]
    admin: String,

    /// Partition of the record, if known
    #[arg(long, value_name = "N")]
    partition: Option<u32>,

    /// Header of the record, for routes that name channels by it; repeatable
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<String>,

    /// Print the server's response, one JSON object, to standard output
    #[arg(long)]
    json: bool,
}

/// Asks and tells.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let answer = perf::admin::get(&args.admin, &path(&args))?;
    let explanation: Explanation = serde_json::from_str(&answer)
        .context("cannot parse the server's response: is it another version?")?;
    if args.json {
        tell(&format!("{answer}\n"))?;
    } else {
        tell(&text::text(&explanation))?;
    }
    Ok(if explanation.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output")
}

/// The query, as `engine::admin::explain::Asked` reads it.
fn path(args: &Args) -> String {
    let encoded = |bytes: &[u8]| percent_encode(bytes, NON_ALPHANUMERIC).to_string();
    let mut path = format!("/explain?topic={}", encoded(args.topic.as_bytes()));
    if let Some(key) = &args.key {
        path.push_str(&format!("&key={}", encoded(key.as_bytes())));
    }
    if let Some(partition) = args.partition {
        path.push_str(&format!("&partition={partition}"));
    }
    for header in &args.headers {
        path.push_str(&format!("&header={}", encoded(header.as_bytes())));
    }
    path
}

/// `HOST:PORT`, or the URL of something there.
fn admin(text: &str) -> Result<String, String> {
    values::brokers(&values::host_of(text))
}

fn header(text: &str) -> Result<String, String> {
    let (name, _) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() { Err("the name is empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use engine::admin::explain::Asked;

    use super::*;

    fn parse(words: &[&[u8]]) -> Result<Args, clap::Error> {
        let words = words.iter().map(|word| OsString::from_vec(word.to_vec()));
        crate::testing::parse(words)
    }

    #[test]
    fn the_server_reads_what_was_typed() {
        let typed: [&[u8]; 7] =
            [b"t.a", b"a&b= +%41\xff", b"--partition=3", b"--header", b"r=\xc3\xa9&=", b"--header", b"s="];
        let path = path(&parse(&typed).unwrap());
        let asked = Asked::parse(path.strip_prefix("/explain?").unwrap()).unwrap();
        let expected = Asked {
            topic: "t.a".into(),
            key: Some(b"a&b= +%41\xff".to_vec()),
            partition: Some(3),
            headers: vec![("r".to_owned(), "é&=".into()), ("s".to_owned(), Vec::new())],
        };
        assert_eq!(asked, expected, "{path}");
    }

    #[test]
    fn no_key_is_not_an_empty_one() {
        assert_eq!(path(&parse(&[b"t"]).unwrap()), "/explain?topic=t");
        assert_eq!(path(&parse(&[b"t", b""]).unwrap()), "/explain?topic=t&key=");
    }

    #[test]
    fn wrong_arguments_are_named() {
        let wrong: [(&[&[u8]], &str); 5] = [
            (&[], "<TOPIC>"),
            (&[b"t", b"k", b"--admin", b"8081"], "HOST:PORT"),
            (&[b"t", b"k", b"--partition=-1"], "--partition"),
            (&[b"t", b"k", b"--header", b"region"], "NAME=VALUE"),
            (&[b"t", b"k", b"--header", b"=eu"], "the name is empty"),
        ];
        for (words, named) in wrong {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert_eq!(parse(&[b"t", b"--admin", b"http://a:1/explain"]).unwrap().admin, "a:1");
    }
}
