//! The report as a page: one file, without network, small.
//!
//! Figures and tables are written here, plots are drawn by the page itself (`page.js`) from the report, which
//! it carries whole. A page of several runs is the same with more lines.

mod configuration;
pub(crate) mod parts;
mod tables;
mod tiles;

use std::fmt::{self, Write};

pub(crate) use self::configuration::{configuration, machine};
use self::parts::escape;
use super::Report;
use crate::figures::{utc, written};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is fetched from anywhere, whatever a report may contain.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// A plot: its name in the page's script, title, and what there is to know to read it.
pub(crate) struct Plot {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    /// Takes half of a wide page.
    pub(crate) half: bool,
    /// Its values may be shown on a logarithmic scale.
    pub(crate) logarithmic: bool,
}

/// The plots, in the order of the page.
pub(crate) const PLOTS: [Plot; 7] = [
    Plot {
        name: "percentiles",
        title: "Latency by percentile",
        note: "from when a message was due until a client had it; the axis shows 1 in 10, 1 in 100, ...",
        half: false,
        logarithmic: true,
    },
    Plot {
        name: "latency",
        title: "Latency over time",
        note: "of the messages due in each interval",
        half: true,
        logarithmic: true,
    },
    Plot {
        name: "throughput",
        title: "Throughput over time",
        note: "messages, all connections together",
        half: true,
        logarithmic: false,
    },
    Plot {
        name: "sends",
        title: "Messages per send over time",
        note: "a busy server batches: it rises with the load",
        half: true,
        logarithmic: false,
    },
    Plot { name: "cpu", title: "CPU over time", note: "100 % is one core", half: true, logarithmic: false },
    Plot {
        name: "connect",
        title: "Connections ready",
        note: "upgraded and subscribed, since the first connect",
        half: true,
        logarithmic: false,
    },
    Plot {
        name: "memory",
        title: "Memory over time",
        note: "both ends of loopback connections are in the buffers",
        half: true,
        logarithmic: false,
    },
];

impl Report {
    /// The report as a page of its own.
    #[must_use]
    pub fn page(&self) -> String {
        let data = serde_json::to_string(self).unwrap_or_default();
        let body = written(|out| self.write_body(out));
        write_page(&format!("uringcast bench, {}", utc(self.begun_unix_ms)), &body, &data)
    }

    fn write_body(&self, out: &mut String) -> fmt::Result {
        let passed = self.failures.is_empty();
        let (class, word) = if passed { ("pass", "PASSED") } else { ("fail", "FAILED") };
        writeln!(
            out,
            "<header><h1>uringcast bench</h1><span class=\"state {class}\">{word}</span><p>{}</p></header>",
            escape(&configuration::in_short(self))
        )?;
        parts::notes(out, "fail", &self.failures)?;
        parts::notes(out, "warn", &self.warnings)?;
        tiles::write(out, self)?;
        PLOTS.iter().try_for_each(|plot| parts::plot(out, plot))?;
        tables::threads(out, self)?;
        tables::loss(out, self)?;
        tables::times(out, self)?;
        if let Some(baseline) = &self.baseline {
            tables::baseline(out, baseline, self.limit.as_ref())?;
        }
        parts::list(out, "machine", "Machine", true, &machine(self))?;
        parts::list(out, "configuration", "Configuration", true, &configuration(self))?;
        parts::command(out, [("", &*self.command)].into_iter())?;
        parts::footer(out, &self.version, self.begun_unix_ms)
    }
}

/// The frame around a body. `data` is JSON that the plots are drawn from.
pub(crate) fn write_page(title: &str, body: &str, data: &str) -> String {
    // In JSON a `<` stands only within texts, where it may be written like this: so no text ends the script.
    let data = data.replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n<script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(title)
    )
}

#[cfg(test)]
pub(crate) mod tests;
