//! `uringcast check`: checks host and brokers against the settings of `serve`, before anybody depends on it.
//!
//! Facts are read first (`facts`, `brokers`), then judged by pure functions (`host`, `brokers`), so that each finding can be
//! provoked in a test. Nothing is changed; ports are bound for a moment, and brokers are asked.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;

use crate::{serve, values};

mod brokers;
mod facts;
mod host;

const CHECK: &str = "Check";

const AFTER_HELP: &str = "\
Takes the flags, variables and file of serve. Each finding comes with its consequence and the line that fixes it. Run it \
as the same user, and in the same container or unit, as serve: limits apply per process. Ports are bound briefly.

Exit codes: 0 serve can start; 1 it cannot; 2 invalid setting.

Example:
  uringcast check --config /etc/uringcast/uringcast.toml";

/// Arguments of `uringcast check`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: serve::Args,

    /// Print one JSON object to standard output
    #[arg(long, help_heading = CHECK)]
    json: bool,

    /// Time to wait for the brokers' response
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::time, help_heading = CHECK)]
    wait: Duration,
}

impl Args {
    /// Adds the routes of the file.
    pub(crate) fn set_file_routes(&mut self, routes: Vec<values::RouteSpec>) {
        self.serve.set_file_routes(routes);
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// The server does not start, or some of what it is for cannot work.
    Stop,
    /// It works, worse than it could.
    Warn,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    /// What follows from it.
    means: String,
    /// The line that sets it.
    set: String,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Item {
    /// A word for machines.
    area: &'static str,
    /// What was found.
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<Finding>,
}

impl Item {
    fn ok(area: &'static str, found: impl Into<String>) -> Self {
        Self { area, found: found.into(), finding: None }
    }

    fn stop(
        area: &'static str,
        found: impl Into<String>,
        means: impl Into<String>,
        set: impl Into<String>,
    ) -> Self {
        let finding = Finding { level: Level::Stop, means: means.into(), set: set.into() };
        Self { area, found: found.into(), finding: Some(finding) }
    }

    fn warn(
        area: &'static str,
        found: impl Into<String>,
        means: impl Into<String>,
        set: impl Into<String>,
    ) -> Self {
        let finding = Finding { level: Level::Warn, means: means.into(), set: set.into() };
        Self { area, found: found.into(), finding: Some(finding) }
    }
}

/// The whole answer of `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Nothing stops it.
    ok: bool,
    stops: usize,
    warnings: usize,
    items: &'a [Item],
}

/// Looks, judges and tells.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match serve::settings(args.serve) {
        Ok(config) => config,
        Err(text) => return Ok(serve::refused(&text)),
    };
    let mut items = host::judge(&config, &facts::Facts::read(&config));
    match brokers::ask(&config, args.wait) {
        Ok(facts) => items.extend(brokers::judge(&facts)),
        Err(error) => return Ok(serve::refused(&error.to_string())),
    }
    let count = |level| {
        items.iter().filter(|item| item.finding.as_ref().is_some_and(|found| found.level == level)).count()
    };
    let report = Report {
        ok: count(Level::Stop) == 0,
        stops: count(Level::Stop),
        warnings: count(Level::Warn),
        items: &items,
    };
    tell(&report, args.json)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "its answer")]
fn tell(report: &Report<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{}", text(report));
    }
    Ok(())
}

fn text(report: &Report<'_>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for Item { area, found, finding } in report.items {
        let word = match finding.as_ref().map(|finding| finding.level) {
            None => "ok",
            Some(Level::Warn) => "warn",
            Some(Level::Stop) => "STOP",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{word:<5} {area:<12} {found}");
        if let Some(Finding { means, set, .. }) = finding {
            let _ = writeln!(out, "      {:<12} means: {means}\n      {:<12} set:   {set}", "", "");
        }
    }
    let _ = match (report.stops, report.warnings) {
        (0, 0) => writeln!(out, "Nothing is missing."),
        (0, warnings) => writeln!(out, "Nothing stops it; {warnings} to look at."),
        (stops, 0) => writeln!(out, "{stops} to fix before serve can start."),
        (stops, warnings) => {
            writeln!(out, "{stops} to fix before serve can start; {warnings} more to look at.")
        }
    };
    out
}

/// `12000` as `12,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in MiB.
fn mib(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes.div_ceil(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well_and_counts_right() {
        let items = [
            Item::ok("kernel", "6.18"),
            Item::warn("somaxconn", "128", "bursts wait", "sysctl -w a=b"),
            Item::stop("port", "taken", "it does not start", "--lb-addr"),
        ];
        let report = Report { ok: false, stops: 1, warnings: 1, items: &items };
        assert_eq!(
            text(&report),
            "ok    kernel       6.18\n\
             warn  somaxconn    128\n                   means: bursts wait\n                   set:   sysctl -w a=b\n\
             STOP  port         taken\n                   means: it does not start\n                   set:   --lb-addr\n\
             1 to fix before serve can start; 1 more to look at.\n"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(mib((3 << 20) + 1), "4 MiB");
    }
}
