//! WebSocket (RFC 6455): the upgrade, frames out, frames in, close codes.

pub mod close;
pub mod decoder;
pub mod frame;
pub mod handshake;
