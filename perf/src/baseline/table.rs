//! The baseline for people.

use std::fmt::{self, Write};

use super::{Baseline, Figure, SendPrice};
use crate::{
    figures::{grouped, time, whole, written},
    report::table::{row, times_us},
};

impl Baseline {
    /// The baseline as a table.
    #[must_use]
    pub fn table(&self) -> String {
        written(|out| self.write_table(out))
    }

    fn write_table(&self, out: &mut String) -> fmt::Result {
        let plan = &self.plan;
        row(
            out,
            "baseline",
            format_args!(
                "{} connections, frames of {} B, core {}, reader on core {} each ms; {} x {} ms each, median (lowest to highest)",
                grouped(u64::from(plan.connections)),
                plan.frame_bytes,
                plan.core,
                plan.other_core.unwrap_or(plan.core),
                plan.repeats,
                plan.step.as_millis()
            ),
        )?;
        send(out, "send(2)", &self.bare)?;
        for price in &self.ring {
            send(out, "io_uring", price)?;
        }
        row(
            out,
            "accept, close",
            format_args!(
                "{} of CPU a connection, {} a second",
                spread(self.accept.ns_per_connection),
                grouped(whole(self.accept.per_second.median))
            ),
        )?;
        row(out, "wake", format_args!("asleep to running {}", times_us(&self.wake.latency)))?;
        row(
            out,
            "  CPU",
            format_args!(
                "{} of the woken thread, {} of the waking one",
                spread(self.wake.sleeper_ns),
                spread(self.wake.waker_ns)
            ),
        )?;
        row(out, "machine", self.machine.line(self.busy_percent, self.steal_percent))?;
        for warning in &self.warnings {
            row(out, "warning", warning)?;
        }
        Ok(())
    }
}

fn send(out: &mut String, way: &str, price: &SendPrice) -> fmt::Result {
    let SendPrice { messages, ns_per_send, ns_per_delivery, deliveries_per_cpu_second, .. } = price;
    let mut text = String::new();
    let plural = if *messages == 1 { "" } else { "s" };
    write!(text, "{messages:>2} message{plural:<1} a send {:<30}", spread(*ns_per_send))?;
    write!(
        text,
        " {:>8} a delivery, {:>11} a CPU-second",
        time(ns_per_delivery.median),
        grouped(whole(*deliveries_per_cpu_second))
    )?;
    row(out, way, text)
}

/// `5.60 us (5.41 us to 5.93 us)`.
fn spread(figure: Figure) -> String {
    format!("{} ({} to {})", time(figure.median), time(figure.min), time(figure.max))
}
