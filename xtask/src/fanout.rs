//! scripts/bench-fanout: its table, and whether the pump is as designed.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;

use crate::{
    Verdict,
    figures::{Spread, number},
};

/// Of what a rate has to reach of the rate before: until the core is full each message has a send of its own, at one price.
const NOISE: f64 = 0.8;
/// The rate that the promise is about, and deliveries per server CPU-second that it has to pass there.
const SLOW: (u32, f64) = (25, 100_000.0);
/// From this rate on, messages have to share sends.
const BUSY: u32 = 500;
/// So many of them a send, and so many times the deliveries per CPU-second of the slow rate.
const SHARED_MIN: f64 = 1.5;

/// What the rounds of one rate came to.
#[derive(Debug)]
pub(crate) struct Row {
    rate: u32,
    deliveries_per_cpu_second: Spread,
    messages_per_send: Spread,
}

/// From the reports of all rounds.
pub(crate) fn read(reports: &Path, rounds: u32, rates: &[u32]) -> anyhow::Result<Vec<Row>> {
    let row = |&rate: &u32| {
        let spread = |pointer: &str| {
            let round = |round: u32| {
                let path = reports.join(format!("fanout-{rate}-{round}.json"));
                number(&crate::read(&path)?, pointer).with_context(|| path.display().to_string())
            };
            let numbers = (1..=rounds).map(round).collect::<anyhow::Result<Vec<_>>>()?;
            Spread::of(numbers).context("no rounds")
        };
        Ok(Row {
            rate,
            deliveries_per_cpu_second: spread("/server/deliveries_per_cpu_second")?,
            messages_per_send: spread("/server/messages_per_send")?,
        })
    };
    rates.iter().map(row).collect()
}

pub(crate) fn verdict(rows: &[Row]) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut before, mut slow) = (0.0, 0.0);
    for row in rows {
        let (rate, shared) = (row.rate, row.messages_per_send.median);
        let Spread { median: now, least, most } = row.deliveries_per_cpu_second;
        let _ =
            writeln!(verdict.text, "  {rate:4} msg/s  {now:10.0} ({least:.0} to {most:.0})  {shared:6.2}");
        let mut want = |condition: bool, problem: String| {
            if !condition {
                verdict.problems.push(format!("{rate} msg/s: {problem}"));
            }
        };
        want(now > before * NOISE, format!("{now} deliveries per CPU-second, {before} at the rate before"));
        if rate <= SLOW.0 {
            want(now > SLOW.1, format!("{now} deliveries per CPU-second, not above 100,000"));
            slow = now;
        }
        if rate >= BUSY {
            want(now > slow * SHARED_MIN, format!("no more deliveries per CPU-second than at {}", SLOW.0));
            want(shared > SHARED_MIN, "messages do not share sends".to_owned());
        }
        before = now;
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rate: u32, deliveries: f64, shared: f64) -> Row {
        let of = |number| Spread { median: number, least: number - 1.0, most: number + 1.0 };
        Row { rate, deliveries_per_cpu_second: of(deliveries), messages_per_send: of(shared) }
    }

    #[test]
    fn a_good_run_is_a_table_and_no_more() {
        let rows = [row(25, 120_000.0, 1.0), row(100, 110_000.4, 1.02), row(500, 1_106_100.0, 5.147)];
        let verdict = verdict(&rows);
        assert_eq!(
            verdict.text,
            "    25 msg/s      120000 (119999 to 120001)    1.00\n\
             \u{20}  100 msg/s      110000 (109999 to 110001)    1.02\n\
             \u{20}  500 msg/s     1106100 (1106099 to 1106101)    5.15\n"
        );
        assert_eq!(verdict.problems, [""; 0]);
    }

    #[test]
    fn each_limit_is_one_line() {
        let rows = [row(25, 100_000.0, 1.0), row(50, 79_000.0, 1.0), row(500, 140_000.0, 1.5)];
        assert_eq!(
            verdict(&rows).problems,
            [
                "25 msg/s: 100000 deliveries per CPU-second, not above 100,000",
                "50 msg/s: 79000 deliveries per CPU-second, 100000 at the rate before",
                "500 msg/s: no more deliveries per CPU-second than at 25",
                "500 msg/s: messages do not share sends",
            ]
        );
    }

    #[test]
    fn rounds_are_read_from_their_reports() {
        let folder = tempfile::tempdir().unwrap();
        for (round, deliveries) in [(1, 5.0), (2, 3.0), (3, 4.0)] {
            let text = format!(
                r#"{{"floor": {{"deliveries_per_cpu_second": 1}},
                     "server": {{"deliveries_per_cpu_second": {deliveries}, "messages_per_send": 1.5}}}}"#
            );
            std::fs::write(folder.path().join(format!("fanout-25-{round}.json")), text).unwrap();
        }
        let rows = read(folder.path(), 3, &[25]).unwrap();
        assert_eq!(rows[0].deliveries_per_cpu_second, Spread { median: 4.0, least: 3.0, most: 5.0 });
        let error = format!("{:#}", read(folder.path(), 4, &[25]).unwrap_err());
        assert!(error.contains("fanout-25-4.json"), "{error}");
    }
}
