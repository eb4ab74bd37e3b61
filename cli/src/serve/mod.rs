//! `uringcast serve`: arguments, environment and file become the engine's checked settings; signals become its commands.

use std::process::ExitCode;

/// Arguments of `uringcast serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the server until a signal ends it.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {} = args;
    anyhow::bail!("not wired yet")
}
