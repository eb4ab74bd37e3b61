//! Counters that the threads keep and the admin thread shows. Every field has one writer; all loads and stores are relaxed.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        // One writer: a load and a store are enough and cost no locked instruction.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets it, for what goes up and down.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
}

macro_rules! counters {
    (
        $(#[$doc:meta])* $name:ident { $($help:literal, $field:ident: $kind:ident,)* }
        $($(#[$more_doc:meta])* $more:ident: $type:ty,)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(#[doc = $help] pub $field: Counter,)*
            $($(#[$more_doc])* pub $more: $type,)*
        }

        impl $name {
            /// Name, help text, kind and present value of every counter that it has itself, in order.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, &'static str, Kind, u64)> {
                vec![$((stringify!($field), $help, Kind::$kind, self.$field.get()),)*]
            }
        }
    };
}

counters! {
    /// One shard's counters.
    ShardMetrics {
        "Open connections.", connections: Gauge,
        "Active subscriptions.", subscriptions: Gauge,
        "Channels with a subscriber in this shard.", channels: Gauge,
        "Connections whose socket is full.", blocked: Gauge,
        "Messages accepted by sockets.", deliveries: Counter,
        "Send operations handed to the kernel.", sends: Counter,
        "Sends that the socket accepted only in part.", short_sends: Counter,
        "Sends for which the socket had no room.", full_sends: Counter,
        "Bytes accepted by sockets.", sent_bytes: Counter,
        "Bytes received from clients.", received_bytes: Counter,
        "Requests handled.", requests: Counter,
        "Requests answered with an error.", failed_requests: Counter,
        "Subscriptions that lagged behind the slab.", lagged: Counter,
        "Gap notices sent.", gaps: Counter,
        "Disconnects: the client closed.", closed_by_client: Counter,
        "Disconnects: the socket failed.", closed_by_failure: Counter,
        "Disconnects: protocol error, invalid UTF-8 or message too large.", closed_by_violation: Counter,
        "Disconnects: too many failed requests, or too many bytes held.", closed_by_policy: Counter,
        "Disconnects: the socket accepted no data for too long.", closed_by_blocked: Counter,
        "Disconnects: keep-alive timeout.", closed_by_silence: Counter,
        "Disconnects: draining.", closed_by_drain: Counter,
        "Receives without a free buffer.", receive_starved: Counter,
        "Completions for a slot that has been reused.", late_completions: Counter,
        "Index entries between the slab's tail and this shard's read position.", lag_entries: Gauge,
        "Bytes of partially written frames.", torn_bytes: Gauge,
        "Bytes held for clients, without partially written frames.", client_bytes: Gauge,
        "Ticks of the shard.", ticks: Counter,
        "Times the shard slept.", sleeps: Counter,
        "CPU time of the thread, ns.", cpu_ns: Gauge,
        "Direct descriptors in use.", descriptors: Gauge,
        "Sum of ns from ingest to the socket, over sampled messages.", delay_ns: Counter,
        "Messages sampled for the delay.", delay_samples: Counter,
    }
}

counters! {
    /// Ingest's counters.
    IngestMetrics {
        "Records read from Kafka.", records: Counter,
        "Bytes of record values read.", value_bytes: Counter,
        "Entries with a frame appended to the slab.", entries: Counter,
        "Records that no route matches.", unrouted: Counter,
        "Routes skipped because an earlier one had produced the same channel name.", repeated: Counter,
        "Times that unreadable records were skipped.", unreadable: Counter,
        "Channels with a number.", channels: Gauge,
        "Channels without a record.", empty_channels: Gauge,
        "Partitions being read.", partitions: Gauge,
        "Lookups of channel names answered.", questions: Counter,
        "Gaps of partitions announced because of retention.", retention_gaps: Counter,
        "Gaps of partitions announced because of a new incarnation of a topic or a truncated log.", reset_gaps: Counter,
        "Gaps of partitions announced because records could not be read.", unreadable_gaps: Counter,
        "Times ingest had to wait for a shard's acknowledgement.", waits: Counter,
        "Duration of ingest's current wait, ms.", waiting_ms: Gauge,
        "Records between the read position and the end of the partitions, where known.", lag_records: Gauge,
        "Times that contact to the brokers was lost.", broker_losses: Counter,
        "Whether brokers are reachable.", broker_up: Gauge,
        "CPU time of the thread, ns.", cpu_ns: Gauge,
    }
    /// Of the records of all topics.
    odd: OddRecords,
    /// Of each topic's.
    topics: Topics,
}

counters! {
    /// Records that reach nobody, or not as their route promises: of all topics, or of one.
    OddRecords {
        "Records that lack the key their template needs.", no_key: Counter,
        "Records whose key is not text.", bad_key: Counter,
        "Records that lack the header their template needs, or whose header is not text.", no_header: Counter,
        "Records whose channel name is empty or too long.", bad_name: Counter,
        "Values that are not the JSON their route declares.", not_json: Counter,
        "Values that are not the text their route declares.", not_text: Counter,
        "Values above the size limit.", oversized: Counter,
    }
}

/// The counters of every routed topic. Which those are is known once routes are, and never changes.
#[derive(Debug, Default)]
pub struct Topics(OnceLock<Box<[Topic]>>);

/// A topic's name and its counters.
type Topic = (Arc<str>, OddRecords);

impl Topics {
    /// Begins counting for topics of these names, each once.
    pub fn begin(&self, names: &[Arc<str>]) {
        let begun = || names.iter().map(|name| (Arc::clone(name), OddRecords::default())).collect();
        self.0.get_or_init(begun);
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Topic] {
        self.0.get().map_or(&[], |topics| topics)
    }

    /// Those of a topic.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&OddRecords> {
        self.all().iter().find(|(topic, _)| **topic == *name).map(|(_, odd)| odd)
    }
}

counters! {
    /// The accept ring's counters.
    AcceptMetrics {
        "Connections accepted from the kernel.", accepted: Counter,
        "Connections handed to a shard.", handed_over: Counter,
        "Handshakes in progress.", handshakes: Gauge,
        "Refusals still being delivered.", lingering: Gauge,
        "Refused: malformed upgrade.", refused_malformed: Counter,
        "Refused: origin.", refused_origin: Counter,
        "Refused: path, method or version.", refused_unsupported: Counter,
        "Refused: too large.", refused_too_large: Counter,
        "Refused: too slow.", refused_too_slow: Counter,
        "Refused: full.", refused_full: Counter,
        "Refused: draining.", refused_draining: Counter,
        "Refused: not ready.", refused_not_ready: Counter,
        "Accepts that failed for lack of file descriptors or memory.", accept_failures: Counter,
        "Peers that left during the handshake.", gone: Counter,
        "CPU time of the thread, ns.", cpu_ns: Gauge,
    }
}
