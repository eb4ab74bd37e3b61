//! From text to values. Flags, environment and file all come through here, so an error reads the same from everywhere.

mod address;
mod cores;
mod numbers;
mod property;
mod route;
mod start;
mod text;

pub(crate) use address::{Address, Brokers, address, address_or_none, brokers, host_of};
pub(crate) use cores::{Cores, cores};
pub(crate) use numbers::{count, size, size_text, time, time_or_seconds, time_text};
pub(crate) use property::{Property, property};
pub(crate) use route::{RouteSpec, RouteTable, route};
pub(crate) use start::{Start, start};
pub(crate) use text::{log_level, origin};
