//! Flags with one dash, as the Go predecessor took them: `-shards 3`, `-lb-addr=:3005`.

use std::ffi::OsString;

/// Flags of the predecessor that people have in scripts.
const NAMES: [&str; 2] = ["shards", "lb-addr"];

/// Gives the second dash to the flags of [`NAMES`] that come with one. Behind `--` nothing is touched.
pub(crate) fn rewrite(argv: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flags = true;
    argv.into_iter()
        .map(|argument| {
            flags = flags && argument != "--";
            if flags && is_old(&argument) { with_dash(&argument) } else { argument }
        })
        .collect()
}

fn is_old(argument: &OsString) -> bool {
    let Some(flag) = argument.to_str().and_then(|text| text.strip_prefix('-')) else { return false };
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    NAMES.contains(&name)
}

fn with_dash(argument: &OsString) -> OsString {
    let mut long = OsString::from("-");
    long.push(argument);
    long
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    fn rewritten(argv: &[&str]) -> Vec<String> {
        rewrite(argv.iter().map(Into::into))
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_predecessors_flags_get_their_second_dash() {
        assert_eq!(
            rewritten(&["uringcast", "serve", "-shards", "3", "-lb-addr=:3005", "--shards", "4"]),
            ["uringcast", "serve", "--shards", "3", "--lb-addr=:3005", "--shards", "4"]
        );
    }

    #[test]
    fn everything_else_stays() {
        for argument in ["-s", "-shard", "-", "--", "shards", "-shards-x", "-v"] {
            assert_eq!(rewritten(&["uringcast", argument]), ["uringcast", argument]);
        }
        assert_eq!(rewritten(&["uringcast", "--", "-shards"]), ["uringcast", "--", "-shards"]);
    }
}
