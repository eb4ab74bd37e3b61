//! Bytes to meaning and back: WebSocket and the native protocol. No IO, no clock, no unsafe code.
#![forbid(unsafe_code)]

pub mod channel;
pub mod native;
pub mod position;
#[cfg(test)]
mod random;
pub mod ws;
