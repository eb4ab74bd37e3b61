//! WebSocket (RFC 6455): the upgrade, frames in, frames out, close codes.
//!
//! tungstenite gives the accept key, and in tests a second opinion. Frames are our own: its header parser
//! leaves most rules to its caller and its contexts own buffers, where an idle connection of ours must cost a
//! few bytes.

pub mod close;
pub mod decoder;
pub mod frame;
pub mod handshake;
