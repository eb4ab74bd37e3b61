//! Log lines on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use super::args::LogFormat;

/// Sets up the log of the process. The filter has been parsed once already.
pub(super) fn install(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let installed = match format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
}
