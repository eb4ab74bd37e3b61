//! Within these rooms a file imports only from files that stand further down: no circle, and what is below can be read
//! without what is above.

use super::{
    File,
    exceptions::{AGAINST, Finding, settle},
    report,
    source::{in_word, is_of_tests, product},
    tree,
};

/// A room: its folder, the path of its module, and its files in order, the top first.
struct Room {
    home: &'static str,
    module: &'static [&'static str],
    order: &'static [&'static str],
    /// Parts that do not know each other.
    strangers: &'static [[&'static str; 2]],
}

/// The rooms. A new file gets its place here.
const ROOMS: [Room; 3] = [
    Room {
        home: "proto/src/",
        module: &[],
        order: &[
            "lib",
            "fuzz/mod",
            "fuzz/decoder",
            "fuzz/handshake",
            "fuzz/message",
            "fuzz/position",
            "fuzz/requests",
            "fuzz/template",
            "fuzz/input",
            "format",
            "native/mod",
            "native/envelope",
            "native/scan",
            "native/request/mod",
            "native/reply",
            "native/message",
            "native/json",
            "reply",
            "message",
            "command",
            "channel/looks",
            "channel/mod",
            "position",
            "ws/mod",
            "ws/handshake/mod",
            "ws/handshake/client",
            "ws/handshake/refusal",
            "ws/handshake/headers",
            "ws/decoder/harness",
            "ws/decoder/mod",
            "ws/decoder/held",
            "ws/decoder/header",
            "ws/decoder/violation",
            "ws/decoder/limits",
            "ws/frame",
            "ws/close",
        ],
        strangers: &[],
    },
    Room {
        home: "engine/src/ingest/",
        module: &["ingest"],
        order: &[
            "mod",
            "thread",
            "findings",
            "reading",
            "records",
            "bus",
            "explain",
            "faults/mod",
            "faults/partitions",
            "faults/topics",
            "faults/pressure",
            "faults/reach",
            "publisher",
            "tally",
            "topics/mod",
            "topics/partition",
            "channels",
            "outbox",
            "notices",
            "watcher/mod",
            "watcher/asks",
            "watcher/topic",
            "watcher/finding",
        ],
        strangers: &[],
    },
    Room {
        home: "engine/src/shard/",
        module: &["shard"],
        order: &[
            "mod",
            "run",
            "tick",
            "events",
            "inbox",
            "pump/turn",
            "pump/reclaim",
            "pump/mod",
            "pump/plan",
            "hear",
            "requests",
            "notices/mod",
            "notices/lagged",
            "notices/gaps",
            "notices/status",
            "clients",
            "connections/bounds",
            "connections/drain",
            "connections/liveness",
            "connections/reading",
            "connections/mod",
            "connections/table",
            "connections/connection",
            "connections/socket",
            "connections/output",
            "connections/inbound",
            "connections/pending",
            "connections/rate",
            "connections/reason",
            "subscriptions/follow",
            "subscriptions/lagging",
            "subscriptions/mod",
            "subscriptions/gaps",
            "subscriptions/positions",
            "subscriptions/channels",
            "subscriptions/chains",
            "subscriptions/subscription",
            "subscriptions/owed",
            "lookups",
            "stale",
            "context",
            "schedule",
            "timers",
            "setup",
        ],
        strangers: &[["connections", "subscriptions"]],
    },
];

/// The paths that a product text names from `crate`, `self`, `super` or one of `children`, as far as they are modules or
/// items: `super::{a::B, c}` is two.
fn named<'a>(product: &'a str, children: &[&str]) -> Vec<Vec<&'a str>> {
    let mut paths = Vec::new();
    for (at, _) in product.match_indices("::") {
        let before = &product[..at];
        let begin = before.rfind(|c: char| !in_word(c)).map_or(0, |found| found + 1);
        let first = &product[begin..at];
        let is_first = !product[..begin].trim_end().ends_with("::");
        let is_visibility = product[..begin].trim_end().ends_with("(in");
        let is_ours = ["crate", "self", "super"].contains(&first) || children.contains(&first);
        if is_first && is_ours && !is_visibility {
            branches(&product[at + 2..], &mut vec![first], &mut paths);
        }
    }
    paths
}

/// What stands behind `::`: a name and more of it, or several in braces. Gives the length that was read.
fn branches<'a>(text: &'a str, path: &mut Vec<&'a str>, paths: &mut Vec<Vec<&'a str>>) -> usize {
    let name = text.split(|c: char| !in_word(c)).next().unwrap_or_default();
    if !name.is_empty() {
        path.push(name);
        let more = text[name.len()..].strip_prefix("::").map(|rest| 2 + branches(rest, path, paths));
        if more.is_none() {
            paths.push(path.clone());
        }
        path.pop();
        return name.len() + more.unwrap_or(0);
    }
    if !text.starts_with('{') {
        // A star, or the types of a function.
        paths.push(path.clone());
        return 0;
    }
    let mut at = 1;
    while let Some(c) = text[at..].chars().next().filter(|c| *c != '}') {
        at += if in_word(c) { branches(&text[at..], path, paths) } else { c.len_utf8() };
    }
    at + 1
}

impl Room {
    /// The files of the room that are not of tests, by their path within it, without ending.
    fn files<'a>(&self, files: &'a [File]) -> Vec<(&'a str, &'a File)> {
        let mine = files.iter().filter(|file| !is_of_tests(&file.path, files));
        mine.filter_map(|file| Some((file.path.strip_prefix(self.home)?.strip_suffix(".rs")?, file)))
            .collect()
    }

    /// Imports against the order, and files that have no place in it.
    fn against(&self, files: &[File]) -> Vec<Finding> {
        let files = self.files(files);
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let place = |name: &str| self.order.iter().position(|known| *known == name);
        let finding = |name: &str, of: &str, text: &str| Finding {
            key: format!("{}{name}.rs{of}", self.home),
            text: text.to_owned(),
        };
        let mut findings = Vec::new();
        for (name, file) in &files {
            let Some(mine) = place(name) else {
                findings.push(finding(name, "", "has no place in the order of its room"));
                continue;
            };
            let mut imported = self.imports(name, &product(&file.text), &names);
            imported.retain(|other| place(other).is_some());
            for other in imported {
                let of = format!(" imports {other}");
                if place(other) < Some(mine) {
                    findings.push(finding(name, &of, "which stands above it"));
                }
                if self.strangers.iter().any(|pair| strangers(pair, name, other)) {
                    findings.push(finding(name, &of, "which it does not know"));
                }
            }
        }
        // While the tree is on its way, places wait for their files.
        let is_whole = names.iter().all(|name| place(name).is_some());
        for missing in self.order.iter().filter(|place| is_whole && !names.contains(place)) {
            let key = format!("{}: place {missing}", self.home);
            findings.push(Finding { key, text: "no file has it".to_owned() });
        }
        findings
    }

    /// The files of the room that this one imports from.
    fn imports<'a>(&self, name: &str, product: &str, names: &[&'a str]) -> Vec<&'a str> {
        // From here on a module is the names on the way to it.
        let module = |name: &'a str| {
            let parts = name.split('/').filter(|part| !matches!(*part, "mod" | "lib"));
            self.module.iter().copied().chain(parts).collect::<Vec<_>>()
        };
        let modules: Vec<(&'a str, Vec<&'a str>)> = names.iter().map(|name| (*name, module(name))).collect();
        let Some((_, here)) = modules.iter().find(|(other, _)| *other == name) else { return Vec::new() };
        let is_child = |of: &[&str]| of.len() == here.len() + 1 && of.starts_with(here);
        let children: Vec<&str> =
            modules.iter().filter(|(_, of)| is_child(of)).filter_map(|(_, of)| of.last().copied()).collect();
        let mut imports = Vec::new();
        for path in named(product, &children) {
            let up = path.iter().take_while(|part| **part == "super").count();
            let (base, rest) = match path[0] {
                "crate" => (&here[..0], &path[1..]),
                "self" => (&here[..], &path[1..]),
                "super" if up <= here.len() => (&here[..here.len() - up], &path[up..]),
                "super" => continue,
                _ => (&here[..], &path[..]),
            };
            let whole: Vec<&str> = base.iter().chain(rest).copied().collect();
            let deepest =
                modules.iter().filter(|(_, of)| whole.starts_with(of)).max_by_key(|(_, of)| of.len());
            imports.extend(deepest.map(|(other, _)| *other));
        }
        imports.retain(|other| *other != name);
        imports.sort_unstable();
        imports.dedup();
        imports
    }
}

/// Whether the two files are on both sides of the pair.
fn strangers([one, other]: &[&str; 2], name: &str, imported: &str) -> bool {
    let below = |file: &str, part: &str| {
        file.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    (below(name, one) && below(imported, other)) || (below(name, other) && below(imported, one))
}

#[test]
fn imports_run_downward() {
    let files = tree();
    let findings: Vec<Finding> = ROOMS.iter().flat_map(|room| room.against(&files)).collect();
    report(&settle("AGAINST", &findings, AGAINST));
}

#[test]
fn planted_imports_are_found() {
    const ROOM: Room = Room {
        home: "x/src/room/",
        module: &["room"],
        order: &["mod", "top", "part/mod", "part/child", "other/mod", "other/child", "low"],
        strangers: &[["part", "other"]],
    };
    let tree = |changed: &str, text: &str| -> Vec<File> {
        let files = ROOM.order.iter().map(|name| {
            let text = if *name == changed { text } else { "use crate::elsewhere::A;" };
            File { path: format!("{}{name}.rs", ROOM.home), text: text.to_owned() }
        });
        files.collect()
    };
    let found = |changed: &str, text: &str| -> Vec<String> {
        let findings = ROOM.against(&tree(changed, text)).into_iter();
        findings.map(|finding| finding.key.replace(ROOM.home, "").replace(".rs", "")).collect()
    };
    let none: [&str; 0] = [];
    for (file, text) in [
        ("mod", "mod top;\npub use self::{top::A, part::{B, C}};\nuse low::D;"),
        (
            "top",
            "use super::{low::A, part::child::B};\nuse crate::{elsewhere::C, room::low};\npub(in crate::room) struct D;",
        ),
        ("part/mod", "mod child;\nuse child::{A, B};\nuse super::low::C;"),
        ("part/child", "use super::super::low; use crate::elsewhere::top::A; use std::self_::top;"),
        (
            "low",
            "// use super::top;\nconst A: &str = \"super::top\";\n#[cfg(test)]\nmod tests { use super::super::top; }",
        ),
    ] {
        assert_eq!(found(file, text), none, "{file}: {text}");
    }
    for (file, text, import) in [
        ("top", "use super::Shard;", "top imports mod"),
        ("low", "use super::top::A;", "low imports top"),
        (
            "low",
            "use super::{\n    other::{\n        child::A,\n        B\n    },\n};",
            "low imports other/child",
        ),
        ("low", "use crate::{a::{b, c}, room::{top as t}};", "low imports top"),
        ("low", "fn f() { g(super::top::h::<u8>()) }", "low imports top"),
        ("low", "fn f(a: &super::part::child::A) {}", "low imports part/child"),
        ("part/child", "use super::A;", "part/child imports part/mod"),
        ("part/child", "use super::*;", "part/child imports part/mod"),
        ("part/mod", "use super::other::A;", "part/mod imports other/mod"),
        ("top", "use crate::room::Shard as S;", "top imports mod"),
    ] {
        assert!(found(file, text).contains(&import.to_owned()), "{file}: {text}: {:?}", found(file, text));
    }
    let mut files = tree("", "");
    files.push(File { path: format!("{}new.rs", ROOM.home), text: String::new() });
    let keys =
        |files: &[File]| ROOM.against(files).into_iter().map(|finding| finding.key).collect::<Vec<_>>();
    assert_eq!(keys(&files), [format!("{}new.rs", ROOM.home)], "no place");
    files.retain(|file| !file.path.ends_with("new.rs") && !file.path.ends_with("low.rs"));
    assert_eq!(keys(&files), [format!("{}: place low", ROOM.home)], "a place for nothing");
}
