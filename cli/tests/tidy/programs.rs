//! How many programs integration tests are linked into: each links the whole server and librdkafka, which is most of what a
//! test run costs before its first test. A new test is a module of a program that is there.

use std::collections::BTreeSet;

use super::{File, report, tree};

/// In the whole workspace, with all features.
const PROGRAMS_MAX: usize = 14;

/// The programs that cargo makes of the packages' tests: files in a `tests` folder, folders in it with a `main.rs`, and files
/// that a manifest names besides.
fn programs(files: &[File]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for manifest in files.iter().filter(|file| is_package(file)) {
        let home = manifest.path.strip_suffix("Cargo.toml").unwrap_or_default();
        let tests = format!("{home}tests/");
        let paths = files.iter().filter_map(|file| Some((&file.path, file.path.strip_prefix(&tests)?)));
        let roots = paths.filter(|(_, name)| match name.split_once('/') {
            None => name.ends_with(".rs"),
            Some((_, rest)) => rest == "main.rs",
        });
        found.extend(roots.map(|(path, _)| path.clone()));
        found.extend(named(&manifest.text).map(|path| format!("{home}{path}")));
    }
    found
}

/// A manifest of the workspace that makes a package.
fn is_package(file: &File) -> bool {
    let is_manifest = file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml");
    is_manifest && file.text.lines().any(|line| line.trim() == "[package]")
}

/// Paths of the `[[test]]` sections of a manifest.
fn named(manifest: &str) -> impl Iterator<Item = &str> {
    let sections = manifest.split("\n[[test]]").skip(1);
    sections.filter_map(|section| {
        let mut lines = section.lines().take_while(|line| !line.starts_with('['));
        lines.find_map(|line| line.strip_prefix("path")?.split('"').nth(1))
    })
}

fn too_many(files: &[File]) -> Vec<String> {
    let programs = programs(files);
    if programs.len() <= PROGRAMS_MAX {
        return Vec::new();
    }
    let head = format!("{} programs of integration tests, at most {PROGRAMS_MAX}:", programs.len());
    std::iter::once(head).chain(programs).collect()
}

#[test]
fn integration_tests_are_few_programs() {
    let files = tree();
    let programs = programs(&files);
    assert!(
        programs.contains("cli/tests/tidy/main.rs") && programs.contains("engine/tests/sim/main.rs"),
        "{programs:?}"
    );
    report(&too_many(&files));
}

/// Manifests by which a crate that is for tests alone would come into the binary.
fn shipped(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_package(file)) {
        let Some((_, section)) = file.text.split_once("\n[dependencies]") else { continue };
        let lines = section.lines().take_while(|line| !line.starts_with('['));
        let words = lines.filter_map(|line| line.split(['.', ' ']).next());
        let wrong = words.filter(|word| matches!(*word, "testkit" | "kafka-local"));
        findings.extend(wrong.map(|word| format!("{}: {word} is for tests alone", file.path)));
    }
    findings
}

#[test]
fn what_is_for_tests_alone_is_not_shipped() {
    report(&shipped(&tree()));
    let good = file(
        "a/Cargo.toml",
        "[package]\n\n[dependencies]\nkafka.workspace = true\n\n[dev-dependencies]\ntestkit = 1\n",
    );
    let wrong = file(
        "b/Cargo.toml",
        "[package]\n\n[dependencies]\ntestkit.workspace = true\nkafka-local = { path = \"x\" }\n",
    );
    assert_eq!(shipped(&[good, wrong]).len(), 2);
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// A package whose tests are one program too many, and much beside them that is none.
#[test]
fn one_program_too_many_is_found() {
    let mut files: Vec<File> = (1..PROGRAMS_MAX).map(|n| file(&format!("a/b/tests/t{n}.rs"), "")).collect();
    files.push(file("Cargo.toml", "[workspace]\n"));
    files.push(file("tests/no_package.rs", ""));
    files.push(file("a/b/Cargo.toml", "[package]\n[[test]]\nname = \"t1\"\npath = \"tests/t1.rs\"\n"));
    files.push(file("a/b/tests/folder/main.rs", ""));
    for no_program in ["folder/part.rs", "shared/mod.rs", "deep/er/main.rs", "folder/data.json", "data.json"]
    {
        files.push(file(&format!("a/b/tests/{no_program}"), ""));
    }
    assert_eq!(programs(&files).len(), PROGRAMS_MAX);
    assert_eq!(too_many(&files), [""; 0]);

    files.push(file(
        "c/Cargo.toml",
        "[package]\n\n[[test]]\nname = \"x\"\npath = \"elsewhere/x.rs\"\n\n[lib]\npath = \"l.rs\"\n",
    ));
    let found = too_many(&files);
    assert_eq!(found.len(), 1 + PROGRAMS_MAX + 1);
    assert!(
        found[0].starts_with("15 programs") && found.contains(&"c/elsewhere/x.rs".to_owned()),
        "{found:?}"
    );
    files.pop();
    files.push(file("a/b/tests/one_more.rs", ""));
    assert_eq!(too_many(&files).len(), 1 + PROGRAMS_MAX + 1);
}
