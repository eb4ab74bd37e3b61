//! Arithmetic and spelling of figures for people.

use std::fmt;

/// What `write` writes.
pub(crate) fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text);
    text
}

/// A count as a real number; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// `part` of `whole`; 0 of nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Four digits: what a plot can show, and a file need not hold more.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of an f64 is small")]
    let exponent = value.abs().log10().floor() as i32 - 3;
    // Only whole powers of ten are exact, and so is then the shortest spelling.
    let unit = 10_f64.powi(exponent.abs());
    if exponent < 0 { (value * unit).round() / unit } else { (value / unit).round() * unit }
}

/// Nearest whole number, not below 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; counts are not negative"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Groups of three digits: 12,000.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that fits it, with three digits or so: 850 ns, 12.3 us, 4.56 ms, 1.20 s.
pub(crate) fn time(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        small if small < 1e3 => return format!("{ns:.0} ns"),
        middle if middle < 1e6 => (ns / 1e3, "us"),
        large if large < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = match value.abs() {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A moment in ms since 1970 as `2026-01-31 13:07:05 UTC`.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar in years that begin in March (Hinnant, chrono-compatible low-level date algorithms).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(count), text);
        }
        assert_eq!((whole(1.6), whole(-3.0), whole(f64::NAN)), (2, 0, 0));
    }

    #[test]
    fn four_digits_stay() {
        for (value, kept) in
            [(123_456.7, 123_500.0), (12.3456, 12.35), (-0.001_234_56, -0.001_235), (0.0, 0.0)]
        {
            assert_eq!(rounded(value), kept);
        }
        assert_eq!((rounded(f64::NAN), rounded(f64::INFINITY)), (0.0, 0.0));
        assert_eq!(rounded(0.1).to_string(), "0.1");
    }

    #[test]
    fn moments_are_dates() {
        for (unix_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599_999, "2024-12-31 23:59:59 UTC"),
            (1_772_323_200_000, "2026-03-01 00:00:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix_ms), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (850.4, "850 ns"),
            (12_340.0, "12.3 us"),
            (-4_561_000.0, "-4.56 ms"),
            (123_456_789.0, "123 ms"),
            (1.2e9, "1.20 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }
}
