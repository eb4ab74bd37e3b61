//! Coming back is not abuse: a client that subscribes its thousand channels one a frame, back to back, ends subscribed.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use proto::ws::decoder::{Decoder, Event, Limits};
use serde_json::{Value, json};

use super::{
    healthy::Run,
    outside::within,
    raw::{Raw, text},
    world::World,
};

const CHANNELS: usize = 1_000;
const HELD: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug, Default)]
struct Held {
    channels: BTreeSet<String>,
    /// Errors, refusals, a close: whatever is no ack.
    troubles: Vec<String>,
}

impl Held {
    fn hear(&mut self, line: &Value) {
        if line["type"] != "subscription_ack" {
            // A notice of a position or a state is no trouble.
            if line["type"] == "error" {
                self.troubles.push(line.to_string());
            }
            return;
        }
        for name in line["subscribed"].as_array().into_iter().flatten() {
            self.channels.extend(name.as_str().map(str::to_owned));
        }
        let results = line["results"].as_object().into_iter().flatten();
        self.troubles.extend(
            results
                .filter(|(_, result)| !result["error"].is_null())
                .map(|(name, result)| format!("{name}: {result}")),
        );
    }
}

/// Sends all requests as fast as the server takes them, and reads; the connection, what came of it, and the time, ms.
fn subscribe_all(server: SocketAddr) -> (Raw, Held, Option<u64>) {
    let mut requests = Vec::new();
    for n in 0..CHANNELS {
        let request =
            json!({"type": "subscribe", "id": n, "data": {"channels": [format!("bench.back-{n}")]}});
        text(&mut requests, &request.to_string());
    }
    let mut raw = Raw::open(server, None).unwrap();
    raw.set_out(&requests);
    let (mut held, mut decoder) = (Held::default(), Decoder::client_unchecked());
    let (mut buffer, mut input) = (vec![0; 64 << 10], Vec::new());
    let took = within(HELD, || {
        while raw.push() {}
        loop {
            let came = raw.pull(&mut buffer);
            if came.is_empty() {
                break;
            }
            input.clear();
            input.extend_from_slice(came);
            let mut rest = &mut input[..];
            while let Ok(Some(event)) = decoder.next(&mut rest, &Limits::default()) {
                match event {
                    Event::Binary(text) => {
                        let lines = text.split(|byte| *byte == b'\n');
                        lines.for_each(|line| held.hear(&serde_json::from_slice(line).unwrap()));
                    }
                    Event::Close(why) => held.troubles.push(format!("closed: {why:?}")),
                    Event::Text(_) | Event::Fragment | Event::Ping(_) | Event::Pong(_) => {}
                }
            }
        }
        held.channels.len() == CHANNELS || raw.ended
    });
    let took = took.filter(|_| held.channels.len() == CHANNELS);
    (raw, held, took)
}

#[test]
fn a_thousand_subscribes_back_to_back() {
    let mut world = World::begin("shown by 5: 1,000 subscribes back to back, and again after a reset", &[]);
    let run = Run::start(&world, Duration::from_secs(30));
    for turn in ["at first", "again after a reset"] {
        let (raw, held, took) = subscribe_all(world.server.public);
        let count = held.channels.len();
        world
            .findings
            .came(took, &format!("{turn}: all 1,000 are held within 10 s"), || format!("{count} are"));
        let troubles = held.troubles;
        world.findings.check(troubles.is_empty(), &format!("{turn}: no error"), || {
            format!("{} troubles, the first: {:?}", troubles.len(), troubles.first())
        });
        raw.reset();
    }
    run.end(&mut world.findings, "beside clients that come back");
    world.end();
}
