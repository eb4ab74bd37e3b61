//! This machine and the processes on it, by /proc. What cannot be read is 0 or empty: a report is still a
//! report.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a figure was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the CPU.
    pub cpu: String,
    /// Logical CPUs.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// Looks.
    #[must_use]
    pub fn describe() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let cpu =
            after(&cpuinfo, "model name").map_or("unknown", |text| text.trim_start_matches([':', ' ', '\t']));
        let memory_kb = after(&read("/proc/meminfo"), "MemTotal:").map_or(0, first_number);
        Self {
            cpu: cpu.to_owned(),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: memory_kb * 1_024,
        }
    }
}

impl Machine {
    /// In one line, with how busy it was and what the hypervisor took.
    pub(crate) fn line(&self, busy_percent: f64, steal_percent: f64) -> String {
        format!(
            "{}, {} cores, Linux {}, {} GiB; {busy_percent:.1} % busy, {steal_percent:.1} % stolen",
            self.cpu,
            self.cores,
            self.kernel,
            self.memory_bytes >> 30
        )
    }
}

/// Time of all CPUs since boot, in ticks of the kernel (their length drops out of every ratio).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// All kinds of time together.
    pub total: u64,
    /// Time that a CPU had work but the hypervisor ran somebody else.
    pub steal: u64,
    /// Time without work.
    pub idle: u64,
}

impl CpuTicks {
    /// Looks.
    #[must_use]
    pub fn now() -> Self {
        Self::read(&read("/proc/stat"))
    }

    fn read(stat: &str) -> Self {
        let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        // user nice system idle iowait irq softirq steal (guest times are part of user and nice already)
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        Self { total: ticks.iter().sum(), steal: at(7), idle: at(3) + at(4) }
    }

    /// Percent of the time since `earlier` that was stolen.
    #[must_use]
    pub fn steal_percent_since(&self, earlier: &Self) -> f64 {
        percent(self.steal.saturating_sub(earlier.steal), self.total.saturating_sub(earlier.total))
    }

    /// Percent of the time since `earlier` in which CPUs were not idle, stolen time included.
    #[must_use]
    pub fn busy_percent_since(&self, earlier: &Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        percent(total.saturating_sub(self.idle.saturating_sub(earlier.idle)), total)
    }
}

/// A set of cores has no more places, and core_affinity ends the process on a core beyond them.
const CORES_MAX: usize = 1_024;

/// Pins the calling thread to a core.
pub(crate) fn pin(core: usize) -> Result<(), Error> {
    if core < CORES_MAX && core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(Error::Kernel(format!("core {core} is not there to be pinned to")))
    }
}

/// CPU time of the threads of a process: name and number of each thread, and ns.
pub type ThreadTimes = BTreeMap<String, u64>;

/// Reads the CPU time of every thread of a process.
#[must_use]
pub fn thread_times(pid: u32) -> ThreadTimes {
    let mut times = ThreadTimes::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return times };
    for task in tasks.flatten() {
        let path = task.path();
        let name = read(path.join("comm"));
        let tid = task.file_name();
        // The first number of schedstat is the time on a CPU in ns; /proc/PID/stat has only ticks of 10 ms.
        let ns = first_number(&read(path.join("schedstat")));
        times.insert(format!("{} {}", name.trim(), tid.to_string_lossy()), ns);
    }
    times
}

/// What each thread of `later` has used since `earlier`; threads that ended in between are missing.
#[must_use]
pub fn used(earlier: &ThreadTimes, later: &ThreadTimes) -> ThreadTimes {
    let before = |thread: &String| earlier.get(thread).copied().unwrap_or(0);
    later.iter().map(|(thread, ns)| (thread.clone(), ns.saturating_sub(before(thread)))).collect()
}

/// Those of one name together: the name alone, without the thread's number.
#[must_use]
pub fn by_name(times: &ThreadTimes) -> ThreadTimes {
    let mut sums = ThreadTimes::new();
    for (thread, ns) in times {
        *sums.entry(name_of(thread).to_owned()).or_default() += ns;
    }
    sums
}

/// The name of a thread without its number.
pub(crate) fn name_of(thread: &str) -> &str {
    let numbered = thread.rsplit_once(' ').filter(|(_, tid)| tid.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.map_or(thread, |(name, _)| name)
}

/// Resident memory of a process, bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    after(&read(format!("/proc/{pid}/status")), "VmRSS:").map_or(0, first_number) * 1_024
}

/// Memory of all TCP sockets of this machine, bytes.
#[must_use]
pub fn tcp_memory_bytes() -> u64 {
    let sockstat = read("/proc/net/sockstat");
    let pages =
        after(&sockstat, "TCP:").and_then(|line| line.split_once("mem ")).map_or(0, |(_, n)| first_number(n));
    pages * 4_096
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The rest of the first line that begins with `key`.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key))
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::describe();
        assert!(machine.cores >= 1 && machine.memory_bytes > 1 << 28 && machine.kernel.contains('.'));
        assert!(!machine.cpu.is_empty() && !machine.cpu.contains(':'), "{}", machine.cpu);
    }

    #[test]
    fn cpu_line_is_read_by_its_columns() {
        let earlier = CpuTicks::read("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2 3\n");
        let later = CpuTicks::read("cpu  20 0 20 130 10 0 0 20 0 0\n");
        assert_eq!(later, CpuTicks { total: 200, steal: 20, idle: 140 });
        assert!((later.steal_percent_since(&earlier) - 20.0).abs() < 1e-9);
        assert!((later.busy_percent_since(&earlier) - 40.0).abs() < 1e-9);
        assert_eq!(CpuTicks::read(""), CpuTicks::default());
        assert!((later.steal_percent_since(&later)).abs() < 1e-9);
    }

    #[test]
    fn own_threads_use_time_that_is_seen() {
        let pid = std::process::id();
        let name = "burner";
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut sum = 0_u64;
            for n in 0..20_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(n));
            }
            // Stays until its time has been read.
            let _ = gone.recv();
            sum
        });
        let mut busiest = 0;
        for _ in 0..1_000 {
            let times = thread_times(pid);
            busiest = times
                .iter()
                .filter(|(thread, _)| thread.starts_with(name))
                .map(|(_, ns)| *ns)
                .max()
                .unwrap_or(0);
            if busiest > 10_000_000 {
                break;
            }
            crate::Clock::start().sleep_until(crate::Clock::start().now_ns() + 5_000_000);
        }
        drop(go);
        thread.unwrap().join().unwrap();
        assert!(busiest > 10_000_000, "the thread used {busiest} ns");
        assert!(resident_bytes(pid) > 1 << 20);
    }

    #[test]
    fn a_core_that_is_not_there_is_refused() {
        let thread = std::thread::spawn(|| [0, 1_023, 1_024, usize::MAX].map(|core| pin(core).is_ok()));
        assert_eq!(thread.join().unwrap(), [true, false, false, false]);
    }

    #[test]
    fn threads_of_one_name_add_up() {
        let times =
            [("rdk:broker1 7", 1), ("rdk:broker1 8", 2), ("tokio worker 9", 4), ("shard-0", 8), ("a b", 16)];
        let times = times.map(|(thread, ns)| (thread.to_owned(), ns)).into();
        let sums = [("rdk:broker1", 3), ("tokio worker", 4), ("shard-0", 8), ("a b", 16)];
        assert_eq!(by_name(&times), sums.map(|(name, ns)| (name.to_owned(), ns)).into());
    }

    #[test]
    fn only_what_was_used_in_between_counts() {
        let earlier = ThreadTimes::from([("a 1".to_owned(), 5), ("gone 2".to_owned(), 7)]);
        let later = ThreadTimes::from([("a 1".to_owned(), 9), ("new 3".to_owned(), 2)]);
        let expected = ThreadTimes::from([("a 1".to_owned(), 4), ("new 3".to_owned(), 2)]);
        assert_eq!(used(&earlier, &later), expected);
    }
}
