//! What a scenario found: it goes on after a fault, so that one run tells them all.

/// The faults found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    scene: &'static str,
    faults: Vec<String>,
}

impl Findings {
    pub(crate) fn of(scene: &'static str) -> Self {
        eprintln!("\n== {scene}");
        Self { scene, faults: Vec::new() }
    }

    /// Something that should hold; `got` tells what was seen instead.
    pub(crate) fn check(&mut self, holds: bool, what: &str, got: impl FnOnce() -> String) -> bool {
        if holds {
            eprintln!("   holds  {what}");
        } else {
            let got: String = got().chars().take(700).collect();
            eprintln!("   FAILS  {what}: {got}");
            self.faults.push(what.to_owned());
        }
        holds
    }

    /// Something that should come in time; what it took, or that it did not come.
    pub(crate) fn came(&mut self, took_ms: Option<u64>, what: &str, got: impl FnOnce() -> String) -> bool {
        match took_ms {
            Some(ms) => self.check(true, &format!("{what} ({ms} ms)"), String::new),
            None => self.check(false, what, got),
        }
    }

    /// Fails the test if there was a fault.
    pub(crate) fn end(self) {
        assert!(
            self.faults.is_empty(),
            "{}: {} faults\n{}",
            self.scene,
            self.faults.len(),
            self.faults.join("\n")
        );
    }
}
