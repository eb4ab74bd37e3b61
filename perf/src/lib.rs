//! The load generator: a schedule of messages, who subscribes to what, and a check of every message.
#![forbid(unsafe_code)]

pub mod check;
mod clock;
mod error;
pub mod feed;
pub mod histogram;
pub mod payload;
pub mod plan;
mod random;
pub mod schedule;
pub mod spread;

pub use clock::Clock;
pub use error::Error;
pub use plan::Plan;
