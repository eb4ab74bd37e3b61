//! The binary as a process, one command each: what it says, writes and exits with. Each test starts processes of its own, on
//! ports that the kernel chooses, with an environment of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod check;
mod echo;
mod explain;
#[path = "../process/mod.rs"]
mod process;
mod report;
mod serve;
#[path = "../../../perf/tests/load/support/mod.rs"]
mod support;
