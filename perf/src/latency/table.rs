//! A latency report for people.

use std::fmt::{self, Write};

use super::{Bin, Distribution, Report};
use crate::{
    figures::{grouped, real, time, written},
    report::table::row,
};

/// Widest bar.
const BAR: usize = 20;

impl Report {
    /// The report as a table with three histograms.
    #[must_use]
    pub fn table(&self) -> String {
        written(|out| self.write_table(out))
    }

    fn write_table(&self, out: &mut String) -> fmt::Result {
        let plan = &self.plan;
        row(
            out,
            "latency",
            format_args!(
                "{} messages, one every {} or so, values of {} B",
                grouped(self.server.count),
                time(real(u64::try_from(plan.interval.as_nanos()).unwrap_or(u64::MAX))),
                plan.size
            ),
        )?;
        row(out, "bare consumer", figures(&self.bare))?;
        row(out, "through server", figures(&self.server))?;
        row(out, "difference", figures(&self.difference))?;
        row(
            out,
            "  client first",
            format_args!("{} of {}", grouped(self.server_first), grouped(self.difference.count)),
        )?;
        if !self.bins.is_empty() {
            writeln!(out, "\n{:>19}   {:<27} {:<27} difference", "", "bare consumer", "through server")?;
            let most = |of: fn(&Bin) -> u64| self.bins.iter().map(of).max().unwrap_or(0);
            let most = [most(|bin| bin.bare), most(|bin| bin.server), most(|bin| bin.difference)];
            for bin in &self.bins {
                let label = match bin.from_ns {
                    None => "below 0".to_owned(),
                    Some(from_ns) => format!("from {}", time(signed(from_ns))),
                };
                let counts = [bin.bare, bin.server, bin.difference];
                let bars = counts.iter().zip(most).map(|(count, most)| bar(*count, most));
                writeln!(
                    out,
                    "{}",
                    format!("{label:>19}   {}", bars.collect::<Vec<_>>().join(" ")).trim_end()
                )?;
            }
            writeln!(out)?;
        }
        row(out, "machine", self.machine.line(self.busy_percent, self.steal_percent))?;
        for failure in &self.failures {
            row(out, "FAILED", failure)?;
        }
        if self.failures.is_empty() { row(out, "PASSED", "") } else { Ok(()) }
    }
}

/// A bar and its count; nothing for none.
fn bar(count: u64, most: u64) -> String {
    if count == 0 {
        return " ".repeat(BAR + 7);
    }
    let width = count.saturating_mul(BAR as u64).div_ceil(most.max(1));
    let bar = "#".repeat(usize::try_from(width).unwrap_or(BAR));
    format!("{:<27}", format!("{bar} {count}"))
}

fn figures(distribution: &Distribution) -> String {
    if distribution.count == 0 {
        return "none".to_owned();
    }
    let shown = distribution
        .percentiles
        .iter()
        .map(|(percentile, ns)| format!("p{percentile} {}", time(signed(*ns))));
    format!(
        "min {}  {}  max {}",
        time(signed(distribution.min_ns)),
        shown.collect::<Vec<_>>().join("  "),
        time(signed(distribution.max_ns))
    )
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn signed(ns: i64) -> f64 {
    ns as f64
}
