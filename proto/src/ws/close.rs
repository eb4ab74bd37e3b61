//! Close codes (RFC 6455 7.4): those we send, and which of a peer's are valid.

/// A close code that may stand in a close frame.
///
/// The constants are all that this server sends by itself (docs/PROTOCOL.md says when).
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
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The code that echoes a received one, or `None` if a peer may not send it.
    ///
    /// RFC 6455 7.4.1 keeps 1004, 1005, 1006 and 1015 out of frames; IANA has since given out 1012 to 1014.
    /// 3000 to 3999 are registered by others and 4000 to 4999 private (7.4.2); nothing else has a meaning,
    /// and such a frame breaks the protocol.
    #[must_use]
    pub const fn received(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_may_send() {
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            assert_eq!(CloseCode::received(code).map(CloseCode::get), Some(code));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert_eq!(CloseCode::received(code), None, "{code}");
        }
    }

    /// tungstenite is of the same opinion, but for 1014, which it does not know yet.
    #[test]
    fn tungstenite_agrees() {
        use tungstenite::protocol::frame::coding::CloseCode as Theirs;
        for code in (0..=u16::MAX).filter(|code| *code != 1014) {
            assert_eq!(CloseCode::received(code).is_some(), Theirs::from(code).is_allowed(), "{code}");
        }
    }
}
