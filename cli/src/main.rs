//! `uringcast`: Kafka in, WebSocket out. This binary is glue: arguments become checked settings, and a library does the work.
//!
//! Exit codes: 0 done, 2 the command line, the environment or the configuration file is wrong, 1 anything else.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod bench;
mod check;
mod demo;
mod echo;
mod explain;
mod one_dash;
mod produce;
mod serve;
#[cfg(test)]
mod testing;
mod values;

/// The commands. Each has a module with `Args` and `pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode>`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Kafka topics to WebSocket clients.
    Serve(Box<serve::Args>),
    /// Check host and brokers against the settings of serve.
    Check(Box<check::Args>),
    /// Diagnose why a record was not delivered.
    Explain(Box<explain::Args>),
    /// Load-test a server and verify every message.
    Bench(Box<bench::Args>),
    /// Produce records to Kafka: lines from stdin, a verifiable load, or a synthetic market.
    Produce(Box<produce::Args>),
    /// Run a live demo in one process: broker, data, server and web page.
    Demo(demo::Args),
    /// Echo messages back to clients, for conformance suites.
    Echo(Box<echo::Args>),
}

/// Kafka in, WebSocket out, on io_uring.
#[derive(Debug, Parser)]
#[command(name = "uringcast", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let argv = one_dash::rewrite(std::env::args_os());
    let layered = match serve::layers::parse(Cli::command(), &argv, &|name| std::env::var_os(name)) {
        Ok(layered) => layered,
        Err(failure) => return failure.report(),
    };
    let cli = Cli::from_arg_matches(&layered.matches).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        Command::Serve(mut args) => {
            args.set_file_routes(layered.routes);
            serve::run(*args)
        }
        Command::Check(mut args) => {
            args.set_file_routes(layered.routes);
            check::run(*args)
        }
        Command::Explain(args) => explain::run(*args),
        Command::Bench(args) => bench::run(*args),
        Command::Produce(args) => produce::run(*args),
        Command::Demo(args) => demo::run(&args),
        Command::Echo(args) => echo::run(*args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("uringcast: {error:#}");
        ExitCode::FAILURE
    })
}
