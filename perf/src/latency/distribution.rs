//! A bounded number of times, of either sign, in a few figures and by length.

use serde::{Deserialize, Serialize};

/// Times in a few numbers. All are kept until here, so these are exact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Number of times.
    pub count: u64,
    /// The shortest, ns.
    pub min_ns: i64,
    /// Their mean, ns.
    pub mean_ns: i64,
    /// The longest, ns.
    pub max_ns: i64,
    /// Percentile and time in ns: so many percent are not longer.
    pub percentiles: Vec<(f64, i64)>,
}

const PERCENTILES: [f64; 7] = [10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9];

impl Distribution {
    pub(super) fn of(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        let (Some(min), Some(max)) = (times.first(), times.last()) else { return Self::default() };
        let sum: i128 = times.iter().copied().map(i128::from).sum();
        let count = times.len();
        // The mean lies between the two ends, so it fits.
        let mean_ns = i64::try_from(sum / count.max(1) as i128).unwrap_or(i64::MAX);
        Self {
            count: count as u64,
            min_ns: *min,
            mean_ns,
            max_ns: *max,
            percentiles: PERCENTILES.map(|percentile| (percentile, times[rank(percentile, count)])).to_vec(),
        }
    }

    /// One of the percentiles that are kept.
    #[must_use]
    pub fn percentile_ns(&self, percentile: f64) -> Option<i64> {
        self.percentiles.iter().find(|(kept, _)| (kept - percentile).abs() < 1e-9).map(|(_, ns)| *ns)
    }
}

/// The place of a percentile among `count` sorted times, by nearest rank.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of a count that is far below 2^53"
)]
fn rank(percentile: f64, count: usize) -> usize {
    let rank = (count as f64 * percentile / 100.0).ceil() as usize;
    rank.clamp(1, count.max(1)) - 1
}

/// How many times of each kind are of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// Longer than or equal to, ns; none: those below zero.
    pub from_ns: Option<i64>,
    /// Shorter than, ns.
    pub below_ns: i64,
    /// To the bare consumer.
    pub bare: u64,
    /// To the subscriber.
    pub server: u64,
    /// Differences.
    pub difference: u64,
}

/// Six steps to a decade.
const STEPS: [i64; 6] = [10, 15, 20, 30, 50, 70];

/// Counts bare, server and difference by length; without the empty bins at both ends.
pub(super) fn bins(times: [&[i64]; 3]) -> Vec<Bin> {
    let mut edges = vec![0];
    // From ten microseconds to a hundred seconds and beyond.
    let mut decade = 1_000;
    while decade < 10_000_000_000 {
        edges.extend(STEPS.map(|step| step * decade));
        decade *= 10;
    }
    edges.push(i64::MAX);
    let mut bins = vec![Bin { from_ns: None, below_ns: 0, bare: 0, server: 0, difference: 0 }];
    bins.extend(edges.windows(2).map(|pair| Bin {
        from_ns: Some(pair[0]),
        below_ns: pair[1],
        bare: 0,
        server: 0,
        difference: 0,
    }));
    for (kind, times) in times.into_iter().enumerate() {
        for time in times {
            // The first edge above; below zero that is the first of all.
            let index = edges.partition_point(|edge| edge <= time).min(bins.len() - 1);
            let bin = &mut bins[index];
            let [bare, server, difference] = [&mut bin.bare, &mut bin.server, &mut bin.difference];
            *[bare, server, difference][kind] += 1;
        }
    }
    let used = |bin: &Bin| bin.bare + bin.server + bin.difference > 0;
    let (first, last) = (bins.iter().position(used), bins.iter().rposition(used));
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    bins.drain(last + 1..);
    bins.drain(..first);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let distribution = Distribution::of((1..=1_000).rev().collect());
        assert_eq!((distribution.count, distribution.min_ns, distribution.max_ns), (1_000, 1, 1_000));
        assert_eq!(distribution.mean_ns, 500);
        for (percentile, ns) in [(10.0, 100), (50.0, 500), (99.0, 990), (99.9, 999)] {
            assert_eq!(distribution.percentile_ns(percentile), Some(ns), "p{percentile}");
        }
        assert_eq!(distribution.percentile_ns(42.0), None);
        let one = Distribution::of(vec![-7]);
        assert_eq!((one.min_ns, one.mean_ns, one.percentile_ns(99.9)), (-7, -7, Some(-7)));
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
    }

    #[test]
    fn every_time_is_in_one_bin() {
        let bare = [14_999, 15_000, 19_999, i64::MAX];
        let bins = bins([&bare, &[], &[-1, i64::MIN, 0]]);
        assert_eq!(bins.first().map(|bin| (bin.from_ns, bin.below_ns, bin.difference)), Some((None, 0, 2)));
        assert_eq!(bins[1], Bin { from_ns: Some(0), below_ns: 10_000, bare: 0, server: 0, difference: 1 });
        let of = |from_ns| bins.iter().find(|bin| bin.from_ns == Some(from_ns)).unwrap().bare;
        assert_eq!((of(10_000), of(15_000), of(20_000)), (1, 2, 0));
        assert_eq!(bins.last().unwrap().bare, 1);
        assert_eq!(bins.iter().map(|bin| bin.bare + bin.server + bin.difference).sum::<u64>(), 7);
        assert!(bins.windows(2).all(|pair| Some(pair[0].below_ns) == pair[1].from_ns));
        assert_eq!(super::bins([&[], &[], &[]]), []);
    }

    #[test]
    fn empty_ends_are_left_out() {
        let found = bins([&[1_200_000], &[2_500_000], &[1_300_000]]);
        assert_eq!(
            found.iter().map(|bin| bin.from_ns.unwrap()).collect::<Vec<_>>(),
            [1_000_000, 1_500_000, 2_000_000]
        );
        assert_eq!((found[0].bare, found[0].difference, found[2].server), (1, 1, 1));
    }
}
