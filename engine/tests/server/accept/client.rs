//! A client that shows the HTTP answer as it is.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than any limit of the tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value =
            |line: &'_ str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).is_some();
        self.head
            .lines()
            .find(|line| value(line))
            .and_then(|line| line.split_once(": "))
            .map(|(_, value)| value)
    }

    /// The `reason` of the JSON body.
    pub(crate) fn reason(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["reason"].as_str().unwrap().to_owned()
    }
}

/// A valid upgrade request.
pub(crate) fn upgrade(target: &str) -> String {
    upgrade_with(target, "")
}

/// The same with more header lines, each ended by CRLF.
pub(crate) fn upgrade_with(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// Connects, with a limit on each read and write.
pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects, writes, and reads the answer.
pub(crate) fn ask(server: SocketAddr, request: &str) -> (TcpStream, Answer) {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_answer(&mut stream);
    (stream, answer)
}

/// Reads an answer: the head, and as much body as its length says. A refusal must end with FIN, never with a reset.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "the answer ends early: {}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    if status != 101 {
        let length: usize = answer.header("Content-Length").unwrap().parse().unwrap();
        stream.read_to_string(&mut answer.body).unwrap();
        assert_eq!(answer.body.len(), length);
        assert!(answer.header("Connection").is_some_and(|value| value.starts_with("close")));
    }
    answer
}
