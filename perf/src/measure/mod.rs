//! What is looked at: the server from outside, this machine, time, and how figures go over time.

pub mod admin;
pub(crate) mod clock;
pub mod histogram;
pub mod machine;
pub mod series;
pub mod server;
