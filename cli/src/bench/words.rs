//! The command line of a report.

/// The command as a shell takes it, without the values of Kafka properties, which may be secret.
pub(super) fn command(argv: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in argv {
        let is_property = words.last().is_some_and(|last| last == "--kafka") || word.starts_with("--kafka=");
        let shown = match word.rsplit_once('=') {
            Some(_) if is_property => {
                let key = word.trim_start_matches("--kafka=").split('=').next().unwrap_or_default();
                if word.starts_with("--kafka=") { format!("--kafka={key}=...") } else { format!("{key}=...") }
            }
            Some(_) | None => word,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        words.push(if !shown.is_empty() && shown.chars().all(plain) {
            shown
        } else {
            format!("'{}'", shown.replace('\'', "'\\''"))
        });
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_command_keeps_no_secret() {
        let words = [
            "uringcast",
            "bench",
            "--kafka",
            "sasl.password=a=b",
            "--kafka=ssl.key=x",
            "--topic-channel",
            "{key}.t",
        ];
        assert_eq!(
            command(words.into_iter().map(str::to_owned)),
            "uringcast bench --kafka sasl.password=... --kafka=ssl.key=... --topic-channel '{key}.t'"
        );
    }
}
