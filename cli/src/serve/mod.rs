//! `uringcast serve`: arguments, environment and file become the engine's checked settings; signals become its commands.

use std::process::ExitCode;

mod args;
mod config;
pub(crate) mod layers;
mod limits;
mod logging;
mod signals;

pub(crate) use args::{Args, LogFormat};
pub(crate) use config::shards_and_cores;

use crate::values;

/// Exit code when a setting is wrong.
const WRONG_SETTING: u8 = 2;

impl Args {
    /// Adds the routes of the file, which no flag can express.
    pub(crate) fn set_file_routes(&mut self, routes: Vec<values::RouteSpec>) {
        self.file_routes = routes;
    }
}

/// Runs the server until a signal ends it.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    log_to_stderr(&args.log_level, args.log_format)?;
    run_until_a_signal(config::config(args))
}

/// Sets up the log.
pub(crate) fn log_to_stderr(level: &str, format: LogFormat) -> anyhow::Result<()> {
    logging::install(level, format)
}

/// Runs the engine with these settings, unless they are wrong.
pub(crate) fn run_until_a_signal(config: Result<engine::config::Config, String>) -> anyhow::Result<ExitCode> {
    let config = match config {
        Ok(config) => config,
        Err(text) => return Ok(refused(&text)),
    };
    let (control, handle) = engine::server::control();
    signals::install(handle)?;
    match engine::server::run(config, control) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error @ engine::error::Error::Config(_)) => Ok(refused(&error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What another command that runs the server needs: log lines on stderr, and signals that drain it.
pub(crate) fn prepare(log_level: &str, handle: engine::server::Handle) -> anyhow::Result<()> {
    logging::install(log_level, args::LogFormat::Text)?;
    Ok(signals::install(handle)?)
}

/// The engine's settings of these arguments, checked.
pub(crate) fn settings(args: Args) -> Result<engine::config::Config, String> {
    config::config(args)
}

/// A setting is wrong: says so, and gives the exit code.
pub(crate) fn refused(text: &str) -> ExitCode {
    eprintln!("uringcast: {text}");
    ExitCode::from(WRONG_SETTING)
}
