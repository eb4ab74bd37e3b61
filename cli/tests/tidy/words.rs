//! Words that the project has given up: pictures for things that the field has a name for (docs/glossary.md).
//!
//! An identifier is read as the words it is made of, so one entry finds `own_bytes`, `OwnBytes`, `--own-bytes` and "own
//! bytes". Where a word has good uses too, its entry says within which paths it does not. Names of tests may keep what
//! they have: whoever knows a test finds it again.

use super::{code, report, tree};

/// A word, or several that follow each other, what is said instead, and within which paths (none: everywhere).
struct Old {
    words: &'static [&'static str],
    instead: &'static str,
    within: &'static [&'static str],
}

const fn old(words: &'static [&'static str], instead: &'static str, within: &'static [&'static str]) -> Old {
    Old { words, instead, within }
}

/// Where topics and their logs are told of.
const OF_TOPICS: &[&str] = &[
    "engine/src/ingest/",
    "engine/src/catalog.rs",
    "engine/src/inbox.rs",
    "engine/src/metrics.rs",
    "engine/src/shard/pump/reclaim.rs",
    "engine/src/shard/notices/gaps.rs",
    "engine/kafka/src/record.rs",
    "engine/kafka/tests/",
    "engine/tests/sim/kafka/",
    "engine/tests/sim/model.rs",
    "engine/tests/sim/oracle.rs",
    "engine/tests/sim/place.rs",
    "engine/tests/sim/redeem.rs",
    "engine/tests/sim/scenarios/truncations.rs",
    "cli/tests/broker/cluster/",
    "docs/DESIGN.md",
    "docs/adr/",
];

/// Where threads write to each other.
const OF_INBOXES: &[&str] = &[
    "engine/src/",
    "engine/tests/",
    "engine/benches/",
    "engine/testkit/",
    "engine/slab/",
    "perf/src/load/client/",
    "perf/src/load/control.rs",
    "perf/src/load/coordinator.rs",
    "perf/src/load/run.rs",
    "perf/src/load/workers.rs",
    "docs/glossary.md",
    "docs/DESIGN.md",
];

const OF_BENCH: &[&str] = &["perf/src/", "perf/tests/", "cli/src/bench/", "cli/tests/commands/report.rs"];

const OLD: [Old; 24] = [
    old(&["bell"], "waker", &[]),
    old(&["mail"], "inbox", &[]),
    old(&["letter"], "inbox message, control message", OF_INBOXES),
    old(&["eighth"], "segment", &[]),
    old(&["torn"], "partial frame", &[]),
    old(&["own", "bytes"], "control output", &[]),
    old(&["own", "answers"], "control output", &[]),
    old(&["first", "line"], "ready queue", &["engine/src/shard/", "docs/adr/"]),
    old(&["second", "line"], "backlog queue", &["engine/src/shard/", "docs/adr/"]),
    old(&["standing"], "queue state, standstill", &[]),
    old(&["life"], "incarnation", OF_TOPICS),
    old(&["lives"], "incarnations", OF_TOPICS),
    old(&["life", "of", "a", "topic"], "incarnation", &[]),
    old(&["cut"], "truncation", OF_TOPICS),
    old(&["cut", "log"], "truncated log", &[]),
    old(&["log", "was", "cut"], "truncated", &[]),
    old(&["question"], "lookup, request", &["engine/", "cli/", "docs/adr/", "docs/DESIGN.md"]),
    old(&["door"], "acceptor", &["engine/", "cli/"]),
    old(&["crew"], "coordinator, workers", &[]),
    old(&["floor"], "baseline", OF_BENCH),
    old(&["bench", "floor"], "bench baseline", &[]),
    old(
        &["with", "floor"],
        "with-baseline",
        &["cli/", "perf/", "scripts/", "docs/", "README.md", "Taskfile.yml"],
    ),
    old(&["feed"], "market", OF_BENCH),
    old(&["checker"], "verifier", OF_BENCH),
];

/// Types that had a name which, as a word, has many good uses.
const OLD_TYPES: [(&str, &str); 6] = [
    ("Own", "Output"),
    ("Why", "CloseReason"),
    ("Cut", "Truncation"),
    ("Life", "Incarnation"),
    ("Question", "ChannelLookup, TopicLookup"),
    ("Door", "Acceptor"),
];

/// Lines that may have such a word: of files that begin so (none: any), lines with this, and why.
const EXCEPTIONS: [(&str, &str, &str); 22] = [
    ("", "torn_bytes", "the name of a metric"),
    ("", "questions.add(1)", "the name of a metric"),
    ("", "questions.get()", "the name of a metric"),
    ("", "questions: Counter", "the name of a metric"),
    ("engine/src/limits.rs", "former: \"limit-own-bytes\"", "the former name of a flag"),
    ("engine/src/limits.rs", "former: \"limit-torn-bytes\"", "the former name of a flag"),
    ("cli/src/bench/mod.rs", "alias = \"with-floor\"", "the former name of a flag"),
    ("cli/src/bench/mod.rs", "alias = \"floor\"", "the former name of a subcommand"),
    ("cli/src/bench/mod.rs", "\"floor\", \"latency", "the test of that"),
    ("cli/src/bench/mod.rs", "\"--with-floor\"", "the test of that"),
    ("CHANGELOG.md", "`--limit-own-bytes`", "the former name of a flag"),
    ("CHANGELOG.md", "`--limit-torn-bytes`", "the former names of flags"),
    ("Taskfile.yml", "aliases: [bench:floor]", "the former name of a task"),
    ("perf/src/report/", "rename = \"floor", "keys of a report"),
    ("perf/src/compare/tests.rs", "\"floor\"", "a key of a report"),
    ("perf/src/", "floor(", "a function that rounds down"),
    ("engine/src/", "an eighth of", "a fraction"),
    ("docs/", "eighth", "a fraction"),
    ("ARCHITECTURE.md", "an eighth of it", "a fraction"),
    ("proto/src/ws/decoder/harness.rs", "An event with its own bytes", "not those of a connection"),
    ("docs/PROTOCOL.md", "the value's own bytes", "not those of a connection"),
    ("perf/src/measure/series/", "own.bytes", "not those of a connection"),
];

/// The words of a line, in lower case.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in line.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if !c.is_alphanumeric() || begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether these words are there, one behind the other, the last one alone or as a plural.
fn has(line: &[String], wanted: &[&str]) -> bool {
    line.windows(wanted.len()).any(|some| {
        let mut pairs = some.iter().zip(wanted).rev();
        let last = pairs.next().is_some_and(|(word, wanted)| {
            word == wanted || word.strip_suffix('s').is_some_and(|word| word == *wanted)
        });
        last && pairs.all(|(word, wanted)| word == wanted)
    })
}

/// The exception that a line is, by number.
fn exception(path: &str, line: &str) -> Option<usize> {
    EXCEPTIONS.iter().position(|(home, part, _)| path.starts_with(home) && line.contains(part))
}

/// Lines with an old word, numbered from 1, and what is said instead.
fn old_words(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut attribute = false;
    for (number, line) in (1..).zip(text.lines()) {
        let is_test = attribute && line.trim_start().starts_with("fn ");
        attribute = line.trim_start().starts_with("#[");
        if is_test {
            continue;
        }
        let words = words(line);
        for Old { words: wanted, instead, within } in &OLD {
            let applies = within.is_empty() || within.iter().any(|home| path.starts_with(home));
            if applies && has(&words, wanted) {
                found.push((number, format!("{:?}: say {instead}", wanted.join(" "))));
            }
        }
        if path.starts_with("engine/") && path.ends_with(".rs") {
            let code = code(line);
            let names: Vec<_> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            for (name, instead) in OLD_TYPES.iter().filter(|(name, _)| names.contains(name)) {
                found.push((number, format!("{name}: say {instead}")));
            }
        }
    }
    found
}

#[test]
fn old_words_are_gone() {
    // The records of past runs say what was said then, and this file has to name what it refuses.
    let left_out = ["perf/runs/", "Cargo.lock", "LICENSE", "cli/tests/tidy/words.rs"];
    let mut findings = Vec::new();
    let mut used = [false; EXCEPTIONS.len()];
    for file in tree().iter().filter(|file| !left_out.iter().any(|path| file.path.starts_with(path))) {
        let lines: Vec<_> = file.text.lines().collect();
        for (number, found) in old_words(&file.path, &file.text) {
            match exception(&file.path, lines[number - 1]) {
                Some(exception) => used[exception] = true,
                None => findings.push(format!("{}:{number}: {found}", file.path)),
            }
        }
    }
    let unused = EXCEPTIONS.iter().zip(used).filter(|(_, used)| !used);
    findings
        .extend(unused.map(|((path, part, _), _)| format!("no line of {path:?} needs {part:?} any more")));
    report(&findings);
}

#[test]
fn an_old_word_is_found_in_any_form() {
    let places = [
        ("engine/src/server/mod.rs", "let to_ingest = ring_the_bells();"),
        ("engine/src/shard/inbox.rs", "const LETTERS_A_TURN: usize = 256;"),
        ("docs/operations.md", "A flag `--own-bytes` and its kin"),
        ("engine/src/shard/connections/connection.rs", "pub(crate) fn own_bytes(&self)"),
        ("engine/slab/src/writer.rs", "    eighths: Eighths,"),
        ("engine/src/shard/pump/plan.rs", "    TornBlock,"),
        ("engine/src/shard/pump/mod.rs", "/// In the first line: marked."),
        ("engine/src/shard/pump/mod.rs", "standing: Vec<u8>,"),
        ("engine/src/ingest/records.rs", "fn begin_life(&mut self)"),
        ("engine/tests/sim/model.rs", "pub(crate) confuses_lives: bool,"),
        ("README.md", "who reads another life of a topic"),
        ("engine/src/catalog.rs", "pub fn cut_before(&self)"),
        ("engine/src/ingest/bus.rs", "fn answer_questions(&mut self)"),
        ("engine/src/accept/mod.rs", "struct Door {"),
        ("perf/src/load/run.rs", "let mut crew = start()?;"),
        ("perf/src/report/mod.rs", "pub floor: Option<Floor>,"),
        ("perf/src/load/market.rs", "pub struct FeedRecord<'a> {"),
        ("scripts/local-multi", "uringcast bench --with-floor"),
        ("engine/src/shard/connections/socket.rs", "fn count(&self, why: Why) {"),
        ("engine/src/shard/connections/socket.rs", "    own: Own::default(),"),
    ];
    for (path, line) in places {
        let text = format!("//! Fine.\n{line}\n");
        let found = old_words(path, &text);
        assert!(
            found.iter().all(|(number, _)| *number == 2) && !found.is_empty(),
            "{path}: {line}: {found:?}"
        );
        assert_eq!(exception(path, line), None, "{path}: {line}");
    }
}

#[test]
fn good_uses_of_the_same_words_are_none() {
    let places = [
        ("docs/PROTOCOL.md", "closed with `no sign of life`"),
        ("engine/src/shard/connections/socket.rs", "/// Why a connection ends."),
        ("engine/slab/src/lib.rs", "/// A list of its own, below the floor."),
        ("engine/ring/src/kernel/mod.rs", "outstanding: usize, // lives through the call"),
        ("engine/src/admin/exposition.rs", "type Labelled = u64;"),
        ("proto/src/ws/decoder/mod.rs", "// cut anywhere"),
        ("docs/profiling.md", "The two questions come first"),
        ("engine/src/ingest/records.rs", "#[test]\nfn a_new_life_is_a_reset() {"),
    ];
    for (path, text) in places {
        assert_eq!(old_words(path, text), [], "{path}: {text}");
    }
}
