//! What the tree is still allowed that the checks forbid. The lists only shrink: an exception that is no longer needed
//! fails like a finding. Nothing is added here for new code.

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
