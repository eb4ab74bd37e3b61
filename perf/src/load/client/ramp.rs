//! From nothing to subscribed: connect, upgrade, subscribe, at the plan's pace.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
};

use proto::ws::{
    frame::{self, OpCode},
    handshake::{self, ClientHandshakeError},
};
use ring::{Op, Ring};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Client,
    connection::{Connection, Ending, Phase},
    reader::Reader,
};
use crate::{measure::clock::ns, random::Random};

/// Most channels that one subscribe request may name (docs/PROTOCOL.md).
const CHANNELS_PER_REQUEST: usize = 250;

impl Client<'_> {
    /// When connection `number` of this thread is due, ns since 1970.
    fn due_ns(&self, number: u32) -> u64 {
        let clients = u128::from(self.plan.clients);
        let rate_of_share = u128::from(self.plan.connect_rate) * self.connections.len() as u128;
        let after_ns = u128::from(number) * 1_000_000_000 * clients;
        self.start_ns
            + after_ns.checked_div(rate_of_share).map_or(0, |ns| u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// All connections have been begun.
    pub(super) fn all_begun(&self) -> bool {
        self.begun as usize == self.connections.len()
    }

    /// Begins the connections that are due.
    pub(super) fn open_due(&mut self, now_ns: u64) {
        while !self.all_begun()
            && self.pending < self.plan.connect_pending
            && self.due_ns(self.begun) <= now_ns
        {
            let index = self.begun;
            self.begun += 1;
            self.pending += 1;
            self.reader.report.progress.begun += 1;
            let connection = &mut self.connections[index as usize];
            connection.phase = Phase::Connecting;
            connection.begun_ns = now_ns;
            match self.socket(index) {
                Ok(slot) => {
                    self.connections[index as usize].slot = Some(slot);
                    self.open += 1;
                    self.push(index, Op::Connect { slot, addr: self.plan.target.addr });
                }
                Err(why) => self.end(index, Ending::Unconnected(why)),
            }
        }
    }

    fn socket(&mut self, index: u32) -> Result<ring::Slot, String> {
        let socket = self.make_socket(index).map_err(|error| error.to_string())?;
        self.ring.install(OwnedFd::from(socket)).map_err(|(_, error)| error.to_string())
    }

    /// A blocking socket: io_uring would end a connect of a non-blocking one at once.
    fn make_socket(&self, index: u32) -> std::io::Result<Socket> {
        let socket =
            Socket::new(Domain::for_address(self.plan.target.addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        let addresses = u32::from(self.plan.source_addresses);
        if addresses > 1 {
            let client = self.clients.start + index;
            let last = u8::try_from(client % addresses).unwrap_or(0) + 1;
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
        }
        Ok(socket)
    }

    /// Connected: asks for the upgrade.
    pub(super) fn upgrade(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let Some(slot) = connection.slot.filter(|_| connection.phase == Phase::Connecting) else { return };
        connection.phase = Phase::Upgrading;
        let key = key_of(self.clients.start + index);
        connection.out = handshake::client_request(&self.plan.target.host, &self.plan.target.path, &key);
        self.push(index, Op::Receive { slot });
        self.listed.push(index);
    }

    pub(super) fn became_ready(&mut self, index: u32, now_ns: u64) {
        let report = &mut self.reader.report;
        self.pending -= 1;
        report.progress.ready += 1;
        report.subscribe.record(now_ns.saturating_sub(self.connections[index as usize].begun_ns));
        report.ramp.ready(now_ns.saturating_sub(self.start_ns));
    }

    /// Ends connections that are not ready in time. They were begun in order, so only the first ones need a
    /// look.
    pub(super) fn expire(&mut self, now_ns: u64) {
        while self.oldest_pending < self.begun {
            let connection = &self.connections[self.oldest_pending as usize];
            if connection.is_pending() {
                if now_ns < connection.begun_ns.saturating_add(ns(self.plan.connect_timeout)) {
                    return;
                }
                let phase = connection.phase;
                self.end(self.oldest_pending, Ending::TimedOut(phase));
            }
            self.oldest_pending += 1;
        }
    }
}

/// Handles (a part of) the answer to an upgrade; what follows it are frames.
pub(super) fn answered(
    reader: &mut Reader,
    index: u32,
    connection: &mut Connection,
    bytes: &mut [u8],
    now_ns: u64,
) -> Result<(), Ending> {
    let client = reader.first_client + index;
    let mut head = std::mem::take(&mut connection.head);
    let whole = if head.is_empty() {
        bytes
    } else {
        head.extend_from_slice(bytes);
        &mut head[..]
    };
    let taken = match handshake::client_check(whole, &key_of(client)) {
        Ok(Some(taken)) => taken,
        Ok(None) => {
            connection.head = whole.to_vec();
            return Ok(());
        }
        Err(ClientHandshakeError::Refused { status, .. }) => return Err(Ending::Refused(status)),
        Err(ClientHandshakeError::Malformed(why)) => return Err(Ending::NotAnUpgrade(why)),
    };
    reader.report.handshake.record(now_ns.saturating_sub(connection.begun_ns));
    let requests = subscribe(reader, client, &mut connection.out);
    connection.phase = if requests == 0 { Phase::Ready } else { Phase::Subscribing(requests) };
    reader.read(index, connection, &mut whole[taken..], now_ns)
}

/// Writes the subscribe requests of a client; tells how many.
fn subscribe(reader: &mut Reader, client: u32, out: &mut Vec<u8>) -> usize {
    let names: Vec<&str> =
        reader.spread.channels_of(client).map(|channel| reader.names[channel as usize].as_str()).collect();
    let mut requests = 0;
    for names in names.chunks(CHANNELS_PER_REQUEST) {
        requests += 1;
        let request = serde_json::json!({"type": "subscribe", "id": requests, "data": {"channels": names}});
        frame::put_masked(out, OpCode::Text, request.to_string().as_bytes(), reader.random.mask());
    }
    requests
}

/// The key of a client's upgrade. It need not be secret, only differ (RFC 6455 4.1), so it is not kept.
fn key_of(client: u32) -> [u8; 16] {
    let mut random = Random::new(u64::from(client));
    let (first, second) = (random.next().to_le_bytes(), random.next().to_le_bytes());
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first);
    key[8..].copy_from_slice(&second);
    key
}
