use std::collections::HashSet;

use serde_json::Value;

use crate::native::envelope::Envelope;
use crate::native::reply;
use crate::native::request::{Command, ErrorCode, Limits, Request, RequestError, Wanted, requests as read};

/// Small, so that inputs of a few hundred bytes pass them.
const LIMITS: Limits = Limits { channels_per_request: 5, channel_name_bytes: 20 };

/// The text of a frame: an answer to each line that is not blank; what is understood is what a plain JSON
/// parser sees in it; what is refused can be told to the client.
pub fn requests(input: &[u8]) {
    // Anything else ends at the decoder.
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines: Vec<&str> = text.split('\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let results: Vec<_> = read(text, &LIMITS).collect();
    assert_eq!(results.len(), lines.len(), "an answer to each line");
    for (line, result) in lines.into_iter().zip(results) {
        match result {
            Ok(request) => understood(line, &request),
            Err(error) => refused(line, &error),
        }
    }
}

fn understood(line: &str, request: &Request) {
    match &request.command {
        Command::Subscribe(wanted) => {
            unique(wanted.iter().map(|wanted| &wanted.channel));
            for Wanted { channel, refused } in wanted {
                let too_long = channel.len() > LIMITS.channel_name_bytes;
                assert_eq!(too_long, *refused == Some(ErrorCode::NameTooLong), "{channel}");
            }
        }
        Command::Unsubscribe(names) => unique(names.iter()),
        Command::Heartbeat => {}
    }
    // It refuses what only skipping takes: deep nests, numbers beyond a float, lone surrogates.
    let Ok(value) = serde_json::from_str::<Value>(line) else { return };
    assert_eq!(request.id, value["id"].as_i64());
    let name = |entry: &Value| entry.as_str().or_else(|| entry["channel"].as_str()).map(str::to_owned);
    let mut seen = HashSet::new();
    let channels = value["data"]["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(channels.len() <= LIMITS.channels_per_request || request.command == Command::Heartbeat);
    let names = channels.iter().filter_map(name).filter(|name| seen.insert(name.clone()));
    let (kind, ours): (_, Vec<&String>) = match &request.command {
        Command::Subscribe(wanted) => ("subscribe", wanted.iter().map(|wanted| &wanted.channel).collect()),
        Command::Unsubscribe(names) => ("unsubscribe", names.iter().collect()),
        Command::Heartbeat => return assert_eq!(value["type"], "heartbeat"),
    };
    assert_eq!(value["type"], kind);
    assert!(names.eq(ours.into_iter().cloned()), "{line}");
    acknowledged(request, channels.iter().filter_map(name).collect());
}

fn unique<'n>(names: impl Iterator<Item = &'n String>) {
    let (mut seen, mut count) = (HashSet::new(), 0);
    for name in names {
        seen.insert(name);
        count += 1;
    }
    assert!(seen.len() == count && count <= LIMITS.channels_per_request, "{seen:?}");
}

/// The answer to an unsubscribe gives the names back as they were meant.
fn acknowledged(request: &Request, names: Vec<String>) {
    let mut out = Vec::new();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    reply::unsubscription_ack(&mut out, request.id, &texts, 1);
    match Envelope::parse(super::unframed(&mut out).as_bytes()) {
        Ok(Envelope::UnsubscriptionAck(ack)) => assert_eq!((ack.id, ack.unsubscribed), (request.id, names)),
        other => panic!("{other:?}"),
    }
}

fn refused(line: &str, error: &RequestError) {
    if serde_json::from_str::<Value>(line).is_ok() {
        assert_ne!(error.code, ErrorCode::BadJson, "{line}");
    }
    assert!((1..200).contains(&error.message.len()), "{}", error.message);
    let mut out = Vec::new();
    reply::error(&mut out, error.id, error.code, &error.message);
    match Envelope::parse(super::unframed(&mut out).as_bytes()) {
        Ok(Envelope::Error(told)) => {
            assert_eq!((told.id, told.code.as_str()), (error.id, error.code.as_str()));
            assert_eq!(told.message, error.message);
        }
        other => panic!("{other:?}"),
    }
}
