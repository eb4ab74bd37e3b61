//! What the scripts of this tree leave to Rust: they start and stop processes and pin cores, this reads what those wrote.
//! Built by `need_xtask` of scripts/lib, never part of a release.
//!
//! Answers go to standard output, for a script to take; what is wrong goes to standard error, a line each, with exit code 1.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "scripts read it")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

mod confine;
mod conform;
mod connect;
mod deploy;
mod fanout;
mod figures;
mod machine;
mod metrics;
mod results;

/// What the scripts leave to Rust.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the value at a JSON pointer; fails where it is missing or null.
    Json {
        /// The place, like /server/deliveries.
        pointer: String,
        /// The document; standard input where none is named.
        file: Option<PathBuf>,
    },
    /// Print a metric of the server, summed over its labels, from the exposition on standard input.
    Metric {
        /// Its name without the prefix. Where the exposition lacks it, nothing is printed.
        name: String,
    },
    /// Print the name that runs on this machine are kept under.
    MachineName {
        /// Its cores.
        cores: usize,
    },
    /// Take paths of this machine out of files, as far as they are there.
    Scrub {
        /// The measured binary, named `uringcast` from then on.
        binary: String,
        /// The repository, whose files are named from there.
        root: String,
        /// The files.
        files: Vec<PathBuf>,
    },
    /// Print how many tests passed and failed, from what a test runner printed.
    TestResults {
        /// Whose output it is.
        runner: results::Runner,
        /// The output.
        log: PathBuf,
        /// The exit code of what ran.
        status: i32,
    },
    /// Print the table of scripts/bench-fanout, and judge it.
    Fanout {
        /// The folder of the reports.
        reports: PathBuf,
        /// How many rounds there were.
        rounds: u32,
        /// The rates, messages a second, rising.
        #[arg(required = true)]
        rates: Vec<u32>,
    },
    /// Print the CPU microseconds of one connection between two expositions: the shard's and the accept ring's.
    ConnectCost {
        /// How many connections came and went in between.
        clients: u32,
        /// The exposition before.
        before: PathBuf,
        /// The exposition after.
        after: PathBuf,
    },
    /// Print the table of scripts/bench-connect, and judge it.
    ConnectTable {
        /// The folder of the costs: a file for each crowd, a line for each round.
        folder: PathBuf,
        /// The crowds, rising.
        #[arg(required = true)]
        crowds: Vec<u32>,
    },
    /// Results of the Autobahn suite.
    #[command(subcommand)]
    Conform(conform::Command),
    /// Check that the files of deploy/ agree with each other.
    Deploy {
        /// The repository.
        root: PathBuf,
    },
    /// Run a command under the system call filter of a profile of container engines (.json) or of a unit (.service). A
    /// forbidden call ends the process.
    Confine {
        /// The profile or the unit.
        source: PathBuf,
        /// Forbid this call too, and let what is forbidden fail with the error that the source says.
        #[arg(long, value_name = "CALL")]
        without: Option<String>,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// What a check printed, and what it found wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    text: String,
    problems: Vec<String>,
}

impl Verdict {
    /// Prints it; success where nothing is wrong.
    fn tell(&self) -> ExitCode {
        print!("{}", self.text);
        for problem in &self.problems {
            eprintln!("{problem}");
        }
        if self.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_or_stdin(path: Option<&Path>) -> anyhow::Result<String> {
    match path {
        Some(path) => read(path),
        None => io::read_to_string(io::stdin()).context("cannot read standard input"),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Json { pointer, file } => {
            println!("{}", figures::value(&read_or_stdin(file.as_deref())?, &pointer)?);
        }
        Command::Metric { name } => {
            if let Some(sum) = metrics::sum(&read_or_stdin(None)?, &name, None) {
                println!("{sum}");
            }
        }
        Command::MachineName { cores } => {
            println!("{}", machine::name(&read(Path::new("/proc/cpuinfo"))?, cores));
        }
        Command::Scrub { binary, root, files } => {
            for file in files.iter().filter(|file| file.exists()) {
                fs::write(file, figures::scrubbed(&read(file)?, &binary, &root))
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        Command::TestResults { runner, log, status } => {
            // A log may hold what a test printed, and that need not be text.
            let log = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
            let counts = results::counts(runner, &String::from_utf8_lossy(&log)).with_exit_code(status);
            println!("{} {}", counts.passed, counts.failed);
        }
        Command::Fanout { reports, rounds, rates } => {
            return Ok(fanout::verdict(&fanout::read(&reports, rounds, &rates)?).tell());
        }
        Command::ConnectCost { clients, before, after } => {
            println!("{}", connect::cost(&read(&before)?, &read(&after)?, clients)?);
        }
        Command::ConnectTable { folder, crowds } => {
            return Ok(connect::verdict(&connect::read(&folder, &crowds)?).tell());
        }
        Command::Conform(command) => return conform::run(command),
        Command::Deploy { root } => return Ok(deploy::verdict(&root)?.tell()),
        Command::Confine { source, without, command } => {
            return Err(confine::run(&source, without.as_deref(), &command));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn what_is_confined_keeps_its_own_options() {
        let cli =
            Cli::parse_from(["xtask", "confine", "--without", "bpf", "a.json", "ls", "--all", "--help"]);
        let Command::Confine { without, command, .. } = cli.command else { panic!("another command") };
        assert_eq!(
            (without.as_deref(), command),
            (Some("bpf"), vec!["ls".into(), "--all".into(), "--help".into()])
        );
    }
}
