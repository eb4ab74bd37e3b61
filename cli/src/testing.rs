//! For the tests of the commands.

use std::ffi::OsString;

/// The arguments of one command, from the words behind its name.
pub(crate) fn parse<A: clap::Args>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.try_get_matches_from(words)?)
}
