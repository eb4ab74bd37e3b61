//! The server's exposition, as /metrics gives it.

/// The sum of a metric over its labels, of those alone that have this one where it is named. None where there is none.
pub(crate) fn sum(exposition: &str, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let wanted = label.map(|(key, value)| format!("{key}=\"{value}\""));
    let mut sum = None;
    for line in exposition.lines() {
        let Some(rest) = line.strip_prefix("uringcast_").and_then(|rest| rest.strip_prefix(name)) else {
            continue;
        };
        // Labels end at the last brace: a label's text may hold others.
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}').unwrap_or_default(),
            None if rest.starts_with(' ') => ("", rest),
            None => continue,
        };
        let is_wanted = wanted.as_ref().is_none_or(|wanted| {
            let mut before = labels.match_indices(wanted.as_str()).filter_map(|(at, _)| labels.get(..at));
            before.any(|before| before.is_empty() || before.ends_with(','))
        });
        if let (true, Ok(value)) = (is_wanted, value.trim().parse::<f64>()) {
            sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP uringcast_shard_load Places taken.
# TYPE uringcast_shard_load gauge
uringcast_shard_load{shard="0"} 7
uringcast_shard_load{shard="1"} 5
uringcast_shard_load_max{shard="0"} 100
uringcast_topic_records_total{topic="a} 9",route="b"} 2
uringcast_thread_cpu_seconds_total{thread="shard-0"} 1.25
uringcast_thread_cpu_seconds_total{thread="accept"} 0.5
uringcast_ingest_stalled 0
# EOF
"#;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        assert_eq!(sum(TEXT, "shard_load", None), Some(12.0));
        assert_eq!(sum(TEXT, "ingest_stalled", None), Some(0.0));
        assert_eq!(sum(TEXT, "topic_records_total", None), Some(2.0));
    }

    #[test]
    fn a_metric_that_is_not_told_is_none_and_not_zero() {
        assert_eq!(sum(TEXT, "shard", None), None);
        assert_eq!(sum(TEXT, "shard_descriptors", None), None);
        assert_eq!(sum("", "shard_load", None), None);
    }

    #[test]
    fn a_label_chooses() {
        let cpu = |thread| sum(TEXT, "thread_cpu_seconds_total", Some(("thread", thread)));
        assert_eq!((cpu("shard-0"), cpu("accept"), cpu("shard")), (Some(1.25), Some(0.5), None));
        // The end of another label's name is not that label.
        assert_eq!(sum(TEXT, "thread_cpu_seconds_total", Some(("read", "accept"))), None);
    }
}
