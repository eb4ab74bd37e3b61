//! Records that are not as a route hopes: what their channel's subscribers get, to the byte of the protocol.

use serde_json::json;

use testkit::world::{Plan, World, pos};

#[test]
fn a_record_without_a_key_is_counted_and_holds_nothing_up() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade"]);
    world.produce(None, "1");
    world.produce(Some("BTC"), "2");
    world.turns(2);
    assert_eq!(client.offsets(), [1]);
    assert_eq!(world.ingest.odd.no_key.get(), 1);
}

#[test]
fn a_value_that_is_not_json_is_a_string() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade"]);
    world.produce(Some("BTC"), "sold \"all\"\n");
    world.turns(2);
    let message = client.object();
    assert_eq!((&message["pos"], &message["data"]), (&json!(pos(0)), &json!("sold \"all\"\n")));
    assert_eq!(world.ingest.odd.not_json.get(), 1);
}

/// One object a line is the protocol's rule; `World` checks that no message has a newline.
#[test]
fn json_over_several_lines_comes_in_one() {
    let mut world = World::new(&Plan::default());
    let mut client = world.subscriber(&["BTC.trade"]);
    world.produce(Some("BTC"), "{\n  \"price\": 1,\r\n  \"text\": \"a\\nb\"\n}\n");
    world.turns(2);
    assert_eq!(client.object()["data"], json!({"price": 1, "text": "a\nb"}));
    assert_eq!(world.ingest.odd.not_json.get(), 0);
}

#[test]
fn a_value_over_the_limit_is_a_gap_of_one() {
    let mut world = World::new(&Plan::with(|limits| limits.record_value_bytes = 10));
    let mut client = world.subscriber(&["BTC.trade"]);
    for value in ["1234567890", "12345678901", "3"] {
        world.produce(Some("BTC"), value);
    }
    world.turns(2);
    let objects = client.objects();
    let gap =
        json!({"type": "gap", "channel": "BTC.trade", "from": pos(1), "to": pos(1), "reason": "oversized"});
    assert_eq!((objects.len(), &objects[1]), (3, &gap));
    assert_eq!((&objects[0]["pos"], &objects[2]["pos"]), (&json!(pos(0)), &json!(pos(2))));
    assert_eq!(world.ingest.odd.oversized.get(), 1);
}
