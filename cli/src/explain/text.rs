//! An explanation for people. What comes from records is escaped: a terminal must not obey a key.

use std::fmt::{self, Write as _};

use engine::{
    admin::explain::{ChannelBody, ExpectedBody, Explanation, KeyBody, PartitionBody, RouteBody},
    inbox::PartitionState,
};

/// The whole.
pub(super) fn text(found: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, found);
    out
}

fn write(out: &mut String, found: &Explanation) -> fmt::Result {
    let key = found.key.as_deref().map_or_else(|| "no key".to_owned(), |key| format!("key {}", shown(key)));
    writeln!(out, "record     topic {}, {key}{}", shown(&found.topic), expected(&found.expected))?;
    for RouteBody { template, channels, miss } in &found.routes {
        let why = miss.as_ref().map_or("", |miss| &miss.text);
        let made = if channels.is_empty() { format!("no channel: {why}") } else { names(channels) };
        writeln!(out, "route      {} -> {made}", shown(template))?;
    }
    partitions(out, found)?;
    for channel in &found.channels {
        write_channel(out, channel)?;
    }
    for key in &found.keys {
        write_key(out, key)?;
    }
    for (counts, of) in [(&found.counted, "this topic"), (&found.counts, "all topics")] {
        if !counts.is_empty() {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(out, "counted    {} ({of}, since startup)", counts.join(", "))?;
        }
    }
    for reason in &found.reasons {
        writeln!(out, "REASON     {}: {}", reason.reason, shown(&reason.text))?;
    }
    match found.reasons.len() {
        0 => writeln!(out, "No reason found why a record would not be delivered."),
        1 => writeln!(out, "1 reason why a record is not delivered."),
        count => writeln!(out, "{count} reasons why a record is not delivered."),
    }
}

/// One of the keys that are there, where the asked one is not.
fn write_key(out: &mut String, key: &KeyBody) -> fmt::Result {
    let KeyBody { bytes, partition, offset, text, .. } = key;
    let Some(front) = &key.key else {
        return writeln!(out, "key read   none, partition {partition} offset {offset}");
    };
    let cut = if key.cut { format!("... ({bytes} bytes)") } else { String::new() };
    writeln!(out, "key read   {}{cut}, partition {partition} offset {offset}: {}", shown(front), shown(text))
}

fn names(channels: &[String]) -> String {
    let names: Vec<String> = channels.iter().map(|name| shown(name)).collect();
    names.join(" or ")
}

fn expected(expected: &ExpectedBody) -> String {
    match *expected {
        ExpectedBody { asked: Some(asked), .. } => format!(", partition {asked}"),
        ExpectedBody { murmur2: Some(one), consistent: Some(other), .. } if one == other => {
            format!(", expected in partition {one}")
        }
        ExpectedBody { murmur2: Some(murmur2), consistent: Some(consistent), .. } => format!(
            ", expected in partition {murmur2} (murmur2: Java and most others) or {consistent} (CRC-32: librdkafka)"
        ),
        ExpectedBody { .. } => String::new(),
    }
}

/// Those that the record may be in; all of them where that is not known. Others that are not read are among the reasons.
fn partitions(out: &mut String, found: &Explanation) -> fmt::Result {
    let candidates = found.expected.partitions();
    let count = found.partitions.len();
    let few: Vec<&PartitionBody> = found
        .partitions
        .iter()
        .filter(|known| candidates.is_empty() || candidates.contains(&known.partition))
        .collect();
    for PartitionBody { partition, state, first, next, end } in &few {
        let state = match state {
            PartitionState::Waiting => "is waiting",
            PartitionState::Reading => "is read",
            PartitionState::Held => "is paused",
            PartitionState::OutOfRange => "is out of range",
            PartitionState::Ended => "is no longer read",
        };
        let offset =
            |offset: &Option<i64>| offset.map_or_else(|| "unknown".to_owned(), |offset| offset.to_string());
        let (first, next, end) = (offset(first), offset(next), offset(end));
        writeln!(
            out,
            "partition  {partition} of {count} {state}: from offset {first}, next {next}, end {end}"
        )?;
    }
    Ok(())
}

fn write_channel(out: &mut String, channel: &ChannelBody) -> fmt::Result {
    let ChannelBody { channel, subscribers, shards, newest } = channel;
    let channel = shown(channel);
    let parts: Vec<String> = shards
        .iter()
        .map(|part| match part.behind {
            0 => format!("shard {}: {}", part.shard, part.subscribers),
            behind => format!("shard {}: {}, {behind} behind", part.shard, part.subscribers),
        })
        .collect();
    let by_shard = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) };
    writeln!(out, "channel    {channel}: {subscribers} {}{by_shard}", plural(*subscribers, "subscriber"))?;
    match newest {
        None => writeln!(out, "newest     {channel}: nothing in memory"),
        Some(newest) => {
            let ts = newest.ts.map_or_else(String::new, |ts| format!(", Kafka time {ts} ms"));
            let (topic, pos, age_ms) = (&newest.topic, &newest.pos, newest.age_ms);
            writeln!(out, "newest     {channel}: {pos} of {topic}, read {age_ms} ms ago{ts}")
        }
    }
}

fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns_the_line(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Explicit directions of text, which would show the rest of a line in another order (UAX #9, 2.).
const fn turns_the_line(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(json: &str) -> Explanation {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_record_that_arrives_reads_well() {
        let found = explanation(
            r#"{"ok":true,"topic":"trades","key":"BTC",
            "routes":[{"template":"{key}.trade","channels":["BTC.trade"],"miss":null},
                      {"template":"{header:r}","channels":[],"miss":{"reason":"no_header","text":"it lacks a header"}}],
            "expected":{"asked":null,"murmur2":2,"consistent":0},
            "partitions":[{"partition":0,"state":"reading","first":0,"next":7,"end":null},
                          {"partition":1,"state":"reading","first":0,"next":9,"end":9},
                          {"partition":2,"state":"out_of_range","first":3,"next":8,"end":8}],
            "channels":[{"channel":"BTC.trade","subscribers":3,
                "shards":[{"shard":0,"subscribers":1,"behind":0},{"shard":2,"subscribers":2,"behind":1}],
                "newest":{"topic":"trades","pos":"E.2.7","ts":5,"age_ms":12}}],
            "silent_shards":[],"ingest_answers":true,"counts":{"lagged":4,"no_key":3},"reasons":[]}"#,
        );
        let expected = "\
record     topic trades, key BTC, expected in partition 2 (murmur2: Java and most others) or 0 (CRC-32: librdkafka)
route      {key}.trade -> BTC.trade
route      {header:r} -> no channel: it lacks a header
partition  0 of 3 is read: from offset 0, next 7, end unknown
partition  2 of 3 is out of range: from offset 3, next 8, end 8
channel    BTC.trade: 3 subscribers (shard 0: 1; shard 2: 2, 1 behind)
newest     BTC.trade: E.2.7 of trades, read 12 ms ago, Kafka time 5 ms
counted    lagged 4, no_key 3 (all topics, since startup)
No reason found why a record would not be delivered.
";
        assert_eq!(text(&found), expected);
    }

    #[test]
    fn keys_really_read_are_shown_with_what_they_look_like() {
        let found = explanation(
            r#"{"ok":true,"topic":"t","key":"BTC","routes":[{"template":"{key}","channels":["BTC"],"miss":null}],
            "expected":{"asked":1,"murmur2":null,"consistent":null},"partitions":[],
            "channels":[{"channel":"BTC","subscribers":1,"shards":[{"shard":0,"subscribers":1,"behind":0}],"newest":null}],
            "silent_shards":[],"ingest_answers":true,
            "keys":[{"key":"\"BTC\"","bytes":5,"cut":false,"looks":"quoted","text":"a JSON string, with its quotes","in_other_form":false,"partition":0,"offset":7},
                    {"key":"\u001b[2J","bytes":300,"cut":true,"looks":"text","text":"text","in_other_form":false,"partition":0,"offset":8},
                    {"key":null,"bytes":0,"cut":false,"looks":"none","text":"no key","in_other_form":false,"partition":2,"offset":9}],
            "counted":{"bad_key":2},"counts":{"bad_key":3},"reasons":[]}"#,
        );
        let text = text(&found);
        let expected = "\
newest     BTC: nothing in memory
key read   \"BTC\", partition 0 offset 7: a JSON string, with its quotes
key read   \\u{1b}[2J... (300 bytes), partition 0 offset 8: text
key read   none, partition 2 offset 9
counted    bad_key 2 (this topic, since startup)
counted    bad_key 3 (all topics, since startup)
No reason found why a record would not be delivered.
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn what_would_turn_a_line_is_written_out() {
        assert_eq!(shown("price\u{202e}CTB\u{2066} ümläut"), "price\\u{202e}CTB\\u{2066} ümläut");
        assert_eq!(shown("\n\u{7f}"), "\\u{a}\\u{7f}");
    }

    #[test]
    fn reasons_come_last_and_nothing_is_obeyed() {
        let found = explanation(
            r#"{"ok":false,"topic":"t","key":"\u001b[2J","routes":[{"template":"{key}","channels":["\u001b[2J"],"miss":null}],
            "expected":{"asked":1,"murmur2":null,"consistent":null},"partitions":[],
            "channels":[{"channel":"\u001b[2J","subscribers":0,"shards":[],"newest":null}],
            "silent_shards":[],"ingest_answers":false,"counts":{},
            "reasons":[{"reason":"ingest_silent","text":"silent"},{"reason":"nobody_subscribes","text":"to '\u001b[2J'"}]}"#,
        );
        let expected = "\
record     topic t, key \\u{1b}[2J, partition 1
route      {key} -> \\u{1b}[2J
channel    \\u{1b}[2J: 0 subscribers
newest     \\u{1b}[2J: nothing in memory
REASON     ingest_silent: silent
REASON     nobody_subscribes: to '\\u{1b}[2J'
2 reasons why a record is not delivered.
";
        assert_eq!(text(&found), expected);
    }
}
