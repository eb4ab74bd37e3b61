//! What is to be known of the host, read from /proc and /sys and by trying. What cannot be read is none and is not judged.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
};

use engine::config::Config;

/// Whether a ring can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RingFact {
    Works,
    /// There, but forbidden; the text says by what.
    Forbidden(String),
    /// The kernel lacks something; the text names it.
    Lacking(String),
}

/// What came of trying to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    /// The flag that sets it.
    pub(super) flag: &'static str,
    pub(super) address: SocketAddr,
    pub(super) trouble: Option<(io::ErrorKind, String)>,
}

/// The host as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Release of the kernel, such as `6.18.5`.
    pub(super) kernel: String,
    pub(super) ring: RingFact,
    /// Hard RLIMIT_NOFILE; the server raises the soft one to it.
    pub(super) descriptors: Option<u64>,
    /// net.core.somaxconn.
    pub(super) somaxconn: Option<u64>,
    pub(super) ports: Vec<Port>,
    /// Cores that this process may use.
    pub(super) cores: Vec<usize>,
    /// The mode in brackets of /sys/kernel/mm/transparent_hugepage/enabled.
    pub(super) huge_pages: Option<String>,
    /// Bytes that can still be taken, of the host and of the cgroup.
    pub(super) memory: Option<u64>,
    /// net.ipv4.tcp_mem, bytes: below the first no pressure, above the second pressure, above the third nothing more.
    pub(super) tcp_mem: Option<[u64; 3]>,
    pub(super) page_bytes: u64,
    pub(super) unix_ms: u64,
}

impl Facts {
    pub(super) fn read(config: &Config) -> Self {
        let page_bytes = page_bytes(&read("/proc/self/smaps"));
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            ring: ring_fact(),
            descriptors: hard_limit(&read("/proc/self/limits")),
            somaxconn: number(&read("/proc/sys/net/core/somaxconn")),
            ports: ports(config),
            cores: engine::server::usable_cores(),
            huge_pages: bracketed(&read("/sys/kernel/mm/transparent_hugepage/enabled")),
            memory: memory(),
            tcp_mem: tcp_mem(&read("/proc/sys/net/ipv4/tcp_mem"), page_bytes),
            page_bytes,
            unix_ms: engine::clock::Now::read().unix_ms,
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn ring_fact() -> RingFact {
    match ring::probe() {
        Ok(()) => RingFact::Works,
        Err(error @ ring::SetupError::Disabled(_)) => RingFact::Forbidden(error.to_string()),
        Err(error) => RingFact::Lacking(error.to_string()),
    }
}

/// `Max open files  1024  1048576  files`; `unlimited` is more than any number here.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        hard => hard.parse().ok(),
    }
}

/// Binds each listener for a moment, the second while the first is held.
fn ports(config: &Config) -> Vec<Port> {
    let mut held = Vec::new();
    let wanted = [("--lb-addr", Some(config.listen)), ("--admin-addr", config.admin)];
    let present = wanted.into_iter().filter_map(|(flag, address)| Some((flag, address?)));
    let tried = present.map(|(flag, address)| {
        let trouble = match TcpListener::bind(address) {
            Ok(listener) => {
                held.push(listener);
                None
            }
            Err(error) => Some((error.kind(), error.to_string())),
        };
        Port { flag, address, trouble }
    });
    tried.collect()
}

/// `always [madvise] never` -> `madvise`.
fn bracketed(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn memory() -> Option<u64> {
    let host = named_kib(&read("/proc/meminfo"), "MemAvailable:")?;
    // Version 2: one line, `0::/path`. In a container the path is that of its root.
    let path = read("/proc/self/cgroup");
    let path = path
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or("/")
        .trim_end_matches('/')
        .to_owned();
    let of_group = |file: &str| number(&read(&format!("/sys/fs/cgroup{path}/{file}")));
    // `max`, no number, is no limit.
    let group = of_group("memory.max").map(|max| max.saturating_sub(of_group("memory.current").unwrap_or(0)));
    Some(group.map_or(host, |group| group.min(host)))
}

fn named_kib(text: &str, name: &str) -> Option<u64> {
    number(text.lines().find_map(|line| line.strip_prefix(name))?).map(|kib| kib * 1_024)
}

fn tcp_mem(text: &str, page_bytes: u64) -> Option<[u64; 3]> {
    let pages: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    Some(<[u64; 3]>::try_from(pages).ok()?.map(|pages: u64| pages.saturating_mul(page_bytes)))
}

fn page_bytes(smaps: &str) -> u64 {
    named_kib(smaps, "KernelPageSize:").unwrap_or(4_096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_understood() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(hard_limit(limits), Some(524_288));
        assert_eq!(hard_limit("Max open files 1024 unlimited files"), Some(u64::MAX));
        assert_eq!(hard_limit("Max cpu time 1 2"), None);
        assert_eq!(bracketed("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(bracketed(""), None);
        assert_eq!(tcp_mem("10\t20\t30\n", 4_096), Some([40_960, 81_920, 122_880]));
        assert_eq!(tcp_mem("10 20", 4_096), None);
        assert_eq!(named_kib("MemTotal: 5 kB\nMemAvailable:    7 kB\n", "MemAvailable:"), Some(7_168));
        assert_eq!(number("max\n"), None);
    }
}
