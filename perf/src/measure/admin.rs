//! The server's admin listener, asked over HTTP: any of its pages, and /metrics read.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use crate::{Error, machine::ThreadTimes};

const ANSWER_BYTES_MAX: u64 = 16 << 20;
const THREADS: &str = "uringcast_thread_cpu_seconds_total";
const RESIDENT: &str = "uringcast_process_resident_bytes";

/// The samples of a Prometheus text, by name with labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Gets them from `HOST:PORT`.
    ///
    /// # Errors
    /// [`Error::Server`] with what failed.
    pub fn fetch(admin: &str) -> Result<Self, Error> {
        Ok(Self::read(&get(admin, "/metrics")?))
    }

    /// Reads the Prometheus text format; what is not a sample is left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let sample = |line: &str| {
            let end = line.rfind('}').map_or_else(|| line.find(' '), |at| Some(at + 1))?;
            let (name, rest) = line.split_at(end);
            let value = rest.split_whitespace().next()?.parse().ok()?;
            Some((name.to_owned(), value))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// Takes in those of another text.
    #[cfg(test)]
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// No sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sum over all samples of a metric (those of all shards), if there are any.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self.of(name).map(|(_, value)| value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The samples of a metric by the value of label `shard`, in the order of the shards.
    #[must_use]
    pub fn by_shard(&self, name: &str) -> Vec<(u32, f64)> {
        let shard = |labels: &str| labels.split_once("shard=\"")?.1.split_once('"')?.0.parse().ok();
        let mut shards: Vec<(u32, f64)> =
            self.of(name).filter_map(|(labels, value)| Some((shard(labels)?, value))).collect();
        shards.sort_by_key(|(shard, _)| *shard);
        shards
    }

    /// CPU time by thread, as the server itself tells it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; the server is believed"
    )]
    pub(crate) fn threads(&self) -> ThreadTimes {
        let name = |labels: &str| Some(labels.split_once("thread=\"")?.1.rsplit_once('"')?.0.to_owned());
        self.of(THREADS)
            .filter_map(|(labels, seconds)| Some((name(labels)?, (seconds * 1e9) as u64)))
            .collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; the server is believed"
    )]
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.sum(RESIDENT).unwrap_or(0.0) as u64
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.0
            .range(name.to_owned()..)
            .map_while(move |(key, value)| {
                let labels = key.strip_prefix(name)?;
                Some((labels, *value))
            })
            .filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'))
    }
}

/// The body that the admin listener at `HOST:PORT` answers with; waits 5 s at most for each part of it.
///
/// # Errors
/// [`Error::Server`] with what failed; of an answer other than 200 its status and the first line of its body.
pub fn get(admin: &str, path: &str) -> Result<String, Error> {
    let fail = |what: String| Error::Server(format!("http://{admin}{path}: {what}"));
    let addr = admin
        .to_socket_addrs()
        .map_err(|error| fail(error.to_string()))?
        .next()
        .ok_or_else(|| fail("the name has no address".to_owned()))?;
    let answer = exchange(&addr, admin, path).map_err(|error| fail(error.to_string()))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(fail("no HTTP answer".to_owned()));
    };
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        let reason = body.lines().next().unwrap_or_default();
        return Err(fail(format!("{status}: {reason}").trim_end_matches(": ").to_owned()));
    }
    Ok(body.to_owned())
}

fn exchange(addr: &std::net::SocketAddr, host: &str, path: &str) -> std::io::Result<String> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(addr, limit)?;
    stream.set_read_timeout(Some(limit))?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP uringcast_shard_connections Held.\n\
        uringcast_shard_connections{shard=\"0\"} 10\n\
        uringcast_shard_connections{shard=\"2\"} 8\n\
        uringcast_shard_connections{shard=\"10\"} 12\n\
        uringcast_shard_connections_other 5\n\
        uringcast_ingest_records_total 7 1700000000\n\
        nonsense\n";

    #[test]
    fn samples_are_read_summed_and_sorted_by_shard() {
        let metrics = Metrics::read(TEXT);
        assert_eq!(metrics.sum("uringcast_shard_connections"), Some(30.0));
        assert_eq!(metrics.by_shard("uringcast_shard_connections"), [(0, 10.0), (2, 8.0), (10, 12.0)]);
        assert_eq!(metrics.sum("uringcast_ingest_records_total"), Some(7.0));
        assert_eq!(metrics.sum("uringcast_shard"), None);
        assert!(Metrics::read("").is_empty());
        let own = Metrics::read(&format!("{THREADS}{{thread=\"shard-0\"}} 1.5\n{RESIDENT} 4096\n"));
        assert_eq!(own.threads(), ThreadTimes::from([("shard-0".to_owned(), 1_500_000_000)]));
        assert_eq!(own.resident_bytes(), 4_096);
    }

    #[test]
    fn metrics_are_fetched_over_http_and_failures_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            for (status, body) in [("200 OK", TEXT), ("503 Service Unavailable", "no room\nmore")] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let len = stream.read(&mut request).unwrap();
                assert!(request[..len].starts_with(b"GET /metrics HTTP/1.0\r\n"));
                write!(stream, "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n{body}").unwrap();
            }
        });
        assert_eq!(Metrics::fetch(&admin).unwrap(), Metrics::read(TEXT));
        let refused = Metrics::fetch(&admin).unwrap_err().to_string();
        assert!(refused.ends_with("503 Service Unavailable: no room"), "{refused}");
        server.join().unwrap();
        assert!(matches!(Metrics::fetch(&admin), Err(Error::Server(_))), "nobody listens there any more");
    }
}
