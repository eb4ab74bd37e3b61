//! What machine this is.

/// A name for folders: the processor's, in small letters, and the cores.
pub(crate) fn name(cpuinfo: &str, cores: usize) -> String {
    let model = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.starts_with("model name"))
        .map_or("", |(_, value)| value.trim_start());
    // What follows is its clock.
    let model = model.split('@').next().filter(|model| !model.is_empty()).unwrap_or("unknown");
    let mut name = String::new();
    // The blank makes the dash in front of the cores.
    for c in model.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    format!("{name}{cores}cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_the_name_that_its_runs_have() {
        let name = |model: &str| {
            name(&format!("processor\t: 0\nmodel\t\t: 1\nmodel name\t: {model}\nflags\t\t: a\n"), 2)
        };
        assert_eq!(name("AMD EPYC"), "amd-epyc-2cores");
        assert_eq!(name("Intel(R) Xeon(R) CPU @ 2.20GHz"), "intel-r-xeon-r-cpu-2cores");
        assert_eq!(name(""), "unknown-2cores");
    }

    #[test]
    fn a_machine_that_does_not_tell_has_a_name_too() {
        assert_eq!(name("Hardware : board\n", 8), "unknown-8cores");
    }
}
