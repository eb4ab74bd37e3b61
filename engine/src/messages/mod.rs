//! From a record to its messages: the names of its channels, and the frame of each, encoded once for everybody.
//!
//! Nothing here knows who reads records or who is sent frames: no consumer, no slab, no clock.

mod encode;
mod headers;
mod keys;
mod routes;

pub use self::encode::Record;
pub(crate) use self::{
    encode::{Encoder, NoName, Odd},
    headers::{Room, present},
    keys::Keys,
    routes::{Routes, TopicRoutes, TopicSet},
};
