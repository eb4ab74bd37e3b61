//! The server, looked at from outside: its /metrics, and its process where it runs on this machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    admin::Metrics,
    figures::{grouped, ratio, real, whole},
    machine::{self, ThreadTimes},
    plan::ServerView,
};

/// The server at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When, ns since 1970.
    pub at_ns: u64,
    /// Its /metrics.
    pub metrics: Metrics,
    /// CPU time of its threads.
    pub threads: ThreadTimes,
    /// Its resident memory, bytes.
    pub resident_bytes: u64,
    /// Memory of all TCP sockets of this machine, bytes.
    pub tcp_bytes: u64,
}

impl Snapshot {
    /// Looks.
    ///
    /// # Errors
    /// [`Error::Server`]: /metrics was asked for and cannot be read, or the process is not there.
    pub fn take(view: &ServerView, now_ns: u64) -> Result<Self, Error> {
        let metrics = view.admin.as_deref().map(Metrics::fetch).transpose()?.unwrap_or_default();
        let threads = view.pid.map_or_else(|| metrics.threads(), machine::thread_times);
        if let Some(pid) = view.pid.filter(|_| threads.is_empty()) {
            return Err(Error::Server(format!("there is no process {pid}")));
        }
        let resident_bytes = view.pid.map_or_else(|| metrics.resident_bytes(), machine::resident_bytes);
        Ok(Self { at_ns: now_ns, metrics, threads, resident_bytes, tcp_bytes: machine::tcp_memory_bytes() })
    }
}

/// What one shard did in the measured time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardUse {
    /// Its number.
    pub shard: u32,
    /// Connections when all were ready.
    pub connections: f64,
    /// Part of a core that it was busy.
    pub busy: f64,
    /// Messages accepted by sockets.
    pub deliveries: f64,
    /// Send operations.
    pub sends: f64,
}

/// What the server used in the measured time, and what it held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// Length of the measured time, s.
    pub seconds: f64,
    /// CPU of all its threads, s.
    pub cpu_seconds: f64,
    /// Part of a core that each thread was busy, by name and number; those below a thousandth are left out.
    pub threads: BTreeMap<String, f64>,
    /// Messages that sockets took, by its own count; else those that clients received in this time.
    pub deliveries: f64,
    /// By its own count.
    pub sends: f64,
    /// Deliveries for each send; 0 when not known.
    pub messages_per_send: f64,
    /// Deliveries for each second of its CPU time.
    pub deliveries_per_cpu_second: f64,
    /// Seconds of its CPU time for a million deliveries.
    pub cpu_seconds_per_million: f64,
    /// Resident memory before the first connection, bytes.
    pub resident_before_bytes: u64,
    /// Resident memory when all connections were ready, bytes.
    pub resident_ready_bytes: u64,
    /// Most resident memory seen, bytes.
    pub resident_max_bytes: u64,
    /// Growth from the first to the last connection, bytes for each. Not known where the server has had connections
    /// before: it reuses their memory.
    pub resident_per_connection_bytes: Option<f64>,
    /// Most memory of all TCP sockets of this machine seen, bytes; both ends of loopback connections are in
    /// it.
    pub tcp_max_bytes: u64,
    /// Each shard.
    pub shards: Vec<ShardUse>,
    /// Largest deviation of a shard's connections from their mean, percent.
    pub spread_percent: f64,
}

/// The moments that a run looks at the server.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Before the first connection.
    pub before: Snapshot,
    /// All connections ready.
    pub ready: Snapshot,
    /// The measured time begins.
    pub begin: Snapshot,
    /// The measured time ends.
    pub end: Snapshot,
    /// Most resident memory seen, bytes.
    pub resident_max_bytes: u64,
    /// Most memory of TCP sockets seen, bytes.
    pub tcp_max_bytes: u64,
}

impl ServerUse {
    /// Memory of a connection, for people.
    #[must_use]
    pub fn memory_of_one(&self) -> String {
        let bytes = self.resident_per_connection_bytes.map(|bytes| format!("{} B", grouped(whole(bytes))));
        format!("{} a connection", bytes.as_deref().unwrap_or("n/a"))
    }
}

impl Observed {
    /// Keeps the peaks of a snapshot.
    pub fn peak(&mut self, snapshot: &Snapshot) {
        self.resident_max_bytes = self.resident_max_bytes.max(snapshot.resident_bytes);
        self.tcp_max_bytes = self.tcp_max_bytes.max(snapshot.tcp_bytes);
    }

    /// Length of the measured time, s.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        real(self.end.at_ns.saturating_sub(self.begin.at_ns)) / 1e9
    }

    /// Sums up; `connections` opened and `received` counted by the clients between the same two moments. The server's own
    /// count of deliveries goes before theirs.
    #[must_use]
    pub fn sum_up(&self, connections: u64, received: u64) -> ServerUse {
        let seconds = self.seconds();
        let used = machine::used(&self.begin.threads, &self.end.threads);
        let grown = |name: &str| difference(self.begin.metrics.sum(name), self.end.metrics.sum(name));
        let cpu_seconds = real(used.values().sum::<u64>()) / 1e9;
        let threads = used.into_iter().map(|(thread, ns)| (thread, ratio(real(ns) / 1e9, seconds)));
        let growth = self.ready.resident_bytes.saturating_sub(self.before.resident_bytes);
        let is_fresh = self.before.metrics.sum(HANDED_OVER).is_none_or(|connections| connections == 0.0);
        let shards = self.shards(seconds);
        let own = grown(DELIVERIES);
        let deliveries = if own > 0.0 { own } else { real(received) };
        ServerUse {
            seconds,
            cpu_seconds,
            threads: threads.filter(|(_, busy)| *busy >= 0.001).collect(),
            deliveries,
            sends: grown(SENDS),
            messages_per_send: ratio(own, grown(SENDS)),
            deliveries_per_cpu_second: ratio(deliveries, cpu_seconds),
            cpu_seconds_per_million: ratio(cpu_seconds * 1e6, deliveries),
            resident_before_bytes: self.before.resident_bytes,
            resident_ready_bytes: self.ready.resident_bytes,
            resident_max_bytes: self.resident_max_bytes,
            resident_per_connection_bytes: (is_fresh && connections > 0)
                .then(|| ratio(real(growth), real(connections))),
            tcp_max_bytes: self.tcp_max_bytes,
            spread_percent: spread_percent(&shards),
            shards,
        }
    }

    fn shards(&self, seconds: f64) -> Vec<ShardUse> {
        let of = |snapshot: &Snapshot, name: &str, shard: u32| {
            snapshot
                .metrics
                .by_shard(name)
                .into_iter()
                .find(|(number, _)| *number == shard)
                .map(|(_, value)| value)
        };
        let grown = |name: &str, shard| difference(of(&self.begin, name, shard), of(&self.end, name, shard));
        self.ready
            .metrics
            .by_shard(CONNECTIONS)
            .into_iter()
            .map(|(shard, connections)| ShardUse {
                shard,
                connections,
                busy: ratio(grown(SHARD_CPU, shard) / 1e9, seconds),
                deliveries: grown(DELIVERIES, shard),
                sends: grown(SENDS, shard),
            })
            .collect()
    }
}

const HANDED_OVER: &str = "uringcast_accept_handed_over_total";
const CONNECTIONS: &str = "uringcast_shard_connections";
pub(crate) const DELIVERIES: &str = "uringcast_shard_deliveries_total";
pub(crate) const SENDS: &str = "uringcast_shard_sends_total";
pub(crate) const SHARD_CPU: &str = "uringcast_shard_cpu_ns";

fn difference(earlier: Option<f64>, later: Option<f64>) -> f64 {
    later.unwrap_or(0.0) - earlier.unwrap_or(0.0)
}

fn spread_percent(shards: &[ShardUse]) -> f64 {
    let count = f64::from(u32::try_from(shards.len()).unwrap_or(u32::MAX));
    let mean = ratio(shards.iter().map(|shard| shard.connections).sum(), count);
    shards.iter().map(|shard| ratio((shard.connections - mean).abs() * 100.0, mean)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_is_no_zero() {
        let own = ServerView { admin: None, pid: Some(std::process::id()) };
        assert!(Snapshot::take(&own, 7).unwrap().resident_bytes > 0);
        let gone = ServerView { admin: None, pid: Some(u32::MAX) };
        assert!(Snapshot::take(&gone, 7).unwrap_err().to_string().contains("no process"));
    }

    #[test]
    fn use_is_the_difference_of_two_moments() {
        let moment = |at_s: u64, scale: f64| Snapshot {
            at_ns: at_s * 1_000_000_000,
            metrics: Metrics::read(&format!(
                "{CONNECTIONS}{{shard=\"0\"}} 99\n{CONNECTIONS}{{shard=\"1\"}} 101\n\
                 {DELIVERIES}{{shard=\"0\"}} {}\n{SENDS}{{shard=\"0\"}} {}\n{SHARD_CPU}{{shard=\"0\"}} {}\n",
                1_000.0 * scale,
                250.0 * scale,
                5e8 * scale
            )),
            threads: ThreadTimes::from([("shard-0 1".to_owned(), at_s * 500_000_000)]),
            resident_bytes: 1_000_000 * at_s,
            ..Snapshot::default()
        };
        let mut observed = Observed {
            before: moment(1, 0.0),
            ready: moment(2, 0.0),
            begin: moment(10, 1.0),
            end: moment(12, 3.0),
            ..Observed::default()
        };
        observed.peak(&observed.end.clone());
        let used = observed.sum_up(200, 2_000);
        assert_eq!((used.seconds, used.cpu_seconds, used.deliveries, used.sends), (2.0, 1.0, 2_000.0, 500.0));
        assert_eq!((used.messages_per_send, used.deliveries_per_cpu_second), (4.0, 2_000.0));
        assert_eq!(
            (used.cpu_seconds_per_million, used.resident_per_connection_bytes),
            (500.0, Some(5_000.0))
        );
        observed.before.metrics.extend(Metrics::read(&format!("{HANDED_OVER} 0\n")));
        assert_eq!(observed.sum_up(200, 2_000).resident_per_connection_bytes, Some(5_000.0));
        observed.before.metrics.extend(Metrics::read(&format!("{HANDED_OVER} 200\n")));
        assert_eq!(observed.sum_up(200, 2_000).resident_per_connection_bytes, None, "memory is reused");
        assert_eq!((used.shards[0].busy, used.shards[1].deliveries), (0.5, 0.0));
        assert!((used.spread_percent - 1.0).abs() < 1e-9);
        assert_eq!(used.resident_max_bytes, 12_000_000);
        assert_eq!(Observed::default().sum_up(0, 0), ServerUse::default());
        for moment in [&mut observed.begin, &mut observed.end] {
            moment.metrics = Metrics::default();
        }
        let unknown = observed.sum_up(200, 3_000);
        assert_eq!((unknown.deliveries, unknown.deliveries_per_cpu_second), (3_000.0, 3_000.0));
        assert_eq!((unknown.sends, unknown.messages_per_send), (0.0, 0.0));
    }
}
