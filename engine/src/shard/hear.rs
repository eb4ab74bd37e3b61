//! Works off what clients send: decodes it and acts on it, as far as that may be now.

use proto::{
    native::request,
    ws::{
        close::CloseCode,
        decoder::{self, Decoder, Event},
        frame::{OpCode, put_frame},
    },
};
use ring::Key;
use slab::Reader;

use super::{
    clients::Clients,
    connections::{Backlog, CloseReason, Stop, bounds},
    requests,
};
use crate::config::Service;

/// Bytes of a message that one token pays for.
const TOKEN_BYTES: usize = 1024;

/// Why working off comes to an end before the input does: for the time being, or, none, the connection does not serve any
/// more.
type Halt = Option<Stop>;

/// Bytes of a client have come.
pub(super) fn hear(clients: &mut Clients, reader: &Reader, key: Key, bytes: &mut [u8]) {
    if clients.connections.heard(key, bytes) {
        work_off(clients, reader, key, bytes);
    }
    bounds::limit_client_bytes(&mut clients.connections, &mut clients.context);
}

/// Works off a turn's worth of backlogs, in their order.
pub(super) fn work_off_backlogs(clients: &mut Clients, reader: &Reader) {
    for _ in 0..clients.connections.backlogs_of_turn() {
        let Some(key) = clients.connections.next_backlog() else { continue };
        work_off(clients, reader, key, &mut []);
        bounds::limit_client_bytes(&mut clients.connections, &mut clients.context);
        clients.connections.worked_off(&mut clients.context, key);
        clients.reap();
    }
}

/// Works off what waited and then `fresh`, as far as that may be.
fn work_off(clients: &mut Clients, reader: &Reader, key: Key, fresh: &mut [u8]) {
    let Some((mut decoder, mut backlog)) = clients.connections.take_input(key) else { return };
    let worked = match &mut backlog {
        Some(waiting) => {
            waiting.append(fresh);
            work_off_backlog(clients, reader, key, &mut decoder, waiting)
        }
        None => {
            let (mut left, mut lines) = (fresh, String::new());
            let worked = decode(clients, reader, key, &mut decoder, &mut left, &mut lines);
            backlog = Backlog::of(lines, left);
            worked
        }
    };
    // A message that was given out is held until the decoder is asked again.
    let _nothing = decoder.next(&mut &mut [][..], &decoder_limits(clients));
    let stop = match worked {
        // What it asks from now on is not answered before it has read.
        Ok(()) => Some(Stop::Unread).filter(|_| is_unread(clients, key)),
        Err(halt) => halt,
    };
    let backlog = backlog.filter(|_| worked.is_err());
    clients.connections.put_back(&mut clients.context, key, decoder, backlog, stop);
}

fn work_off_backlog(
    clients: &mut Clients,
    reader: &Reader,
    key: Key,
    decoder: &mut Decoder,
    backlog: &mut Backlog,
) -> Result<(), Halt> {
    loop {
        if let Err((halt, left)) = lines(clients, reader, key, backlog.lines(), false) {
            backlog.keep_lines(left);
            return Err(halt);
        }
        let (mut bytes, lines) = backlog.next_bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let halted = decode(clients, reader, key, decoder, &mut bytes, lines);
        let left = bytes.len();
        backlog.keep_bytes(left);
        halted?;
    }
}

/// Decodes and acts on what is decoded, up to the end of the input. Lines of a message that may not be worked off yet go
/// to `lines`.
fn decode(
    clients: &mut Clients,
    reader: &Reader,
    key: Key,
    decoder: &mut Decoder,
    bytes: &mut &mut [u8],
    lines: &mut String,
) -> Result<(), Halt> {
    let limits = decoder_limits(clients);
    while !bytes.is_empty() {
        may_go_on(clients, key)?;
        let before = bytes.len();
        let event = decoder.next(bytes, &limits);
        clients.connections.spend_bytes(key, before - bytes.len());
        match event {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => act(clients, reader, key, event, lines)?,
            Err(violation) => {
                let (code, text) = (violation.close_code(), violation.reason());
                close(clients, key, code, text, CloseReason::Violation);
                return Err(None);
            }
        }
    }
    Ok(())
}

fn decoder_limits(clients: &Clients) -> decoder::Limits {
    let most = clients.context.settings.limits.client_message_bytes;
    decoder::Limits { frame_bytes_max: most, message_bytes_max: most }
}

fn act(
    clients: &mut Clients,
    reader: &Reader,
    key: Key,
    event: Event<'_>,
    waiting: &mut String,
) -> Result<(), Halt> {
    let echoes = clients.context.settings.service == Service::Echo;
    match event {
        Event::Text(text) if echoes => echo(clients, key, OpCode::Text, text.as_bytes()),
        Event::Binary(payload) if echoes => echo(clients, key, OpCode::Binary, payload),
        Event::Text(text) => {
            clients.connections.spend(key, 1 + text.len() / TOKEN_BYTES);
            if let Err((halt, left)) = lines(clients, reader, key, text, true) {
                waiting.push_str(&text[text.len() - left..]);
                return Err(halt);
            }
        }
        Event::Binary(_) => {
            close(clients, key, CloseCode::UNSUPPORTED, "text frames only", CloseReason::Violation);
        }
        Event::Ping(payload) => {
            clients.connections.spend(key, 1);
            let pong = |out: &mut Vec<u8>| put_frame(out, OpCode::Pong, payload);
            clients.connections.write(&mut clients.context, key, pong);
        }
        Event::Pong(_) | Event::Fragment => clients.connections.spend(key, 1),
        Event::Close(reason) => {
            let code = reason.and_then(|(code, _)| CloseCode::received(code));
            close(clients, key, code.unwrap_or(CloseCode::NORMAL), "", CloseReason::Client);
        }
    }
    Ok(())
}

/// Works off the requests of a text, one a line. The first is paid for already if its frame has just come. On a halt, how
/// many bytes at the end are left.
fn lines(
    clients: &mut Clients,
    reader: &Reader,
    key: Key,
    text: &str,
    mut paid: bool,
) -> Result<(), (Halt, usize)> {
    let limits = request::Limits {
        channels_per_request: clients.context.settings.limits.channels_per_request,
        channel_name_bytes: clients.context.settings.limits.channel_name_bytes,
    };
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if !std::mem::take(&mut paid) && !line.trim_ascii().is_empty() {
            may_go_on(clients, key).map_err(|halt| (halt, rest.len()))?;
            clients.connections.spend(key, 1);
        }
        for request in request::requests(line, &limits) {
            clients.context.metrics.requests.add(1);
            requests::request(clients, reader, key, request);
        }
        rest = after;
    }
    Ok(())
}

/// Sends a client its own message back.
fn echo(clients: &mut Clients, key: Key, opcode: OpCode, payload: &[u8]) {
    clients.context.metrics.requests.add(1);
    clients.connections.write(&mut clients.context, key, |out| put_frame(out, opcode, payload));
}

fn close(clients: &mut Clients, key: Key, code: CloseCode, text: &str, reason: CloseReason) {
    clients.connections.close(&mut clients.context, key, code, text, reason);
}

/// Whether more of what the client sent may be worked off now.
fn may_go_on(clients: &mut Clients, key: Key) -> Result<(), Halt> {
    let unread = is_unread(clients, key);
    clients.connections.next_frame(&clients.context, key, unread)
}

/// The client has yet to take what it was sent.
fn is_unread(clients: &Clients, key: Key) -> bool {
    let limit = clients.context.settings.limits.control_output_bytes;
    let client = clients.connections.at(key.index());
    client.is_some_and(|client| client.control_bytes() > limit) || clients.is_behind(key.index())
}
