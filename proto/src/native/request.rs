//! What clients ask.

use std::borrow::Cow;

/// Limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most channels in one request.
    pub channels_per_request: usize,
    /// Longest channel name in bytes.
    pub channel_name_bytes: usize,
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
    /// End these subscriptions.
    Unsubscribe(Vec<String>),
    /// Asks for a pong.
    Heartbeat,
}

/// A channel that a subscribe asks for; each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub channel: String,
    /// Set: refuse it with this code (NAME_TOO_LONG, NOT_AVAILABLE), the other channels hold.
    pub refused: Option<ErrorCode>,
}

/// A request that cannot be done as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}

/// The requests in a text frame, one a line; blank lines are skipped. Lazy.
pub fn requests(text: &str, limits: &Limits) -> impl Iterator<Item = Result<Request, RequestError>> {
    let _ = limits;
    text.split('\n').map(|_| todo!())
}
