//! Frames that break RFC 6455 or a limit: each ends its connection with the close code of its kind, and no other.

use proto::ws::frame::OpCode;

use testkit::world::{Client, Heard, Plan, World};

/// What `break_it` sends is answered by a close with `code`, and then the end.
fn ends_with(code: u16, break_it: impl FnOnce(&mut Client)) {
    let mut world = World::new(&Plan::default());
    let mut other = world.subscriber(&["BTC.trade"]);
    let mut client = world.subscriber(&["BTC.trade"]);
    break_it(&mut client);
    world.turns(10);
    assert_eq!(client.heard(), [Heard::Close(code)]);
    assert!(client.peer.has_fin());
    assert_eq!(world.metrics.closed_by_violation.get(), 1);
    // What it goes on sending is not heard, and its leaving frees its place.
    client.heartbeat(9);
    client.peer.half_close();
    world.turns(3);
    assert!(client.heard().is_empty() && client.peer.is_closed() && !client.peer.was_reset());
    assert_eq!((world.metrics.connections.get(), world.metrics.subscriptions.get()), (1, 1));

    world.produce(Some("BTC"), "1");
    world.turns(2);
    assert_eq!(other.offsets(), [0]);
}

#[test]
fn a_frame_without_a_mask_is_1002() {
    ends_with(1002, |client| client.peer.write(b"\x81\x02{}"));
}

#[test]
fn a_reserved_bit_is_1002() {
    ends_with(1002, |client| client.peer.write(b"\xc1\x82\x00\x00\x00\x00{}"));
}

#[test]
fn a_binary_message_is_1003() {
    ends_with(1003, |client| client.put(OpCode::Binary, b"{}"));
}

#[test]
fn text_that_is_not_utf8_is_1007() {
    ends_with(1007, |client| client.put(OpCode::Text, b"{\"type\":\"\xff\"}"));
}

/// One byte over 256 KiB, announced; none of it needs to come.
#[test]
fn an_oversized_frame_is_1009() {
    ends_with(1009, |client| client.peer.write(&[0x81, 0xff, 0, 0, 0, 0, 0, 4, 0, 1, 1, 2, 3, 4]));
}

#[test]
fn an_oversized_message_of_small_fragments_is_1009() {
    ends_with(1009, |client| {
        let mut fragment = Vec::new();
        proto::ws::frame::put_masked(&mut fragment, OpCode::Continuation, &[b' '; 100_000], [1, 2, 3, 4]);
        // No FIN; the first is a text frame.
        for first in [0x01, 0x00, 0x00] {
            fragment[0] = first;
            client.peer.write(&fragment);
        }
    });
}

#[test]
fn the_largest_message_is_heard() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    let mut text = r#"{"type":"heartbeat","id":5}"#.to_owned();
    text.push_str(&" ".repeat((256 << 10) - text.len()));
    client.text(&text);
    world.turns(3);
    assert_eq!(client.object()["id"], 5);
}

/// A client that breaks the rules and then neither reads nor leaves is cut off.
#[test]
fn who_does_not_answer_a_close_is_cut_off() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    client.put(OpCode::Binary, b"");
    world.pass(1_500, |_| {});
    assert!(!client.peer.is_closed(), "it has two seconds");
    world.pass(1_000, |_| {});
    assert!(client.peer.is_closed());
    assert_eq!(world.metrics.connections.get(), 0);
}

#[test]
fn a_clients_own_close_is_echoed() {
    for (payload, code) in [(&[0x0f, 0xa0, b'!'][..], 4000), (&[0x03, 0xe8], 1000), (&[], 1000)] {
        let mut world = World::new(&Plan::default());
        let mut client = world.subscriber(&["BTC.trade"]);
        client.put(OpCode::Close, payload);
        world.turns(3);
        assert_eq!(client.heard(), [Heard::Close(code)]);
        assert_eq!((world.metrics.closed_by_client.get(), world.metrics.closed_by_violation.get()), (1, 0));
    }
}

#[test]
fn a_ping_between_the_fragments_of_a_request_is_answered_first() {
    let mut world = World::new(&Plan::default());
    let mut client = world.connect();
    let request = br#"{"type":"heartbeat","id":8}"#;
    for (first, part) in [(0x01, &request[..9]), (0x89, b"here"), (0x80, &request[9..])] {
        let mut frame = Vec::new();
        proto::ws::frame::put_masked(&mut frame, OpCode::Text, part, [1, 2, 3, 4]);
        frame[0] = first;
        client.peer.write(&frame);
        world.turn();
    }
    world.turns(2);
    let heard = client.heard();
    assert_eq!(heard[0], Heard::Pong(b"here".to_vec()));
    assert!(matches!(&heard[1..], [Heard::Json(pong)] if pong["id"] == 8), "{heard:?}");
}

/// What clients make us hold is bounded over all of them: who holds most pays.
#[test]
fn above_the_limit_of_bytes_the_largest_holder_is_1008() {
    let mut world = World::new(&Plan::with(|limits| limits.client_bytes_per_shard = 140_000));
    let mut request = r#"{"type":"heartbeat","id":5}"#.to_owned();
    request.push_str(&" ".repeat(90_000));
    let mut frame = Vec::new();
    proto::ws::frame::put_masked(&mut frame, OpCode::Text, request.as_bytes(), [1, 2, 3, 4]);
    let mut clients: Vec<Client> = (0..3).map(|_| world.connect()).collect();
    let begun = [30_000, 40_000, 20_000];
    for (client, begun) in clients.iter_mut().zip(begun) {
        client.peer.write(&frame[..begun]);
    }
    world.turns(3);
    let held = world.shard.report().client_bytes;
    // Memory counts, which grows by doubling.
    assert!((131_072..131_500).contains(&held), "{held}");
    assert_eq!(world.metrics.client_bytes.get(), held as u64);
    assert!(clients.iter_mut().all(|client| client.heard().is_empty()));

    // One more begins; the one that has begun most is closed, and what it had sent is forgotten.
    let mut late = world.connect();
    late.peer.write(&frame[..15_000]);
    world.turns(3);
    assert_eq!(clients[1].heard(), [Heard::Close(1008)]);
    assert_eq!(clients[1].close_text, "holds too many bytes");
    assert_eq!(world.metrics.closed_by_policy.get(), 1);
    clients[1].peer.write(&frame[begun[1]..]);
    world.turns(3);
    assert!(world.shard.report().client_bytes < 82_500);

    // The others finish, and are answered.
    clients[2].peer.half_close();
    world.turns(3);
    // No more at a time than a turn works off.
    for (client, begun) in [(&mut late, 15_000), (&mut clients[0], begun[0])] {
        for piece in frame[begun..].chunks(30_000) {
            client.peer.write(piece);
            world.turns(2);
        }
    }
    assert_eq!((late.object()["id"].clone(), clients[0].object()["id"].clone()), (5.into(), 5.into()));
    assert_eq!(world.shard.report().client_bytes, 0);
}
