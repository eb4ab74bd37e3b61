//! Counts, sizes and times.

use std::time::Duration;

/// A number of things, at least one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse::<usize>() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(count) if count <= 1 << 30 => Ok(count),
        Ok(_) => Err("at most 1073741824".to_owned()),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// A size with a unit; a bare number is bytes.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let expected = || "expected a size such as 512, 64KiB or 1MiB".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" | "K" => 10,
        "MiB" | "M" => 20,
        "GiB" | "G" => 30,
        _ => return Err(expected()),
    };
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes <= 1 << 40).ok_or("at most 1 TiB")?;
    if bytes == 0 {
        return Err("at least 1".to_owned());
    }
    usize::try_from(bytes).map_err(|_| expected())
}

/// A size as it would be typed.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift && bytes > 0);
    let (shift, unit) = unit.unwrap_or((0, "B"));
    format!("{}{unit}", bytes >> shift)
}

/// A time with a unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time with a unit, such as 500ms, 25s or 2m".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= 86_400_000).ok_or("at most 24h")?;
    if ms == 0 {
        return Err("at least 1ms".to_owned());
    }
    Ok(Duration::from_millis(ms))
}

/// A time as it would be typed.
pub(crate) fn time_text(ms: u64) -> String {
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

/// A time with a unit, or a bare number of seconds.
pub(crate) fn time_or_seconds(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let bare = text.bytes().all(|byte| byte.is_ascii_digit());
    if bare { time(&format!("{text}s")) } else { time(text) }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sizes_and_times() {
        assert_eq!(count("12_000").unwrap(), 12_000);
        assert_eq!(size("512").unwrap(), 512);
        assert_eq!(size("255B").unwrap(), 255);
        assert_eq!(size("64KiB").unwrap(), 64 << 10);
        assert_eq!(size("2 GiB").unwrap(), 2 << 30);
        assert_eq!(time("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(time("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "0", "-1", "x", "1.5", "99999999999999999999"] {
            assert!(count(wrong).is_err(), "{wrong}");
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "0s", "5x", "s", "25h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(size("5KB").is_err(), "1000 or 1024? it does not say");
        assert!(count("4294967296").is_err(), "some are of 32 bits");
    }

    #[test]
    fn sizes_and_times_are_written_as_they_are_read() {
        for text in ["255B", "1025B", "16KiB", "1MiB", "3GiB"] {
            assert_eq!(size_text(size(text).unwrap() as u64), text);
        }
        assert_eq!(size_text(0), "0B");
        for (ms, text) in [(500, "500ms"), (1_000, "1s"), (1_500, "1500ms"), (90_000, "90s")] {
            assert_eq!(time_text(ms), text);
            assert_eq!(time(text).unwrap(), Duration::from_millis(ms));
        }
    }

    #[test]
    fn times_are_seconds_unless_they_say_otherwise() {
        assert_eq!(time_or_seconds("60"), Ok(Duration::from_secs(60)));
        assert_eq!(time_or_seconds("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time_or_seconds("0"), Ok(Duration::ZERO));
        assert!(
            time_or_seconds("-1").is_err() && time_or_seconds("").is_err() && time_or_seconds("1d").is_err()
        );
    }
}
