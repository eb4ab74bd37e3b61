//! The native JSON protocol (docs/PROTOCOL.md): [`request`]s in, [`reply`]s and [`message`]s out, and for
//! clients of our own (load generator, tests) the way back with [`scan`] and [`envelope`].

pub mod envelope;
mod json;
pub mod message;
pub mod reply;
pub mod request;
pub mod scan;
