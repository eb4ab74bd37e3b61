//! The subscriber: a plain blocking socket, so that nothing but the kernel stands between the bytes and the
//! clock.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use proto::{
    native::{envelope::Envelope, scan},
    ws::{
        decoder::{Decoder, Event, Limits},
        frame::{self, OpCode},
        handshake,
    },
};

use super::listener::{Arrival, Listener, WAIT};
use crate::{Error, random::Random};

const LIMITS: Limits = Limits { frame_bytes_max: 64 << 20, message_bytes_max: 64 << 20 };
const CONNECT_MAX: Duration = Duration::from_secs(10);
const KEY: [u8; 16] = *b"uringcast-bench.";

impl Listener {
    /// Subscribes, and notes what comes until it is told to stop.
    pub(super) fn subscribe(&self) -> Result<Vec<Arrival>, Error> {
        let gone = |error: std::io::Error| Error::Server(error.to_string());
        let mut random = Random::new(1);
        let (mut stream, rest) = self.connect()?;
        let mut out = Vec::new();
        let request =
            serde_json::json!({"type": "subscribe", "id": 1, "data": {"channels": [self.plan.channel]}});
        frame::put_masked(&mut out, OpCode::Text, request.to_string().as_bytes(), random.mask());
        stream.write_all(&out).map_err(gone)?;
        let mut decoder = Decoder::client_unchecked();
        let mut arrivals = self.room();
        let mut buffer = vec![0; 256 << 10];
        let mut len = rest.len();
        buffer[..len].copy_from_slice(&rest);
        while !self.stopped() {
            let at_ns = self.clock.now_ns();
            out.clear();
            self.take(&mut decoder, &mut buffer[..len], at_ns, &mut arrivals, |payload| {
                frame::put_masked(&mut out, OpCode::Pong, payload, random.mask());
            })?;
            stream.write_all(&out).map_err(gone)?;
            len = match stream.read(&mut buffer) {
                Ok(0) => return Err(Error::Server("end of stream without a close frame".to_owned())),
                Ok(len) => len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
                Err(error) => return Err(gone(error)),
            };
        }
        Ok(arrivals)
    }

    /// Connects and upgrades; bytes that came behind the answer are frames.
    fn connect(&self) -> Result<(TcpStream, Vec<u8>), Error> {
        let target = &self.plan.target;
        let fails = |error: std::io::Error| Error::Server(format!("{}: {error}", target.addr));
        let mut stream = TcpStream::connect_timeout(&target.addr, CONNECT_MAX).map_err(fails)?;
        stream.set_nodelay(true).map_err(fails)?;
        stream.set_read_timeout(Some(CONNECT_MAX)).map_err(fails)?;
        stream.write_all(&handshake::client_request(&target.host, &target.path, &KEY)).map_err(fails)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let len = stream.read(&mut buffer).map_err(fails)?;
            answer.extend_from_slice(&buffer[..len]);
            match handshake::client_check(&answer, &KEY) {
                Ok(Some(taken)) => {
                    stream.set_read_timeout(Some(WAIT)).map_err(fails)?;
                    return Ok((stream, answer.split_off(taken)));
                }
                Ok(None) if len > 0 => {}
                Ok(None) => return Err(Error::Server("end of stream instead of an upgrade".to_owned())),
                Err(error) => return Err(Error::Server(format!("the upgrade: {error}"))),
            }
        }
    }

    fn take(
        &self,
        decoder: &mut Decoder,
        mut input: &mut [u8],
        at_ns: u64,
        arrivals: &mut Vec<Arrival>,
        mut pong: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        loop {
            let event = decoder.next(&mut input, &LIMITS);
            let event = event.map_err(|broken| Error::Server(format!("violation: {}", broken.reason())))?;
            match event {
                None => return Ok(()),
                Some(Event::Text(text)) => self.objects(text.as_bytes(), at_ns, arrivals)?,
                Some(Event::Binary(bytes)) => self.objects(bytes, at_ns, arrivals)?,
                Some(Event::Ping(payload)) => pong(payload),
                Some(Event::Pong(_) | Event::Fragment) => {}
                Some(Event::Close(reason)) => {
                    let code = reason.map_or(1_005, |(code, _)| code);
                    return Err(Error::Server(format!("it closed the connection with {code}")));
                }
            }
        }
    }

    fn objects(&self, text: &[u8], at_ns: u64, arrivals: &mut Vec<Arrival>) -> Result<(), Error> {
        for object in text.split(|byte| *byte == b'\n').filter(|object| !object.is_empty()) {
            if let Some(message) = scan::message(object) {
                self.note(arrivals, message.data.unwrap_or_default(), at_ns);
                continue;
            }
            let refused = match Envelope::parse(object) {
                Ok(Envelope::SubscriptionAck(ack)) => {
                    ack.results.into_values().find_map(|outcome| outcome.error)
                }
                Ok(Envelope::Error(error)) => Some(error.code),
                // Whatever else it tells is not our concern.
                Ok(_) | Err(_) => None,
            };
            if let Some(code) = refused {
                return Err(Error::Server(format!("channel {:?} refused: {code}", self.plan.channel)));
            }
        }
        Ok(())
    }
}
