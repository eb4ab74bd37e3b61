//! What is said of records that reach nobody, or not as their route promises.

use std::fmt::{Debug, Write as _};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;

/// Keeps what is logged on this thread, a line an event.
struct Log(Sender<String>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.send(line.0).unwrap();
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn logged(run: impl FnOnce()) -> Vec<String> {
    let (log, lines) = flume::unbounded();
    tracing::subscriber::with_default(Log(log), run);
    lines.drain().collect()
}

#[test]
fn each_reason_is_said_once_a_topic_with_place_and_words() {
    let limits = Limits { channel_name_bytes: 8, record_value_bytes: 50, ..Limits::default() };
    let mut text = route("x", "{header:h}");
    text.payload = Payload::Text;
    let mut world = World::with(&[route("t", "{key}"), text, route("u", "{key}")], 1, SMALL, &limits, 8);
    let (t, x, u) = (world.topic("t", 2)[1], world.topic("x", 1)[0], world.topic("u", 1)[0]);
    let headers = [("h", &b"c"[..])];
    let lines = logged(|| {
        for round in 0..3 {
            let at = 100 * round;
            let key = |offset, key: &'static [u8]| Record { key: Some(key), ..keyed(at + offset, "", "1") };
            world.take(t, &Record { key: None, ..keyed(at + 1, "", "1") });
            world.take(t, &key(2, b"\0\0\0A"));
            world.take(t, &key(3, b"\0\0\0\xc8"));
            world.take(t, &key(4, b"much too long"));
            world.take(t, &keyed(at + 5, "a", "{\n\"a\": 1,}"));
            world.take(t, &keyed(at + 6, "a", &"x".repeat(51)));
            world.take(x, &keyed(at + 1, "a", "1"));
            let binary = Record { value: Some(b"\0\0\0\0*ab"), headers: &headers, ..keyed(at + 2, "", "") };
            world.take(x, &binary);
            world.take(u, &keyed(at + 9, "a", "nonsense"));
        }
    });
    let nobody = "record maps to no channel; further ones of this topic are only counted";
    let other = "value does not match its route's payload; further ones of this topic are only counted";
    let expected = [
        format!(
            "{nobody} topic=\"t\" partition=1 offset=1 reason=\"no_key\" template=\"{{key}}\" text=\"the record has no key\""
        ),
        format!(
            "{nobody} topic=\"t\" partition=1 offset=2 reason=\"bad_key\" template=\"{{key}}\" text=\"the key is binary: it begins with a control character or has a zero byte; it looks like an integer of 4 bytes: 65\""
        ),
        format!(
            "{nobody} topic=\"t\" partition=1 offset=4 reason=\"bad_name\" template=\"{{key}}\" text=\"the name would have 13 bytes, more than a name may have\""
        ),
        format!(
            "{other} topic=\"t\" partition=1 offset=5 reason=\"not_json\" text=\"not JSON: key must be a string at line 2 column 8; it is sent as a string\""
        ),
        format!(
            "{other} topic=\"t\" partition=1 offset=6 reason=\"oversized\" text=\"51 bytes exceed the limit: clients get a gap notice\""
        ),
        format!(
            "{nobody} topic=\"x\" partition=0 offset=1 reason=\"no_header\" template=\"{{header:h}}\" text=\"the record lacks a header that the name is made from\""
        ),
        format!(
            "{other} topic=\"x\" partition=0 offset=2 reason=\"not_text\" text=\"not text: it begins with a zero byte; it is sent as base64\""
        ),
        format!(
            "{other} topic=\"u\" partition=0 offset=9 reason=\"not_json\" text=\"not JSON: expected ident at line 1 column 2; it is sent as a string\""
        ),
    ];
    assert_eq!(lines, expected);
    let of_topic = world.metrics.topics.of("t").unwrap();
    assert_eq!((of_topic.bad_key.get(), of_topic.not_json.get(), of_topic.oversized.get()), (6, 3, 3));

    // A new incarnation of the topic is no news.
    world.bus.retire(0, &[]);
    let source = world.topic("t", 1)[0];
    let lines = logged(|| world.take(source, &Record { key: None, ..keyed(1, "", "1") }));
    assert_eq!((lines.len(), world.metrics.topics.of("t").unwrap().no_key.get()), (0, 4), "{lines:?}");
}
