//! The comparison for a terminal.

use std::fmt::{self, Write};

use super::{Comparison, Row};
use crate::figures::{grouped, whole, written};

const NAME: usize = 32;
const VALUE: usize = 14;
const RATIO: usize = 15;

impl Comparison {
    /// The comparison as a table: a column a run, and behind each but the first its ratio to the first.
    #[must_use]
    pub fn table(&self) -> String {
        let text = written(|out| self.write_table(out));
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
    }

    fn write_table(&self, out: &mut String) -> fmt::Result {
        for (number, run) in self.runs.iter().enumerate() {
            let state = if run.report.failures().is_empty() { "PASSED" } else { "FAILED" };
            writeln!(out, "{}  {}  {state}  {}", letter(number), run.name, run.report.command)?;
        }
        write!(out, "\n{:NAME$}", "")?;
        for number in 0..self.runs.len() {
            write!(out, "{:>VALUE$}", letter(number))?;
            if number > 0 {
                write!(out, "  {:<RATIO$}", format!("{} / A", letter(number)))?;
            }
        }
        writeln!(out)?;
        for row in self.rows() {
            write!(out, "{:NAME$}", row.name)?;
            for (number, value) in row.values.iter().enumerate() {
                write!(out, "{:>VALUE$}", value.map_or_else(|| "-".to_owned(), shown))?;
                if number > 0 {
                    write!(out, "  {:<RATIO$}", ratio(&row, number))?;
                }
            }
            writeln!(out)?;
        }
        let differences = self.differences();
        if !differences.is_empty() {
            writeln!(out, "\nnot the same for all: compare with care")?;
        }
        for (name, values) in differences {
            let values =
                values.iter().enumerate().map(|(number, value)| format!("{} {value}", letter(number)));
            writeln!(out, "  {:NAME$}{}", name, values.collect::<Vec<_>>().join("; "))?;
        }
        for (number, run) in self.runs.iter().enumerate() {
            for failure in run.report.failures() {
                writeln!(out, "FAILED  {}: {failure}", letter(number))?;
            }
        }
        Ok(())
    }
}

/// A, B, ...; beyond Z a number.
pub(super) fn letter(number: usize) -> String {
    let letter =
        u8::try_from(number).ok().and_then(|number| (number < 26).then(|| char::from(b'A' + number)));
    letter.map_or_else(|| (number + 1).to_string(), String::from)
}

/// `1.25x better`.
pub(super) fn ratio(row: &Row, number: usize) -> String {
    let verdict = match row.is_better(number) {
        Some(true) => " better",
        Some(false) => " worse",
        None => "",
    };
    match row.ratio(number) {
        Some(ratio) => format!("{ratio:.2}x{verdict}"),
        // From nothing to something has no ratio, but may be worse all the same.
        None => verdict.trim().to_owned(),
    }
}

/// Three digits or so.
pub(super) fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => grouped(whole(value)),
        middle if middle >= 100.0 => format!("{value:.0}"),
        small if small >= 10.0 => format!("{value:.1}"),
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}
