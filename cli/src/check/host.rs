//! Judges the host by the settings: pure functions, one an area.

use std::{io::ErrorKind, net::SocketAddr};

use engine::config::Config;

use super::{
    Item,
    facts::{Facts, Port, RingFact},
    grouped, mib,
};

/// The first kernel that has everything.
const KERNEL: (u32, u32) = (6, 7);
/// Slots of a ring's table beyond the shard's connections (engine/src/server).
const SPARE_SLOTS: u64 = 256;
/// Slots that a ring's table can have at most.
const SLOTS_MAX: u64 = 1 << 20;
/// Descriptors of the process that are no connection: files, sockets to brokers, rings.
const OTHER_DESCRIPTORS: u64 = 256;
/// What a burst of connections should find in the accept queue; docs/operations.md.
const ACCEPT_QUEUE: u64 = 4_096;
/// Kernel memory of a connection whose client does not read: its send queue, with TCP_NOTSENT_LOWAT at 64 KiB.
const KERNEL_BYTES_EACH: u64 = 67 << 10;
/// Our memory of a connection, and of a shard's receive buffers.
const CONNECTION_BYTES: u64 = 2 << 10;
const SHARD_BYTES: u64 = 4 << 20;
/// The consumer's prefetched records and one response.
const CONSUMER_BYTES: u64 = (64 + 8) << 20;
/// 2025-01-01: no clock that is right tells less.
const CLOCK_MIN_UNIX_MS: u64 = 1_735_689_600_000;

/// Everything about the host.
pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Item> {
    let mut items = vec![
        kernel(facts),
        io_uring(facts),
        descriptors(config, facts),
        process_descriptors(config, facts),
        accept_queue(config, facts),
    ];
    items.extend(facts.ports.iter().map(port));
    items.push(cores(config, facts));
    items.push(huge_pages(facts));
    items.push(memory(config, facts));
    items.push(tcp_memory(config, facts));
    items.push(clock(facts));
    items
}

fn kernel(facts: &Facts) -> Item {
    let mut numbers = facts.kernel.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    let found = format!("Linux {}", facts.kernel);
    match version {
        Some(version) if version < KERNEL => Item::stop(
            "kernel",
            found,
            "serve cannot start: it needs Linux 6.7 or newer",
            "a newer kernel (Debian 12: apt-get install -t bookworm-backports linux-image-amd64)",
        ),
        Some(_) | None => Item::ok("kernel", found),
    }
}

fn io_uring(facts: &Facts) -> Item {
    match &facts.ring {
        RingFact::Works => Item::ok("io_uring", "rings can be created"),
        RingFact::Forbidden(text) => Item::stop(
            "io_uring",
            text.clone(),
            "serve cannot start: every shard needs a ring",
            "sysctl -w kernel.io_uring_disabled=0; in a container a seccomp profile that allows io_uring_setup, \
             io_uring_enter and io_uring_register (--security-opt seccomp=FILE)",
        ),
        RingFact::Lacking(text) => Item::stop(
            "io_uring",
            text.clone(),
            "serve cannot start: every shard needs a ring",
            "a newer kernel, 6.7 at least",
        ),
    }
}

fn capacity(config: &Config) -> u64 {
    config.shard_capacity(0) as u64
}

/// Each ring's table of descriptors is bounded by the limit of the process.
fn descriptors(config: &Config, facts: &Facts) -> Item {
    let needed = capacity(config) + SPARE_SLOTS;
    let table = format!("a table of {} for each of {} shards", grouped(needed), config.shards);
    if needed > SLOTS_MAX {
        return Item::stop(
            "descriptors",
            format!("{table}; a ring is limited to {}", grouped(SLOTS_MAX)),
            "serve cannot start",
            "more --shards, or fewer --max-connections",
        );
    }
    let Some(limit) = facts.descriptors else { return Item::ok("descriptors", table) };
    let found = format!("{table}; the limit is {}", shown(limit));
    if needed > limit {
        return Item::stop(
            "descriptors",
            found,
            "serve cannot start: a ring's table must not exceed RLIMIT_NOFILE",
            format!(
                "LimitNOFILE={} in the unit, or ulimit -Hn {0}; or more --shards",
                needed.next_power_of_two()
            ),
        );
    }
    Item::ok("descriptors", found)
}

/// Handshakes and refusals are descriptors of the process; each handshake has a duplicate for a moment.
fn process_descriptors(config: &Config, facts: &Facts) -> Item {
    let limits = &config.limits;
    let needed = (2 * limits.handshakes + limits.lingering_refusals) as u64 + OTHER_DESCRIPTORS;
    let found = format!("up to {} for concurrent handshakes and refusals", grouped(needed));
    match facts.descriptors {
        Some(limit) if needed > limit => Item::warn(
            "handshakes",
            format!("{found}; the limit is {}", shown(limit)),
            "many connections at once exhaust the file descriptors, and new ones wait",
            format!(
                "LimitNOFILE={} in the unit, or a smaller --limit-handshakes",
                needed.next_power_of_two()
            ),
        ),
        Some(_) | None => Item::ok("handshakes", found),
    }
}

fn shown(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { grouped(limit) }
}

fn accept_queue(config: &Config, facts: &Facts) -> Item {
    let wanted = ACCEPT_QUEUE.min(config.limits.connections as u64);
    match facts.somaxconn {
        Some(present) if present < wanted => Item::warn(
            "somaxconn",
            format!("{} connections may wait to be accepted", grouped(present)),
            "in a burst (all clients come back at once) the kernel drops what does not fit, and clients wait a second or more",
            format!("sysctl -w net.core.somaxconn={ACCEPT_QUEUE}"),
        ),
        Some(present) => {
            Item::ok("somaxconn", format!("{} connections may wait to be accepted", grouped(present)))
        }
        None => Item::ok("somaxconn", "unknown"),
    }
}

fn port(Port { flag, address, trouble }: &Port) -> Item {
    let Some((kind, text)) = trouble else { return Item::ok("port", format!("{address} is free ({flag})")) };
    let means = "serve cannot start";
    let (found, set) = port_trouble(*kind, text, flag, *address);
    Item::stop("port", found, means, set)
}

fn port_trouble(kind: ErrorKind, text: &str, flag: &str, address: SocketAddr) -> (String, String) {
    if kind == ErrorKind::AddrInUse {
        let port = address.port();
        (
            format!("{address} ({flag}) is in use by another process, or by a running server"),
            format!("{flag} with another port; ss -ltnp 'sport = :{port}' shows by which"),
        )
    } else if kind == ErrorKind::AddrNotAvailable {
        (
            format!("{address} ({flag}): not an address of this host"),
            format!("{flag} with an address that `ip addr` shows, or :{}", address.port()),
        )
    } else if kind == ErrorKind::PermissionDenied {
        (
            format!("{address} ({flag}): ports below 1024 need CAP_NET_BIND_SERVICE"),
            format!(
                "AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or {flag} with a port of 1024 or above"
            ),
        )
    } else {
        (format!("{address} ({flag}): {text}"), format!("{flag} with another address"))
    }
}

fn cores(config: &Config, facts: &Facts) -> Item {
    let usable = facts.cores.len();
    if let Some(core) = config.cores.iter().find(|core| !facts.cores.contains(core)) {
        return Item::stop(
            "cores",
            format!("core {core} is not available to this process"),
            "serve cannot start",
            format!("--cores of {:?}, or none", facts.cores),
        );
    }
    let found = format!("{} shards, {usable} usable cores", config.shards);
    if config.shards > usable {
        return Item::warn(
            "cores",
            found,
            "shards share cores: correct, but slower than one per core",
            format!("--shards {usable}"),
        );
    }
    Item::ok("cores", found)
}

fn huge_pages(facts: &Facts) -> Item {
    match facts.huge_pages.as_deref() {
        Some("never") => Item::warn(
            "huge_pages",
            "transparent huge pages are off",
            "the slab uses small pages: busy shards miss the TLB more often",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(mode) => Item::ok("huge_pages", format!("transparent huge pages: {mode}")),
        None => Item::ok("huge_pages", "unknown"),
    }
}

/// Bytes taken at start or with every connection, and bytes that peers can make us hold on top.
fn needed(config: &Config) -> (u64, u64) {
    let (slab, limits) = (&config.slab, &config.limits);
    let (shards, connections) = (config.shards as u64, limits.connections as u64);
    let entries = slab.entries as u64;
    let taken = slab.bytes as u64
        + entries * (64 + 8 * shards)
        + shards * SHARD_BYTES
        + connections * CONNECTION_BYTES
        + CONSUMER_BYTES;
    let bounds = limits.large_frame_bytes as u64
        + shards * (limits.partial_frame_bytes_per_shard + limits.client_bytes_per_shard) as u64
        + connections * (limits.control_output_bytes as u64 + KERNEL_BYTES_EACH);
    (taken, bounds)
}

fn memory(config: &Config, facts: &Facts) -> Item {
    let (taken, bounds) = needed(config);
    let asked = format!("{} allocated, up to {} more for slow clients", mib(taken), mib(bounds));
    let Some(available) = facts.memory else { return Item::ok("memory", asked) };
    let found = format!("{asked}; {} available", mib(available));
    if taken > available {
        return Item::stop(
            "memory",
            found,
            "the kernel kills this process, or another one",
            "a smaller --slab-size, --slab-entries or --max-connections, or more memory (MemoryMax of the unit or container)",
        );
    }
    if taken + bounds > available {
        return Item::warn(
            "memory",
            found,
            "many slow clients at once can exhaust the memory",
            "a smaller --limit-large-frames, --limit-partial-frames or --max-connections, or more memory",
        );
    }
    Item::ok("memory", found)
}

fn tcp_memory(config: &Config, facts: &Facts) -> Item {
    let needed = config.limits.connections as u64 * KERNEL_BYTES_EACH;
    let asked = format!("{} of socket buffers if no client reads", mib(needed));
    let Some([_, pressure, most]) = facts.tcp_mem else { return Item::ok("tcp_mem", asked) };
    let found = format!("{asked}; pressure from {}, limit at {}", mib(pressure), mib(most));
    if needed <= pressure {
        return Item::ok("tcp_mem", found);
    }
    let pages = needed.div_ceil(facts.page_bytes.max(1));
    Item::warn(
        "tcp_mem",
        found,
        "with many slow clients the kernel shrinks the windows of all connections of the host, then drops",
        format!("sysctl -w net.ipv4.tcp_mem=\"{} {} {}\"", pages, pages * 5 / 4, pages * 2),
    )
}

fn clock(facts: &Facts) -> Item {
    if facts.unix_ms < CLOCK_MIN_UNIX_MS {
        return Item::warn(
            "clock",
            format!("it is at {} s since 1970", facts.unix_ms / 1_000),
            "certificates and the age of data are judged wrongly",
            "timedatectl set-ntp true",
        );
    }
    Item::ok("clock", "it is after 2024")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn config() -> Config {
        Config {
            shards: 2,
            cores: vec![0, 1],
            ..Config::new(([0, 0, 0, 0], 8080).into(), kafka::Settings::new("kafka:9092"), Vec::new())
        }
    }

    fn good() -> Facts {
        Facts {
            kernel: "6.18.5".to_owned(),
            ring: RingFact::Works,
            descriptors: Some(65_536),
            somaxconn: Some(4_096),
            ports: vec![Port { flag: "--lb-addr", address: ([0, 0, 0, 0], 8080).into(), trouble: None }],
            cores: vec![0, 1, 2, 3],
            huge_pages: Some("madvise".to_owned()),
            memory: Some(16 << 30),
            tcp_mem: Some([1 << 30, 2 << 30, 3 << 30]),
            page_bytes: 4_096,
            unix_ms: 1_764_000_000_000,
        }
    }

    /// The one finding there must be.
    fn finding(config: &Config, facts: &Facts) -> (&'static str, Level, String) {
        let items = judge(config, facts);
        let mut findings = items.into_iter().filter_map(|item| {
            let finding = item.finding?;
            assert!(!item.found.is_empty() && !finding.means.is_empty(), "{}", item.area);
            Some((item.area, finding.level, finding.set))
        });
        let found = findings.next().expect("a finding");
        assert_eq!(findings.next(), None, "one cause, one finding");
        found
    }

    #[test]
    fn a_good_host_has_no_finding() {
        let items = judge(&config(), &good());
        assert!(items.iter().all(|item| item.finding.is_none()), "{items:?}");
        let unknown = Facts {
            descriptors: None,
            somaxconn: None,
            huge_pages: None,
            memory: None,
            tcp_mem: None,
            ..good()
        };
        assert!(judge(&config(), &unknown).iter().all(|item| item.finding.is_none()));
    }

    #[test]
    fn what_stops_it_is_named_with_the_line_that_sets_it() {
        let taken = |kind| {
            let address = ([0, 0, 0, 0], 80).into();
            let port = Port { flag: "--lb-addr", address, trouble: Some((kind, "no".to_owned())) };
            Facts { ports: vec![port], ..good() }
        };
        let cases = [
            (Facts { kernel: "6.6.9-generic".to_owned(), ..good() }, "kernel", "newer kernel"),
            (Facts { kernel: "5.15.0".to_owned(), ..good() }, "kernel", "newer kernel"),
            (
                Facts { ring: RingFact::Forbidden("by sysctl".to_owned()), ..good() },
                "io_uring",
                "kernel.io_uring_disabled=0",
            ),
            (Facts { ring: RingFact::Lacking("6.6".to_owned()), ..good() }, "io_uring", "6.7"),
            // 6,000 connections a shard; handshakes need fewer.
            (Facts { descriptors: Some(6_255), ..good() }, "descriptors", "LimitNOFILE=8192"),
            (Facts { memory: Some(200 << 20), ..good() }, "memory", "--slab-size"),
            (Facts { cores: vec![0, 2], ..good() }, "cores", "--cores"),
            (taken(ErrorKind::AddrInUse), "port", "ss -ltnp 'sport = :80'"),
            (taken(ErrorKind::AddrNotAvailable), "port", "ip addr"),
            (taken(ErrorKind::PermissionDenied), "port", "CAP_NET_BIND_SERVICE"),
            (taken(ErrorKind::Other), "port", "--lb-addr"),
        ];
        for (facts, area, set) in cases {
            let (found, level, line) = finding(&config(), &facts);
            assert_eq!((found, level), (area, Level::Stop));
            assert!(line.contains(set), "{area}: {line}");
        }
        let mut many = config();
        many.limits.connections = 3_000_000;
        let wide = Facts { descriptors: Some(u64::MAX), memory: Some(1 << 50), tcp_mem: None, ..good() };
        assert_eq!(finding(&many, &wide).0, "descriptors");
        assert!(finding(&many, &wide).2.contains("--shards"));
    }

    #[test]
    fn what_makes_it_worse_is_a_warning() {
        let cases = [
            (Facts { somaxconn: Some(128), ..good() }, "somaxconn", "net.core.somaxconn=4096"),
            (Facts { huge_pages: Some("never".to_owned()), ..good() }, "huge_pages", "madvise"),
            (Facts { memory: Some(1 << 30), ..good() }, "memory", "--limit-large-frames"),
            (
                // 12,000 x 67 KiB are 201,000 pages.
                Facts { tcp_mem: Some([100 << 20, 200 << 20, 300 << 20]), ..good() },
                "tcp_mem",
                "net.ipv4.tcp_mem=\"201000 251250 402000\"",
            ),
            (Facts { unix_ms: 1_000, ..good() }, "clock", "timedatectl"),
        ];
        for (facts, area, set) in cases {
            let (found, level, line) = finding(&config(), &facts);
            assert_eq!((found, level), (area, Level::Warn));
            assert!(line.contains(set), "{area}: {line}");
        }
        let shared = Config { cores: Vec::new(), shards: 8, ..config() };
        assert_eq!(finding(&shared, &good()), ("cores", Level::Warn, "--shards 4".to_owned()));
        let mut few = config();
        few.limits.connections = 100;
        let (area, level, line) = finding(&few, &Facts { descriptors: Some(1_024), ..good() });
        assert_eq!((area, level), ("handshakes", Level::Warn));
        assert!(line.contains("--limit-handshakes"), "{line}");
    }

    #[test]
    fn few_connections_need_a_short_queue() {
        let mut few = config();
        few.limits.connections = 100;
        let facts = Facts { somaxconn: Some(128), ..good() };
        assert!(judge(&few, &facts).iter().all(|item| item.finding.is_none()));
    }
}
