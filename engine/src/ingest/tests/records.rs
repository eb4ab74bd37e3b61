//! Records, routes, counters, positions.

use proto::position::{AnyPosition, Epoch, Position};
use serde_json::json;

use super::*;
use crate::catalog::Start;

#[test]
fn a_record_becomes_one_frame_in_its_channel() {
    let mut world = World::new(&[route("trades", "{key}.trade")], 1);
    let source = world.topic("trades", 2)[1];
    let source_record = keyed(0, "BTC", r#"{"price": 1.50}"#);
    world.take(source, &source_record);
    let entries = world.read(0);
    // Two partitions were placed before it.
    assert_eq!(entries.len(), 3);
    let (entry, frame) = &entries[2];
    let epoch = Epoch::of("cluster", b"trades");
    let pos = Position { epoch, partition: 1, offset: 0 }.to_string();
    let expected =
        json!({"type": "message", "channel": "BTC.trade", "pos": pos, "ts": 0, "data": {"price": 1.50}});
    assert_eq!(frame.as_ref().unwrap(), &expected);
    assert_eq!((entry.source, entry.offset, entry.ingest_ns), (source, 0, world.now_ns));
    assert_eq!(Some(entry.channel), world.bus.channel("BTC.trade"));
    assert!(matches!(proto::position::parse(&pos), Ok(AnyPosition::Record(_))));
}

#[test]
fn every_matching_route_gives_an_entry() {
    let routes = [route("t", "{key}"), route("other", "x"), route("t", "all"), route("t", "{header:h}.h")];
    let mut world = World::new(&routes, 1);
    let source = world.topic("t", 1)[0];
    assert!(world.bus.topics().incarnation(0).routes().wants_headers());
    let mut record = keyed(0, "a", "1");
    world.take(source, &record);
    record.offset = 1;
    let headers = [("h", &b"x"[..])];
    record.headers = &headers;
    world.take(source, &record);
    let channels: Vec<_> =
        world.messages(0).iter().map(|message| message["channel"].as_str().unwrap().to_owned()).collect();
    assert_eq!(channels, ["a", "all", "a", "all", "x.h"]);
    assert_eq!((world.metrics.records.get(), world.metrics.entries.get()), (2, 5));
    assert_eq!(
        world.metrics.odd.no_header.get(),
        0,
        "a record that matched something is not counted as a miss"
    );
}

#[test]
fn a_channel_gets_a_record_once_by_the_first_route_that_names_it() {
    let mut routes =
        vec![route("t", "{key}"), route("t", "all"), route("t", "{header:h}"), route("t", "all")];
    routes[0].payload = Payload::Text;
    let mut world = World::new(&routes, 1);
    let source = world.topic("t", 1)[0];
    let headers = [("h", &b"all"[..])];
    for (offset, key) in [(0, "all"), (1, "a")] {
        world.take(source, &Record { headers: &headers, ..keyed(offset, key, "1") });
    }
    let messages = world.messages(0);
    let seen: Vec<_> = messages.iter().map(|message| (&message["channel"], &message["data"])).collect();
    assert_eq!(seen, [(&json!("all"), &json!("1")), (&json!("a"), &json!("1")), (&json!("all"), &json!(1))]);
    let metrics = &world.metrics;
    assert_eq!((metrics.records.get(), metrics.entries.get(), metrics.repeated.get()), (2, 3, 5));
    // Only the last entry of a record moves its partition, also where further routes are left out.
    let mut next = Vec::new();
    let tail = world.readers[0].tail();
    world.readers[0].positions_at(tail, &mut next);
    assert_eq!(next, [2]);
}

#[test]
fn order_within_a_partition_never_changes() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let sources = world.topic("t", 3);
    for offset in 0..20 {
        for &source in &sources {
            world.take(source, &keyed(offset, if offset % 2 == 0 { "even" } else { "odd" }, "1"));
        }
    }
    let entries = world.read(0);
    for &source in &sources {
        let offsets: Vec<_> = entries
            .iter()
            .filter(|(entry, _)| entry.source == source && entry.channel != NO_CHANNEL)
            .map(|(entry, _)| entry.offset)
            .collect();
        assert_eq!(offsets, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn what_matches_nothing_is_counted_by_reason() {
    let limits = Limits { channel_name_bytes: 8, ..Limits::default() };
    let mut world = World::with(&[route("t", "{key}"), route("h", "{header:kind}")], 1, SMALL, &limits, 8);
    let keyed_source = world.topic("t", 1)[0];
    let header_source = world.topic("h", 1)[0];
    let unrouted_source = world.topic("nobody", 1)[0];
    let record = |offset, key| Record { offset, ts_ms: 0, key, value: Some(b"1"), headers: &[] };
    world.take(keyed_source, &record(0, None));
    world.take(keyed_source, &record(1, Some(b"\xff")));
    world.take(keyed_source, &record(2, Some(b"much too long")));
    world.take(keyed_source, &record(3, Some(b"")));
    // Integers of all values meet one fate.
    world.take(keyed_source, &record(4, Some(b"\0\0\0A")));
    world.take(keyed_source, &record(5, Some(b"\0\0\0\xc8")));
    world.take(header_source, &record(0, Some(b"k")));
    world.take(unrouted_source, &record(0, Some(b"k")));
    let metrics = &world.metrics;
    assert_eq!(metrics.odd.no_key.get(), 1);
    assert_eq!(metrics.odd.bad_key.get(), 3);
    assert_eq!(metrics.odd.bad_name.get(), 2);
    assert_eq!(metrics.odd.no_header.get(), 1);
    assert_eq!(metrics.unrouted.get(), 1);
    assert_eq!((metrics.records.get(), metrics.entries.get()), (8, 0));
    let of = |topic: &str| {
        let of_topic = metrics.topics.of(topic).unwrap();
        (of_topic.no_key.get(), of_topic.bad_key.get(), of_topic.bad_name.get(), of_topic.no_header.get())
    };
    assert_eq!((of("t"), of("h")), ((1, 3, 2, 0), (0, 0, 0, 1)));
    assert!(metrics.topics.of("nobody").is_none());
    assert!(world.messages(0).is_empty());
    assert_eq!(world.bus.channel(""), None);
}

#[test]
fn values_take_the_form_of_their_route() {
    let mut routes =
        vec![route("t", "json"), route("t", "text"), route("t", "binary"), route("t", "headers")];
    routes[1].payload = Payload::Text;
    routes[2].payload = Payload::Binary;
    routes[3].headers = vec!["b".into(), "a".into()];
    let mut world = World::new(&routes, 1);
    let source = world.topic("t", 1)[0];
    let headers = [("a", &b"1"[..]), ("secret", b"no"), ("b", b"2")];
    for (offset, value) in [(0, Some(&b"[1,\n 2]"[..])), (1, Some(b"not json")), (2, None)] {
        let record = Record { offset, ts_ms: 5, key: None, value, headers: &headers };
        world.take(source, &record);
    }
    let messages = world.messages(0);
    let data: Vec<_> = messages.iter().map(|message| message["data"].clone()).collect();
    assert_eq!(data[0], json!([1, 2]));
    assert_eq!(data[1], json!("[1,\n 2]"));
    assert_eq!(data[2], json!("WzEsCiAyXQ=="));
    assert_eq!(messages[3]["headers"], json!({"a": "1", "b": "2"}));
    assert_eq!(data[4], json!("not json"));
    assert_eq!(messages[8]["deleted"], json!(true));
    // By the routes "json" and "headers".
    assert_eq!(world.metrics.odd.not_json.get(), 2);
    assert_eq!(world.metrics.odd.not_text.get(), 0);
    for (offset, value) in [(3, &b"\0\0\0\0\x2a\x06BTC"[..]), (4, b"\xff"), (5, b"\xef\xbb\xbf{}")] {
        let record = Record { offset, ts_ms: 5, key: None, value: Some(value), headers: &[] };
        world.take(source, &record);
    }
    let of_topic = world.metrics.topics.of("t").unwrap();
    assert_eq!((of_topic.not_json.get(), of_topic.not_text.get()), (6, 2));
    assert_eq!((world.metrics.odd.not_json.get(), world.metrics.odd.not_text.get()), (6, 2));
    let messages = world.messages(0);
    let forms: Vec<bool> = messages.iter().map(|message| message["encoding"] == "base64").collect();
    let expected = [[true, true, true, true], [true, true, true, true], [false, false, true, false]];
    assert_eq!(forms, expected.concat());
    assert_eq!(messages[8]["data"], json!({}), "without its byte order mark");
}

#[test]
fn more_headers_than_fit_inline_are_all_there() {
    let mut wide = route("t", "t");
    wide.headers = (0..40).map(|n| format!("h{n}")).collect();
    let mut world = World::new(&[wide.clone()], 1);
    let source = world.topic("t", 1)[0];
    for (offset, count) in [(0, 16), (1, 17), (2, 40)] {
        let headers: Vec<_> = wide.headers[..count].iter().map(|name| (name.as_str(), &b"v"[..])).collect();
        world.take(source, &Record { headers: &headers, ..keyed(offset, "k", "1") });
        let messages = world.messages(0);
        assert_eq!(messages[0]["headers"].as_object().unwrap().len(), count);
    }
}

#[test]
fn a_value_above_the_limit_is_a_gap_or_stops_the_topic() {
    let limits = Limits { record_value_bytes: 10, ..Limits::default() };
    let mut stopping = route("stop", "{key}");
    stopping.oversized = Oversized::Stop;
    let mut world = World::with(&[route("gap", "{key}"), stopping], 1, SMALL, &limits, 8);
    let (gap, stop) = (world.topic("gap", 1)[0], world.topic("stop", 1)[0]);
    world.take(gap, &keyed(0, "a", "1234567890"));
    world.take(gap, &keyed(1, "a", "12345678901"));
    world.take(gap, &keyed(2, "a", "1"));
    let messages = world.messages(0);
    assert_eq!(messages[1]["type"], "gap");
    assert_eq!(messages[1]["reason"], "oversized");
    assert_eq!(messages[1]["channel"], "a");
    assert_eq!(messages[1]["from"], messages[1]["to"]);
    let epoch = Epoch::of("cluster", b"gap");
    assert_eq!(messages[1]["from"], Position { epoch, partition: 0, offset: 1 }.to_string());
    assert_eq!(world.metrics.odd.oversized.get(), 1);
    assert_eq!(world.metrics.topics.of("gap").unwrap().oversized.get(), 1);

    assert_eq!(world.accept(stop, &keyed(7, "a", "12345678901")), Ok(Taken::Stop));
    assert_eq!(world.bus.next_offset(stop), 0, "a topic that stopped did not move");
    let keyless = Record { key: None, ..keyed(7, "", "12345678901") };
    assert_eq!(world.accept(stop, &keyless), Ok(Taken::Done), "no route takes it, so it stops nothing");
}

#[test]
fn positions_tell_of_partitions_without_entries() {
    let mut world = World::new(&[route("t", "{key}")], 1);
    let topic = world.bus.add_topic("t", Epoch::of("c", b"t"));
    let known = world.bus.add_partition(topic, Start::At(40));
    let unknown = world.bus.add_partition(topic, Start::Unresolved);
    world.read(0);
    let mut next = Vec::new();
    let at_tail = |world: &World, next: &mut Vec<i64>| {
        let tail = world.readers[0].tail();
        world.readers[0].positions_at(tail, next);
    };
    at_tail(&world, &mut next);
    assert_eq!(next.first(), Some(&40));
    assert!(next.get(1).is_none_or(|&next| next == -1), "not resolved yet: {next:?}");

    world.bus.skip(unknown, 7);
    world.take(known, &Record { key: None, ..keyed(40, "", "1") });
    world.read(0);
    at_tail(&world, &mut next);
    assert_eq!(next, [40, 7], "a start is placed at once, other moves once a second");

    world.now_ns += 1_000_000_000;
    world.read(0);
    at_tail(&world, &mut next);
    assert_eq!(next, [41, 7]);
    let before = world.readers[0].tail();
    world.now_ns += 1_000_000_000;
    assert!(world.read(0).is_empty(), "who did not move gets no entry: {before}");

    // Control records behind the last one.
    world.bus.skip(known, 45);
    world.bus.skip(known, 43);
    world.now_ns += 1_000_000_000;
    world.read(0);
    at_tail(&world, &mut next);
    assert_eq!(next, [45, 7]);
    assert_eq!(world.catalog.load().vector(topic, &next).next, [45, 7]);
}

#[test]
fn the_catalog_is_there_before_the_entries_that_need_it() {
    let mut world = World::new(&[route("t", "{key}"), route("u", "{key}")], 1);
    for topic in ["t", "u"] {
        let source = world.topic(topic, 1)[0];
        // As soon as anything is appended it may be published, by a new floor.
        world.take(source, &keyed(0, "k", "1"));
        let catalog = world.catalog.load();
        assert!(catalog.sources.len() > source as usize);
        assert_eq!(catalog.position(source, 0).epoch, Epoch::of("cluster", topic.as_bytes()));
    }
    assert_eq!(world.metrics.partitions.get(), 2);
}
