//! One connection: how far it is, and which operations are in flight on it.

use std::fmt;

use proto::ws::decoder::Decoder;
use ring::{Errno, Slot};

/// How far a connection is. Each goes to the right only; `Leaving` and `Closed` are reached from everywhere.
///
/// ```text
/// Waiting -> Connecting -> Upgrading -> Subscribing -> Ready -> Leaving -> Closed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its time has not come.
    Waiting,
    /// The connect is in flight.
    Connecting,
    /// The upgrade request is sent.
    Upgrading,
    /// Subscribe requests are sent, this many without an answer.
    Subscribing(usize),
    /// Subscribed to all it shall hold.
    Ready,
    /// Over, but operations are in flight.
    Leaving,
    /// Over.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) phase: Phase,
    pub(super) decoder: Decoder,
    pub(super) slot: Option<Slot>,
    /// A receive is armed.
    pub(super) receiving: bool,
    /// A poll for writability is armed.
    pub(super) polling: bool,
    /// Operations in flight beside the receive.
    pub(super) in_flight: u32,
    /// When the connect began, ns since 1970.
    pub(super) begun_ns: u64,
    /// The beginning of an answer to the upgrade that is not whole yet.
    pub(super) head: Vec<u8>,
    /// Bytes to send.
    pub(super) out: Vec<u8>,
}

impl Connection {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Waiting,
            decoder: Decoder::client_unchecked(),
            slot: None,
            receiving: false,
            polling: false,
            in_flight: 0,
            begun_ns: 0,
            head: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Between connect and last acknowledgement.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Upgrading | Phase::Subscribing(_))
    }

    /// No operation is in flight, so that the descriptor may be closed.
    pub(super) fn is_quiet(&self) -> bool {
        !self.receiving && self.in_flight == 0
    }
}

/// How a connection ended, other than by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// A close frame, with or without a code.
    Close(Option<u16>),
    /// The peer's FIN without a close frame.
    EndOfStream,
    /// The socket failed.
    Broken(Errno),
    /// The socket could not be made or connected.
    Unconnected(String),
    /// The upgrade was refused with this HTTP status.
    Refused(u16),
    /// The answer to the upgrade breaks its rules.
    NotAnUpgrade(&'static str),
    /// The peer broke RFC 6455.
    Violation(&'static str),
    /// A channel was refused; the error code.
    Denied(String),
    /// Not ready in time; how far it was.
    TimedOut(Phase),
}

impl Ending {
    /// The close code that tells it (RFC 6455 7.1.5: 1005 no code, 1006 no close frame).
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Close(code) => code.unwrap_or(1_005),
            Self::EndOfStream
            | Self::Broken(_)
            | Self::Unconnected(_)
            | Self::Refused(_)
            | Self::NotAnUpgrade(_)
            | Self::Violation(_)
            | Self::Denied(_)
            | Self::TimedOut(_) => 1_006,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close(Some(code)) => write!(f, "closed with {code}"),
            Self::Close(None) => write!(f, "closed without a code"),
            Self::EndOfStream => write!(f, "end of stream without a close frame"),
            Self::Broken(errno) => write!(f, "connection broken: {errno}"),
            Self::Unconnected(why) => write!(f, "not connected: {why}"),
            Self::Refused(status) => write!(f, "refused: HTTP {status}"),
            Self::NotAnUpgrade(why) => write!(f, "answer to the upgrade: {why}"),
            Self::Violation(why) => write!(f, "violation by the server: {why}"),
            Self::Denied(code) => write!(f, "channel refused: {code}"),
            Self::TimedOut(Phase::Connecting) => write!(f, "timed out connecting"),
            Self::TimedOut(Phase::Upgrading) => write!(f, "timed out waiting for the upgrade"),
            Self::TimedOut(_) => write!(f, "timed out waiting for subscriptions"),
        }
    }
}
