//! Requests that cannot be done: each has its code, the connection lives on, and a flood of them ends it.

use serde_json::{Value, json};

use testkit::world::{Heard, Plan, World};

/// The code and the id of an error.
fn error(object: &Value) -> (&str, &Value) {
    assert_eq!(object["type"], "error", "{object}");
    assert!(!object["message"].as_str().unwrap().is_empty());
    (object["code"].as_str().unwrap(), &object["id"])
}

/// What a client is answered to a text; afterwards it is still served.
fn answer(text: &str) -> Value {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    client.text(text);
    world.turns(3);
    let answer = client.object();
    client.subscribe(99, &["BTC.trade"]);
    world.turns(3);
    assert_eq!(client.object()["subscribed"], json!(["BTC.trade"]), "it lives on");
    assert_eq!(world.metrics.failed_requests.get(), 1);
    answer
}

#[test]
fn what_is_no_json_is_bad_json() {
    assert_eq!(error(&answer("{\"type\":")), ("BAD_JSON", &Value::Null));
}

#[test]
fn json_of_the_wrong_shape_is_a_bad_request() {
    let text = r#"{"type":"subscribe","id":4,"data":{"channels":"BTC.trade"}}"#;
    assert_eq!(error(&answer(text)), ("BAD_REQUEST", &json!(4)));
}

#[test]
fn a_type_nobody_knows_is_an_unknown_type() {
    assert_eq!(error(&answer(r#"{"type":"publish","id":5}"#)), ("UNKNOWN_TYPE", &json!(5)));
}

#[test]
fn what_a_later_version_brings_is_not_available() {
    assert_eq!(error(&answer(r#"{"type":"reconnect","id":6,"data":{}}"#)), ("NOT_AVAILABLE", &json!(6)));
    let text =
        r#"{"type":"subscribe","id":7,"data":{"channels":[{"channel":"BTC.trade","since":"earliest"}]}}"#;
    let ack = answer(text);
    assert_eq!((&ack["type"], &ack["id"], &ack["count"]), (&json!("subscription_ack"), &json!(7), &json!(0)));
    assert_eq!(ack["results"]["BTC.trade"]["error"], "NOT_AVAILABLE");
}

#[test]
fn an_unknown_channel_is_refused_and_the_others_hold() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    // No route makes a name without `.trade`.
    client.subscribe(1, &["BTC.trade", "BTC.price", "ETH.trade"]);
    world.turns(3);
    let ack = client.object();
    assert_eq!(ack["subscribed"], json!(["BTC.trade", "ETH.trade"]));
    assert_eq!(
        (&ack["count"], &ack["results"]["BTC.price"]["error"]),
        (&json!(2), &json!("UNKNOWN_CHANNEL"))
    );
    assert_eq!(ack["pos"].as_array().unwrap().len(), 1, "one position of the one topic");
    world.produce(Some("ETH"), "1");
    world.turns(2);
    assert_eq!(client.offsets(), [0]);
}

#[test]
fn a_long_name_is_refused_and_the_others_hold() {
    let mut world = World::new(&Plan::with(|limits| limits.channel_name_bytes = 9));
    let mut client = world.connect();
    client.subscribe(1, &["BTCX.trade", "BTC.trade"]);
    world.turns(3);
    let ack = client.object();
    assert_eq!(ack["subscribed"], json!(["BTC.trade"]));
    assert_eq!(ack["results"]["BTCX.trade"]["error"], "NAME_TOO_LONG");
}

#[test]
fn too_many_channels_of_a_connection_are_refused_until_it_leaves_some() {
    let mut world = World::new(&Plan::with(|limits| limits.channels_per_connection = 2));
    let mut other = world.subscriber(&["c.trade"]);
    let mut client = world.connect();
    client.subscribe(1, &["a.trade", "b.trade", "c.trade"]);
    world.turns(3);
    let ack = client.object();
    assert_eq!((&ack["subscribed"], &ack["count"]), (&json!(["a.trade", "b.trade"]), &json!(2)));
    assert_eq!(ack["results"]["c.trade"]["error"], "TOO_MANY_CHANNELS");
    // Again what it holds: no more than before.
    client.subscribe(2, &["a.trade"]);
    client.text(r#"{"type":"unsubscribe","id":3,"data":{"channels":["a.trade","x.trade"]}}"#);
    client.subscribe(4, &["c.trade"]);
    world.turns(3);
    let objects = client.objects();
    assert_eq!((&objects[0]["subscribed"], &objects[0]["count"]), (&json!(["a.trade"]), &json!(2)));
    assert_eq!((&objects[1]["unsubscribed"], &objects[1]["count"]), (&json!(["a.trade"]), &json!(1)));
    assert_eq!((&objects[2]["subscribed"], &objects[2]["count"]), (&json!(["c.trade"]), &json!(2)));
    for key in ["a", "b", "c"] {
        world.produce(Some(key), "1");
    }
    world.turns(2);
    assert_eq!(client.offsets(), [1, 2]);
    assert_eq!(other.offsets(), [2]);
}

#[test]
fn too_many_channels_in_a_request_are_a_bad_request() {
    let mut world = World::new(&Plan::with(|limits| limits.channels_per_request = 2));
    let mut client = world.connect();
    client.subscribe(1, &["a.trade", "b.trade", "c.trade"]);
    world.turns(3);
    assert_eq!(error(&client.object()), ("BAD_REQUEST", &json!(1)));
    assert_eq!(world.metrics.subscriptions.get(), 0);
}

#[test]
fn channels_that_clients_invent_are_bounded_over_all_of_them() {
    let mut world = World::new(&Plan::with(|limits| limits.empty_channels = 4));
    // One channel is anybody's share here; half of the four are for those who hold less.
    let mut first = world.subscriber(&["a.trade", "b.trade"]);
    first.subscribe(2, &["x.trade"]);
    let mut modest: Vec<_> = (0..3).map(|_| world.connect()).collect();
    for (client, name) in modest.iter_mut().zip(["x.trade", "y.trade", "z.trade"]) {
        client.subscribe(1, &[name]);
    }
    world.turns(4);
    assert_eq!(first.object()["results"]["x.trade"]["error"], "TOO_MANY_CHANNELS");
    // Also for a name that was asked for by one that holds more.
    assert_eq!(modest[0].object()["subscribed"], json!(["x.trade"]));
    assert_eq!(modest[1].object()["subscribed"], json!(["y.trade"]));
    assert_eq!(modest[2].object()["results"]["z.trade"]["error"], "TOO_MANY_CHANNELS");
    let mut second = world.connect();
    second.subscribe(1, &["c.trade"]);
    world.turns(3);
    assert_eq!(second.object()["results"]["c.trade"]["error"], "TOO_MANY_CHANNELS");
    // Who leaves gives its names back.
    drop(first);
    world.turns(5);
    assert_eq!(world.bus.channel("a.trade"), None);
    second.subscribe(2, &["c.trade"]);
    world.turns(3);
    assert_eq!(second.object()["subscribed"], json!(["c.trade"]));
}

#[test]
fn a_flood_is_slowed_down_and_failures_end_it() {
    let mut world = World::new(&Plan::with(|limits| {
        limits.request_burst = 5;
        limits.requests_per_second = 2;
        limits.failed_requests_per_minute = 3;
    }));
    let mut other = world.subscriber(&["BTC.trade"]);
    let mut client = world.connect();
    // Eight in one frame, then some in frames of their own.
    let lines: Vec<String> = (0..8).map(|id| format!(r#"{{"type":"heartbeat","id":{id}}}"#)).collect();
    client.text(&lines.join("\n"));
    (8..10).for_each(|id| client.heartbeat(id));
    world.turns(3);
    let ids = |objects: Vec<Value>| -> Vec<i64> {
        assert!(objects.iter().all(|object| object["type"] == "pong"), "{objects:?}");
        objects.iter().map(|object| object["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(client.objects()), [0, 1, 2, 3, 4]);
    // Two a second it may go on with, in order.
    world.pass(1_000, |_| {});
    let next = ids(client.objects());
    assert!((1..=2).contains(&next.len()) && next[0] == 5, "{next:?}");
    world.pass(2_000, |_| {});
    assert_eq!([next, ids(client.objects())].concat(), [5, 6, 7, 8, 9]);
    assert_eq!(world.metrics.failed_requests.get(), 0);
    world.pass(3_000, |_| {});
    (0..4).for_each(|_| client.text("nonsense"));
    world.turns(4);
    let heard = client.heard();
    assert_eq!((heard.last(), heard.len()), (Some(&Heard::Close(1008)), 5), "{heard:?}");
    assert_eq!(client.close_text, "too many failed requests");
    assert_eq!(world.metrics.closed_by_policy.get(), 1);
    world.produce(Some("BTC"), "1");
    world.turns(2);
    assert_eq!(other.offsets(), [0], "the others notice nothing");
}

#[test]
fn failures_of_an_earlier_minute_do_not_count() {
    let mut world = World::new(&Plan::with(|limits| limits.failed_requests_per_minute = 3));
    let mut client = world.connect();
    for _ in 0..3 {
        for _ in 0..3 {
            client.text("nonsense");
        }
        world.turns(2);
        assert_eq!(client.objects().len(), 3);
        // It answers pings meanwhile.
        world.pass(61_000, |_| {
            let pinged = client.heard().contains(&Heard::Ping);
            if pinged {
                client.put(proto::ws::frame::OpCode::Pong, b"");
            }
        });
    }
    assert_eq!(world.metrics.connections.get(), 1);
}

/// Ingest is busy, so much that its inbox is full: who asks for a name waits, in order, and nobody else does.
#[test]
fn a_question_to_a_busy_ingest_waits_and_stops_nobody() {
    let mut world = World::new(&Plan { ingest_inbox: 1, ..Plan::default() });
    let mut other = world.subscriber(&["BTC.trade"]);
    world.answers = false;
    let mut asking: Vec<_> = (0..5).map(|_| world.connect()).collect();
    for (client, n) in asking.iter_mut().zip(0..) {
        client.subscribe(1, &[&format!("new-{n}.trade"), "BTC.trade"]);
        client.heartbeat(2);
        client.text(r#"{"type":"unsubscribe","id":3,"data":{"channels":["BTC.trade"]}}"#);
    }
    for _ in 0..50 {
        world.produce(Some("BTC"), "1");
        world.turn();
    }
    world.turn();
    assert_eq!(other.offsets(), (0..50).collect::<Vec<_>>(), "who asks nothing is served");
    assert!(
        asking.iter_mut().all(|client| client.heard().is_empty()),
        "not answered, not refused, not closed"
    );

    world.answers = true;
    world.turns(20);
    for (client, n) in asking.iter_mut().zip(0..) {
        let objects = client.objects();
        assert_eq!(objects[0]["subscribed"], json!([format!("new-{n}.trade"), "BTC.trade"]), "{objects:?}");
        let rest: Vec<_> = objects[1..].iter().map(|object| object["type"].as_str().unwrap()).collect();
        assert_eq!(rest, ["pong", "position", "unsubscription_ack"], "requests are done in their order");
    }
    for n in 0..5 {
        world.produce(Some(&format!("new-{n}")), "1");
    }
    world.turns(2);
    for (client, n) in asking.iter_mut().zip(50..) {
        assert_eq!(client.offsets(), [n]);
    }
}
