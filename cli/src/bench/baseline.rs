//! `uringcast bench baseline`: the kernel's own price on this machine.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use perf::baseline::{self, Plan};

use super::{print, time, words, write};

const AFTER_HELP: &str = "\
A bare loop of send(2), batches of io_uring sends that carry 1, 4, 16 and 64 messages each, accept(2), and waking a ring \
that sleeps: what a server would pay that did nothing else. Each is measured several times, in turn, because machines \
change their mind; the figures are medians, with the lowest and the highest.

The sender stands on --core, the reader on the other core and looks once a millisecond: a reader that sleeps in the \
kernel would be woken by nearly every send, at the sender's cost. Compare with bench --poll-ms 1; bench --with-baseline \
measures this before a run and prints the ratio.

Nothing else should run meanwhile.";

/// Arguments of `uringcast bench baseline`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Core of the thread that sends, accepts and is woken
    #[arg(long, value_name = "N", default_value_t = 0)]
    core: usize,

    /// Core of the other thread; [default: the first other one]
    #[arg(long, value_name = "N")]
    other_core: Option<usize>,

    /// Connections; a send costs more the more there are
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: u32,

    /// Bytes of a message with its frame
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,

    /// Length of one measurement
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = time)]
    step: Duration,

    /// Measurements of each kind
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: u32,

    /// The figures as JSON
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
