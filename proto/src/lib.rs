//! Bytes to meaning and back: WebSocket and uringcast's native protocol. Pure: no IO, no clock, no threads,
//! no unsafe code, and no input of a peer that makes it panic.
//!
//! The rules of the wire are in `docs/PROTOCOL.md` and RFC 6455; each part names the section that it keeps.
//!
//! | Where | What |
//! |---|---|
//! | [`ws::handshake`] | the upgrade request, its answer, every refusal |
//! | [`ws::decoder`] | received bytes to events, in any chunking, with 16 bytes a connection |
//! | [`ws::frame`], [`ws::close`] | frames and close codes to bytes |
//! | [`native::request`] | what clients ask |
//! | [`native::reply`], [`native::message`] | what they get: each function appends one whole frame |
//! | [`native::scan`], [`native::envelope`] | the same read back, for the load generator and tests |
//! | [`channel`] | a record's channel name by its route's [`Template`](channel::Template) |
//! | [`position`] | epochs, and what a client can hand back |
//!
//! # The life of a connection, and of one record
//!
//! ```
//! use proto::channel::{Fields, Template};
//! use proto::native::message::{Message, Payload, ValueForm, message};
//! use proto::native::request::{self, Command, requests};
//! use proto::native::{envelope::Envelope, reply};
//! use proto::position::{Epoch, Vector};
//! use proto::ws::decoder::{Decoder, Event, Limits};
//! use proto::ws::frame::{OpCode, put_masked};
//! use proto::ws::handshake;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client asks for an upgrade and gets it. Bytes behind its request are frames already.
//! let key = *b"sixteen of bytes";
//! let mut received = handshake::client_request("localhost", "/ws?welcome=0", &key);
//! let subscribe = br#"{"type":"subscribe","id":1,"data":{"channels":["BTC.trade"]}}"#;
//! put_masked(&mut received, OpCode::Text, subscribe, [9, 8, 7, 6]);
//! let (upgrade, taken) = handshake::parse(&received, 16 << 10)?.ok_or("more bytes are needed")?;
//! assert_eq!((upgrade.path.as_str(), upgrade.query_value("welcome").as_deref()), ("/ws", Some("0")));
//! assert!(handshake::client_check(&upgrade.response(), &key)?.is_some());
//!
//! // Its frames become events, a text its requests, and each request a reply.
//! let template = Template::parse("{key}.trade")?;
//! let epoch = Epoch::of("cluster id", b"topic id");
//! let mut to_client = Vec::new();
//! let (mut decoder, mut input) = (Decoder::default(), &mut received[taken..]);
//! while let Some(event) = decoder.next(&mut input, &Limits::default())? {
//!     let Event::Text(text) = event else { continue };
//!     for request in requests(text, &request::Limits::default()) {
//!         let request = request?;
//!         let Command::Subscribe(wanted) = request.command else { continue };
//!         let names: Vec<&str> = wanted.iter().map(|wanted| wanted.channel.as_str()).collect();
//!         assert!(template.could_make("odin.trades", names[0]));
//!         let results = [(names[0], reply::Outcome::default())];
//!         let begins = Vector { epoch, next: vec![42] }.to_string();
//!         reply::subscription_ack(&mut to_client, request.id, &names, 1, &[begins], &results);
//!     }
//! }
//!
//! // A record comes: its channel's name, and the frame that every subscriber gets, encoded once.
//! let mut channel = String::new();
//! let fields = Fields { topic: "odin.trades", partition: 0, key: Some(b"BTC"), headers: &[] };
//! template.render(&mut channel, &fields).map_err(|miss| miss.as_str())?;
//! let record = Message {
//!     channel: &channel,
//!     epoch: &epoch,
//!     partition: 0,
//!     offset: 42,
//!     ts_ms: 1_700_000_000_000,
//!     value: Some(b"{\"price\":\n1}"),
//!     headers: &[],
//! };
//! assert_eq!(message(&mut to_client, &record, Payload::Json), ValueForm::Json);
//!
//! // The client reads both.
//! let (mut decoder, mut input) = (Decoder::client_unchecked(), &mut to_client[..]);
//! let limits = Limits::default();
//! let Some(Event::Binary(text)) = decoder.next(&mut input, &limits)? else { panic!("no ack") };
//! let Envelope::SubscriptionAck(ack) = Envelope::parse(text)? else { panic!("not an ack") };
//! assert_eq!(ack.subscribed, ["BTC.trade"]);
//! let Some(Event::Binary(text)) = decoder.next(&mut input, &limits)? else { panic!("no message") };
//! let Envelope::Message(message) = Envelope::parse(text)? else { panic!("not a message") };
//! assert_eq!(message.pos, format!("{epoch}.0.42"));
//! assert_eq!(message.data, Some(&b"{\"price\": 1}"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod channel;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod native;
pub mod position;
#[cfg(test)]
mod random;
pub mod ws;
