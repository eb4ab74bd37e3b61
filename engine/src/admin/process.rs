//! What /proc tells about this process and this kernel (proc(5)). Nothing here costs the threads it is about anything.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    sync::OnceLock,
};

/// CPU time by thread name, ns. Threads of one name (librdkafka has several) are summed.
pub(super) fn cpu_ns_by_thread() -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return sums };
    for task in tasks.flatten() {
        // A thread may end between the listing and these reads.
        let Ok(name) = fs::read_to_string(task.path().join("comm")) else { continue };
        let Some(ns) = first_number(&task.path().join("schedstat")) else { continue };
        *sums.entry(name.trim_end().to_owned()).or_default() += ns;
    }
    sums
}

fn first_number(path: &std::path::Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Resident memory, bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: u64 = named(&status, "VmRSS:")?.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1_024)
}

/// Descriptors of the process; those in the rings' own tables are not among them.
pub(super) fn descriptors() -> Option<u64> {
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// TCP of this network namespace, as far as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tcp {
    /// Sockets in use.
    pub(super) sockets: u64,
    /// Sockets that no process holds any more.
    pub(super) orphans: u64,
    /// Memory of all socket buffers, of the whole host, bytes.
    pub(super) memory_bytes: u64,
}

pub(super) fn tcp() -> Option<Tcp> {
    parse_sockstat(&fs::read_to_string("/proc/net/sockstat").ok()?, page_bytes())
}

/// `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 0`, memory in pages.
fn parse_sockstat(text: &str, page_bytes: u64) -> Option<Tcp> {
    let words: Vec<&str> = named(text, "TCP:")?.split_whitespace().collect();
    let value = |name: &str| -> Option<u64> {
        let pair = words.chunks_exact(2).find(|pair| pair[0] == name)?;
        pair[1].parse().ok()
    };
    Some(Tcp {
        sockets: value("inuse")?,
        orphans: value("orphan")?,
        memory_bytes: value("mem")?.checked_mul(page_bytes)?,
    })
}

/// Bytes of a page: 4 KiB on x86, up to 64 KiB elsewhere. Read once.
fn page_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    let read = || {
        let lines = BufReader::new(fs::File::open("/proc/self/smaps").ok()?).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("KernelPageSize:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1_024)
    };
    *BYTES.get_or_init(|| read().unwrap_or(4_096))
}

fn named<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockstat_is_read_by_name() {
        let text = "sockets: used 17\nTCP: inuse 5 orphan 2 tw 9 alloc 6 mem 3\nUDP: inuse 1 mem 7\n";
        assert_eq!(parse_sockstat(text, 4_096), Some(Tcp { sockets: 5, orphans: 2, memory_bytes: 12_288 }));
        assert_eq!(parse_sockstat("TCP: inuse", 4_096), None);
        assert_eq!(parse_sockstat("", 4_096), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let worker = std::thread::Builder::new().name("busy-thread".to_owned());
        let (done, wait) = flume::bounded::<()>(0);
        let thread = worker.spawn(move || {
            let sum = (0..3_000_000_u64).fold(0, |sum: u64, n| sum.wrapping_mul(31) ^ n);
            assert_ne!(sum, 1);
            let _ = wait.recv();
        });
        // The thread answers no earlier than its work is done.
        let _ = done.send(());
        drop(done);
        thread.unwrap().join().unwrap();
        assert!(cpu_ns_by_thread().values().sum::<u64>() > 0);
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(descriptors().unwrap() >= 3);
        assert!(tcp().is_some());
        assert!(page_bytes().is_power_of_two() && page_bytes() >= 4_096);
    }
}
