//! The native JSON protocol: requests in, replies and messages out.

pub mod message;
pub mod reply;
pub mod request;
pub mod scan;
