//! The flags of the engine's table of limits.

use clap::{Arg, ArgMatches, Command};
use engine::limits::{Limit, Limits, Unit};

use super::args::{CLIENTS, LIMITS};
use crate::values;

/// What the flags begin with that the file has in its table `[limits]`; the other limits stand among the clients' flags.
pub(super) const PREFIX: &str = "limit-";

/// All limits, as flags set them.
#[derive(Debug, Clone)]
pub(crate) struct LimitArgs(pub(super) Limits);

impl clap::Args for LimitArgs {
    fn augment_args(command: Command) -> Command {
        Limits::TABLE.iter().fold(command, |command, limit| {
            let heading = if limit.flag.starts_with(PREFIX) { LIMITS } else { CLIENTS };
            command.arg(flag(limit).help_heading(heading))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for LimitArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(read(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = read(matches);
        Ok(())
    }
}

/// The flag of a limit. Its former names work, out of sight.
fn flag(limit: &'static Limit) -> Arg {
    let default = (limit.get)(&Limits::default());
    let unit = limit.unit;
    let (name, default) = match unit {
        Unit::Count => ("N", default.to_string()),
        Unit::Bytes => ("SIZE", values::size_text(default)),
        Unit::Time => ("TIME", values::time_text(default)),
    };
    Arg::new(limit.field)
        .long(limit.flag)
        .aliases(limit.former)
        .value_name(name)
        .help(limit.help)
        .default_value(default)
        .value_parser(move |text: &str| number(unit, text))
}

/// A value in the unit of its limit.
fn number(unit: Unit, text: &str) -> Result<u64, String> {
    Ok(match unit {
        Unit::Count => values::count(text)? as u64,
        Unit::Bytes => values::size(text)? as u64,
        // At most a day.
        Unit::Time => u64::try_from(values::time(text)?.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The limits that flags set.
fn read(matches: &ArgMatches) -> Limits {
    let mut limits = Limits::default();
    for limit in Limits::TABLE {
        if let Some(number) = matches.get_one::<u64>(limit.field) {
            (limit.set)(&mut limits, *number);
        }
    }
    limits
}
