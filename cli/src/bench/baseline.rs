//! `uringcast bench baseline`: the kernel's own cost on this machine.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use perf::baseline::{self, Plan};

use super::{print, words, write};
use crate::values;

const AFTER_HELP: &str = "\
Measures a plain loop of send(2), batches of io_uring sends with 1, 4, 16 and 64 messages each, accept(2), and waking a \
sleeping ring: the cost to a server that does nothing else. Each is measured several times, in turn, because machines vary \
over time; the figures are medians, with minimum and maximum.

The sender runs on --core, the reader on the other core, where it polls once a millisecond: a reader that sleeps in the \
kernel would be woken by nearly every send, at the sender's cost. Compare with bench --poll-ms 1; bench --with-baseline \
measures this before a run and prints the ratio.

The machine should be otherwise idle.";

/// Arguments of `uringcast bench baseline`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Core of the thread that sends, accepts and is woken
    #[arg(long, value_name = "N", default_value_t = 0)]
    core: usize,

    /// Core of the other thread [default: the first other one]
    #[arg(long, value_name = "N")]
    other_core: Option<usize>,

    /// Number of connections; more of them make a send costlier
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: u32,

    /// Size of a message with its frame, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,

    /// Duration of one measurement
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = values::time_or_seconds)]
    step: Duration,

    /// Number of measurements of each kind
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: u32,

    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        connections: args.connections,
        frame_bytes: args.size,
        core: args.core,
        other_core: args.other_core,
        step: args.step,
        repeats: args.repeats,
    };
    if let Err(error) = plan.check() {
        eprintln!("uringcast bench baseline: {error}");
        return Ok(ExitCode::from(2));
    }
    let mut baseline = baseline::measure(&plan)?;
    baseline.command = words::command(std::env::args());
    print(&baseline.table())?;
    write(args.json.as_deref(), || baseline.json())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let Args { core, other_core, connections, size, step, repeats, json } =
            crate::testing::parse([""; 0]).unwrap();
        let plan = Plan { connections, frame_bytes: size, core, other_core, step, repeats };
        assert_eq!((plan, json), (Plan::default(), None));
    }
}
