//! The load generator: as many WebSocket clients as a machine can hold, a schedule of messages through Kafka,
//! and a check of every message on every connection.
//!
//! It looks at the server from outside and links nothing of it.
//!
//! `load` makes the load, `verify` checks every message, `measure` looks at server, machine and time, and `report` sums up.
//!
//! - A [`Plan`] says what to do. It is plain data and is checked before anything is opened.
//! - [`run()`] opens the clients ([`plan::Plan::threads`] with a ring each, in one process or several), waits
//!   until all are subscribed, produces on schedule (or listens), waits for the last message, and gives a
//!   [`Report`].
//! - A [`Report`] has the figures, the run over time ([`series`]), its [`Report::failures`], a table for people,
//!   JSON, HDR percentiles, and a page with plots ([`Report::page`]). [`compare`] puts several side by side.
//! - What stands beside a run: [`baseline`] measures what the kernel alone costs on this machine, [`latency`]
//!   what part of a message's way is the server's own.
//!
//! A latency is the time from when a message *should* have been handed to Kafka by the schedule until a
//! client has it. A producer or a server that stalls therefore shows in every message that was due meanwhile
//! (no coordinated omission). Reading as data comes gives honest latencies; [`plan::Plan::poll`] reads like
//! remote clients and gives honest CPU figures. Do not mix them.
//!
//! ```no_run
//! # fn main() -> Result<(), perf::Error> {
//! use perf::{plan, Plan, Report};
//!
//! let plan = Plan { clients: 1_000, per_client: 1, ..Plan::new(plan::Target::parse("ws://127.0.0.1:8080/ws")?) };
//! let report: Report = perf::run(&plan, None)?;
//! println!("{}", report.table());
//! assert!(report.failures().is_empty());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod baseline;
pub mod compare;
mod error;
mod figures;
pub mod latency;
mod load;
mod measure;
mod random;
pub mod report;
pub mod verify;

pub use error::Error;
pub use load::{
    coordinator::{Moment, Watch},
    market, payload,
    plan::{self, Plan},
    produce,
    run::run,
    schedule, spread,
    workers::serve_worker,
};
pub use measure::{admin, clock::Clock, histogram, machine, series, server};
pub use report::Report;
