//! How large files, structs and types may get where most of the server's states live.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    File,
    exceptions::{Finding, TOO_LARGE, settle},
    report,
    source::{bare, behind, in_word, is_of_tests, product, test_items},
    tree,
};

/// Where these bounds hold.
const HOMES: [&str; 2] = ["engine/src/shard/", "engine/src/ingest/"];
/// Lines of a file, without its tests.
const LINES_MAX: usize = 350;
/// Fields of a struct.
const FIELDS_MAX: usize = 16;
/// Files that have impls of one type.
const IMPL_FILES_MAX: usize = 3;

/// Lines that are not only for tests.
fn lines(text: &str) -> usize {
    let bare = bare(text);
    let of_tests = test_items(&bare).into_iter().map(|item| bare[item].lines().count()).sum::<usize>();
    text.lines().count() - of_tests
}

/// What stands between brackets, in the parts that commas separate.
fn parts(inside: &str) -> usize {
    let (mut depth, mut parts, mut is_empty) = (0_i32, 0, true);
    let mut last = ' ';
    for c in inside.chars() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if last != '-' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            (parts, is_empty) = (parts + usize::from(!is_empty), true);
        } else if !c.is_whitespace() {
            is_empty = false;
        }
        last = c;
    }
    parts + usize::from(!is_empty)
}

/// The structs of a text, with the number of their fields.
fn structs(product: &str) -> Vec<(&str, usize)> {
    let words = product.match_indices("struct ").filter(|(at, _)| !product[..*at].ends_with(in_word));
    let structs = words.filter_map(|(at, word)| {
        let rest = &product[at + word.len()..];
        let name = rest.split(|c: char| !in_word(c)).next().filter(|name| !name.is_empty())?;
        let open = rest.find(['{', '(', ';']).filter(|open| !rest[*open..].starts_with(';'));
        let fields = open.map_or(0, |open| parts(&rest[open + 1..behind(rest, open) - 1]));
        Some((name, fields))
    });
    structs.collect()
}

/// The types that have impls in a text, of a trait or not.
fn impls(product: &str) -> BTreeSet<&str> {
    let heads = product.match_indices("impl").filter_map(|(at, word)| {
        let before = product[..at].trim_end();
        // Elsewhere `impl` is a part of a type.
        let is_item =
            before.is_empty() || before.ends_with(['}', ';', ']', '{']) || before.ends_with("unsafe");
        let rest = &product[at + word.len()..];
        let head = rest.split('{').next().filter(|_| is_item && rest.starts_with([' ', '<']));
        head.map(implemented)
    });
    heads.filter(|name| !name.is_empty()).collect()
}

/// `Type` of ` Type<T>`, `<T: A> Trait<B> for path::Type<T> where ..`.
fn implemented(head: &str) -> &str {
    let outside = outermost(head);
    let target = outside.iter().rposition(|word| *word == "for").map_or(0, |at| at + 1);
    let words = outside[target..].iter().take_while(|word| **word != "where");
    words.last().copied().unwrap_or_default()
}

/// The words that stand in no angle brackets.
fn outermost(head: &str) -> Vec<&str> {
    let (mut depth, mut last) = (0_i32, ' ');
    let mut spans = vec![];
    let mut begin = None;
    for (at, c) in head.char_indices() {
        let in_one = depth == 0 && in_word(c);
        match (begin, in_one) {
            (None, true) => begin = Some(at),
            (Some(from), false) => {
                spans.push(&head[from..at]);
                begin = None;
            }
            _ => {}
        }
        depth += i32::from(c == '<') - i32::from(c == '>' && last != '-');
        last = c;
    }
    spans.extend(begin.map(|from| &head[from..]));
    spans
}

/// All that is too large in the homes.
fn too_large(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |key: String, text: String| findings.push(Finding { key, text });
    for home in HOMES {
        let mut homes: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let mine = files.iter().filter(|file| file.path.starts_with(home) && file.path.ends_with(".rs"));
        for file in mine.filter(|file| !is_of_tests(&file.path, files)) {
            let lines = lines(&file.text);
            if lines > LINES_MAX {
                found(file.path.clone(), format!("{lines} lines without tests, at most {LINES_MAX}"));
            }
            let product = product(&file.text);
            for (name, fields) in structs(&product).into_iter().filter(|(_, fields)| *fields > FIELDS_MAX) {
                found(
                    format!("{}: struct {name}", file.path),
                    format!("{fields} fields, at most {FIELDS_MAX}"),
                );
            }
            for name in impls(&product) {
                homes.entry(name.to_owned()).or_default().insert(&file.path);
            }
        }
        for (name, files) in homes.into_iter().filter(|(_, files)| files.len() > IMPL_FILES_MAX) {
            let text = format!("has impls in {} files, at most {IMPL_FILES_MAX}", files.len());
            found(format!("{home}: impl {name}"), text);
        }
    }
    findings
}

#[test]
fn nothing_in_shard_and_ingest_is_too_large() {
    report(&settle("TOO_LARGE", &too_large(&tree()), TOO_LARGE));
}

#[test]
fn planted_sizes_are_found() {
    let file = |path: &str, text: String| File { path: path.to_owned(), text };
    let code = |lines: usize| "fn f() {}\n".repeat(lines);
    let tests = |lines: usize| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code(lines));
    let fields = |count: usize| {
        let fields: String =
            (0..count).map(|n| format!("    a{n}: Map<u8, fn(u8, u8) -> [u8; 2]>, // b, c\n")).collect();
        format!("struct Many<'a, T: A<B, C>> {{\n{fields}}}\n")
    };
    let keys = |files: &[File]| too_large(files).into_iter().map(|finding| finding.key).collect::<Vec<_>>();

    // In pieces: these files are not there.
    let [shard, ingest] = HOMES;
    let path = &format!("{shard}a.rs");
    assert_eq!(keys(&[file(path, code(350) + &tests(500))]), [""; 0]);
    assert_eq!(keys(&[file(path, code(351))]), [path.as_str()]);
    assert_eq!(
        keys(&[file(&path.replace("shard", "server"), code(351) + &fields(17))]),
        [""; 0],
        "elsewhere"
    );
    let declared = file(&format!("{shard}mod.rs"), "#[cfg(test)]\nmod a;\n".to_owned());
    assert_eq!(keys(&[file(path, code(351)), declared]), [""; 0], "of tests");

    assert_eq!(keys(&[file(path, fields(16))]), [""; 0]);
    assert_eq!(keys(&[file(path, fields(17))]), [format!("{path}: struct Many")]);
    let tuple = format!("pub struct Tuple({});", "Vec<(u8, u8)>, ".repeat(17));
    assert_eq!(keys(&[file(path, tuple)]), [format!("{path}: struct Tuple")]);

    let impls = [
        "impl One {}",
        "impl<T: A<B>> fmt::Debug for super::One where T: C {}",
        "unsafe impl Send for One {}",
        "fn f() -> impl One {}\nimpl From<One> for Two {}\nimpl One {}",
    ];
    let home = |count: usize| {
        let files = impls.iter().zip('a'..).take(count);
        files.map(|(text, name)| file(&format!("{ingest}{name}.rs"), (*text).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(keys(&home(3)), [""; 0]);
    assert_eq!(keys(&home(4)), [format!("{ingest}: impl One")]);
}
