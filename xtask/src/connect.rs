//! scripts/bench-connect: what a connection cost, the table, and whether the crowd makes it dearer.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;

use crate::{
    Verdict,
    figures::{Spread, grouped},
    metrics,
};

/// How many times the cost in the smallest crowd the largest may come to.
const GROWTH_MAX: f64 = 2.0;

/// CPU microseconds a connection, of the shard and of the accept ring, between two expositions.
pub(crate) fn cost(before: &str, after: &str, clients: u32) -> anyhow::Result<String> {
    let spent = |thread| {
        let seconds = |exposition| {
            metrics::sum(exposition, "thread_cpu_seconds_total", Some(("thread", thread)))
                .with_context(|| format!("the server tells no CPU time of {thread}"))
        };
        Ok::<_, anyhow::Error>((seconds(after)? - seconds(before)?) / f64::from(clients) * 1e6)
    };
    Ok(format!("{:.1} {:.1}", spent("shard-0")?, spent("accept")?))
}

/// The rounds of one crowd.
#[derive(Debug)]
pub(crate) struct Row {
    clients: u32,
    shard: Spread,
    accept: Spread,
}

impl Row {
    fn parse(clients: u32, text: &str) -> anyhow::Result<Self> {
        let column = |index: usize| {
            let number = |line: &str| line.split_whitespace().nth(index)?.parse::<f64>().ok();
            let numbers: Option<Vec<f64>> = text.lines().map(number).collect();
            numbers.and_then(Spread::of).with_context(|| format!("not two numbers a line: {text:?}"))
        };
        Ok(Self { clients, shard: column(0)?, accept: column(1)? })
    }
}

/// From a file for each crowd with a line for each round, as [`cost`] writes it.
pub(crate) fn read(folder: &Path, crowds: &[u32]) -> anyhow::Result<Vec<Row>> {
    let row = |&clients: &u32| {
        let path = folder.join(clients.to_string());
        Row::parse(clients, &crate::read(&path)?).with_context(|| path.display().to_string())
    };
    crowds.iter().map(row).collect()
}

pub(crate) fn verdict(rows: &[Row]) -> Verdict {
    let mut verdict = Verdict::default();
    for Row { clients, shard, accept } in rows {
        let _ = writeln!(
            verdict.text,
            "  {clients:6}  {:7.1} ({:.1} to {:.1})  {:7.1} ({:.1} to {:.1})",
            shard.median, shard.least, shard.most, accept.median, accept.least, accept.most
        );
    }
    if let [few, .., many] = rows
        && many.shard.median >= few.shard.median * GROWTH_MAX
    {
        verdict.problems.push(format!(
            "a connection among {} costs {} us, among {} {} us",
            grouped(many.clients),
            many.shard.median,
            grouped(few.clients),
            few.shard.median
        ));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposition(shard: f64, accept: f64) -> String {
        format!(
            "uringcast_thread_cpu_seconds_total{{thread=\"shard-0\"}} {shard}\n\
             uringcast_thread_cpu_seconds_total{{thread=\"accept\"}} {accept}\n"
        )
    }

    #[test]
    fn a_connection_costs_what_was_spent_in_between() {
        assert_eq!(cost(&exposition(1.0, 0.5), &exposition(1.0288, 0.5247), 1000).unwrap(), "28.8 24.7");
        assert!(cost(&exposition(1.0, 0.5), "", 1000).is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_crowd() {
        let rows = [
            Row::parse(1000, "28.8 24.7\n26.7 22.2\n30.8 25.6\n").unwrap(),
            Row::parse(12_000, "31.0 21.7\n30.7 20.3\n31.1 23.9\n").unwrap(),
        ];
        let verdict = verdict(&rows);
        assert_eq!(
            verdict.text,
            "    1000     28.8 (26.7 to 30.8)     24.7 (22.2 to 25.6)\n\
             \u{20}  12000     31.0 (30.7 to 31.1)     21.7 (20.3 to 23.9)\n"
        );
        assert_eq!(verdict.problems, [""; 0]);
    }

    #[test]
    fn a_cost_that_grows_with_the_crowd_is_a_problem() {
        let rows = [Row::parse(1000, "30.0 20.0").unwrap(), Row::parse(12_000, "60.0 20.0").unwrap()];
        assert_eq!(verdict(&rows).problems, ["a connection among 12,000 costs 60 us, among 1,000 30 us"]);
    }

    #[test]
    fn a_round_that_is_missing_is_an_error() {
        for text in ["", "30.0\n", "30.0 20.0\nnone\n"] {
            assert!(Row::parse(1000, text).is_err(), "{text:?}");
        }
    }
}
