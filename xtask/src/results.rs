//! What test runners say at their end, summed up.

use clap::ValueEnum;

/// Whose output it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runner {
    /// Several runners, one after the other, each announced by cargo.
    Cargo,
    /// Node's own, as TAP.
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// That a runner did not start, was stopped by the clock, or had nothing to run may never look like success.
    pub(crate) fn with_exit_code(self, status: i32) -> Self {
        let hidden = self.failed == 0 && (status != 0 || self.passed == 0);
        Self { failed: if hidden { 1 } else { self.failed }, ..self }
    }
}

pub(crate) fn counts(runner: Runner, log: &str) -> Counts {
    match runner {
        Runner::Cargo => cargo(log),
        Runner::Node => node(log),
    }
}

/// Each runner is announced (`Running ...` or `Doc-tests ...`) and ends with a `test result:` line; one that was announced
/// and never ended has crashed, and counts as a failure.
fn cargo(log: &str) -> Counts {
    let mut counts = Counts { passed: 0, failed: 0 };
    let (mut announced, mut ended) = (0_u64, 0);
    for line in log.lines() {
        if let Some((passed, failed)) = test_result(line) {
            counts.passed += passed;
            counts.failed += failed;
            ended += 1;
        }
        let word = line.trim_start_matches(' ');
        if word.len() < line.len() && (word.starts_with("Running ") || word.starts_with("Doc-tests ")) {
            announced += 1;
        }
    }
    counts.failed += announced.saturating_sub(ended);
    counts
}

/// `test result: ok. 3 passed; 0 failed; ...`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let (word, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = rest.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    word.chars().all(|c| c.is_ascii_alphabetic()).then_some((passed, failed))
}

/// The closing lines; a test that was cancelled has not passed.
fn node(log: &str) -> Counts {
    let said = |word: &'static str| {
        log.lines().filter_map(move |line| {
            line.strip_prefix("# ")?.strip_prefix(word)?.strip_prefix(' ')?.parse::<u64>().ok()
        })
    };
    Counts {
        passed: said("pass").next_back().unwrap_or(0),
        failed: said("fail").chain(said("cancelled")).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(runner: Runner, log: &str, status: i32) -> (u64, u64) {
        let counts = counts(runner, log).with_exit_code(status);
        (counts.passed, counts.failed)
    }

    const TWO: &str = "     Running unittests src/lib.rs (target/debug/deps/a)\n\nrunning 3 tests\n\
        test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
        \n   Doc-tests proto\n\
        test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";

    #[test]
    fn runners_of_cargo_are_summed() {
        assert_eq!(of(Runner::Cargo, TWO, 101), (8, 2));
    }

    #[test]
    fn a_runner_that_never_ended_is_a_failure() {
        assert_eq!(
            of(Runner::Cargo, &format!("{TWO}     Running tests/crash.rs (x)\nrunning 1 test\n"), 101),
            (8, 3)
        );
        assert_eq!(of(Runner::Cargo, "   Running a\n", 0), (0, 1));
    }

    #[test]
    fn what_a_test_prints_is_no_result() {
        let log = "test result: ok\nrunning: test result: ok. 3 passed; 0 failed;\nRunning at the line's begin\n\
            test result: ok. x passed; 0 failed; 0 ignored\n";
        assert_eq!(counts(Runner::Cargo, log), Counts { passed: 0, failed: 0 });
    }

    #[test]
    fn nothing_run_and_a_bad_exit_are_failures() {
        let ok =
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(of(Runner::Cargo, ok, 0), (3, 0));
        assert_eq!(of(Runner::Cargo, ok, 124), (3, 1));
        assert_eq!(of(Runner::Cargo, "error: could not compile\n", 101), (0, 1));
        assert_eq!(of(Runner::Cargo, "", 0), (0, 1));
        assert_eq!(of(Runner::Node, "", 0), (0, 1));
    }

    #[test]
    fn node_is_read_at_its_end() {
        let log =
            "TAP version 13\n# pass nothing\n# tests 9\n# pass 6\n# fail 1\n# cancelled 2\n# skipped 0\n";
        assert_eq!(of(Runner::Node, log, 1), (6, 3));
        assert_eq!(of(Runner::Node, "# tests 9\n# pass 9\n# fail 0\n# cancelled 0\n", 0), (9, 0));
    }
}
