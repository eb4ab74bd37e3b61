//! The load: clients with a ring each, messages on schedule, and who leads them through a run.
//!
//! A [`plan`] says what to do; `run` does it. The `coordinator` leads `workers`, threads of this process or of others,
//! by `control` messages; each runs a `client`'s ring. [`produce`] hands Kafka what [`schedule`] and [`payload`] (or
//! [`market`]) say, and [`spread`] tells which channels a client holds.

pub(crate) mod client;
pub(crate) mod control;
pub(crate) mod coordinator;
pub mod market;
pub mod payload;
pub mod plan;
pub mod produce;
pub(crate) mod run;
pub mod schedule;
pub mod spread;
pub(crate) mod workers;
