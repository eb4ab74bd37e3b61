//! scripts/conform: what the Autobahn suite reports, and how it compares with what is committed.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the results of a run, a line for each case, from the suite's own index.
    Results {
        /// The suite's report/index.json.
        index: PathBuf,
    },
    /// Print how many cases ended in which way; fails where there are none.
    Counts {
        /// Results of a run.
        found: PathBuf,
    },
    /// Compare, and print passed and failed at last; fails where a case differs.
    Compare {
        /// The results that are committed.
        expected: PathBuf,
        /// Results of a run.
        found: PathBuf,
        /// A page that shows what went over the wire.
        page: PathBuf,
        /// Only some of the cases were run.
        #[arg(long)]
        part: bool,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Results { index } => print!("{}", Results::of_suite(&crate::read(&index)?)?.to_json()),
        Command::Counts { found } => {
            let found = Results::parse(&crate::read(&found)?)?;
            ensure!(!found.0.is_empty(), "no case was run");
            println!("{}", found.counts());
        }
        Command::Compare { expected, found, page, part } => {
            let expected = Results::parse(&crate::read(&expected)?)?;
            let found = Results::parse(&crate::read(&found)?)?;
            let differences = found.differences(&expected, part);
            if !differences.is_empty() {
                println!("expected (<) and found (>):");
                for line in differences.values() {
                    print!("{line}");
                }
                println!("what went over the wire: {}", page.display());
            }
            let failed = differences.len();
            println!("{} passed, {failed} failed", found.0.len().saturating_sub(failed));
            return Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of a case, like 6.4.1; in the order of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case(String);

impl Ord for Case {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers =
            |case: &Self| case.0.split('.').map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
        numbers(self).cmp(&numbers(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Case {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What the server did in each case, and how it closed where that is not as good.
#[derive(Debug, PartialEq, Eq)]
struct Results(BTreeMap<Case, String>);

impl Results {
    fn of_suite(index: &str) -> anyhow::Result<Self> {
        let index: Value = serde_json::from_str(index).context("the suite's index is no JSON")?;
        let cases = index
            .get("uringcast")
            .and_then(Value::as_object)
            .context("the suite tells nothing of uringcast")?;
        let result = |(name, case): (&String, &Value)| {
            let word = |key| {
                case.get(key).and_then(Value::as_str).with_context(|| format!("case {name} has no {key}"))
            };
            let (did, closed) = (word("behavior")?, word("behaviorClose")?);
            let result = if did == closed { did.to_owned() } else { format!("{did}, close {closed}") };
            Ok((Case(name.clone()), result))
        };
        cases.iter().map(result).collect::<anyhow::Result<_>>().map(Self)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let results: BTreeMap<String, String> = serde_json::from_str(text).context("these are no results")?;
        Ok(Self(results.into_iter().map(|(name, result)| (Case(name), result)).collect()))
    }

    /// A line for each case, so that a changed result is a line in a diff.
    fn to_json(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let lines = self.0.iter().map(|(case, result)| format!("  {}: {}", quoted(&case.0), quoted(result)));
        format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"))
    }

    fn counts(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        for result in self.0.values() {
            *counts.entry(result).or_default() += 1;
        }
        let counts = counts.iter().map(|(result, count)| format!("{count} {result}"));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// The cases that did not end as expected, with a line for each side. In a part of a run, those that were run.
    fn differences(&self, expected: &Self, part: bool) -> BTreeMap<Case, String> {
        let cases: BTreeSet<_> = self.0.keys().chain(expected.0.keys().filter(|_| !part)).collect();
        let mut differences = BTreeMap::new();
        for case in cases {
            let (was, is) = (expected.0.get(case), self.0.get(case));
            if was != is {
                let mut lines = String::new();
                for (side, result) in [('<', was), ('>', is)] {
                    if let Some(result) = result {
                        let _ = writeln!(lines, "{side}   \"{}\": \"{result}\"", case.0);
                    }
                }
                differences.insert(case.clone(), lines);
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"{"uringcast": {
        "10.1.1": {"behavior": "OK", "behaviorClose": "OK", "duration": 2},
        "2.10": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
        "2.9": {"behavior": "OK", "behaviorClose": "OK"}}}"#;

    #[test]
    fn results_are_lines_in_the_order_of_their_numbers() {
        let text = "{\n  \"2.9\": \"OK\",\n  \"2.10\": \"NON-STRICT, close OK\",\n  \"10.1.1\": \"OK\"\n}\n";
        let results = Results::of_suite(INDEX).unwrap();
        assert_eq!(results.to_json(), text);
        assert_eq!(Results::parse(text).unwrap(), results);
        assert_eq!(results.counts(), "1 NON-STRICT, close OK, 2 OK");
    }

    #[test]
    fn a_report_of_another_form_is_an_error() {
        for index in ["", "{}", r#"{"uringcast": {"1.1": {"behavior": "OK"}}}"#] {
            assert!(Results::of_suite(index).is_err(), "{index}");
        }
    }

    #[test]
    fn the_same_results_do_not_differ() {
        let results = Results::of_suite(INDEX).unwrap();
        assert!(results.differences(&results, false).is_empty());
    }

    #[test]
    fn a_case_that_changed_came_or_went_differs() {
        let expected = Results::parse(r#"{"1.1": "OK", "1.2": "OK", "1.3": "OK"}"#).unwrap();
        let found = Results::parse(r#"{"1.1": "OK", "1.2": "FAILED", "1.10": "OK"}"#).unwrap();
        let lines = |part| found.differences(&expected, part).into_values().collect::<Vec<_>>();
        assert_eq!(
            lines(false),
            [
                "<   \"1.2\": \"OK\"\n>   \"1.2\": \"FAILED\"\n",
                "<   \"1.3\": \"OK\"\n",
                ">   \"1.10\": \"OK\"\n"
            ]
        );
        // In a part, what was not run is not missed.
        assert_eq!(lines(true).len(), 2);
    }
}
