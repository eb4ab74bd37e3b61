//! Numbers: out of JSON reports, and what several of them come to.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The value at a JSON pointer, text without its quotation marks.
pub(crate) fn value(document: &str, pointer: &str) -> anyhow::Result<String> {
    let document: Value = serde_json::from_str(document).context("this is no JSON")?;
    match document.pointer(pointer) {
        None | Some(Value::Null) => bail!("no {pointer}"),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
    }
}

/// The number at a JSON pointer.
pub(crate) fn number(document: &str, pointer: &str) -> anyhow::Result<f64> {
    let text = value(document, pointer)?;
    text.parse().with_context(|| format!("{pointer} is no number: {text}"))
}

/// A report without paths of the machine that made it.
pub(crate) fn scrubbed(text: &str, binary: &str, root: &str) -> String {
    text.replace(binary, "uringcast").replace(&format!("{}/", root.trim_end_matches('/')), "")
}

/// Median, least and most of some numbers; the lower one of two in the middle, so that it is one that was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of these; none where there are none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len().checked_sub(1)? / 2;
        Some(Self { median: *sorted.get(middle)?, least: *sorted.first()?, most: *sorted.last()? })
    }
}

/// With commas between the thousands.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"server": {"deliveries": 4680000.0, "resident_max_bytes": 171913216, "p99": null},
        "floor": {"deliveries": 1}, "failures": [], "reason": "full", "empty": ""}"#;

    #[test]
    fn a_value_is_found_by_its_whole_path() {
        assert_eq!(value(REPORT, "/server/resident_max_bytes").unwrap(), "171913216");
        assert_eq!(value(REPORT, "/server/deliveries").unwrap(), "4680000.0");
        assert_eq!(value(REPORT, "/reason").unwrap(), "full");
        assert_eq!(value(REPORT, "/empty").unwrap(), "");
        assert_eq!(number(REPORT, "/server/deliveries").unwrap(), 4_680_000.0);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for pointer in ["/deliveries", "/server/p99", "/server/none", "server"] {
            assert!(value(REPORT, pointer).is_err(), "{pointer}");
        }
        assert!(number(REPORT, "/reason").is_err());
        assert!(value("", "/server").is_err());
        assert!(value("{\"cut\": 1", "/cut").is_err());
    }

    #[test]
    fn a_spread_has_a_measured_median() {
        let of = |numbers: &[f64]| Spread::of(numbers.iter().copied()).map(|s| (s.median, s.least, s.most));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7.0]), Some((7.0, 7.0, 7.0)));
        assert_eq!(of(&[10.0, 9.0]), Some((9.0, 9.0, 10.0)));
        assert_eq!(of(&[10.0, 9.0, 100.0]), Some((10.0, 9.0, 100.0)));
        assert_eq!(of(&[4.0, 3.0, 2.0, 1.0]), Some((2.0, 1.0, 4.0)));
    }

    #[test]
    fn a_scrubbed_report_names_no_folder() {
        let text = r#""/src/target/release/uringcast bench --json /src/perf/out/a.json""#;
        assert_eq!(
            scrubbed(text, "/src/target/release/uringcast", "/src"),
            r#""uringcast bench --json perf/out/a.json""#
        );
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(
            [0, 999, 1000, 12_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "12,000", "1,234,567"]
        );
    }
}
