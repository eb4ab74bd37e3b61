//! A client thread's part of the series. All memory is asked for when the load begins and touched as the time
//! comes; recording allocates nothing.

use serde::{Deserialize, Serialize};

use super::{ClientPoint, Grid};
use crate::{
    figures::{ratio, real, rounded},
    histogram::Coarse,
};

/// What one thread (or, merged, all) saw in each interval.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorder {
    grid: Grid,
    slots: Vec<Slot>,
    /// The interval looked up last: nearly all look-ups are in the same as the one before.
    #[serde(skip)]
    last: Last,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Slot {
    received: u64,
    bytes: u64,
    reads: u64,
    /// Of the messages that were due here, whenever they came.
    latency: Coarse,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    from_ns: u64,
    length_ns: u64,
    index: usize,
}

impl Recorder {
    /// Makes room for all of a run.
    pub(crate) fn new(grid: Grid) -> Self {
        // Not `vec!`: that copies one, and a copy touches all of its memory.
        Self { grid, slots: (0..grid.count).map(|_| Slot::default()).collect(), last: Last::default() }
    }

    /// Bytes came, and in them messages.
    #[inline]
    pub(crate) fn arrived(&mut self, now_ns: u64, messages: u64, bytes: u64) {
        let Some(slot) = self.slot(now_ns) else { return };
        slot.received += messages;
        slot.bytes += bytes;
        slot.reads += 1;
    }

    /// A message of the run came that was due at `due_ns`.
    #[inline]
    pub(crate) fn latency(&mut self, due_ns: u64, latency_ns: u64) {
        if let Some(slot) = self.slot(due_ns) {
            slot.latency.record(latency_ns);
        }
    }

    #[inline]
    fn slot(&mut self, at_ns: u64) -> Option<&mut Slot> {
        if at_ns.wrapping_sub(self.last.from_ns) >= self.last.length_ns {
            let index = self.grid.index(at_ns)?;
            let from_ns = self.grid.from_ns + self.grid.interval_ns * index as u64;
            self.last = Last { from_ns, length_ns: self.grid.interval_ns, index };
        }
        self.slots.get_mut(self.last.index)
    }

    /// Takes in what another thread saw.
    pub(crate) fn merge(&mut self, other: Self) {
        if self.slots.is_empty() {
            *self = other;
            return;
        }
        for (own, other) in self.slots.iter_mut().zip(other.slots) {
            own.received += other.received;
            own.bytes += other.bytes;
            own.reads += other.reads;
            own.latency.merge(&other.latency);
        }
    }

    /// The points up to the last interval in which anything happened.
    pub(crate) fn points(&self) -> Vec<ClientPoint> {
        let interval_s = real(self.grid.interval_ns) / 1e9;
        let len = self.slots.iter().rposition(|slot| slot.reads > 0 || !slot.latency.is_empty());
        let point = |(index, slot): (usize, &Slot)| ClientPoint {
            at_s: real(index as u64) * interval_s,
            received_per_second: rounded(ratio(real(slot.received), interval_s)),
            bytes_per_second: rounded(ratio(real(slot.bytes), interval_s)),
            messages_per_read: rounded(ratio(real(slot.received), real(slot.reads))),
            due: slot.latency.count(),
            p50_ms: rounded(slot.latency.percentile_ms(50.0)),
            p90_ms: rounded(slot.latency.percentile_ms(90.0)),
            p99_ms: rounded(slot.latency.percentile_ms(99.0)),
            max_ms: rounded(slot.latency.percentile_ms(100.0)),
        };
        self.slots.iter().enumerate().take(len.map_or(0, |last| last + 1)).map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: u64 = 1_000_000;

    fn recorder() -> Recorder {
        Recorder::new(Grid::new(1_000 * MS, Duration::from_secs(5)))
    }

    #[test]
    fn arrivals_count_when_they_come_and_latencies_when_they_were_due() {
        let mut recorder = recorder();
        for n in 0..100 {
            recorder.latency(1_100 * MS, n * MS);
        }
        recorder.latency(2_500 * MS, 40 * MS);
        recorder.arrived(1_999 * MS, 60, 6_000);
        recorder.arrived(2_000 * MS, 41, 4_100);
        recorder.arrived(2_100 * MS, 0, 10);
        // Neither before nor after the run.
        recorder.arrived(999 * MS, 1, 1);
        recorder.latency(6_000 * MS, 1);
        let points = recorder.points();
        assert_eq!(points.len(), 2, "nothing happened in the rest");
        let [first, second] = points[..] else { panic!("{points:?}") };
        assert_eq!((first.at_s, first.received_per_second, first.bytes_per_second), (0.0, 60.0, 6_000.0));
        assert_eq!((second.at_s, second.received_per_second, second.messages_per_read), (1.0, 41.0, 20.5));
        assert_eq!((first.due, second.due), (100, 1));
        for (found, expected) in
            [(first.p50_ms, 49.0), (first.p90_ms, 89.0), (first.p99_ms, 98.0), (second.p99_ms, 40.0)]
        {
            assert!((found - expected).abs() <= expected / 64.0, "{found} for {expected}");
        }
        assert!(first.max_ms >= 99.0 && first.max_ms < 100.0);
    }

    #[test]
    fn merging_and_travelling_lose_nothing() {
        let mut both = Recorder::default();
        for from_ms in [1_000, 3_200] {
            let mut one = recorder();
            one.arrived(from_ms * MS, 7, 700);
            one.latency(from_ms * MS, 5 * MS);
            let text = serde_json::to_string(&one).unwrap();
            both.merge(serde_json::from_str(&text).unwrap());
        }
        let points = both.points();
        let received: Vec<f64> = points.iter().map(|point| point.received_per_second).collect();
        assert_eq!(received, [7.0, 0.0, 7.0]);
        assert_eq!(points.iter().map(|point| point.due).collect::<Vec<_>>(), [1, 0, 1]);
        assert!((points[2].p50_ms - 5.0).abs() < 0.1);
    }

    #[test]
    fn without_a_run_nothing_is_kept() {
        let mut none = Recorder::default();
        none.arrived(7, 1, 1);
        none.latency(7, 1);
        assert_eq!(none.points(), []);
    }
}
