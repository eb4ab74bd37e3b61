//! Errors, as small as the call that returns them.

use crate::Errno;

/// Why a ring cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A number of [`crate::Setup`] is out of range.
    #[error("ring setup: {0}")]
    Invalid(&'static str),
    /// io_uring is there but forbidden.
    #[error("io_uring is disabled: {0}")]
    Disabled(&'static str),
    /// The kernel is too old.
    #[error("this kernel lacks {feature}, which Linux {kernel} has")]
    Missing {
        /// What is missing.
        feature: &'static str,
        /// The first kernel that has it.
        kernel: &'static str,
    },
    /// The table of descriptors is larger than RLIMIT_NOFILE allows.
    #[error("a table of {wanted} descriptors exceeds RLIMIT_NOFILE ({limit}); raise it or use more shards")]
    Descriptors {
        /// Asked for.
        wanted: u32,
        /// The limit of the process.
        limit: u64,
    },
    /// The kernel refused a call for another reason.
    #[error("{call}: {errno}")]
    Kernel {
        /// Which call.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
}

/// Why a descriptor cannot be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Every slot is in use.
    #[error("the ring's table of {descriptors} descriptors is full")]
    TableFull {
        /// Its size.
        descriptors: u32,
    },
    /// The kernel refused it.
    #[error("registering a descriptor: {0}")]
    Kernel(Errno),
}

/// Why a ring is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// The kernel had no memory to keep completions: ops in flight can no longer be accounted for.
    #[error("the kernel lost completions for want of memory")]
    CompletionsLost,
    /// io_uring_enter failed for a reason that retrying does not cure.
    #[error("io_uring_enter: {0}")]
    Kernel(Errno),
}
