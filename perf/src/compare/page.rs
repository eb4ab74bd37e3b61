//! The comparison as a page: the plots of one run's page, with a line for each run.

use std::fmt::{self, Write};

use serde::Serialize;

use super::{
    Comparison,
    table::{ratio, shown},
};
use crate::{
    Report,
    figures::written,
    report::page::{
        PLOTS,
        parts::{self, Verdict, cells, escape},
        write_page,
    },
};

/// What the page carries.
#[derive(Serialize)]
struct Data<'a> {
    reports: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    report: &'a Report,
}

impl Comparison {
    /// The comparison as a page of its own.
    #[must_use]
    pub fn page(&self) -> String {
        let reports = self.runs.iter().map(|run| Named { name: &run.name, report: &run.report }).collect();
        let data = serde_json::to_string(&Data { reports }).unwrap_or_default();
        let body = written(|out| self.write_body(out));
        let names: Vec<&str> = self.runs.iter().map(|run| run.name.as_str()).collect();
        write_page(&format!("uringcast bench: {}", names.join(", ")), &body, &data)
    }

    fn write_body(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "<header><h1>uringcast bench</h1><p>{} runs side by side</p></header>",
            self.runs.len()
        )?;
        for run in &self.runs {
            let failures: Vec<String> =
                run.report.failures().iter().map(|failure| format!("{}: {failure}", run.name)).collect();
            parts::notes(out, "fail", &failures)?;
        }
        self.write_differences(out)?;
        self.write_figures(out)?;
        PLOTS.iter().try_for_each(|plot| parts::plot(out, plot))?;
        parts::command(out, self.runs.iter().map(|run| (run.name.as_str(), run.report.command.as_str())))?;
        let last = self.runs.iter().map(|run| &run.report).max_by_key(|report| report.begun_unix_ms);
        last.map_or(Ok(()), |report| parts::footer(out, &report.version, report.begun_unix_ms))
    }

    fn write_differences(&self, out: &mut String) -> fmt::Result {
        let differences: Vec<String> = self
            .differences()
            .into_iter()
            .map(|(name, values)| format!("not the same for all: {name} ({})", values.join("; ")))
            .collect();
        parts::notes(out, "warn", &differences)
    }

    fn write_figures(&self, out: &mut String) -> fmt::Result {
        parts::section(out, "summary", "Figures", "ratios are to the first run", false, "")?;
        write!(out, "<div class=\"scroll\"><table><tr><th></th>")?;
        for (number, run) in self.runs.iter().enumerate() {
            let verdict = Verdict::of(run.report.failures().is_empty());
            let word = if verdict == Verdict::Pass { "passed" } else { "failed" };
            write!(out, "<th>{}<br>{word}</th>", escape(&run.name))?;
            if number > 0 {
                write!(out, "<th>ratio</th>")?;
            }
        }
        writeln!(out, "</tr>")?;
        for row in self.rows() {
            let mut texts = Vec::new();
            for (number, value) in row.values.iter().enumerate() {
                texts.push((Verdict::None, value.map_or_else(|| "-".to_owned(), shown)));
                if number > 0 {
                    let verdict = row.is_better(number).map_or(Verdict::None, Verdict::of);
                    texts.push((verdict, ratio(&row, number)));
                }
            }
            cells(out, row.name, texts.iter().map(|(verdict, text)| (*verdict, text.as_str())))?;
        }
        parts::table_end(out)?;
        writeln!(out, "</section>")
    }
}
