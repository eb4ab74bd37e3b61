use super::super::close::CloseCode;

/// A rule that the peer broke. The connection can only be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A bit that only an extension may set (RFC 6455 5.2); none was negotiated.
    ReservedBits,
    /// Opcode 3 to 7 or 11 to 15 (5.2).
    ReservedOpcode,
    /// A frame of a client without a mask (5.1).
    Unmasked,
    /// A frame of a server with a mask (5.1).
    Masked,
    /// A length that fits a shorter form (5.2).
    LengthForm,
    /// A 64-bit length with its top bit set (5.2).
    LengthTopBit,
    /// A close, ping or pong of more than 125 bytes (5.5).
    ControlTooLong,
    /// A close, ping or pong without FIN (5.5).
    ControlFragmented,
    /// A continuation while no message is open (5.4).
    ContinuationUnexpected,
    /// A new message while another is open (5.4).
    ContinuationExpected,
    /// A close frame of one byte (5.5.1).
    CloseLength,
    /// A close code that may not be sent (7.4).
    CloseCode,
    /// A text message or close reason that is not UTF-8 (8.1).
    NotUtf8,
    /// A frame over [`frame_bytes_max`](super::Limits::frame_bytes_max).
    FrameTooBig,
    /// A message over [`message_bytes_max`](super::Limits::message_bytes_max).
    MessageTooBig,
    /// A binary message where only text is spoken. The decoder never says this: it is for who gets the
    /// [`Event::Binary`](super::Event::Binary) and cannot use it.
    BinaryUnsupported,
}

impl Violation {
    /// The code to close with: 1002, 1003, 1007 or 1009.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::Masked
            | Self::LengthForm
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::ContinuationUnexpected
            | Self::ContinuationExpected
            | Self::CloseLength
            | Self::CloseCode => CloseCode::PROTOCOL,
            Self::BinaryUnsupported => CloseCode::UNSUPPORTED,
            Self::NotUtf8 => CloseCode::NOT_UTF8,
            Self::FrameTooBig | Self::MessageTooBig => CloseCode::TOO_BIG,
        }
    }

    /// The reason to close with: a few words, and it fits a close frame.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "frame is not masked",
            Self::Masked => "frame is masked",
            Self::LengthForm => "length is not in its shortest form",
            Self::LengthTopBit => "length has its top bit set",
            Self::ControlTooLong => "control frame over 125 bytes",
            Self::ControlFragmented => "control frame is fragmented",
            Self::ContinuationUnexpected => "continuation without a message",
            Self::ContinuationExpected => "message inside a message",
            Self::CloseLength => "close frame with half a code",
            Self::CloseCode => "invalid close code",
            Self::NotUtf8 => "text is not UTF-8",
            Self::FrameTooBig => "frame too big",
            Self::MessageTooBig => "message too big",
            Self::BinaryUnsupported => "only text messages are understood",
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Violation {}
