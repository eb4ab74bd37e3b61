//! Making a ring, and naming what is missing when it cannot be made.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::errno_of;
use crate::{Errno, SetupError};

/// Sizes of a ring. The memory is `buffers * buffer_bytes` plus about 80 bytes an entry, 16 a completion, 12 a slot and 40 an op in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Submission queue entries, a power of two up to 32,768. Larger batches are split, so this is the size of the
    /// largest batch that costs one system call.
    pub entries: u32,
    /// Completion queue entries, a power of two up to 65,536, at least `entries`. Completions beyond it are kept by the
    /// kernel, at the cost of an allocation each.
    pub completions: u32,
    /// Receive buffers, a power of two up to 32,768. When the caller has all of them, receives end with
    /// [`crate::ReceiveEnd::NoBuffers`].
    pub buffers: u16,
    /// Size of each in bytes, up to 1 MiB.
    pub buffer_bytes: u32,
    /// Slots for direct descriptors, at most RLIMIT_NOFILE and 2^20.
    pub descriptors: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { entries: 256, completions: 4096, buffers: 1024, buffer_bytes: 4096, descriptors: 16_384 }
    }
}

impl Setup {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let power_up_to = |number: u32, max: u32| number.is_power_of_two() && number <= max;
        let complaint = if !power_up_to(self.entries, 32_768) {
            "entries must be a power of two up to 32768"
        } else if !power_up_to(self.completions, 65_536) {
            "completions must be a power of two up to 65536"
        } else if self.completions < self.entries {
            "completions must not be fewer than entries"
        } else if !power_up_to(u32::from(self.buffers), 32_768) {
            "buffers must be a power of two up to 32768"
        } else if self.buffer_bytes == 0 || self.buffer_bytes > 1 << 20 {
            "buffer_bytes must be 1 to 1048576"
        } else if self.descriptors == 0 || self.descriptors > 1 << 20 {
            "descriptors must be 1 to 1048576"
        } else {
            return Ok(());
        };
        Err(SetupError::Invalid(complaint))
    }
}

/// What a ring is set up with, in the order the kernel learned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Plain,
    SubmitAll,
    TaskrunFlag,
    SingleIssuer,
    DeferTaskrun,
    NoSqarray,
}

/// Each level with the name of what it adds and the first Linux that has it (io_uring_setup(2)).
const LEVELS: [(Level, &str, &str); 6] = [
    (Level::Plain, "io_uring with a sized completion queue", "5.5"),
    (Level::SubmitAll, "IORING_SETUP_SUBMIT_ALL", "5.18"),
    (Level::TaskrunFlag, "IORING_SETUP_TASKRUN_FLAG", "5.19"),
    (Level::SingleIssuer, "IORING_SETUP_SINGLE_ISSUER", "6.0"),
    (Level::DeferTaskrun, "IORING_SETUP_DEFER_TASKRUN", "6.1"),
    (Level::NoSqarray, "IORING_SETUP_NO_SQARRAY", "6.6"),
];

/// Opcodes in use, with the first Linux that has each (io_uring_enter(2)). That receives are multishot (6.0), cancels
/// by descriptor (5.19) and the buffer ring (5.19) need no look: NO_SQARRAY is younger.
const OPCODES: [(u8, &str, &str); 9] = [
    (opcode::Nop::CODE, "IORING_OP_NOP", "5.1"),
    (opcode::PollAdd::CODE, "IORING_OP_POLL_ADD", "5.1"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL", "5.5"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT", "5.5"),
    (opcode::Read::CODE, "IORING_OP_READ", "5.6"),
    (opcode::Send::CODE, "IORING_OP_SEND", "5.6"),
    (opcode::Close::CODE, "IORING_OP_CLOSE", "5.6"),
    (opcode::Shutdown::CODE, "IORING_OP_SHUTDOWN", "5.11"),
    (opcode::UringCmd16::CODE, "IORING_OP_URING_CMD", "5.19"),
];

/// SIOCOUTQ on a direct descriptor (io_uring_prep_cmd_sock(3)); found out by trying, no flag tells it.
pub(super) const OUT_QUEUE_MISSING: SetupError =
    SetupError::Missing { feature: "SOCKET_URING_OP_SIOCOUTQ", kernel: "6.7" };
/// SO_LINGER on a direct descriptor, found out in the same way.
pub(super) const SET_OPTION_MISSING: SetupError =
    SetupError::Missing { feature: "SOCKET_URING_OP_SETSOCKOPT", kernel: "6.7" };

pub(super) fn build(setup: &Setup) -> Result<IoUring, SetupError> {
    let failed = match try_build(Level::NoSqarray, setup.entries, setup.completions) {
        Ok(ring) => {
            check_opcodes(&ring)?;
            return Ok(ring);
        }
        Err(error) => errno_of(&error),
    };
    Err(match failed.0 {
        libc::EINVAL => missing_level(|level| try_build(level, 2, 4).is_ok()),
        libc::ENOSYS => SetupError::Disabled(
            "the kernel has none, or a seccomp filter hides it (in a container, allow io_uring_setup, \
             io_uring_enter and io_uring_register)",
        ),
        libc::EPERM | libc::EACCES => SetupError::Disabled(why_forbidden()),
        _ => SetupError::Kernel { call: "io_uring_setup", errno: failed },
    })
}

fn try_build(level: Level, entries: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(completions).dontfork();
    if level >= Level::SubmitAll {
        builder.setup_submit_all();
    }
    if level >= Level::TaskrunFlag {
        // Below DEFER_TASKRUN the flag wants cooperative task running, which came with it.
        if level < Level::DeferTaskrun {
            builder.setup_coop_taskrun();
        }
        builder.setup_taskrun_flag();
    }
    if level >= Level::SingleIssuer {
        builder.setup_single_issuer();
    }
    if level >= Level::DeferTaskrun {
        builder.setup_defer_taskrun();
    }
    if level >= Level::NoSqarray {
        builder.setup_no_sqarray();
    }
    builder.build(entries)
}

/// Names the first level that does not work.
fn missing_level(works: impl Fn(Level) -> bool) -> SetupError {
    LEVELS.iter().find(|(level, ..)| !works(*level)).map_or(
        // All of them work in small, so it was the sizes.
        SetupError::Kernel { call: "io_uring_setup", errno: Errno(libc::EINVAL) },
        |(_, feature, kernel)| SetupError::Missing { feature, kernel },
    )
}

fn why_forbidden() -> &'static str {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match disabled.trim() {
        "2" => "sysctl kernel.io_uring_disabled is 2; set it to 0",
        "1" => {
            "sysctl kernel.io_uring_disabled is 1 and this process is not in kernel.io_uring_group; set it to 0"
        }
        _ => {
            "a security policy forbids io_uring_setup (in a container, allow io_uring_setup, io_uring_enter and \
             io_uring_register in the seccomp profile)"
        }
    }
}

fn check_opcodes(ring: &IoUring) -> Result<(), SetupError> {
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| SetupError::Kernel { call: "IORING_REGISTER_PROBE", errno: errno_of(&error) })?;
    OPCODES
        .iter()
        .find(|(code, ..)| !probe.is_supported(*code))
        .map_or(Ok(()), |(_, feature, kernel)| Err(SetupError::Missing { feature, kernel }))
}

pub(super) fn register_descriptors(ring: &IoUring, wanted: u32) -> Result<(), SetupError> {
    let Err(error) = ring.submitter().register_files_sparse(wanted) else {
        return Ok(());
    };
    Err(match errno_of(&error) {
        Errno(libc::EMFILE) => SetupError::Descriptors { wanted, limit: descriptor_limit() },
        errno => SetupError::Kernel { call: "IORING_REGISTER_FILES2", errno },
    })
}

fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place to write to.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    debug_assert_eq!(result, 0, "getrlimit fails only for a wrong resource or pointer");
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_missing_level_is_named() {
        let at = |has: Option<Level>| missing_level(|level| has.is_some_and(|has| level <= has));
        assert_eq!(
            at(Some(Level::TaskrunFlag)),
            SetupError::Missing { feature: "IORING_SETUP_SINGLE_ISSUER", kernel: "6.0" }
        );
        assert_eq!(
            at(Some(Level::DeferTaskrun)).to_string(),
            "this kernel lacks IORING_SETUP_NO_SQARRAY, which Linux 6.6 has"
        );
        assert!(matches!(at(None), SetupError::Missing { kernel: "5.5", .. }));
        assert!(matches!(at(Some(Level::NoSqarray)), SetupError::Kernel { .. }));
    }

    #[test]
    fn every_level_works_here() {
        for (level, feature, _) in LEVELS {
            assert!(try_build(level, 2, 4).is_ok(), "{feature}");
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let good = Setup::default();
        assert_eq!(good.check(), Ok(()));
        for bad in [
            Setup { entries: 0, ..good },
            Setup { entries: 3, ..good },
            Setup { entries: 65_536, completions: 65_536, ..good },
            Setup { completions: 131_072, ..good },
            Setup { completions: good.entries / 2, ..good },
            Setup { buffers: 0, ..good },
            Setup { buffers: 1000, ..good },
            Setup { buffer_bytes: 0, ..good },
            Setup { buffer_bytes: (1 << 20) + 1, ..good },
            Setup { descriptors: 0, ..good },
            Setup { descriptors: (1 << 20) + 1, ..good },
        ] {
            assert!(matches!(bad.check(), Err(SetupError::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_table_beyond_the_limit_of_descriptors_is_named() {
        let limit = crate::raise_descriptor_limit().unwrap();
        let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        if wanted > 1 << 20 {
            // More than any table may have.
            return;
        }
        let setup = Setup { descriptors: wanted, ..Setup::default() };
        let error = super::super::KernelRing::new(&setup).unwrap_err();
        assert_eq!(error, SetupError::Descriptors { wanted, limit });
    }
}
