//! How close the server came to what the kernel alone costs.

use serde::{Deserialize, Serialize};

use super::Report;
use crate::{
    baseline::Baseline,
    figures::{ratio, real, rounded},
};

/// Sizes that differ more make the comparison doubtful.
const SIZE_FACTOR_MAX: f64 = 1.25;

/// The server's CPU time for a delivery beside the kernel's own for one at as many messages a send.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Of the server, in the measured time.
    pub messages_per_send: f64,
    /// The kernel's own cost, ns.
    #[serde(rename = "floor_ns_per_delivery")]
    pub baseline_ns_per_delivery: f64,
    /// All of the server's threads, ns.
    pub server_ns_per_delivery: f64,
    /// How many times the baseline that is: 1 would be the end of the road.
    pub ratio: f64,
    /// The shards' threads alone, ns; 0: not known.
    pub shards_ns_per_delivery: f64,
    /// How many times the baseline that is; 0: not known.
    pub shards_ratio: f64,
}

impl Report {
    /// Puts the baseline into the report, and with it how close the server came, if its CPU time and its sends
    /// are known.
    pub fn compare_to_baseline(&mut self, baseline: Baseline) {
        self.limit = self.limit(&baseline);
        if self.limit.is_none() {
            self.warnings.push(
                "distance to the baseline unknown: it needs deliveries, the server's CPU time and its number of sends"
                    .to_owned(),
            );
        } else {
            self.doubt(&baseline);
        }
        self.baseline = Some(baseline);
    }

    fn limit(&self, baseline: &Baseline) -> Option<Limit> {
        let server = self.server.as_ref().filter(|server| server.cpu_seconds > 0.0 && server.sends > 0.0)?;
        let server_ns = server.cpu_seconds_per_million * 1e3;
        let baseline_ns = baseline.ns_per_delivery(server.messages_per_send);
        if server_ns == 0.0 || baseline_ns == 0.0 {
            return None;
        }
        let shards_busy: f64 = server.shards.iter().map(|shard| shard.busy).sum();
        let shards_ns = ratio(shards_busy * server.seconds * 1e9, server.deliveries);
        Some(Limit {
            messages_per_send: rounded(server.messages_per_send),
            baseline_ns_per_delivery: rounded(baseline_ns),
            server_ns_per_delivery: rounded(server_ns),
            ratio: rounded(server_ns / baseline_ns),
            shards_ns_per_delivery: rounded(shards_ns),
            shards_ratio: rounded(shards_ns / baseline_ns),
        })
    }

    /// What makes the ratio doubtful.
    fn doubt(&mut self, baseline: &Baseline) {
        if self.plan.poll.is_none() {
            self.warnings.push(
                "the baseline's reader polls every ms, but these clients were woken by data, at the server's cost: for the \
                 ratio to the baseline use --poll-ms 1"
                    .to_owned(),
            );
        }
        let bytes = ratio(real(self.messages.bytes), real(self.messages.received));
        let factor = bytes / real(baseline.plan.frame_bytes as u64);
        if bytes > 0.0 && !(1.0 / SIZE_FACTOR_MAX..=SIZE_FACTOR_MAX).contains(&factor) {
            self.warnings.push(format!(
                "messages had {bytes:.0} bytes with their frames, the baseline's {}",
                baseline.plan.frame_bytes
            ));
        }
        let at_baseline: Vec<String> =
            baseline.warnings.iter().map(|warning| format!("baseline: {warning}")).collect();
        self.warnings.extend(at_baseline);
    }
}
