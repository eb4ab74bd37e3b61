//! The documents' tables of limits are those of engine/src/limits.rs.

use std::fs;

use engine::limits::{Limit, Limits, Unit};

use super::{read, report, root};

/// Set this variable to have the tables written instead of compared.
const WRITE: &str = "WRITE_TABLES";

/// Writes a limit's row.
type Row = fn(&Limit) -> String;

/// The documents, with the head of their table and what a limit's row has.
const TABLES: [(&str, &str, Row); 2] = [
    (
        "docs/operations.md",
        "| Flag | Default | What is bounded | When it is exceeded |\n|---|---|---|---|",
        |limit| {
            format!("| `--{}` | {} | {} | {} |", limit.flag, default(limit), limit.bounds, limit.exceeded)
        },
    ),
    ("docs/PROTOCOL.md", "| Limit | Default | When it is exceeded |\n|---|---|---|", |limit| {
        format!("| {} | {} | {} |", limit.bounds, default(limit), limit.exceeded)
    }),
];

/// A limit's default, as documents write it.
fn default(limit: &Limit) -> String {
    let number = (limit.get)(&Limits::default());
    let (number, unit) = match limit.unit {
        Unit::Count => (number, ""),
        Unit::Bytes if number.is_multiple_of(1 << 20) => (number >> 20, " MiB"),
        Unit::Bytes if number.is_multiple_of(1 << 10) => (number >> 10, " KiB"),
        Unit::Bytes => (number, " B"),
        Unit::Time if number.is_multiple_of(1_000) => (number / 1_000, " s"),
        Unit::Time => (number, " ms"),
    };
    format!("{}{unit}{}", grouped(number), limit.note)
}

/// `12000` as `12,000`.
fn grouped(number: u64) -> String {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    if thousands == 0 { rest.to_string() } else { format!("{},{rest:03}", grouped(thousands)) }
}

fn table(head: &str, row: Row) -> String {
    let rows = Limits::TABLE.iter().map(|limit| format!("{}\n", row(limit)));
    format!("{head}\n{}", rows.collect::<String>())
}

/// What stands before the table below the heading `## Limits`, the table, and what stands behind it.
fn around(document: &str) -> Option<(&str, &str, &str)> {
    let heading = document.find("\n## Limits")?;
    let begin = heading + document[heading..].find("\n|")? + 1;
    let lines = document[begin..].split_inclusive('\n').take_while(|line| line.starts_with('|'));
    let end = begin + lines.map(str::len).sum::<usize>();
    Some((&document[..begin], &document[begin..end], &document[end..]))
}

/// The first line in which the document's table is not the one that it should have.
fn difference(document: &str, table: &str) -> Option<String> {
    let Some((_, found, _)) = around(document) else {
        return Some("there is no table below a heading \"Limits\"".to_owned());
    };
    let lines = found.lines().count().max(table.lines().count());
    let line = |text: &str, at| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
    let pairs = (0..lines).map(|at| (line(found, at), line(table, at)));
    let (found, wanted) = { pairs }.find(|(found, wanted)| found != wanted)?;
    Some(format!("found    {found}\nexpected {wanted}"))
}

#[test]
fn the_documents_tables_of_limits_are_the_engines() {
    let mut findings = Vec::new();
    for (path, head, row) in TABLES {
        let (document, table) = (read(path), table(head, row));
        let Some(difference) = difference(&document, &table) else { continue };
        match around(&document).filter(|_| std::env::var_os(WRITE).is_some()) {
            Some((before, _, behind)) => {
                fs::write(root().join(path), format!("{before}{table}{behind}")).unwrap()
            }
            None => findings.push(format!(
                "{path} differs from engine/src/limits.rs:\n{difference}\n\
                 Write its table anew: {WRITE}=1 cargo test -p uringcast --test tidy limits"
            )),
        }
    }
    report(&findings);
}

#[test]
fn a_table_that_differs_is_found() {
    let [(_, head, row), _] = TABLES;
    let table = table(head, row);
    let document =
        |table: &str| format!("# Title\n\n| no | limits |\n\n## Limits\n\nWords.\n\n{table}\nMore words.\n");
    assert_eq!(difference(&document(&table), &table), None);
    assert_eq!(around(&document(&table)).unwrap().2, "\nMore words.\n");
    let planted = [
        table.replace("| 12,000 |", "| 12,001 |"),
        table.replace("503 with", "504 with"),
        table
            .lines()
            .filter(|line| !line.contains("--limit-channels`"))
            .map(|line| format!("{line}\n"))
            .collect(),
        format!("{table}| `--limit-nothing` | 1 | nothing | nothing |\n"),
        String::new(),
    ];
    for wrong in planted {
        assert!(wrong != table && difference(&document(&wrong), &table).is_some(), "{wrong}");
    }
    let said = difference(&document(&table.replace("| 12,000 |", "| 12,001 |")), &table).unwrap();
    assert!(said.contains("12,001") && said.contains("12,000"), "{said}");
    assert!(difference("# Title\n", &table).is_some());
}

#[test]
fn defaults_are_written_as_documents_write_numbers() {
    assert_eq!([0, 999, 1_000, 12_000, 1_000_005].map(grouped), ["0", "999", "1,000", "12,000", "1,000,005"]);
    let written = |flag: &str| default(Limits::TABLE.iter().find(|limit| limit.flag == flag).unwrap());
    assert_eq!(written("limit-channel-name"), "255 B");
    assert_eq!(written("max-message"), "256 KiB");
    assert_eq!(written("blocked-timeout"), "30 s");
    assert_eq!(written("limit-request-rate"), "200/s");
}
