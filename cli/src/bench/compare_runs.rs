//! `uringcast bench compare-runs`: reports of several runs side by side.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use perf::{
    Report,
    compare::{Comparison, Run},
};

use super::{print, write};

/// Arguments of `uringcast bench compare-runs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Reports written by bench --json; the others are compared with the first
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    files: Vec<PathBuf>,

    /// Write the comparison as a self-contained HTML page with overlaid plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Compares. That one run is worse is no failure.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runs = args.files.iter().map(|file| read(file)).collect::<anyhow::Result<_>>()?;
    let comparison = Comparison::new(runs);
    print(&comparison.table())?;
    write(args.html.as_deref(), || comparison.page())?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Run> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a report of uringcast bench", file.display()))?;
    let name = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok(Run { name, report })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn two_files_at_least() {
        assert!(parse::<Args>(["a.json"]).is_err());
        let args: Args = parse(["a.json", "b.json", "c.json", "--html", "x.html"]).unwrap();
        assert_eq!((args.files.len(), args.html), (3, Some("x.html".into())));
    }

    #[test]
    fn what_is_no_report_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("other.json");
        std::fs::write(&file, "{}").unwrap();
        assert!(format!("{:#}", read(&file).unwrap_err()).contains("other.json is not a report"));
        assert!(format!("{:#}", read(&dir.path().join("none")).unwrap_err()).contains("cannot read"));
    }
}
