//! Times with three significant digits, and their ways out: percentiles, the curve of a plot, the HDR text
//! format. Beside them the same with two digits, small enough for one a second.

use std::fmt::{self, Write};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// From a microsecond to an hour; 200 KiB, recording allocates nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Pairs", into = "Pairs")]
pub struct Times(Histogram<u64>);

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// What the tables show.
const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// Values and their counts: how a histogram travels between processes.
#[derive(Serialize, Deserialize)]
struct Pairs(Vec<(u64, u64)>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3);
        #[expect(
            clippy::expect_used,
            reason = "the constants satisfy the bounds that new_with_bounds asks for"
        )]
        Self(histogram.expect("constant bounds are valid"))
    }
}

impl From<Pairs> for Times {
    fn from(pairs: Pairs) -> Self {
        let mut times = Self::default();
        for (value, count) in pairs.0 {
            times.0.saturating_record_n(value, count);
        }
        times
    }
}

impl From<Times> for Pairs {
    fn from(times: Times) -> Self {
        Self(times.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Times({} values, at most {} ns)", self.0.len(), self.0.max())
    }
}

impl Times {
    /// Records a time. More than an hour is recorded as an hour.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Takes in what another one has recorded.
    pub fn merge(&mut self, other: &Self) {
        // The bounds are the same everywhere, so nothing can fall outside.
        let _ = self.0.add(&other.0);
    }

    /// Number of recorded times.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A percentile, ms.
    #[must_use]
    pub fn percentile_ms(&self, percentile: f64) -> f64 {
        ms(self.0.value_at_percentile(percentile))
    }

    /// All that the tables show.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let percentiles = PERCENTILES.map(|percentile| (percentile, self.percentile_ms(percentile)));
        let (min_ms, max_ms) =
            if self.is_empty() { (0.0, 0.0) } else { (ms(self.0.min()), ms(self.0.max())) };
        Summary {
            count: self.count(),
            min_ms,
            mean_ms: self.0.mean().round() / 1e6,
            max_ms,
            percentiles: percentiles.to_vec(),
        }
    }

    /// The percentile distribution as a plot shows it: five steps for each halving of the distance to 100.
    #[must_use]
    pub fn curve(&self) -> Vec<Point> {
        let mut points = Vec::new();
        let mut seen = 0;
        for step in self.0.iter_quantiles(5) {
            seen += step.count_since_last_iteration();
            // Twelve digits: what comes back from JSON is then the same number.
            let percentile = (step.quantile_iterated_to() * 1e11).round() / 1e9;
            let point = Point { percentile, ms: ms(step.value_iterated_to()), count: seen };
            // The last step may come twice, with the same value.
            if points.last() != Some(&point) {
                points.push(point);
            }
        }
        points
    }

    /// The percentile distribution in the text format that HDR plotters read, values in ms.
    #[must_use]
    pub fn hgrm(&self) -> String {
        let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
        // Writing to a String cannot fail.
        let mut seen = 0;
        for step in self.0.iter_quantiles(5) {
            seen += step.count_since_last_iteration();
            let (value, quantile) = (ms(step.value_iterated_to()), step.quantile_iterated_to());
            let _ = write!(text, "{value:12.3} {quantile:14.12} {seen:10}");
            let _ = if quantile < 1.0 {
                writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile))
            } else {
                writeln!(text)
            };
        }
        let (mean, deviation) = (self.0.mean() / 1e6, self.0.stdev() / 1e6);
        let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
        let max = if self.is_empty() { 0.0 } else { ms(self.0.max()) };
        let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {:12}]", self.count());
        let (buckets, subs) = (self.0.buckets(), 2_048);
        let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {subs:12}]");
        text
    }
}

/// Times with two significant digits; 14 KiB, of which only what is recorded into is touched.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Pairs", into = "Pairs")]
pub(crate) struct Coarse(Histogram<u32>);

impl Default for Coarse {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 2);
        #[expect(
            clippy::expect_used,
            reason = "the constants satisfy the bounds that new_with_bounds asks for"
        )]
        Self(histogram.expect("constant bounds are valid"))
    }
}

impl From<Pairs> for Coarse {
    fn from(pairs: Pairs) -> Self {
        let mut times = Self::default();
        for (value, count) in pairs.0 {
            times.0.saturating_record_n(value, u32::try_from(count).unwrap_or(u32::MAX));
        }
        times
    }
}

impl From<Coarse> for Pairs {
    fn from(times: Coarse) -> Self {
        let pairs = times.0.iter_recorded();
        Self(pairs.map(|step| (step.value_iterated_to(), u64::from(step.count_at_value()))).collect())
    }
}

impl fmt::Debug for Coarse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coarse({} values, at most {} ns)", self.0.len(), self.0.max())
    }
}

impl Coarse {
    /// Records a time. More than an hour is recorded as an hour.
    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // The bounds are the same everywhere, so nothing can fall outside.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A percentile, ms; 0 of none.
    pub(crate) fn percentile_ms(&self, percentile: f64) -> f64 {
        ms(self.0.value_at_percentile(percentile))
    }
}

/// A point of a percentile distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Up to 100.
    pub percentile: f64,
    /// So many percent are not longer, ms.
    pub ms: f64,
    /// So many are not longer.
    pub count: u64,
}

/// A histogram in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of times.
    pub count: u64,
    /// The shortest, ms.
    pub min_ms: f64,
    /// Their mean, ms.
    pub mean_ms: f64,
    /// The longest, ms.
    pub max_ms: f64,
    /// Percentile and time in ms.
    pub percentiles: Vec<(f64, f64)>,
}

#[expect(clippy::cast_precision_loss, reason = "three digits are kept")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_a_hundred_ms() -> Times {
        let mut times = Times::default();
        for us in 1..=100_000_u64 {
            times.record(us * 1_000);
        }
        times
    }

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let summary = to_a_hundred_ms().summary();
        assert_eq!(summary.count, 100_000);
        for (percentile, ms) in summary.percentiles {
            assert!((ms - percentile).abs() <= percentile / 1_000.0 + 0.001, "p{percentile} is {ms} ms");
        }
        assert!((summary.max_ms - 100.0).abs() < 0.1 && (summary.mean_ms - 50.0).abs() < 0.1);
        let none = Times::default().summary();
        assert_eq!((none.count, none.min_ms, none.max_ms), (0, 0.0, 0.0));
    }

    #[test]
    fn merging_and_travelling_lose_nothing() {
        let times = to_a_hundred_ms();
        let text = serde_json::to_string(&times).unwrap();
        let mut back: Times = serde_json::from_str(&text).unwrap();
        assert_eq!(back.summary().percentiles, times.summary().percentiles);
        back.merge(&times);
        assert_eq!(back.count(), 200_000);
        assert_eq!(back.summary().percentiles, times.summary().percentiles);
    }

    #[test]
    fn hgrm_ends_with_all_counted_and_rises() {
        let text = to_a_hundred_ms().hgrm();
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.len() > 20);
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1]));
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 100_000.0));
        assert!(text.contains("#[Max     =      100.0"));
        assert!(Times::default().hgrm().contains("Total count    =            0"));
    }

    #[test]
    fn a_curve_rises_to_the_longest() {
        let curve = to_a_hundred_ms().curve();
        assert!(curve.len() > 20 && curve.len() < 150, "{}", curve.len());
        assert!(curve.windows(2).all(|pair| pair[0].ms <= pair[1].ms && pair[0].count <= pair[1].count));
        assert!(curve.iter().all(|point| (point.ms - point.percentile).abs() < 0.2), "{curve:?}");
        let last = curve.last().unwrap();
        assert_eq!((last.percentile, last.count), (100.0, 100_000));
        assert_eq!(Times::default().curve(), []);
    }

    #[test]
    fn coarse_ones_are_within_a_hundredth_travel_and_merge() {
        let mut times = Coarse::default();
        (1..=1_000_u64).for_each(|ms| times.record(ms * 1_000_000));
        let mut both: Coarse = serde_json::from_str(&serde_json::to_string(&times).unwrap()).unwrap();
        both.merge(&times);
        assert_eq!((times.count(), both.count()), (1_000, 2_000));
        for percentile in [1.0, 50.0, 99.0, 100.0] {
            let ms = both.percentile_ms(percentile);
            assert!((ms / (percentile * 10.0) - 1.0).abs() < 0.01, "p{percentile} is {ms} ms");
        }
        assert_eq!((Coarse::default().percentile_ms(50.0), Coarse::default().is_empty()), (0.0, true));
    }

    #[test]
    fn more_than_an_hour_is_an_hour() {
        let mut times = Times::default();
        times.record(u64::MAX);
        assert!((times.percentile_ms(100.0) - 3_600_000.0).abs() < 4_000.0);
    }
}
