//! The committed figures, and what comparing with them says.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

/// A count may differ from the committed one by this much, either way.
pub(crate) const TOLERANCE_PERCENT: u64 = 10;

/// The file of figures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) made_with: Toolchain,
    pub(crate) cases: BTreeMap<String, Figure>,
}

/// What counts depend on besides the code.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Toolchain {
    pub(crate) rustc: String,
    /// With it come the C library (copying, allocation) and valgrind.
    pub(crate) system: String,
}

/// One case.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// One operation.
    pub(crate) input: String,
    /// Of one operation, the mean of many.
    pub(crate) instructions: u64,
}

impl Toolchain {
    pub(crate) fn here() -> Self {
        let output = Command::new("rustc").arg("--version").output();
        let rustc = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let name = name.unwrap_or("unknown").trim_matches('"');
        Self {
            rustc: rustc.unwrap_or_else(|_| "unknown".to_owned()),
            system: format!("{name}, {}", std::env::consts::ARCH),
        }
    }
}

impl Figures {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A line for each case that changed by more than the tolerance, is new, or is gone; none: all is as committed.
    pub(crate) fn changes(&self, counted: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (name, now) in &counted.cases {
            let Some(before) = self.cases.get(name) else {
                changes.push(format!("{name}: no committed figure, {} instructions now", now.instructions));
                continue;
            };
            let (before, now) = (before.instructions, now.instructions);
            if before.abs_diff(now) * 100 > before * TOLERANCE_PERCENT {
                changes.push(format!(
                    "{name}: {before} instructions committed, {now} counted ({})",
                    change(before, now)
                ));
            }
        }
        let gone = self.cases.iter().filter(|(name, _)| !counted.cases.contains_key(*name));
        changes.extend(gone.map(|(name, figure)| {
            format!("{name}: {} instructions committed, no such case", figure.instructions)
        }));
        if !changes.is_empty() && self.made_with != counted.made_with {
            changes.push(format!(
                "another toolchain: committed with {}, counted with {}",
                self.made_with.words(),
                counted.made_with.words()
            ));
        }
        changes
    }

    /// All that was counted, beside what is committed.
    pub(crate) fn table(&self, committed: Option<&Self>) -> String {
        let mut table = String::new();
        for (name, Figure { input, instructions }) in &self.cases {
            let before = committed.and_then(|committed| committed.cases.get(name));
            let beside =
                before.map_or_else(|| "new".to_owned(), |before| change(before.instructions, *instructions));
            let _ = writeln!(table, "{name:20} {instructions:9} instructions {beside:>8}  {input}");
        }
        table
    }
}

impl Toolchain {
    fn words(&self) -> String {
        format!("{} on {}", self.rustc, self.system)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage to be read")]
fn change(before: u64, now: u64) -> String {
    format!("{:+.1} %", (now as f64 / before.max(1) as f64 - 1.0) * 100.0)
}
