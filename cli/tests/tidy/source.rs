//! Rust's text, as far as the checks need it: without comments and literals, and what of it is only for tests.

use std::{collections::BTreeSet, ops::Range};

/// The text with spaces for comments and for what stands between quotation marks; lines stay.
pub(crate) fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let before_is_word = out.ends_with(in_word);
        let len = comment(rest).or_else(|| literal(rest, before_is_word));
        let end = at + len.unwrap_or_else(|| first.len_utf8());
        for c in text[at..end].chars() {
            let stays = len.is_none() || c == '\n';
            out.push(if stays { c } else { ' ' });
        }
        at = end;
    }
    out
}

/// Bytes of the comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |at| at + 2))
}

/// Bytes of the string or character that begins here. A lifetime is none.
fn literal(rest: &str, before_is_word: bool) -> Option<usize> {
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut chars = inner.char_indices();
        let (_, first) = chars.next()?;
        if first == '\\' {
            // What is escaped may be a quotation mark itself.
            return inner[2..].find('\'').map(|at| at + 4);
        }
        return chars.next().filter(|(_, second)| *second == '\'').map(|(at, _)| at + 2);
    }
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !before_is_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = hashes + 1;
            return Some(raw[begin..].find(&end).map_or(rest.len(), |at| 1 + begin + at + end.len()));
        }
    }
    let inner = rest.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(rest.len(), |at| at + 2))
}

pub(crate) fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the items stand that only tests have, attribute and all, in a [`bare`] text.
pub(crate) fn test_items(bare: &str) -> Vec<Range<usize>> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut items: Vec<Range<usize>> = Vec::new();
    for (at, _) in bare.match_indices(ATTRIBUTE) {
        let begin = at + ATTRIBUTE.len();
        let end = bare[begin..].find([';', '{']).map_or(bare.len(), |found| begin + found);
        let end = if bare[end..].starts_with('{') { behind(bare, end) } else { end + 1 };
        if items.last().is_none_or(|last| last.end <= at) {
            items.push(at..end.min(bare.len()));
        }
    }
    items
}

/// Behind the bracket that closes the one that stands here.
pub(crate) fn behind(bare: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in bare[open..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + c.len_utf8();
        }
    }
    bare.len()
}

/// The text without comments, literals and what only tests have.
pub(crate) fn product(text: &str) -> String {
    let mut bare = bare(text);
    for item in test_items(&bare).into_iter().rev() {
        bare.replace_range(item, "");
    }
    bare
}

/// Modules with files of their own that only tests have.
pub(crate) fn test_modules(text: &str) -> BTreeSet<String> {
    let bare = bare(text);
    let items = test_items(&bare).into_iter().map(|item| &bare[item]);
    let names =
        items.filter_map(|item| item.strip_suffix(';')?.trim().rsplit_once("mod ").map(|(_, name)| name));
    names.map(str::to_owned).collect()
}

/// Whether only tests have this file, which lies below `home`: it is declared so, or lies below one that is.
pub(crate) fn is_of_tests(path: &str, files: &[super::File]) -> bool {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    (1..parts.len()).any(|depth| {
        let (folder, module) = (parts[..depth].join("/"), parts[depth]);
        let parents = [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}.rs")];
        let mut declared = files.iter().filter(|file| parents.contains(&file.path));
        declared.any(|file| test_modules(&file.text).contains(module))
    })
}

#[test]
fn comments_and_literals_are_left_out() {
    let text =
        "a /* b */ \"c \\\" d\" '{' '\\'' '\\u{1}' b\"e\" r#\"f \" g\"# h<'i>(j: &'k str) // l\nm \"\n\" n";
    assert_eq!(text_words(&bare(text)), ["a", "b", "h", "i", "j", "k", "str", "m", "n"]);
    assert_eq!(bare(text).lines().count(), text.lines().count());
    assert!(!bare("'{' '\\\\' '}'").contains(['{', '}']));
}

/// For the tests here.
fn text_words(text: &str) -> Vec<&str> {
    text.split(|c: char| !in_word(c)).filter(|word| !word.is_empty()).collect()
}

#[test]
fn what_only_tests_have_is_left_out() {
    let text = "use a;\n#[cfg(test)]\nuse b::{c};\nfn d() {}\n#[cfg(test)]\nmod e;\n#[cfg(test)]\npub(crate) mod f;\n\
        #[cfg(any(test, x))]\nmod g;\n#[cfg(test)]\nmod h {\n    fn i() { \"}\" }\n    #[cfg(test)]\n    fn j() {}\n}\nfn k() {}\n";
    let left = product(text);
    let words = text_words(&left);
    assert!(["a", "d", "g", "k"].iter().all(|word| words.contains(word)), "{left}");
    assert!(["b", "c", "e", "f", "h", "i", "j"].iter().all(|word| !words.contains(word)), "{left}");
    assert_eq!(test_modules(text).into_iter().collect::<Vec<_>>(), ["e", "f"]);
}

#[test]
fn files_of_tests_are_known_by_who_declares_them() {
    let file = |path: &str, text: &str| super::File { path: path.to_owned(), text: text.to_owned() };
    let files = [file("x/src/lib.rs", "mod a;"), file("x/src/a/mod.rs", "mod b;\n#[cfg(test)]\nmod c;")];
    assert!(!is_of_tests("x/src/a/b.rs", &files) && !is_of_tests("x/src/a/mod.rs", &files));
    assert!(is_of_tests("x/src/a/c.rs", &files) && is_of_tests("x/src/a/c/d.rs", &files));
}
