//! The micro-benchmarks as tests: every case on a tiny input, and the comparison of figures.

#[expect(dead_code, reason = "the benchmark needs more of it")]
#[path = "../../benches/micro/cases.rs"]
mod cases;
#[expect(dead_code, reason = "the benchmark needs more of it")]
#[path = "../../benches/micro/figures.rs"]
mod figures;
#[path = "../../benches/micro/ingest.rs"]
mod ingest;

use std::path::Path;

use figures::{Figure, Figures, Toolchain};

#[test]
fn every_case_runs() {
    for case in cases::CASES {
        (case.run)(2);
    }
}

#[test]
fn ingest_runs() {
    ingest::run_all(2_000);
}

fn committed() -> Figures {
    Figures::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/micro/figures.json")).unwrap()
}

#[test]
fn every_case_has_a_committed_figure() {
    let cases =
        cases::CASES.iter().map(|case| (case.name, case.input)).collect::<std::collections::BTreeMap<_, _>>();
    let committed = committed();
    let figures = committed.cases.iter().map(|(name, figure)| (&**name, &*figure.input)).collect();
    assert_eq!(cases, figures);
    assert!(committed.cases.values().all(|figure| figure.instructions > 0));
}

/// Committed figures in which one case has another number.
fn with(name: &str, instructions: u64) -> Figures {
    let mut figures = committed();
    figures.cases.insert(name.to_owned(), Figure { input: String::new(), instructions });
    figures
}

#[test]
fn more_than_a_tenth_more_or_less_fails_with_both_numbers() {
    let before = with("route", 1_000);
    assert_eq!(before.changes(&with("route", 1_000)), [""; 0]);
    assert_eq!(before.changes(&with("route", 1_100)), [""; 0]);
    assert_eq!(before.changes(&with("route", 900)), [""; 0]);
    assert_eq!(
        before.changes(&with("route", 1_110)),
        ["route: 1000 instructions committed, 1110 counted (+11.0 %)"]
    );
    assert_eq!(
        before.changes(&with("route", 890)),
        ["route: 1000 instructions committed, 890 counted (-11.0 %)"]
    );
    assert_eq!(before.changes(&with("route", 1_101)).len(), 1);
}

#[test]
fn a_case_without_figure_and_a_figure_without_case_fail() {
    let more = with("another", 7);
    assert_eq!(committed().changes(&more), ["another: no committed figure, 7 instructions now"]);
    assert_eq!(more.changes(&committed()), ["another: 7 instructions committed, no such case"]);
}

#[test]
fn a_failure_names_another_toolchain() {
    let mut counted = with("route", 1);
    counted.made_with = Toolchain { rustc: "rustc 9.9.9".to_owned(), system: "elsewhere".to_owned() };
    let changes = committed().changes(&counted);
    assert!(
        changes.len() == 2 && changes[1].ends_with("counted with rustc 9.9.9 on elsewhere"),
        "{changes:?}"
    );
    counted.cases = committed().cases;
    assert_eq!(committed().changes(&counted), [""; 0], "no reason to fail by itself");
}
