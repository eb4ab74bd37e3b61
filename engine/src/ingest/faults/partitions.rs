//! What is wrong with partitions, by their tag, and how it is said of their topic.

use super::topics::Kind;

/// A partition that stands still for so long although there is more: the watcher is asked why, and again so often.
const STANDSTILL_NS: u64 = 3_000_000_000;

/// What is wrong with a partition.
#[derive(Debug, Default)]
struct Trouble {
    /// An error has been logged; no record has come since.
    is_logged: bool,
    /// The broker refuses to let us read it, in its words.
    refusal: Option<Box<str>>,
    /// Why it has no start yet, or is not read, as the watcher sees it.
    lacks: Option<Lacks>,
    /// It stands still although there is more to read.
    standstill: Option<Standstill>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Leader,
    /// It has a leader.
    Answer,
}

/// A partition that has more to read, and of which nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standstill {
    /// Where it stands.
    next: i64,
    since_ns: u64,
    /// When the watcher was asked why.
    asked_ns: Option<u64>,
    /// The first offset that an open transaction holds back, if that is why.
    unstable: Option<i64>,
}

/// The troubles of all partitions.
#[derive(Debug, Default)]
pub(super) struct PartitionFaults {
    /// By tag; beyond the end there is none.
    by_tag: Vec<Trouble>,
}

impl PartitionFaults {
    #[inline]
    pub(super) fn record(&mut self, tag: u32) {
        if let Some(trouble) = self.by_tag.get_mut(tag as usize) {
            trouble.is_logged = false;
            trouble.refusal = None;
        }
    }

    pub(super) fn error(&mut self, tag: u32) -> bool {
        !std::mem::replace(&mut self.of(tag).is_logged, true)
    }

    pub(super) fn refused(&mut self, tag: u32, text: &str) {
        self.of(tag).refusal = Some(text.into());
    }

    pub(super) fn fetched(&mut self, tag: u32) {
        if let Some(trouble) = self.by_tag.get_mut(tag as usize) {
            trouble.refusal = None;
        }
    }

    pub(super) fn leader(&mut self, tag: u32, has_one: bool, waits: bool) {
        let trouble = self.of(tag);
        // A leader that does not answer is still one when the cluster names it again: the start tells.
        let silent = trouble.lacks.filter(|&lacks| lacks == Lacks::Answer && waits);
        trouble.lacks = if has_one { silent } else { Some(Lacks::Leader) };
    }

    pub(super) fn start(&mut self, tag: u32, is_answered: bool) {
        self.of(tag).lacks = (!is_answered).then_some(Lacks::Answer);
    }

    pub(super) fn stands(&mut self, tag: u32, next: i64, behind: u64, now_ns: u64) -> bool {
        let standstill = &mut self.of(tag).standstill;
        let same = standstill.filter(|standstill| behind > 0 && standstill.next == next);
        let begun = Standstill { next, since_ns: now_ns, asked_ns: None, unstable: None };
        *standstill = same.or_else(|| (behind > 0).then_some(begun));
        let Some(standstill) = standstill else { return false };
        let last_ns = standstill.asked_ns.unwrap_or(standstill.since_ns);
        let is_due = now_ns.saturating_sub(last_ns) >= STANDSTILL_NS;
        if is_due {
            standstill.asked_ns = Some(now_ns);
        }
        is_due
    }

    pub(super) fn standstill(&mut self, tag: u32, stable: i64, end: i64) {
        if let Some(standstill) = &mut self.of(tag).standstill {
            standstill.unstable = (stable < end && stable <= standstill.next).then_some(stable);
        }
    }

    pub(super) fn ended(&mut self, tag: u32) {
        if let Some(trouble) = self.by_tag.get_mut(tag as usize) {
            *trouble = Trouble::default();
        }
    }

    /// What is wrong with a topic's partitions (their tags, in order), by kind; none: nothing.
    pub(super) fn texts(&self, tags: &[u32], now_ns: u64) -> [(Kind, Option<String>); 3] {
        let troubles = || {
            let troubles =
                (0..).zip(tags).map(|(partition, &tag)| (partition, self.by_tag.get(tag as usize)));
            troubles.filter_map(|(partition, trouble)| Some((partition, trouble?)))
        };
        let leaderless = troubles().filter_map(|(partition, trouble)| {
            let text = match trouble.lacks? {
                Lacks::Leader => "no leader",
                Lacks::Answer => "its leader does not respond",
            };
            Some((partition, text.to_owned()))
        });
        let refused = troubles()
            .filter_map(|(partition, trouble)| Some((partition, trouble.refusal.as_ref()?.to_string())));
        let open = troubles().filter_map(|(partition, trouble)| {
            let Standstill { since_ns, unstable, .. } = trouble.standstill?;
            let held = format!(
                "an open transaction has held back everything from offset {} on for {} s",
                unstable?,
                now_ns.saturating_sub(since_ns) / 1_000_000_000
            );
            Some((partition, held))
        });
        [
            (Kind::Leaderless, described(leaderless)),
            (Kind::ReadRefused, described(refused)),
            (Kind::Transaction, described(open)),
        ]
    }

    fn of(&mut self, tag: u32) -> &mut Trouble {
        let index = tag as usize;
        if self.by_tag.len() <= index {
            self.by_tag.resize_with(index + 1, Trouble::default);
        }
        &mut self.by_tag[index]
    }
}

/// Partitions and what is wrong with each, as one text; none: nothing is.
fn described(faults: impl Iterator<Item = (u32, String)>) -> Option<String> {
    let mut by_text: Vec<(String, Vec<u32>)> = Vec::new();
    for (partition, text) in faults {
        match by_text.iter_mut().find(|(known, _)| *known == text) {
            Some((_, partitions)) => partitions.push(partition),
            None => by_text.push((text, vec![partition])),
        }
    }
    let texts: Vec<String> =
        by_text.iter().map(|(text, partitions)| partitions_text(partitions, text)).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// `partition 3: TEXT`, or `partitions 3, 4, 5 and 9 more: TEXT`.
fn partitions_text(partitions: &[u32], text: &str) -> String {
    const NAMED_MAX: usize = 8;
    let named: Vec<String> = partitions.iter().take(NAMED_MAX).map(u32::to_string).collect();
    let more = match partitions.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if partitions.len() == 1 { "partition" } else { "partitions" };
    format!("{noun} {}{more}: {text}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_with_the_same_trouble_are_named_together() {
        let faults = [(0, "no leader"), (3, "its leader does not respond"), (7, "no leader")];
        let faults = faults.map(|(partition, text)| (partition, text.to_owned()));
        let text = described(faults.into_iter());
        assert_eq!(
            text.as_deref(),
            Some("partitions 0, 7: no leader; partition 3: its leader does not respond")
        );
        assert_eq!(described([].into_iter()), None);
    }

    #[test]
    fn partitions_are_named_and_counted() {
        assert_eq!(partitions_text(&[3], "no leader"), "partition 3: no leader");
        let many: Vec<u32> = (0..10).collect();
        assert_eq!(partitions_text(&many, "x"), "partitions 0, 1, 2, 3, 4, 5, 6, 7 and 2 more: x");
    }
}
