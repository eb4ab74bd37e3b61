//! Which core each shard is pinned to.

use core_affinity::CoreId;

use crate::{config::Config, error::Error};

/// The cores this process may use, ascending.
#[must_use]
pub fn usable_cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect()
}

/// Refuses cores that this process may not use (taskset, cgroup, or simply not there).
pub(super) fn check(cores: &[usize]) -> Result<(), Error> {
    if cores.is_empty() {
        return Ok(());
    }
    let usable: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    match cores.iter().find(|core| !usable.contains(core)) {
        None => Ok(()),
        Some(core) => {
            let usable: Vec<String> = usable.iter().map(ToString::to_string).collect();
            Err(Error::Config(format!(
                "cores: {core} is not usable by this process, which has {}",
                usable.join(",")
            )))
        }
    }
}

/// The core of each shard, in turn; empty: no shard is pinned.
pub(super) fn plan(config: &Config) -> Vec<usize> {
    config
        .cores
        .iter()
        .copied()
        .cycle()
        .take(if config.cores.is_empty() { 0 } else { config.shards })
        .collect()
}

/// Pins the calling thread.
pub(super) fn pin(core: usize) {
    if !core_affinity::set_for_current(CoreId { id: core }) {
        tracing::warn!(core, "failed to pin shard to core");
    }
}

#[cfg(test)]
mod tests {
    use super::{check, usable_cores};

    #[test]
    fn a_core_that_is_not_there_is_named() {
        // A set of cores has 1,024 places, and core_affinity would end the process on a core beyond them.
        for core in [1_024, 100_000, usize::MAX] {
            let error = check(&[core]).unwrap_err().to_string();
            assert!(error.contains(&core.to_string()), "{error}");
        }
        assert!(check(&[]).is_ok());
        assert!(check(&usable_cores()).is_ok());
    }
}
