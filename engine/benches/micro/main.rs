//! Micro-benchmarks, by the number of instructions: `cargo bench -p uringcast-engine --bench micro`.
//!
//! Each case runs in a process of its own under callgrind, which counts only inside [`cases::measured`]. The counts are
//! compared with the committed figures; what changed by more than a tenth is named with both numbers, and fails.
//!
//! - `-- --record` writes the figures instead; `-- --figures FILE` takes another file.
//! - `-- --ingest` measures the ingest thread by the clock (see `ingest.rs`).
//!
//! That every case works, and that the comparison fails when it should, is tested in `tests/clients/micro.rs`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod cases;
mod figures;
mod ingest;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use self::{
    cases::{CASES, Case},
    figures::{Figure, Figures, Toolchain},
};

fn main() -> ExitCode {
    let mut args = env::args().skip(1).filter(|arg| arg != "--bench");
    let mut path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/micro/figures.json");
    let mut record = false;
    while let Some(arg) = args.next() {
        match (&*arg, &mut args) {
            ("--case", args) => return run_case(args.next()),
            ("--ingest", _) => {
                ingest::run_all(4_000_000);
                return ExitCode::SUCCESS;
            }
            ("--record", _) => record = true,
            ("--figures", args) => path = args.next().map(PathBuf::from).expect("--figures FILE"),
            _ => panic!("unknown argument {arg}"),
        }
    }
    let outcome = count_all()
        .and_then(|counted| if record { write(&counted, &path) } else { compare(&counted, &path) });
    if let Err(error) = outcome {
        println!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The inside of callgrind.
fn run_case(name: Option<String>) -> ExitCode {
    let case = CASES.iter().find(|case| Some(case.name) == name.as_deref()).expect("--case NAME");
    (case.run)(case.operations);
    ExitCode::SUCCESS
}

fn write(counted: &Figures, path: &Path) -> Result<(), String> {
    print!("{}", counted.table(Figures::read(path).ok().as_ref()));
    counted.write(path)
}

fn compare(counted: &Figures, path: &Path) -> Result<(), String> {
    let committed = Figures::read(path)?;
    print!("{}", counted.table(Some(&committed)));
    let changes = committed.changes(counted);
    if changes.is_empty() {
        return Ok(());
    }
    Err(format!(
        "counts differ by more than {} %:\n{}\nWhere that is meant, renew the figures: docs/benchmarks.md",
        figures::TOLERANCE_PERCENT,
        changes.join("\n")
    ))
}

/// Every second case in a thread of its own: two cores are what we may count on.
fn count_all() -> Result<Figures, String> {
    let every_second = |first: usize| {
        move || CASES.iter().skip(first).step_by(2).map(count).collect::<Result<Vec<_>, String>>()
    };
    let other = thread::spawn(every_second(1));
    let mut counted = every_second(0)()?;
    counted.extend(other.join().expect("counting ends")?);
    Ok(Figures { made_with: Toolchain::here(), cases: BTreeMap::from_iter(counted) })
}

/// Instructions of one operation.
fn count(case: &Case) -> Result<(String, Figure), String> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{}.out", case.name));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*cases::measured*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().unwrap())
        .args(["--case", case.name])
        // What stands on the stack above us is the same everywhere.
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output()
        .map_err(|error| format!("valgrind (a Debian package): {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr)));
    }
    let profile = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    match total {
        Some(total @ 1..) => {
            let figure = Figure { input: case.input.to_owned(), instructions: total / case.operations };
            Ok((case.name.to_owned(), figure))
        }
        Some(0) | None => Err(format!("{}: callgrind has counted nothing", case.name)),
    }
}
