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
        $($(#[$more_doc:meta])* $more:ident: $type:ty)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(#[doc = $help] pub $field: Counter,)*
            $($(#[$more_doc])* pub $more: $type,)?
        }

        impl $name {
            /// Name, help text, kind and present value of every field, in order.
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
        "Connections held.", connections: Gauge,
        "Subscriptions held.", subscriptions: Gauge,
        "Channels with a subscriber here.", channels: Gauge,
        "Connections whose socket is full.", blocked: Gauge,
        "Messages accepted by sockets.", deliveries: Counter,
        "Send operations handed to the kernel.", sends: Counter,
        "Sends that took less than all they were given.", short_sends: Counter,
        "Sends that found the socket full.", full_sends: Counter,
        "Bytes accepted by sockets.", sent_bytes: Counter,
        "Bytes received from clients.", received_bytes: Counter,
        "Requests handled.", requests: Counter,
        "Requests answered with an error.", failed_requests: Counter,
        "Subscriptions that lagged behind the slab.", lagged: Counter,
        "Gap notices sent.", gaps: Counter,
        "Disconnects: the client closed.", closed_by_client: Counter,
        "Disconnects: the socket failed.", closed_by_failure: Counter,
        "Disconnects: protocol error, bad UTF-8 or too big.", closed_by_violation: Counter,
        "Disconnects: too many failed requests, or too many bytes held.", closed_by_policy: Counter,
        "Disconnects: the socket took nothing for too long.", closed_by_blocked: Counter,
        "Disconnects: no sign of life.", closed_by_silence: Counter,
        "Disconnects: draining.", closed_by_drain: Counter,
        "Receives that found no buffer.", receive_starved: Counter,
        "Completions for a slot that has been reused.", late_completions: Counter,
        "Index entries between the slab's tail and this shard's reading place.", lag_entries: Gauge,
        "Torn bytes held.", torn_bytes: Gauge,
        "Bytes that clients make it hold, torn ones apart.", client_bytes: Gauge,
        "Turns of the shard.", ticks: Counter,
        "Times the shard slept.", sleeps: Counter,
        "CPU time of the thread, ns.", cpu_ns: Gauge,
        "Direct descriptors held.", descriptors: Gauge,
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
        "Records without a route.", unrouted: Counter,
        "Records that lack the key their template needs.", no_key: Counter,
        "Records whose key is not text.", bad_key: Counter,
        "Records that lack the header their template needs, or whose header is not text.", no_header: Counter,
        "Records whose channel name is empty or too long.", bad_name: Counter,
        "Routes left out, for an earlier one had made the same channel of the record.", repeated: Counter,
        "Values that are not the JSON their route promises.", not_json: Counter,
        "Values that are not the text their route promises.", not_text: Counter,
        "Values above the limit.", oversized: Counter,
        "Times records were left out because they could not be read.", unreadable: Counter,
        "Channels known.", channels: Gauge,
        "Channels without a record.", empty_channels: Gauge,
        "Partitions read.", partitions: Gauge,
        "Lookups of channel names answered.", questions: Counter,
        "Gaps of partitions announced because of retention.", retention_gaps: Counter,
        "Gaps of partitions announced because of a new incarnation of a topic or a truncated log.", reset_gaps: Counter,
        "Gaps of partitions announced because records could not be read.", unreadable_gaps: Counter,
        "Times ingest waited for a shard's acknowledgement.", waits: Counter,
        "Time ingest has been waiting now, ms.", waiting_ms: Gauge,
        "Records between here and the end of the partitions, where known.", lag_records: Gauge,
        "Times the brokers were lost.", broker_losses: Counter,
        "Brokers are reachable.", broker_up: Gauge,
        "CPU time of the thread, ns.", cpu_ns: Gauge,
    }
    /// What of these is counted by topic too.
    topics: Topics
}

counters! {
    /// Counters of one topic: records that reach nobody, or not as their route promises.
    TopicMetrics {
        "Records of the topic that lack the key their template needs.", no_key: Counter,
        "Records of the topic whose key is not text.", bad_key: Counter,
        "Records of the topic that lack the header their template needs, or whose header is not text.", no_header: Counter,
        "Records of the topic whose channel name is empty or too long.", bad_name: Counter,
        "Values of the topic that are not the JSON their route promises.", not_json: Counter,
        "Values of the topic that are not the text their route promises.", not_text: Counter,
        "Values of the topic above the limit.", oversized: Counter,
    }
}

/// The counters of every routed topic. Which those are is known once routes are, and never changes.
#[derive(Debug, Default)]
pub struct Topics(OnceLock<Box<[Topic]>>);

/// A topic's name and its counters.
type Topic = (Arc<str>, TopicMetrics);

impl Topics {
    /// Begins counting for topics of these names, each once.
    pub fn begin(&self, names: &[Arc<str>]) {
        let begun = || names.iter().map(|name| (Arc::clone(name), TopicMetrics::default())).collect();
        self.0.get_or_init(begun);
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Topic] {
        self.0.get().map_or(&[], |topics| topics)
    }

    /// Those of a topic.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&TopicMetrics> {
        self.all().iter().find(|(topic, _)| **topic == *name).map(|(_, metrics)| metrics)
    }
}

counters! {
    /// The accept ring's counters.
    AcceptMetrics {
        "Connections accepted from the kernel.", accepted: Counter,
        "Connections handed to a shard.", handed_over: Counter,
        "Handshakes under way.", handshakes: Gauge,
        "Refusals still being delivered.", lingering: Gauge,
        "Refused: malformed upgrade.", refused_malformed: Counter,
        "Refused: origin.", refused_origin: Counter,
        "Refused: path, method or version.", refused_unsupported: Counter,
        "Refused: too large.", refused_too_large: Counter,
        "Refused: too slow.", refused_too_slow: Counter,
        "Refused: full.", refused_full: Counter,
        "Refused: draining.", refused_draining: Counter,
        "Refused: not ready.", refused_not_ready: Counter,
        "Accepts that failed for want of descriptors or memory.", accept_failures: Counter,
        "Peers that left during the handshake.", gone: Counter,
        "CPU time of the thread, ns.", cpu_ns: Gauge,
    }
}
