//! Pieces that all pages are made of.

use std::fmt::{self, Display, Write};

use super::Plot;
use crate::figures::utc;

/// A text for HTML, in elements and in attributes.
pub(crate) fn escape(text: &str) -> impl Display + '_ {
    struct Escaped<'a>(&'a str);
    impl Display for Escaped<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.chars().try_for_each(|c| match c {
                '&' => f.write_str("&amp;"),
                '<' => f.write_str("&lt;"),
                '>' => f.write_str("&gt;"),
                '"' => f.write_str("&quot;"),
                '\'' => f.write_str("&#39;"),
                other => f.write_char(other),
            })
        }
    }
    Escaped(text)
}

/// How a figure is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it must be.
    Pass,
    /// Not as it must be.
    Fail,
    /// Nothing is demanded of it.
    None,
}

impl Verdict {
    /// By whether a demand is met.
    pub(crate) fn of(met: bool) -> Self {
        if met { Self::Pass } else { Self::Fail }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::None => "",
        }
    }
}

/// Failures or warnings; nothing if there are none.
pub(crate) fn notes(out: &mut String, class: &str, notes: &[String]) -> fmt::Result {
    if notes.is_empty() {
        return Ok(());
    }
    write!(out, "<ul class=\"notes {class}\">")?;
    for note in notes {
        write!(out, "<li>{}</li>", escape(note))?;
    }
    writeln!(out, "</ul>")
}

/// A section that the page's script draws into.
pub(crate) fn plot(out: &mut String, plot: &Plot) -> fmt::Result {
    let Plot { name, title, note, half, logarithmic } = plot;
    let switch = if *logarithmic {
        format!("<label><input type=\"checkbox\" data-for=\"{name}\">logarithmic</label>")
    } else {
        String::new()
    };
    section(out, name, title, note, *half, &switch)?;
    writeln!(out, "<figure data-plot=\"{name}\" data-name=\"{title}\"></figure></section>")
}

/// Opens a section; the caller closes it.
pub(crate) fn section(
    out: &mut String,
    id: &str,
    title: &str,
    note: &str,
    half: bool,
    more: &str,
) -> fmt::Result {
    let class = if half { " class=\"half\"" } else { "" };
    writeln!(out, "<section id=\"{id}\"{class}><h2>{title} <em>{}</em>{more}</h2>", escape(note))
}

/// A section of names and values.
pub(crate) fn list(
    out: &mut String,
    id: &str,
    title: &str,
    half: bool,
    rows: &[(&'static str, String)],
) -> fmt::Result {
    section(out, id, title, "", half, "")?;
    write!(out, "<dl>")?;
    for (name, value) in rows {
        write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value))?;
    }
    writeln!(out, "</dl></section>")
}

/// The exact commands, by name of the run.
pub(crate) fn command<'a>(
    out: &mut String,
    commands: impl Iterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    section(out, "command", "Command", "", false, "")?;
    for (name, command) in commands {
        if !name.is_empty() {
            write!(out, "<h3>{}</h3>", escape(name))?;
        }
        let command = if command.is_empty() { "not known" } else { command };
        write!(out, "<pre>{}</pre>", escape(command))?;
    }
    writeln!(out, "</section>")
}

/// Which program, and when.
pub(crate) fn footer(out: &mut String, version: &str, begun_unix_ms: u64) -> fmt::Result {
    writeln!(
        out,
        "<footer>uringcast {}, {}. The page carries the whole report as JSON, in the element <code>data</code>.</footer>",
        escape(version),
        utc(begun_unix_ms)
    )
}

/// A row of a table: its first cell is a name.
pub(crate) fn cells<'a>(
    out: &mut String,
    name: &str,
    cells: impl IntoIterator<Item = (Verdict, &'a str)>,
) -> fmt::Result {
    write!(out, "<tr><td>{}</td>", escape(name))?;
    for (verdict, text) in cells {
        match verdict {
            Verdict::None => write!(out, "<td>{}</td>", escape(text))?,
            Verdict::Pass | Verdict::Fail => {
                write!(out, "<td class=\"{}\">{}</td>", verdict.class(), escape(text))?;
            }
        }
    }
    writeln!(out, "</tr>")
}

/// The head of a table; the caller closes it.
pub(crate) fn table(out: &mut String, heads: &[&str]) -> fmt::Result {
    write!(out, "<div class=\"scroll\"><table><tr>")?;
    heads.iter().try_for_each(|head| write!(out, "<th>{}</th>", escape(head)))?;
    writeln!(out, "</tr>")
}

/// Ends a table.
pub(crate) fn table_end(out: &mut String) -> fmt::Result {
    writeln!(out, "</table></div>")
}
