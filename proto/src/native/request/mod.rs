//! What clients ask (docs/PROTOCOL.md, "Native JSON").
//!
//! A bad request is an answer, never the end of a connection: BAD_JSON for what is no JSON, BAD_REQUEST for
//! JSON of the wrong shape or over a limit, UNKNOWN_TYPE, and NOT_AVAILABLE for what a later version brings.
//! Fields that we do not know are ignored.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Limits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most channels in one request.
    pub channels_per_request: usize,
    /// Longest channel name in bytes.
    pub channel_name_bytes: usize,
}

impl Default for Limits {
    /// 250 channels, names of 255 bytes, as docs/PROTOCOL.md says.
    fn default() -> Self {
        Self { channels_per_request: 250, channel_name_bytes: crate::channel::NAME_BYTES_MAX }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// To be echoed in the answer.
    pub id: Option<i64>,
    /// What is asked.
    pub command: Command,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Subscribe to these channels.
    Subscribe(Vec<Wanted>),
    /// End these subscriptions; each name once.
    Unsubscribe(Vec<String>),
    /// Asks for a pong.
    Heartbeat,
}

/// A channel that a subscribe asks for; each name stands once in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, over the limit too.
    pub channel: String,
    /// Set: refuse it with this code (NAME_TOO_LONG, NOT_AVAILABLE), the other channels hold.
    pub refused: Option<ErrorCode>,
}

/// A request that cannot be done as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct RequestError {
    /// The request's id, where it could be read.
    pub id: Option<i64>,
    /// The code.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
}

/// The codes of error answers and of refused channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not JSON.
    BadJson,
    /// JSON of the wrong shape, or over a limit of requests.
    BadRequest,
    /// A type that we do not know.
    UnknownType,
    /// No route can make this name.
    UnknownChannel,
    /// Not allowed.
    Forbidden,
    /// Over the limit of channels of a connection or of the process.
    TooManyChannels,
    /// Over the limit of a channel's name.
    NameTooLong,
    /// The position is of another topic, or beyond its end.
    PositionInvalid,
    /// The position is before what Kafka still has.
    PositionExpired,
    /// Too many requests.
    RateLimitExceeded,
    /// No room for a replay now.
    ReplayBusy,
    /// The token is over.
    TokenExpired,
    /// What a later version brings.
    NotAvailable,
}

impl ErrorCode {
    /// Every code, for metrics and docs.
    pub const ALL: [Self; 13] = [
        Self::BadJson,
        Self::BadRequest,
        Self::UnknownType,
        Self::UnknownChannel,
        Self::Forbidden,
        Self::TooManyChannels,
        Self::NameTooLong,
        Self::PositionInvalid,
        Self::PositionExpired,
        Self::RateLimitExceeded,
        Self::ReplayBusy,
        Self::TokenExpired,
        Self::NotAvailable,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "BAD_JSON",
            Self::BadRequest => "BAD_REQUEST",
            Self::UnknownType => "UNKNOWN_TYPE",
            Self::UnknownChannel => "UNKNOWN_CHANNEL",
            Self::Forbidden => "FORBIDDEN",
            Self::TooManyChannels => "TOO_MANY_CHANNELS",
            Self::NameTooLong => "NAME_TOO_LONG",
            Self::PositionInvalid => "POSITION_INVALID",
            Self::PositionExpired => "POSITION_EXPIRED",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::ReplayBusy => "REPLAY_BUSY",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::NotAvailable => "NOT_AVAILABLE",
        }
    }
}

/// The requests in a text frame, one a line; blank lines are skipped.
///
/// Lazy: a line is looked at when it is asked for, so a caller that has heard enough stops paying.
pub fn requests(text: &str, limits: &Limits) -> impl Iterator<Item = Result<Request, RequestError>> {
    let limits = *limits;
    text.split('\n').filter(|line| !line.trim_ascii().is_empty()).map(move |line| request(line, &limits))
}

/// The outer object. Its fields are kept as text, so that one of the wrong type does not hide the others, and
/// because skipping JSON, unlike building it, takes neither memory nor recursion.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

fn request(line: &str, limits: &Limits) -> Result<Request, RequestError> {
    let bad = |code, message| RequestError { id: None, code, message: Cow::Borrowed(message) };
    let raw: &RawValue = serde_json::from_str(line).map_err(|error| {
        let message = Cow::Owned(format!("not JSON: {error}"));
        RequestError { id: None, code: ErrorCode::BadJson, message }
    })?;
    let envelope: Envelope<'_> = object(raw, "a request is an object with type, id and data")
        .map_err(|error| bad(error.0, error.1))?;
    let id = match envelope.id {
        None => None,
        Some(id) => {
            let id = serde_json::from_str(id.get());
            Some(id.map_err(|_| bad(ErrorCode::BadRequest, "id is not an integer of 64 bits"))?)
        }
    };
    let command =
        command(&envelope, limits).map_err(|Wrong(code, message)| RequestError { id, code, message })?;
    Ok(Request { id, command })
}

/// What is wrong, before the id is put to it.
struct Wrong<M = Cow<'static, str>>(ErrorCode, M);

impl From<Wrong<&'static str>> for Wrong {
    fn from(Wrong(code, message): Wrong<&'static str>) -> Self {
        Self(code, Cow::Borrowed(message))
    }
}

fn command(envelope: &Envelope<'_>, limits: &Limits) -> Result<Command, Wrong> {
    let kind = envelope.kind.ok_or(Wrong(ErrorCode::BadRequest, "type is missing"))?;
    let kind: String =
        serde_json::from_str(kind.get()).map_err(|_| Wrong(ErrorCode::BadRequest, "type is not a string"))?;
    match kind.as_str() {
        "subscribe" => Ok(Command::Subscribe(subscribe(envelope.data, limits)?)),
        "unsubscribe" => Ok(Command::Unsubscribe(unsubscribe(envelope.data, limits)?)),
        "heartbeat" => Ok(Command::Heartbeat),
        "reconnect" => Err(Wrong(
            ErrorCode::NotAvailable,
            "reconnect is not available yet: subscribe again, a later version resumes with since",
        )
        .into()),
        "refresh" => Err(Wrong(ErrorCode::NotAvailable, "refresh is not available yet").into()),
        // A peer's text is not thrown back whole.
        other => {
            let other: String = other.chars().flat_map(char::escape_debug).take(40).collect();
            Err(Wrong(ErrorCode::UnknownType, Cow::Owned(format!("unknown type \"{other}\""))))
        }
    }
}

/// `data` of subscribe and unsubscribe.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    channels: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
}

/// A channel with options.
#[derive(Deserialize)]
struct Entry<'a> {
    channel: Option<String>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
    snapshot: Option<bool>,
    mode: Option<String>,
    max_rate: Option<f64>,
}

const DATA_SHAPE: &str = "data is an object with channels, a list";
const ENTRY_SHAPE: &str =
    "a channel is a name or an object with channel (name), since, snapshot, mode, max_rate";

fn data<'a>(
    data: Option<&'a RawValue>,
    limits: &Limits,
) -> Result<(Vec<&'a RawValue>, Option<&'a RawValue>), Wrong> {
    let data = data.ok_or(Wrong(ErrorCode::BadRequest, DATA_SHAPE))?;
    let data: Data<'a> = object(data, DATA_SHAPE)?;
    let channels = data.channels.ok_or(Wrong(ErrorCode::BadRequest, DATA_SHAPE))?;
    if channels.len() > limits.channels_per_request {
        let message = format!(
            "{} channels in one request, {} are allowed",
            channels.len(),
            limits.channels_per_request
        );
        return Err(Wrong(ErrorCode::BadRequest, Cow::Owned(message)));
    }
    Ok((channels, data.since))
}

fn subscribe(raw: Option<&RawValue>, limits: &Limits) -> Result<Vec<Wanted>, Wrong> {
    let (channels, since) = data(raw, limits)?;
    let since = asks_since(since)?;
    let mut wanted = Vec::with_capacity(channels.len());
    for channel in channels {
        let (channel, later) = entry(channel)?;
        let refused = if channel.len() > limits.channel_name_bytes {
            Some(ErrorCode::NameTooLong)
        } else {
            let wildcard = channel.ends_with('*');
            (later || since || wildcard).then_some(ErrorCode::NotAvailable)
        };
        wanted.push(Wanted { channel, refused });
    }
    Ok(once(wanted, |wanted| &wanted.channel))
}

fn unsubscribe(raw: Option<&RawValue>, limits: &Limits) -> Result<Vec<String>, Wrong> {
    let names: Result<Vec<String>, _> =
        data(raw, limits)?.0.into_iter().map(|name| serde_json::from_str(name.get())).collect();
    let names = names.map_err(|_| Wrong(ErrorCode::BadRequest, "channels is not a list of names"))?;
    Ok(once(names, |name| name))
}

/// The name, and whether an option asks for what a later version brings.
fn entry(raw: &RawValue) -> Result<(String, bool), Wrong> {
    if raw.get().starts_with('"') {
        let name = serde_json::from_str(raw.get());
        return Ok((name.map_err(|_| Wrong(ErrorCode::BadRequest, ENTRY_SHAPE))?, false));
    }
    let entry: Entry<'_> = object(raw, ENTRY_SHAPE)?;
    let channel = entry.channel.ok_or(Wrong(ErrorCode::BadRequest, ENTRY_SHAPE))?;
    let latest = match entry.mode.as_deref() {
        None | Some("all") => false,
        Some("latest") => true,
        Some(_) => return Err(Wrong(ErrorCode::BadRequest, "mode is neither all nor latest").into()),
    };
    let snapshot = entry.snapshot == Some(true);
    let since = asks_since(entry.since)?;
    if snapshot && since {
        return Err(Wrong(ErrorCode::BadRequest, "snapshot and since exclude each other").into());
    }
    Ok((channel, since || snapshot || latest || entry.max_rate.is_some()))
}

/// `since` is a position or time (a string), or a list of positions. What they say is not looked at yet.
fn asks_since(raw: Option<&RawValue>) -> Result<bool, Wrong<&'static str>> {
    match raw {
        None => Ok(false),
        Some(raw)
            if raw.get().starts_with('"') || serde_json::from_str::<Vec<Cow<'_, str>>>(raw.get()).is_ok() =>
        {
            Ok(true)
        }
        Some(_) => Err(Wrong(ErrorCode::BadRequest, "since is neither a string nor a list of strings")),
    }
}

/// Reads an object. serde would take a list for a struct as well, field by field, hence the look at its first
/// byte.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue, shape: &'static str) -> Result<T, Wrong<&'static str>> {
    let wrong = Wrong(ErrorCode::BadRequest, shape);
    if !raw.get().starts_with('{') {
        return Err(wrong);
    }
    serde_json::from_str(raw.get()).map_err(|_| wrong)
}

/// Drops what has the name of an earlier one.
fn once<T>(items: Vec<T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    let mut seen = HashSet::with_capacity(items.len());
    let keep: Vec<bool> = items.iter().map(|item| seen.insert(name(item).as_str())).collect();
    if seen.len() == items.len() {
        return items;
    }
    items.into_iter().zip(keep).filter_map(|(item, keep)| keep.then_some(item)).collect()
}
