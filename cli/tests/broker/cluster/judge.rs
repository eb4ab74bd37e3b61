//! A model client over the incarnations of a topic: it believes what it is told, and is asked afterwards whether that
//! was true.

use std::collections::{BTreeMap, BTreeSet};

use super::outside::client::{Client, Heard};

/// One record as delivered: its place among all that was heard, its incarnation, its number.
#[derive(Debug, Clone, Copy)]
struct Record {
    at: usize,
    incarnation: i64,
    n: i64,
}

/// Deliveries of one epoch by offset.
#[derive(Debug, Default)]
struct Epoch {
    records: BTreeMap<i64, Vec<Record>>,
    /// Places and bounds of `reset` gaps.
    resets: Vec<(usize, i64, i64)>,
}

/// What is wrong with all that a client of one channel (of one partition) has heard.
pub(crate) fn faults(client: &Client, channel: &str, counts: &BTreeMap<i64, i64>) -> Vec<String> {
    let (order, epochs) = sorted(client, channel);
    let mut faults = Vec::new();
    let mut owners = BTreeSet::new();
    for name in &order {
        let epoch = &epochs[name];
        // An epoch is the incarnation of the first record under it; later incarnations under it are strays.
        let first = epoch.records.values().flatten().min_by_key(|record| record.at);
        let Some(owner) = first.map(|record| record.incarnation) else { continue };
        if !owners.insert(owner) {
            faults.push(format!("incarnation {owner} has two epochs"));
        }
        let strays = epoch.records.iter().flat_map(|(offset, records)| {
            records.iter().filter(|record| record.incarnation != owner).map(|record| (*offset, *record))
        });
        let uncovered: Vec<i64> =
            strays.filter(|stray| !epoch.covers(stray)).map(|(offset, _)| offset).collect();
        if let (Some(first), Some(last)) = (uncovered.first(), uncovered.last()) {
            faults.push(format!(
                "{} records of another incarnation count as incarnation {owner}'s, at {first}..{last} of its epoch, and no reset covers them",
                uncovered.len()
            ));
        }
        let own = |offset: &i64| {
            epoch
                .records
                .get(offset)
                .map_or(0, |records| records.iter().filter(|record| record.incarnation == owner).count())
        };
        let count = counts.get(&owner).copied().unwrap_or(0);
        let wrong: Vec<i64> = (0..count).filter(|offset| own(offset) != 1).collect();
        if let (Some(first), Some(last)) = (wrong.first(), wrong.last()) {
            faults.push(format!(
                "{} of the {count} records of incarnation {owner} did not come once, {first}..{last}",
                wrong.len()
            ));
        }
        let misplaced = epoch.records.iter().flat_map(|(offset, records)| {
            records.iter().filter(move |record| record.incarnation == owner && record.n != *offset)
        });
        faults.extend(misplaced.take(1).map(|record| format!("record {record:?} at another offset")));
        if !epoch.in_order(owner) {
            faults.push(format!("incarnation {owner} came out of order"));
        }
    }
    // Each incarnation but the last is told to be over.
    for name in order.iter().rev().skip(1) {
        if epochs[name].resets.is_empty() {
            faults.push(format!("no reset tells that epoch {name} is over"));
        }
    }
    let missing: Vec<_> = counts.keys().filter(|incarnation| !owners.contains(incarnation)).collect();
    if !missing.is_empty() {
        faults.push(format!("no epoch of their own for incarnations {missing:?}"));
    }
    faults
}

impl Epoch {
    /// A `reset` that came later takes it back.
    fn covers(&self, (offset, record): &(i64, Record)) -> bool {
        self.resets.iter().any(|(at, from, to)| *at > record.at && (from..=to).contains(&offset))
    }

    fn in_order(&self, owner: i64) -> bool {
        let mut own: Vec<_> =
            self.records.values().flatten().filter(|record| record.incarnation == owner).collect();
        own.sort_by_key(|record| record.at);
        own.is_sorted_by_key(|record| record.n)
    }
}

/// By epoch, and the epochs in the order in which they appeared.
fn sorted(client: &Client, channel: &str) -> (Vec<String>, BTreeMap<String, Epoch>) {
    let mut order = Vec::new();
    let mut epochs: BTreeMap<String, Epoch> = BTreeMap::new();
    for (at, heard) in client.heard.iter().enumerate() {
        match heard {
            Heard::Message { channel: name, pos, data } if name == channel => {
                let epoch = epochs.entry(pos.epoch.clone()).or_default();
                let number = |field: &str| data[field].as_i64().unwrap();
                let record = Record { at, incarnation: number("incarnation"), n: number("n") };
                epoch.records.entry(pos.offset).or_default().push(record);
                if !order.contains(&pos.epoch) {
                    order.push(pos.epoch.clone());
                }
            }
            Heard::Gap { channel: name, from, to, reason } if name == channel && reason == "reset" => {
                epochs.entry(from.epoch.clone()).or_default().resets.push((at, from.offset, to.offset));
            }
            Heard::Message { .. } | Heard::Gap { .. } | Heard::Status { .. } | Heard::Other(_) => {}
        }
    }
    (order, epochs)
}
