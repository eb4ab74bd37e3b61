//! The least server that brings a topic to a client: every record of it, to whoever subscribes, after a delay.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use kafka::{Consumer, Delivery, Settings};
use perf::{Clock, payload};
use tungstenite::Message;

/// What it does beside that.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bridge {
    /// Every message waits so long.
    pub(crate) delay: Duration,
    /// Messages whose number is a multiple are left out.
    pub(crate) drop_every: Option<u64>,
    /// The subscription is refused.
    pub(crate) deny: bool,
}

/// Starts the server; it serves until the process ends.
pub(crate) fn serve(settings: Settings, bridge: Bridge) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (settings, stream) = (settings.clone(), stream.unwrap());
            // That the client leaves is how it ends.
            thread::spawn(move || drop(client(&settings, bridge, stream)));
        }
    });
    addr
}

fn client(settings: &Settings, bridge: Bridge, stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream)?;
    let request: serde_json::Value = serde_json::from_str(socket.read()?.to_text()?)?;
    let channel = request["data"]["channels"][0].as_str().unwrap().to_owned();
    let wait = Duration::from_secs(10);
    let mut consumer = Consumer::new(settings)?;
    for partition in consumer.topic("bench", wait)?.partitions {
        let (_, end) = consumer.watermarks("bench", partition, wait)?;
        consumer.assign("bench", partition, end, partition)?;
    }
    let outcome = if bridge.deny {
        serde_json::json!({"recovered": false, "replaying": false, "error": "UNKNOWN_CHANNEL"})
    } else {
        serde_json::json!({"recovered": false, "replaying": false})
    };
    let ack = serde_json::json!({"type": "subscription_ack", "id": 1, "subscribed": [channel], "count": 1,
        "pos": [], "results": {&*channel: outcome}});
    socket.send(Message::text(ack.to_string()))?;
    let clock = Clock::start();
    loop {
        let mut due = Vec::new();
        consumer.wait(Duration::from_millis(100));
        consumer.drain(100, &mut |delivery| {
            let Delivery::Record(record) = delivery else { panic!("{delivery:?}") };
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            let number = payload::read(value.as_bytes()).map(|stamp| stamp.seq);
            let dropped =
                bridge.drop_every.is_some_and(|every| number.is_some_and(|n| n.is_multiple_of(every)));
            if record.key == Some(channel.as_bytes()) && !dropped {
                due.push((clock.now_ns() + u64::try_from(bridge.delay.as_nanos()).unwrap(), value));
            }
        });
        for (at_ns, value) in due {
            clock.sleep_until(at_ns);
            let text = format!(
                r#"{{"type":"message","channel":"{channel}","pos":"abcdefgh.0.0","ts":1,"data":{value}}}"#
            );
            socket.send(Message::text(text))?;
        }
    }
}
