//! EXCEPTIONS OF TODAY'S TREE: what it is still allowed that the checks forbid. The lists only shrink: an exception that
//! is no longer needed fails like a finding. Nothing is added here for new code.

/// For `sizes`: files, structs, and types with impls in too many files.
pub(crate) const TOO_LARGE: &[&str] = &[];

/// For `order`: files without a place in the order of their room, whose imports are not looked at; imports against the
/// order; places that no file has.
pub(crate) const AGAINST: &[&str] = &[
    "proto/src/: place command",
    "proto/src/: place format",
    "proto/src/: place fuzz/input",
    "proto/src/: place message",
    "proto/src/: place reply",
    "proto/src/: place ws/decoder/limits",
    "proto/src/: place ws/handshake/headers",
    "proto/src/fuzz/message.rs imports fuzz/mod",
    "proto/src/fuzz/requests.rs imports fuzz/mod",
    "proto/src/fuzz/template.rs imports fuzz/mod",
    "proto/src/native/reply.rs imports native/request/mod",
    "proto/src/ws/decoder/header.rs imports ws/decoder/mod",
    "proto/src/ws/decoder/held.rs imports ws/decoder/mod",
    "proto/src/ws/handshake/client.rs imports ws/handshake/mod",
];

/// One finding: what it is known by, and what is told of it.
pub(crate) struct Finding {
    pub(crate) key: String,
    pub(crate) text: String,
}

/// What is left to report when the exceptions are made.
pub(crate) fn settle(list: &str, findings: &[Finding], exceptions: &[&str]) -> Vec<String> {
    let new = findings.iter().filter(|finding| !exceptions.contains(&finding.key.as_str()));
    let new = new.map(|finding| format!("{}: {}", finding.key, finding.text));
    let is_needed = |exception: &&&str| findings.iter().any(|finding| finding.key == ***exception);
    let idle = exceptions.iter().filter(|exception| !is_needed(exception));
    new.chain(idle.map(|exception| format!("{list} no longer needs {exception:?}: take it out"))).collect()
}

#[test]
fn exceptions_are_made_and_must_be_needed() {
    let finding = |key: &str| Finding { key: key.to_owned(), text: "is wrong".to_owned() };
    assert_eq!(settle("LIST", &[finding("a"), finding("b")], &["a", "b"]), Vec::<String>::new());
    assert_eq!(settle("LIST", &[finding("a"), finding("b")], &["a"]), ["b: is wrong"]);
    assert_eq!(settle("LIST", &[finding("a")], &["a", "b"]), ["LIST no longer needs \"b\": take it out"]);
}
