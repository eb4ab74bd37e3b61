//! Where reading begins.

use engine::config::From as StartFrom;

/// Where partitions are first read from.
pub(crate) type Start = StartFrom;

/// `latest`, `earliest`, Unix ms, or an RFC 3339 time.
pub(crate) fn start(text: &str) -> Result<Start, String> {
    match text {
        "latest" => return Ok(StartFrom::Latest),
        "earliest" => return Ok(StartFrom::Earliest),
        _ => {}
    }
    if let Ok(unix_ms) = text.parse::<u64>() {
        return i64::try_from(unix_ms).map(StartFrom::Timestamp).map_err(|_| "too late a time".to_owned());
    }
    unix_ms(text).map(StartFrom::Timestamp).ok_or_else(|| {
        "expected latest, earliest, a time such as 2026-01-31T09:00:00Z, or Unix ms".to_owned()
    })
}

/// RFC 3339 with date, time and offset, which is the part of TOML's date-times that names a moment.
fn unix_ms(text: &str) -> Option<i64> {
    let moment: toml::value::Datetime = text.parse().ok()?;
    let (date, time, offset) = (moment.date?, moment.time?, moment.offset?);
    let offset_minutes = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let second = i64::from(time.second.unwrap_or(0));
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset_minutes;
    let ms = (minutes * 60 + second) * 1_000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000);
    (ms >= 0).then_some(ms)
}

/// Days from 1970-01-01, Gregorian. Years begin in March, so that the leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_positions() {
        let cases = [
            ("latest", Start::Latest),
            ("earliest", Start::Earliest),
            ("0", Start::Timestamp(0)),
            ("1700000000000", Start::Timestamp(1_700_000_000_000)),
            ("1970-01-01T00:00:00Z", Start::Timestamp(0)),
            ("2000-02-29T12:00:00.5Z", Start::Timestamp(951_825_600_500)),
            ("2023-11-14T22:13:20Z", Start::Timestamp(1_700_000_000_000)),
            ("2023-11-15T00:13:20+02:00", Start::Timestamp(1_700_000_000_000)),
            ("2024-12-31T23:59:59Z", Start::Timestamp(1_735_689_599_000)),
        ];
        for (text, expected) in cases {
            assert_eq!(start(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", "newest", "-5", "2023-11-14", "2023-11-14T22:13:20", "1960-01-01T00:00:00Z"] {
            assert!(start(wrong).is_err(), "{wrong}");
        }
    }
}
