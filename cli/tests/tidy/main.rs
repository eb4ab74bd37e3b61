//! What lints cannot see: the rules of CONTRIBUTING.md that concern the tree as a whole.
//!
//! Every check collects all its findings, so that one run names everything.

mod exceptions;
mod limits;
mod order;
mod programs;
mod sizes;
mod source;
mod words;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Rust files longer than this are to be split.
const LINES_MAX: usize = 700;

/// The only places where unsafe code may live.
const UNSAFE_HOMES: [&str; 3] = ["engine/ring/", "engine/kafka/", "engine/slab/"];

/// The only places that may name the crates of `io_uring`: the shards' ring, and the one file for the accept ring's.
const RING_HOMES: [&str; 2] = ["engine/ring/", "engine/src/accept/uring.rs"];

/// Those crates, as code names them; the root's and these manifests name them too.
const RING_CRATES: [&str; 3] = ["io_uring", "io_uring_06", "tokio_uring"];
const RING_MANIFESTS: [&str; 3] = ["Cargo.toml", "engine/Cargo.toml", "engine/ring/Cargo.toml"];

/// Who must not name whom: files under the first, and the words none of them may contain.
const FORBIDDEN: [(&str, &[&str]); 10] = [
    (
        "proto/src/",
        &["std::net", "std::fs", "std::thread", "std::time::Instant", "SystemTime", "ring::", "kafka::"],
    ),
    (
        "engine/ring/",
        &["proto::", "kafka::", "engine::", "uringcast-proto", "uringcast-kafka", "proto.workspace"],
    ),
    ("engine/kafka/", &["proto::", "ring::", "engine::", "proto.workspace", "ring.workspace"]),
    (
        "engine/slab/",
        &["proto::", "ring::", "kafka::", "engine::", "tokio", "proto.workspace", "ring.workspace"],
    ),
    ("engine/sync/", &["proto::", "ring::", "kafka::", "engine::", "tokio", "slab::", "slab.workspace"]),
    (
        "engine/src/shard/",
        &["kafka::", "crate::ingest", "crate::accept", "crate::admin", "tokio", "thread::spawn"],
    ),
    (
        "engine/src/ingest/",
        &[
            "ring::Ring",
            "ring::KernelRing",
            "ring::Op",
            "crate::shard",
            "crate::accept",
            "crate::admin",
            "thread::spawn",
        ],
    ),
    ("engine/src/admin/", &["ring::", "kafka::Consumer", "crate::shard::", "thread::spawn"]),
    ("perf/", &["engine::", "engine.workspace", "uringcast-engine"]),
    // Scripts wait until it is built.
    (
        "xtask/",
        &["engine.workspace", "kafka.workspace", "perf.workspace", "proto.workspace", "ring.workspace"],
    ),
];

/// Languages that no script may hide its logic in: that is xtask's, where it has types and tests. The Autobahn suite is
/// written in one of them, and scripts/conform has to install it.
const HIDING_PLACES: [&str; 5] = ["awk", "jq", "perl", "python", "sed"];
const SUITES: [(&str, &str); 1] = [("scripts/conform", "python2.7")];

/// A file of the tree: its path from the root, with slashes, and its text.
struct File {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli lies in the workspace").to_owned()
}

/// All text files that belong to the project; what is built or fetched is left out.
fn tree() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable folder") {
            let path = entry.expect("readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if matches!(name, "target" | ".git" | "node_modules" | "out") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                files.push(File { path, text });
            }
        }
    }
    assert!(files.len() > 20, "the walk lost its way: {} files", files.len());
    files
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".rs"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of a line that is code: no comment, no text between quotation marks (of one line).
fn code(line: &str) -> String {
    let outside = line.replace("\\\"", "").split('"').step_by(2).collect::<Vec<_>>().join(" ");
    outside.split("//").next().unwrap_or_default().to_owned()
}

fn report(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let files = tree();
    let long = rust(&files).filter(|file| file.text.lines().count() > LINES_MAX);
    report(
        &long.map(|file| format!("{}: {} lines", file.path, file.text.lines().count())).collect::<Vec<_>>(),
    );
}

/// A line that somebody might write, at some place of the tree.
fn planted(path: &str, line: &str) -> [File; 1] {
    [File { path: path.to_owned(), text: format!("//! Planted.\n{line}\n") }]
}

/// Lines outside of `homes` whose code is `told` of, as findings.
fn lines_elsewhere(files: &[File], homes: &[&str], told: impl Fn(&str) -> bool) -> Vec<String> {
    let elsewhere = rust(files).filter(|file| !homes.iter().any(|home| file.path.starts_with(home)));
    let lines = elsewhere.flat_map(|file| file.text.lines().enumerate().map(move |line| (file, line)));
    let found = lines.filter(|(_, (_, line))| told(&code(line)));
    found.map(|(file, (number, line))| format!("{}:{}: {}", file.path, number + 1, line.trim())).collect()
}

/// Where unsafe code is that has no place there, and the crates that do not forbid it.
fn unsafe_elsewhere(files: &[File]) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut findings = lines_elsewhere(files, &UNSAFE_HOMES, |code| {
        code.split(|c| !is_word(c)).any(|word| word == "unsafe")
    });
    for file in rust(files).filter(|file| !UNSAFE_HOMES.iter().any(|home| file.path.starts_with(home))) {
        let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
        if is_root && !file.text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            findings.push(format!("{}: does not forbid unsafe code", file.path));
        }
    }
    findings
}

#[test]
fn unsafe_code_stays_at_home() {
    report(&unsafe_elsewhere(&tree()));
}

#[test]
fn unsafe_code_elsewhere_is_found() {
    let found = |path, line| !unsafe_elsewhere(&planted(path, line)).is_empty();
    assert!(found("engine/src/shard/tick.rs", "    let entry = unsafe { &*slot };"));
    assert!(found("engine/sync/src/cell.rs", "unsafe impl<T> Sync for Cell<T> {}"));
    assert!(found("engine/src/lib.rs", "#![deny(unsafe_code)]"), "a crate that does not forbid it");
    assert!(!found("engine/slab/src/log.rs", "unsafe impl Sync for Log {}"));
    assert!(!found("perf/src/lib.rs", "#![forbid(unsafe_code)]"));
    assert!(!found("engine/src/inbox.rs", "const POLICY: &str = \"unsafe\"; // not unsafe"));
}

/// Where `io_uring` is called, or a crate for it depended on, that has no place there.
fn rings_elsewhere(files: &[File]) -> Vec<String> {
    // As a path's root, or by itself in `use`; `io_uring` alone is also what functions and words are called.
    let is_use = |code: &str| code.trim_start().starts_with("use ") || code.contains("extern crate ");
    let mut findings = lines_elsewhere(files, &RING_HOMES, |code| {
        RING_CRATES.iter().any(|name| {
            let path = format!("{name}::");
            names(code, &path) || is_use(code) && names(code, name)
        })
    });
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let named = |line: &str| RING_CRATES.iter().any(|name| line.starts_with(&name.replace('_', "-")));
        if !RING_MANIFESTS.contains(&file.path.as_str()) && file.text.lines().any(named) {
            findings.push(format!("{}: depends on a crate for io_uring", file.path));
        }
    }
    findings
}

#[test]
fn io_uring_is_called_at_two_places() {
    report(&rings_elsewhere(&tree()));
}

#[test]
fn io_uring_elsewhere_is_found() {
    let found = |path, line| !rings_elsewhere(&planted(path, line)).is_empty();
    assert!(found("engine/src/accept/listener.rs", "    tokio_uring::spawn(report(acceptor));"));
    assert!(found(
        "engine/src/accept/handshake.rs",
        "use tokio_uring::{buf::BoundedBuf as _, net::TcpStream};"
    ));
    assert!(found("engine/src/shard/tick.rs", "use io_uring as ring;"));
    assert!(found("engine/src/shard/tick.rs", "let entry = io_uring_06::opcode::Nop::new().build();"));
    assert!(found("perf/Cargo.toml", "io-uring.workspace = true"));
    assert!(!found("engine/src/accept/uring.rs", "use tokio_uring::net::TcpStream;"));
    assert!(!found("engine/ring/src/kernel/entry.rs", "use io_uring::opcode;"));
    assert!(!found("engine/Cargo.toml", "tokio-uring.workspace = true"));
    assert!(!found("cli/src/check/host.rs", "        io_uring(facts), // not io_uring::IoUring"));
}

/// A line of a shell script without its comment. What follows a `#` on its first line is the program that runs it.
fn commands(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') if before != '\\' => quote = Some(c),
            (Some(open), _) if open == c && before != '\\' => quote = None,
            (None, '#') if before.is_whitespace() && !line.starts_with("#!") => {
                return line.get(..at).unwrap_or_default();
            }
            _ => {}
        }
        before = c;
    }
    line
}

/// Where a script runs what it should leave to xtask: numbers of lines, and the words.
fn hiding_places(path: &str, script: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in script.lines().enumerate() {
        for word in commands(line).split(|c: char| !c.is_alphanumeric() && !"._".contains(c)) {
            let word = word.trim_matches('.');
            // With its version, and the kinds of awk.
            let name = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            let is_awk = matches!(name, "gawk" | "mawk" | "nawk");
            if (is_awk || HIDING_PLACES.contains(&name)) && !SUITES.contains(&(path, word)) {
                found.push((number + 1, word.to_owned()));
            }
        }
    }
    found
}

#[test]
fn scripts_leave_logic_to_xtask() {
    let files = tree();
    // JavaScript has a folder of its own there.
    let scripts = files.iter().filter(|file| {
        (file.path.starts_with("scripts/") && !file.path.starts_with("scripts/page/"))
            || file.path.starts_with(".ci/")
    });
    let mut findings = Vec::new();
    let mut seen = 0;
    for file in scripts {
        seen += 1;
        for (number, word) in hiding_places(&file.path, &file.text) {
            findings.push(format!("{}:{number}: {word} belongs into xtask", file.path));
        }
    }
    assert!(seen > 20, "the scripts have moved: {seen} found");
    report(&findings);
}

#[test]
fn a_script_that_hides_logic_is_found() {
    for planted in [
        "x=$(awk '{ print $1 }' file)",
        "printf '# not a comment\\n' | sed 's/a/b/'",
        "body=\"$(sed '1,/^$/d' <&4)\"",
        "cat <(jq -r .a report.json)",
        "python - <<'PY'",
        "/usr/bin/python3 -c 'import json'",
        "#!/usr/bin/env python3",
        "a && perl -ne 1",
        "need_packages python3-yaml gcc",
        "gawk 1 file # a comment",
        "    python2.7 -c 1",
    ] {
        let script = format!("#!/usr/bin/env bash\n{planted}\n");
        assert_eq!(hiding_places("scripts/test", &script).len(), 1, "{planted}");
        assert_eq!(hiding_places("scripts/test", &script).first().map(|(number, _)| *number), Some(2));
    }
    for harmless in [
        "# sed was tried, awk too",
        "echo a # then sed",
        "used=1 based=2",
        "for task in awkward perlite jquery; do echo \"${#task}\"; done",
        "say \"no Python 2.7\"",
        "\"$root/versions/2.7/bin/pypy\" x",
    ] {
        assert!(hiding_places("scripts/test", harmless).is_empty(), "{harmless}");
    }
    assert!(hiding_places("scripts/conform", "candidates=(python2.7)").is_empty());
    assert_eq!(hiding_places("scripts/conform", "python3 -c 1").len(), 1);
}

#[test]
fn imports_follow_the_arrows() {
    let files = tree();
    let mut findings = Vec::new();
    for (home, words) in FORBIDDEN {
        let mine = files.iter().filter(|file| {
            file.path.starts_with(home) && (file.path.ends_with(".rs") || file.path.ends_with("Cargo.toml"))
        });
        // A test that reads the seeds of fuzzing, and no part of the product.
        let mine = mine.filter(|file| file.path != "proto/src/fuzz/tests.rs");
        for file in mine {
            for (number, line) in file.text.lines().enumerate() {
                for word in words.iter().filter(|word| names(&code(line), word)) {
                    findings.push(format!("{}:{}: must not name {word}", file.path, number + 1));
                }
            }
        }
    }
    report(&findings);
}

/// Whether `line` has `word`, not merely as the end of a longer one (`foldring::` is not `ring::`).
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '-')
    })
}

/// Fields that `counters!` declares, from the text of metrics.rs.
fn metric_fields() -> Vec<(String, String)> {
    let text = read("engine/src/metrics.rs");
    let mut fields = Vec::new();
    let mut group = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix("Metrics {") {
            group = name.rsplit(' ').next().unwrap_or(name).to_lowercase();
        }
        let Some((head, kind)) = line.trim_end_matches(',').rsplit_once(": ") else { continue };
        if line.starts_with('"') && matches!(kind, "Counter" | "Gauge") {
            let field = head.rsplit(", ").next().expect("rsplit yields one").to_owned();
            fields.push((group.clone(), field));
        }
    }
    assert!(fields.len() > 30, "metrics.rs has changed its form: {} fields found", fields.len());
    fields
}

#[test]
fn every_metric_is_written_somewhere() {
    let files = tree();
    let engine: String = rust(&files)
        .filter(|file| file.path.starts_with("engine/src/") && file.path != "engine/src/metrics.rs")
        .flat_map(|file| file.text.chars().filter(|c| !c.is_whitespace()))
        .collect();
    let written = |field: &str| {
        engine.match_indices(&format!(".{field}")).any(|(at, found)| {
            let rest = engine.get(at + found.len()..).unwrap_or_default();
            !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') && !rest.starts_with(".get()")
        })
    };
    let dead = metric_fields().into_iter().filter(|(_, field)| !written(field));
    report(&dead.map(|(group, field)| format!("{group}: nothing writes {field}")).collect::<Vec<_>>());
}

#[test]
fn dashboards_and_docs_name_metrics_that_exist() {
    let known: BTreeSet<String> =
        metric_fields().into_iter().map(|(group, field)| format!("uringcast_{group}_{field}")).collect();
    let exposition = read("engine/src/admin/exposition.rs");
    let mut findings = Vec::new();
    for file in
        tree().iter().filter(|file| file.path.starts_with("deploy/") || file.path == "docs/operations.md")
    {
        for (at, _) in file.text.match_indices("uringcast_") {
            let rest = file.text.get(at..).unwrap_or_default();
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default();
            let bare = name.strip_suffix("_total").unwrap_or(name);
            let plain = bare.trim_start_matches("uringcast_");
            // `uringcast_shard_...` heads a table.
            let whole = !matches!(plain, "shard_" | "ingest_" | "topic_" | "accept_");
            if whole && !known.contains(bare) && !exposition.contains(&format!("\"{plain}\"")) {
                findings.push(format!("{}: {name} is no metric", file.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn every_metric_is_documented() {
    let docs = read("docs/operations.md");
    let missing = metric_fields().into_iter().filter(|(_, field)| !docs.contains(&format!("| `{field}` |")));
    report(
        &missing
            .map(|(group, field)| format!("docs/operations.md lacks {group} {field}"))
            .collect::<Vec<_>>(),
    );
}

/// What `uringcast serve --help` prints.
fn help(command: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_uringcast")).args([command, "--help"]).output().expect("it runs");
    assert!(output.status.success(), "{command} --help failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_flag_of_serve_is_documented() {
    let docs = read("docs/operations.md");
    let help = help("serve");
    let mut flags = BTreeSet::new();
    for line in help.lines().map(str::trim_start) {
        let flag = line
            .strip_prefix("-h, ")
            .or_else(|| line.get(4..).filter(|_| line.starts_with('-')))
            .unwrap_or(line);
        let flag = if line.starts_with("--") { line } else { flag };
        if let Some(name) = flag.strip_prefix("--") {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '-').unwrap_or(name.len());
            flags.insert(format!("--{}", name.get(..end).unwrap_or_default()));
        }
    }
    // `URINGCAST_` and the flag's name is a rule that is told once; other variables stand for themselves.
    let variables: BTreeSet<_> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| rest.split([']', '=']).next())
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .filter(|name| !name.starts_with("URINGCAST_"))
        .collect();
    assert!(
        docs.contains("`URINGCAST_PING_INTERVAL`") && variables.contains("KAFKA_BROKERS"),
        "{variables:?}"
    );
    assert!(flags.len() > 5, "no flags found in:\n{help}");
    let missing = flags.iter().map(String::as_str).chain(variables);
    let missing = missing.filter(|word| *word != "--help" && !docs.contains(&format!("`{word}")));
    report(&missing.map(|word| format!("docs/operations.md lacks `{word}`")).collect::<Vec<_>>());
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = read("docs/adr/0001-dependencies.md");
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).and_then(|text| text.split("\n[").next());
    let names = section.expect("a section of dependencies").lines().filter_map(|line| line.split_once(" = "));
    let foreign = names.filter(|(_, value)| !value.contains("path ="));
    let missing = foreign.filter(|(name, _)| !reasons.contains(&format!("| `{name}` |")));
    report(
        &missing.map(|(name, _)| format!("docs/adr/0001-dependencies.md lacks {name}")).collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_names_a_registry_or_a_machine() {
    // In pieces, or this file would find itself.
    let registries =
        ["crates.%io", "npmjs.%org", "pypi.%org", "golang.%org", "maven.%org", "apache.%org/maven"];
    let places = [
        "/wo%rk/main",
        "/wo%rk/wt",
        "/wo%rk/shared",
        "/ro%ot/",
        "/ho%me/",
        "/tmp/target%-",
        "deb.debian.%org",
    ];
    let words: Vec<_> = registries.iter().chain(&places).map(|word| word.replace('%', "")).collect();
    let mut findings = Vec::new();
    for file in tree()
        .iter()
        .filter(|file| !file.path.ends_with("Cargo.lock") && !file.path.starts_with("perf/runs/"))
    {
        for (number, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: names {word}", file.path, number + 1));
            }
        }
    }
    report(&findings);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for file in tree().iter().filter(|file| file.path.ends_with(".md")) {
        let here = root().join(&file.path);
        let here = here.parent().expect("a folder");
        for target in file.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let inside =
                !target.is_empty() && !target.contains("://") && !target.contains(char::is_whitespace);
            if inside && !here.join(target).exists() {
                findings.push(format!("{}: {target} does not exist", file.path));
            }
        }
    }
    report(&findings);
}

/// Paths of the tree that some text or comment names, from the root.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 8] =
        ["cli/", "deploy/", "docs/", "engine/", "perf/", "proto/", "scripts/", "xtask/"];
    let in_path = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    FOLDERS.into_iter().flat_map(move |folder| text.match_indices(folder)).filter_map(move |(at, _)| {
        let (before, rest) = text.split_at(at);
        // The end of a longer path is no path from the root.
        let begins = before.ends_with("./") || !before.ends_with(in_path);
        let end = rest.find(|c: char| !in_path(c)).unwrap_or(rest.len());
        let (path, behind) = rest.split_at(end);
        let whole = !behind.starts_with(['*', '<', '{', '$', '%']);
        (begins && whole).then(|| path.trim_end_matches(['.', '-', '/', '_']))
    })
}

#[test]
fn files_that_are_named_are_there() {
    let mut findings = Vec::new();
    // The design names what is to come, and reports what was; what is not kept is named where it is left out.
    let files = tree();
    let left_out = ["docs/DESIGN.md", ".dockerignore", "Cargo.lock"];
    for file in files.iter().filter(|file| !left_out.contains(&file.path.as_str())) {
        for path in named_paths(&file.text).filter(|path| !path.starts_with("perf/out")) {
            if !file.path.starts_with("perf/runs/") && !root().join(path).exists() {
                findings.push(format!("{}: {path} does not exist", file.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn comments_name_documents_that_exist() {
    let mut findings = Vec::new();
    for file in rust(&tree()).filter(|file| !file.path.starts_with("cli/tests/tidy/")) {
        for word in file.text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))) {
            let word = word.trim_end_matches('.');
            // One is librdkafka's.
            if word.ends_with(".md") && word != "CONFIGURATION.md" && !root().join(word).exists() {
                findings.push(format!("{}: {word} does not exist", file.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn the_changelog_keeps_its_form() {
    let text = read("CHANGELOG.md");
    let mut findings = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("### ")) {
        if !matches!(line, "### Performance" | "### Features" | "### Fixes" | "### Internals") {
            findings.push(format!("CHANGELOG.md: no such section: {line}"));
        }
    }
    if !text.contains("\n## ") {
        findings.push("CHANGELOG.md: no release".to_owned());
    }
    report(&findings);
}
