//! scripts/check-sandbox: a command under the system call filter that a container engine makes of a profile, or systemd of a
//! unit. A forbidden call ends the process, so that one whose failure goes unnoticed is found as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use seccompiler::{BpfProgram, TargetArch};
use serde_json::{Value, json};

/// Loads the filter and becomes the command; comes back only where that failed.
pub(crate) fn run(source: &Path, without: Option<&str>, command: &[String]) -> anyhow::Error {
    let become_it = || {
        let text = crate::read(source)?;
        let rules = match source.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Rules::of_profile(&text),
            Some("service") => Rules::of_unit(&text, &systemd_group),
            _ => bail!("neither a profile (.json) nor a unit (.service)"),
        };
        let rules = rules.with_context(|| source.display().to_string())?;
        let [program, arguments @ ..] = command else { bail!("no command") };
        for filter in rules.programs(without)? {
            seccompiler::apply_filter(&filter).context("the kernel takes no filter")?;
        }
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("cannot run {program}"))
    };
    become_it().map_or_else(|error| error, |never: std::convert::Infallible| match never {})
}

/// A system call, with conditions on its arguments that all have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    call: String,
    conditions: Vec<Condition>,
}

/// The argument, masked where there is a mask, has this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    index: u64,
    mask: Option<u64>,
    value: u64,
}

impl Rule {
    fn of(call: impl Into<String>) -> Self {
        Self { call: call.into(), conditions: Vec::new() }
    }

    fn when(call: impl Into<String>, index: u64, mask: Option<u64>, value: u64) -> Self {
        Self { call: call.into(), conditions: vec![Condition { index, mask, value }] }
    }

    /// As seccompiler reads it.
    fn to_json(&self) -> Value {
        let condition = |condition: &Condition| {
            let op = condition.mask.map_or_else(|| json!("eq"), |mask| json!({ "masked_eq": mask }));
            json!({ "index": condition.index, "type": "qword", "op": op, "val": condition.value })
        };
        if self.conditions.is_empty() {
            json!({ "syscall": self.call })
        } else {
            let conditions: Vec<_> = self.conditions.iter().map(condition).collect();
            json!({ "syscall": self.call, "args": conditions })
        }
    }
}

/// What a source lets through, and how it refuses.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    /// The error of what is not named.
    errno: u64,
    allowed: Vec<Rule>,
    /// Calls that fail with an error of their own, which programs are known to live with.
    refused: BTreeMap<u64, Vec<Rule>>,
}

impl Rules {
    /// Of a profile of container engines.
    fn of_profile(text: &str) -> anyhow::Result<Self> {
        let profile: Value = serde_json::from_str(text).context("no JSON")?;
        let number = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_u64).with_context(|| format!("no number {key} in {value}"))
        };
        let action = profile.get("defaultAction").and_then(Value::as_str);
        ensure!(action == Some("SCMP_ACT_ERRNO"), "defaultAction is {action:?}");
        let mut rules = Self {
            errno: number(&profile, "defaultErrnoRet")?,
            allowed: Vec::new(),
            refused: BTreeMap::new(),
        };
        let list =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in list(&profile, "syscalls") {
            let condition = |arg: Value| {
                let index = number(&arg, "index")?;
                // Of a masked one the mask comes first.
                match arg.get("op").and_then(Value::as_str) {
                    Some("SCMP_CMP_EQ") => Ok(Condition { index, mask: None, value: number(&arg, "value")? }),
                    Some("SCMP_CMP_MASKED_EQ") => Ok(Condition {
                        index,
                        mask: Some(number(&arg, "value")?),
                        value: number(&arg, "valueTwo")?,
                    }),
                    other => bail!("op is {other:?}"),
                }
            };
            let conditions =
                list(&entry, "args").into_iter().map(condition).collect::<anyhow::Result<Vec<_>>>()?;
            let place = match entry.get("action").and_then(Value::as_str) {
                Some("SCMP_ACT_ALLOW") => &mut rules.allowed,
                Some("SCMP_ACT_ERRNO") => rules.refused.entry(number(&entry, "errnoRet")?).or_default(),
                other => bail!("action is {other:?}"),
            };
            for name in list(&entry, "names") {
                let call = name.as_str().context("a name is no text")?.to_owned();
                place.push(Rule { call, conditions: conditions.clone() });
            }
        }
        Ok(rules)
    }

    /// Of a unit of systemd; `group` has the calls of a group, which may be groups.
    fn of_unit(text: &str, group: &dyn Fn(&str) -> anyhow::Result<BTreeSet<String>>) -> anyhow::Result<Self> {
        let setting = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            lines.flat_map(str::split_whitespace).collect::<Vec<_>>()
        };
        ensure!(setting("MemoryDenyWriteExecute") == ["yes"], "MemoryDenyWriteExecute is not yes");
        ensure!(setting("SystemCallErrorNumber") == ["EPERM"], "SystemCallErrorNumber is not EPERM");
        let mut names = BTreeSet::new();
        // As systemd reads them: the first line allows, a later one with ~ takes away.
        for line in text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
            let mut calls = BTreeSet::new();
            for name in line.trim_start_matches('~').split_whitespace() {
                calls.extend(expanded(name, group)?);
            }
            names = if line.starts_with('~') { &names - &calls } else { &names | &calls };
        }
        for call in ["socket", "mmap", "mprotect", "pkey_mprotect", "shmat"] {
            names.remove(call);
        }
        let mut allowed: Vec<_> = names.into_iter().map(Rule::of).collect();
        for family in setting("RestrictAddressFamilies") {
            allowed.push(Rule::when("socket", 0, None, address_family(family)?));
        }
        // No memory that is written and run.
        let (write, run) = (number(libc::PROT_WRITE)?, number(libc::PROT_EXEC)?);
        for bits in [0, write, run] {
            allowed.push(Rule::when("mmap", 2, Some(write | run), bits));
        }
        allowed.push(Rule::when("mprotect", 2, Some(run), 0));
        Ok(Self { errno: number(libc::EPERM)?, allowed, refused: BTreeMap::new() })
    }

    /// In the order in which they are to be loaded: of several filters the kernel takes the strictest answer, so that each
    /// refusal with an error of its own is one more filter, under the one that lets only the rest through.
    fn programs(&self, without: Option<&str>) -> anyhow::Result<Vec<BpfProgram>> {
        // What this processor has not, cannot be called by that name.
        let wanted = |rule: &&Rule| Some(rule.call.as_str()) != without && is_known(&rule.call);
        let mut programs = Vec::new();
        for (errno, rules) in &self.refused {
            let rules: Vec<_> = rules.iter().filter(wanted).collect();
            programs.push(compile(&json!("allow"), &json!({ "errno": errno }), &rules)?);
        }
        let default = if without.is_some() { json!({ "errno": self.errno }) } else { json!("kill_process") };
        let rules: Vec<_> =
            self.allowed.iter().chain(self.refused.values().flatten()).filter(wanted).collect();
        programs.push(compile(&default, &json!("allow"), &rules)?);
        Ok(programs)
    }
}

fn compile(default: &Value, matched: &Value, rules: &[&Rule]) -> anyhow::Result<BpfProgram> {
    let rules: Vec<_> = rules.iter().map(|rule| rule.to_json()).collect();
    let filter = json!({ "one": { "mismatch_action": default, "match_action": matched, "filter": rules } });
    let mut programs = seccompiler::compile_from_json(filter.to_string().as_bytes(), architecture()?)?;
    programs.remove("one").context("seccompiler made no filter")
}

fn architecture() -> anyhow::Result<TargetArch> {
    Ok(std::env::consts::ARCH.try_into()?)
}

/// Whether this processor's system calls have the name. seccompiler has the table, and shows it only so.
fn is_known(call: &str) -> bool {
    compile(&json!("log"), &json!("allow"), &[&Rule::of(call)]).is_ok()
}

/// A name is a system call, or with an @ a group of them.
fn expanded(
    name: &str,
    group: &dyn Fn(&str) -> anyhow::Result<BTreeSet<String>>,
) -> anyhow::Result<BTreeSet<String>> {
    if !name.starts_with('@') {
        return Ok(BTreeSet::from([name.to_owned()]));
    }
    let mut calls = BTreeSet::new();
    for member in group(name)? {
        calls.extend(expanded(&member, group)?);
    }
    Ok(calls)
}

fn systemd_group(name: &str) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new("systemd-analyze").args(["syscall-filter", name]).output();
    let output = output.context("cannot run systemd-analyze")?;
    ensure!(output.status.success(), "systemd-analyze knows no group {name}");
    Ok(members(&String::from_utf8_lossy(&output.stdout)))
}

/// The group's name, then a line for each member, and comments.
fn members(listing: &str) -> BTreeSet<String> {
    let lines = listing.lines().skip(1).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.contains('#')).map(str::to_owned).collect()
}

fn address_family(name: &str) -> anyhow::Result<u64> {
    number(match name {
        "AF_UNIX" => libc::AF_UNIX,
        "AF_INET" => libc::AF_INET,
        "AF_INET6" => libc::AF_INET6,
        "AF_NETLINK" => libc::AF_NETLINK,
        _ => bail!("unknown address family {name}"),
    })
}

fn number(constant: i32) -> anyhow::Result<u64> {
    Ok(u64::try_from(constant)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [
        {"names": ["read", "futex"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;

    const UNIT: &str = "[Service]\nRestrictAddressFamilies=AF_INET AF_UNIX\nMemoryDenyWriteExecute=yes\n\
        SystemCallFilter=@all io_uring_setup\nSystemCallFilter=~@bad\nSystemCallErrorNumber=EPERM\n";

    fn group(name: &str) -> anyhow::Result<BTreeSet<String>> {
        let names: &[&str] = match name {
            "@all" => &["read", "mmap", "socket", "@more"],
            "@more" => &["write", "bpf"],
            "@bad" => &["bpf"],
            _ => bail!("no group {name}"),
        };
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_profile_is_read_as_it_stands() {
        let rules = Rules::of_profile(PROFILE).unwrap();
        let allowed = vec![
            Rule::of("read"),
            Rule::of("futex"),
            Rule::when("clone", 0, Some(2_114_060_288), 0),
            Rule::when("socket", 0, None, 2),
        ];
        let refused = BTreeMap::from([(38, vec![Rule::of("clone3")])]);
        assert_eq!(rules, Rules { errno: 1, allowed, refused });
        // One for the error of its own, one for the rest.
        assert_eq!(rules.programs(None).unwrap().len(), 2);
    }

    #[test]
    fn a_profile_in_unknown_words_is_refused() {
        for (known, unknown) in [
            ("\"defaultAction\": \"SCMP_ACT_ERRNO\"", "\"defaultAction\": \"SCMP_ACT_ALLOW\""),
            ("SCMP_CMP_EQ", "SCMP_CMP_GT"),
            ("SCMP_ACT_ALLOW", "SCMP_ACT_TRAP"),
            ("\"errnoRet\": 38", "\"errno\": 38"),
        ] {
            assert!(Rules::of_profile(&PROFILE.replacen(known, unknown, 1)).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_unit_allows_groups_and_takes_away() {
        let rules = Rules::of_unit(UNIT, &group).unwrap();
        let names: Vec<_> = rules.allowed.iter().map(|rule| rule.call.as_str()).collect();
        assert_eq!(
            names,
            ["io_uring_setup", "read", "write", "socket", "socket", "mmap", "mmap", "mmap", "mprotect"]
        );
        assert!(rules.allowed.contains(&Rule::when("socket", 0, None, 1)), "{rules:?}");
        // PROT_WRITE and PROT_EXEC: neither or one of them.
        assert!(rules.allowed.contains(&Rule::when("mmap", 2, Some(6), 4)), "{rules:?}");
        assert!(!rules.allowed.contains(&Rule::when("mmap", 2, Some(6), 6)), "{rules:?}");
    }

    #[test]
    fn a_unit_that_is_more_open_is_refused() {
        assert!(Rules::of_unit(&UNIT.replace("Execute=yes", "Execute=no"), &group).is_err());
        assert!(Rules::of_unit(&UNIT.replace("EPERM", "ENOSYS"), &group).is_err());
        assert!(Rules::of_unit(&UNIT.replace("AF_UNIX", "AF_CAN"), &group).is_err());
    }

    #[test]
    fn what_is_taken_out_is_in_no_filter() {
        let rules = Rules::of_profile(PROFILE).unwrap();
        let sizes = |without| rules.programs(without).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        let (all, no_read, no_clone3) = (sizes(None), sizes(Some("read")), sizes(Some("clone3")));
        assert!(no_read[1] < all[1] && no_read[0] == all[0], "{no_read:?} {all:?}");
        assert!(no_clone3[1] < all[1] && no_clone3[0] < all[0], "{no_clone3:?} {all:?}");
    }

    #[test]
    fn calls_of_other_processors_are_left_out() {
        assert!(is_known("io_uring_setup") && !is_known("setuid32") && !is_known("none"));
    }

    #[test]
    fn a_listing_of_systemd_is_names_and_groups() {
        let listing =
            "@system-service\n    # General system service operations\n    @aio\n    brk\n\n    brk\n";
        assert_eq!(members(listing), BTreeSet::from(["@aio".to_owned(), "brk".to_owned()]));
    }
}
