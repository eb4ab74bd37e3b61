//! Sockets that speak as much WebSocket as an attack needs.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use proto::ws::{frame::OpCode, frame::put_masked, handshake::client_request};
use socket2::{Domain, SockRef, Socket, Type};

const MASK: [u8; 4] = [1, 2, 3, 4];

/// A connection behind its upgrade, whose calls do not wait.
pub(crate) struct Raw {
    stream: TcpStream,
    /// What is to be sent, and how much of it was.
    out: Vec<u8>,
    sent: usize,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) ended: bool,
}

impl Raw {
    /// `receive_bytes` bounds the kernel's memory for who will not read.
    pub(crate) fn open(server: SocketAddr, receive_bytes: Option<usize>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(text)?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).map_err(text)?;
        }
        socket.connect_timeout(&server.into(), Duration::from_secs(10)).map_err(text)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(text)?;
        stream.write_all(&client_request("test", "/ws?welcome=0", b"sixteen of bytes")).map_err(text)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(text)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head).into_owned());
        }
        stream.set_nonblocking(true).map_err(text)?;
        Ok(Self { stream, out: Vec::new(), sent: 0, sent_bytes: 0, received_bytes: 0, ended: false })
    }

    /// Replaces what is to be sent. The rest of it must have gone.
    pub(crate) fn set_out(&mut self, bytes: &[u8]) {
        assert!(self.is_sent(), "a frame would be sent in part");
        self.out.clear();
        self.out.extend_from_slice(bytes);
        self.sent = 0;
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.out.len()
    }

    /// Sends what the kernel takes; whether that was anything.
    pub(crate) fn push(&mut self) -> bool {
        if self.ended || self.is_sent() {
            return false;
        }
        match self.stream.write(&self.out[self.sent..]) {
            Ok(taken) => {
                self.sent += taken;
                self.sent_bytes += taken as u64;
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.ended = true;
                false
            }
        }
    }

    /// Reads once, and gives what came.
    pub(crate) fn pull<'a>(&mut self, buffer: &'a mut [u8]) -> &'a [u8] {
        match self.stream.read(buffer) {
            Ok(0) => self.ended = true,
            Ok(read) => {
                self.received_bytes += read as u64;
                return &buffer[..read];
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
        &[]
    }

    /// Ends it with a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A whole masked text frame.
pub(crate) fn text(out: &mut Vec<u8>, payload: &str) {
    put_masked(out, OpCode::Text, payload.as_bytes(), MASK);
}

pub(crate) fn control(out: &mut Vec<u8>, opcode: OpCode) {
    put_masked(out, opcode, b"", MASK);
}

/// A fragment that does not end its message.
pub(crate) fn fragment(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let start = out.len();
    put_masked(out, opcode, payload, MASK);
    out[start] &= 0x7f;
}
