//! Lists of cores.

/// Which cores the shards are pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cores {
    /// A core each, where there are enough.
    Auto,
    /// These, in turn; empty: not pinned.
    List(Vec<usize>),
}

/// `auto`, `none`, or a list of cores and ranges.
pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    match text {
        "auto" => return Ok(Cores::Auto),
        "none" => return Ok(Cores::List(Vec::new())),
        _ => {}
    }
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|core| *core < 4_096);
        let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
        let (first, last) =
            range.ok_or_else(|| format!("\"{part}\" is neither a core nor a range of cores"))?;
        cores.extend(first..=last);
    }
    Ok(Cores::List(cores))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_lists() {
        assert_eq!(cores("auto").unwrap(), Cores::Auto);
        assert_eq!(cores("none").unwrap(), Cores::List(vec![]));
        assert_eq!(cores("0,2-4").unwrap(), Cores::List(vec![0, 2, 3, 4]));
        for wrong in ["", "a", "3-1", "1-", "0,,1", "0-99999999"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }
}
