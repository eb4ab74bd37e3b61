//! From text to values. Flags, environment and file all come through here, so an error reads the same from everywhere.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use engine::config::{From as StartFrom, Oversized};
use proto::{channel::Template, native::message::Payload};
use serde::Deserialize;

/// A listener's address; none: it is left out.
pub(crate) type Address = Option<SocketAddr>;
/// `HOST:PORT,...`.
pub(crate) type Brokers = String;
/// Where partitions are first read from.
pub(super) type Start = StartFrom;

/// `HOST:PORT`, or `:PORT` for all addresses.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| format!("{port} is not a port (0 to 65535)"))?;
        return Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)));
    }
    if !text.contains(':') {
        return Err("expected HOST:PORT".to_owned());
    }
    let mut found = text.to_socket_addrs().map_err(|error| format!("not an address: {error}"))?;
    found.next().map(Some).ok_or_else(|| "the name has no address".to_owned())
}

/// The same, or `none`.
pub(crate) fn address_or_none(text: &str) -> Result<Address, String> {
    if text == "none" { Ok(None) } else { address(text) }
}

/// A list of `HOST:PORT`. Names are looked up by librdkafka, again and again.
pub(crate) fn brokers(text: &str) -> Result<Brokers, String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    for broker in &brokers {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        let port = port.ok_or_else(|| format!("\"{broker}\" is not HOST:PORT"))?;
        port.parse::<u16>().map_err(|_| format!("{port} is not a port"))?;
    }
    Ok(brokers.join(","))
}

/// What becomes a channel, as a flag or the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteSpec {
    pub(super) topic: String,
    pub(super) template: Template,
    pub(super) payload: Payload,
    pub(super) headers: Vec<String>,
    pub(super) oversized: Oversized,
}

/// `TOPIC=TEMPLATE`.
pub(super) fn route(text: &str) -> Result<RouteSpec, String> {
    let (topic, template) =
        text.split_once('=').ok_or("expected TOPIC=TEMPLATE, for example trades={key}")?;
    RouteTable {
        topic: topic.to_owned(),
        channel: template.to_owned(),
        payload: PayloadWord::Json,
        headers: Vec::new(),
        oversized: OversizedWord::Gap,
    }
    .checked()
}

/// A `[[route]]` of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    topic: String,
    channel: String,
    #[serde(default)]
    payload: PayloadWord,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    oversized: OversizedWord,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PayloadWord {
    #[default]
    Json,
    Text,
    Binary,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OversizedWord {
    #[default]
    Gap,
    Stop,
}

impl RouteTable {
    pub(super) fn checked(self) -> Result<RouteSpec, String> {
        if self.topic.is_empty() {
            return Err("the topic is empty".to_owned());
        }
        // Kafka's rule (Topic.validate): what it cannot have, no record will ever come from.
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.topic.len() > 249 || !self.topic.chars().all(legal) {
            return Err(format!("\"{}\" cannot be a topic's name", self.topic));
        }
        let template =
            Template::parse(&self.channel).map_err(|error| format!("\"{}\": {error}", self.channel))?;
        Ok(RouteSpec {
            topic: self.topic,
            template,
            payload: match self.payload {
                PayloadWord::Json => Payload::Json,
                PayloadWord::Text => Payload::Text,
                PayloadWord::Binary => Payload::Binary,
            },
            headers: self.headers,
            oversized: match self.oversized {
                OversizedWord::Gap => Oversized::Gap,
                OversizedWord::Stop => Oversized::Stop,
            },
        })
    }
}

/// A librdkafka property. Its value may be a secret and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Property").field("key", &self.key).finish_non_exhaustive()
    }
}

/// `KEY=VALUE`, the value as it is or from `@file:PATH` (without its last line end) or `@env:NAME`.
pub(crate) fn property(text: &str) -> Result<Property, String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let key = key.trim();
    if key.is_empty() {
        return Err("the property has no name".to_owned());
    }
    let value = if let Some(path) = value.strip_prefix("@file:") {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("{key}: cannot read {path}: {error}"))?;
        text.strip_suffix('\n')
            .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text))
            .to_owned()
    } else if let Some(name) = value.strip_prefix("@env:") {
        std::env::var(name).map_err(|_| format!("{key}: the environment has no variable {name}"))?
    } else {
        value.to_owned()
    };
    Ok(Property { key: key.to_owned(), value })
}

/// `latest`, `earliest`, Unix ms, or an RFC 3339 time.
pub(super) fn start(text: &str) -> Result<Start, String> {
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

/// Which cores the shards are pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cores {
    /// A core each, where there are enough.
    Auto,
    /// These, in turn; empty: not pinned.
    List(Vec<usize>),
}

/// `auto`, `none`, or a list of cores and ranges.
pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    match text {
        "auto" => return Ok(Cores::Auto),
        "none" => return Ok(Cores::List(Vec::new())),
        _ => {}
    }
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|core| *core < 4_096);
        let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
        let (first, last) =
            range.ok_or_else(|| format!("\"{part}\" is neither a core nor a range of cores"))?;
        cores.extend(first..=last);
    }
    Ok(Cores::List(cores))
}

/// A number of things, at least one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse::<usize>() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(count) if count <= 1 << 30 => Ok(count),
        Ok(_) => Err("at most 1073741824".to_owned()),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// The same, for small ones.
pub(super) fn small_count(text: &str) -> Result<u32, String> {
    u32::try_from(count(text)?).map_err(|_| "too large".to_owned())
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

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

/// `SCHEME://HOST[:PORT]`, as browsers send it (RFC 6454 6.2).
pub(super) fn origin(text: &str) -> Result<String, String> {
    let expected = || "expected an origin such as https://app.example, without a path".to_owned();
    let (scheme, host) = text.split_once("://").ok_or_else(expected)?;
    if scheme.is_empty() || host.is_empty() || host.contains(['/', '?', '#', '*', ' ']) {
        return Err(expected());
    }
    Ok(text.to_owned())
}

/// What tracing's filter understands.
pub(crate) fn log_level(text: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let simple = !text.contains(['=', ',']);
    if simple && !levels.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!("expected {} or directives such as info,engine=debug", levels.join(", ")));
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:80").unwrap().unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(address("[::1]:80").unwrap().unwrap().to_string(), "[::1]:80");
        assert_eq!(address(":3005").unwrap().unwrap().to_string(), "0.0.0.0:3005");
        assert!(address("localhost:80").unwrap().unwrap().ip().is_loopback());
        assert_eq!(address_or_none("none").unwrap(), None);
        for wrong in ["", "8080", ":x", ":70000", "127.0.0.1", "none", "1.2.3.4.5:80"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn broker_lists() {
        assert_eq!(brokers("a:1, b:2").unwrap(), "a:1,b:2");
        for wrong in ["", "a", "a:", ":9092", "a:1,,b:2", "a:99999"] {
            assert!(brokers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn routes() {
        let spec = route("odin.trades={key}.trade").unwrap();
        assert_eq!(spec.topic, "odin.trades");
        assert_eq!(spec.template, Template::parse("{key}.trade").unwrap());
        assert_eq!((spec.payload, spec.oversized), (Payload::Json, Oversized::Gap));
        // Only the first = separates: the rest is the template's.
        assert_eq!(route("t=a={key}").unwrap().template, Template::parse("a={key}").unwrap());
        for wrong in ["trades", "=x", "trades=", "tra des={key}", "trades={kex}", "trades={key"] {
            assert!(route(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn properties_and_where_secrets_come_from() {
        assert_eq!(property("a.b=c=d").unwrap(), Property { key: "a.b".to_owned(), value: "c=d".to_owned() });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "s3cret \n").unwrap();
        let from_file = property(&format!("sasl.password=@file:{}", path.display())).unwrap();
        assert_eq!(from_file.value, "s3cret ");
        assert!(!format!("{from_file:?}").contains("s3cret"));
        let error = property("sasl.password=@file:/nonexistent/secret").unwrap_err();
        assert!(error.contains("sasl.password") && error.contains("/nonexistent/secret"), "{error}");
        let error = property("sasl.password=@env:URINGCAST_NO_SUCH_VARIABLE").unwrap_err();
        assert!(error.contains("URINGCAST_NO_SUCH_VARIABLE"), "{error}");
        assert_eq!(property("p=@env:PATH").unwrap().value, std::env::var("PATH").unwrap());
        for wrong in ["", "a", "=b"] {
            assert!(property(wrong).is_err(), "{wrong}");
        }
    }

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

    #[test]
    fn core_lists() {
        assert_eq!(cores("auto").unwrap(), Cores::Auto);
        assert_eq!(cores("none").unwrap(), Cores::List(vec![]));
        assert_eq!(cores("0,2-4").unwrap(), Cores::List(vec![0, 2, 3, 4]));
        for wrong in ["", "a", "3-1", "1-", "0,,1", "0-99999999"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }

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
        assert!(small_count("4294967296").is_err());
    }

    #[test]
    fn origins_and_levels() {
        assert_eq!(origin("https://app.example:8443").unwrap(), "https://app.example:8443");
        for wrong in ["", "app.example", "https://", "https://a/", "https://*.example", "*"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert_eq!(log_level("info,engine::ingest=debug").unwrap(), "info,engine::ingest=debug");
        assert!(log_level("WARN").is_ok());
        for wrong in ["", "loud", "engine=loud"] {
            assert!(log_level(wrong).is_err(), "{wrong}");
        }
    }
}
