use super::*;
use crate::report::{page::tests::parse, tests::sample};

/// The sample, and the same with twice the latency, lost messages and another rate.
fn two() -> Comparison {
    let mut worse = sample();
    for (_, ms) in &mut worse.latency.all.percentiles {
        *ms *= 2.0;
    }
    worse.messages.checks.lost = 3;
    worse.failures = vec!["3 messages lost".to_owned()];
    if let crate::plan::Load::Produce(produce) = &mut worse.plan.load {
        produce.rate = crate::schedule::Rate::per_second(99);
    }
    worse.server.as_mut().unwrap().deliveries_per_cpu_second *= 1.5;
    let run = |report| Run { name: "run".to_owned(), report };
    Comparison::new(vec![run(sample()), run(worse)])
}

fn row(comparison: &Comparison, name: &str) -> Row {
    comparison.rows().into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn ratios_are_to_the_first_and_know_their_direction() {
    let comparison = two();
    let p99 = row(&comparison, "latency p99, ms");
    assert_eq!((p99.ratio(0), p99.ratio(1), p99.is_better(1)), (Some(1.0), Some(2.0), Some(false)));
    let per_cpu = row(&comparison, "deliveries a CPU-second");
    assert_eq!((per_cpu.ratio(1), per_cpu.is_better(1)), (Some(1.5), Some(true)));
    let ready = row(&comparison, "connections ready");
    assert_eq!((ready.ratio(1), ready.is_better(1)), (Some(1.0), None));
    // Three of nothing have no ratio, and are worse.
    let lost = row(&comparison, "messages lost");
    assert_eq!((lost.ratio(1), lost.is_better(1)), (None, Some(false)));
    let per_send = Row { better: Better::Neither, ..per_cpu };
    assert_eq!(per_send.is_better(1), None);
    let noise = Row { values: vec![Some(100.0), Some(102.9), None], ..p99 };
    assert_eq!((noise.is_better(1), noise.is_better(2), noise.ratio(2)), (None, None, None));
}

#[test]
fn what_differs_is_said() {
    let differences = two().differences();
    let rates = ["10 messages a second over all channels", "99 messages a second over all channels"];
    assert_eq!(differences, [("rate", rates.map(str::to_owned).to_vec())]);
    let same = Comparison::new(vec![Run { name: "a".to_owned(), report: sample() }; 2]);
    assert_eq!(same.differences(), []);
}

#[test]
fn the_table_has_a_column_a_run_and_ratios() {
    let text = two().table();
    for part in [
        "A  run (1)  PASSED",
        "B  run (2)  FAILED",
        "B / A",
        "2.00x worse",
        "1.50x better",
        "compare with care",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    let lost = text.lines().find(|line| line.starts_with("messages lost")).unwrap();
    assert!(lost.ends_with("worse") && !lost.contains('x'), "{lost}");
}

#[test]
fn the_page_carries_all_reports_and_draws_their_lines() {
    let comparison = two();
    let parsed = parse(&comparison.page());
    parsed.assert_self_contained();
    for id in
        ["summary", "percentiles", "latency", "throughput", "sends", "cpu", "connect", "memory", "command"]
    {
        assert!(parsed.ids.iter().any(|found| found == id), "no section {id}");
    }
    let data = parsed.data();
    assert_eq!(data["reports"][1]["name"], "run (2)");
    for (number, run) in comparison.runs.iter().enumerate() {
        let expected: serde_json::Value = serde_json::from_str(&run.report.json()).unwrap();
        assert_eq!(data["reports"][number]["report"], expected);
    }
    assert!(parsed.text.contains("1.50x better") && parsed.text.contains("not the same for all: rate (10"));
}

#[test]
fn a_report_of_an_older_version_can_be_compared() {
    let mut old: serde_json::Value = serde_json::from_str(&sample().json()).unwrap();
    let fields = old.as_object_mut().unwrap();
    for new in ["series", "floor", "limit", "begun_unix_ms"] {
        assert!(fields.remove(new).is_some());
    }
    for (part, new) in [
        ("latency", "curve"),
        ("latency", "curve_keyed"),
        ("latency", "curve_broadcast"),
        ("connections", "ramp"),
    ] {
        assert!(old[part].as_object_mut().unwrap().remove(new).is_some());
    }
    let old: Report = serde_json::from_value(old).unwrap();
    let comparison = Comparison::new(vec![
        Run { name: "old".to_owned(), report: old },
        Run { name: "new".to_owned(), report: sample() },
    ]);
    let limit = row(&comparison, "times the baseline");
    assert!(limit.values[0].is_none() && limit.values[1].is_some());
    parse(&comparison.page()).assert_self_contained();
}

#[test]
fn figures_have_about_three_digits() {
    for (value, text) in [
        (0.0, "0"),
        (3.0, "3"),
        (0.1234, "0.12"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1_234.5, "1,235"),
        (9.999, "10.00"),
    ] {
        assert_eq!(table::shown(value), text);
    }
    assert_eq!(
        (table::letter(0), table::letter(25), table::letter(26)),
        ("A".into(), "Z".into(), "27".into())
    );
}
