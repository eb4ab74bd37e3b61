//! Close codes (RFC 6455 7.4).

/// A close code that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// Normal closure, also the answer to a client's close.
    pub const NORMAL: Self = Self(1000);
    /// Draining: reconnect elsewhere, with jitter.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke RFC 6455.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of data that the protocol in use does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A text that is not UTF-8.
    pub const NOT_UTF8: Self = Self(1007);
    /// Policy: blocked for too long, too many errors, token expired.
    pub const POLICY: Self = Self(1008);
    /// A frame or message over the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// Internal error.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts.
    pub const RESTARTING: Self = Self(1012);
    /// Overloaded: try later.
    pub const TRY_LATER: Self = Self(1013);

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The code that echoes a received one, or `None` if a peer may not send it (RFC 6455 7.4.1, 7.4.2).
    pub fn received(code: u16) -> Option<Self> {
        let _ = code;
        todo!()
    }
}
