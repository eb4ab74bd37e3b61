//! Bytes out, completions in, and the end of a connection.

use ring::{Armed, Completion, Event, Key, Op, Outcome, ReceiveEnd, Ring, Send, Shutdown};

use super::{
    Client,
    connection::{Ending, Phase},
};
use crate::load::control::tally;

/// Sends in one submission: deeper batches cost caches (docs/DESIGN.md).
const SENDS_PER_BATCH: usize = 128;

impl Client<'_> {
    /// Sends what connections have queued.
    pub(super) fn flush(&mut self) {
        while !self.listed.is_empty() {
            let batch: Vec<u32> = self.listed.drain(..self.listed.len().min(SENDS_PER_BATCH)).collect();
            let ready = |index: &u32| {
                let connection = &self.connections[*index as usize];
                !connection.polling && !connection.out.is_empty() && connection.slot.is_some()
            };
            let batch: Vec<u32> = batch.into_iter().filter(ready).collect();
            let sends: Vec<Send<'_>> = batch
                .iter()
                .map(|index| &self.connections[*index as usize])
                .filter_map(|connection| Some(Send { slot: connection.slot?, bytes: &connection.out }))
                .collect();
            self.ring.send(&sends, &mut self.outcomes);
            for (index, outcome) in batch.into_iter().zip(std::mem::take(&mut self.outcomes)) {
                self.sent(index, outcome);
                self.close_if_over(index);
            }
        }
    }

    fn sent(&mut self, index: u32, outcome: Outcome) {
        let connection = &mut self.connections[index as usize];
        match outcome {
            Outcome::Sent(bytes) if bytes >= connection.out.len() => {
                // Requests are rare: the memory is worth more than the next allocation.
                connection.out = Vec::new();
                return;
            }
            Outcome::Sent(bytes) => drop(connection.out.drain(..bytes)),
            Outcome::Blocked => {}
            // The armed receive ends too and says why.
            Outcome::Failed(_) => return connection.out.clear(),
        }
        if let Some(slot) = connection.slot {
            connection.polling = true;
            self.push(index, Op::PollWritable { slot });
        }
    }

    /// Queues an operation, now or when the ring takes one again.
    pub(super) fn push(&mut self, index: u32, op: Op) {
        let connection = &mut self.connections[index as usize];
        if matches!(op, Op::Receive { .. }) {
            connection.receiving = true;
        } else {
            connection.in_flight += 1;
        }
        let key = Key::new(index, 0);
        if let Err(op) = self.ring.push(op, key) {
            self.refused.push((op, key));
        }
    }

    /// Offers again what the ring did not take.
    pub(super) fn push_refused(&mut self) {
        for (op, key) in std::mem::take(&mut self.refused) {
            if let Err(op) = self.ring.push(op, key) {
                self.refused.push((op, key));
            }
        }
    }

    pub(super) fn complete(&mut self, Completion { key, event }: Completion) {
        let index = key.index();
        let connection = &mut self.connections[index as usize];
        match event {
            Event::Received(_) | Event::ReceiveEnded(_) => {}
            Event::Connected(_)
            | Event::Polled(_)
            | Event::ShutDown(_)
            | Event::Cancelled
            | Event::Closed(_)
            | Event::OutQueue(_)
            | Event::ResetOnClose(_) => connection.in_flight -= 1,
        }
        match event {
            Event::Received(buffer) => {
                let now_ns = self.clock.now_ns();
                self.received(index, &buffer, now_ns);
                self.ring.recycle(buffer);
            }
            Event::ReceiveEnded(end) => {
                connection.receiving = false;
                match end {
                    ReceiveEnd::NoBuffers | ReceiveEnd::Rearm => {
                        if let Some(slot) = connection.slot {
                            self.push(index, Op::Receive { slot });
                        }
                    }
                    ReceiveEnd::Eof | ReceiveEnd::Cancelled => self.end(index, Ending::EndOfStream),
                    ReceiveEnd::Failed(errno) => self.end(index, Ending::Broken(errno)),
                }
            }
            Event::Connected(Ok(())) => self.upgrade(index),
            Event::Connected(Err(errno)) => self.end(index, Ending::Unconnected(errno.to_string())),
            Event::Polled(_) => {
                connection.polling = false;
                self.listed.push(index);
            }
            Event::Closed(_) => {
                connection.phase = Phase::Closed;
                self.open -= 1;
            }
            Event::ShutDown(_) | Event::Cancelled | Event::OutQueue(_) | Event::ResetOnClose(_) => {}
        }
        self.close_if_over(index);
    }

    fn received(&mut self, index: u32, buffer: &ring::Buffer, now_ns: u64) {
        let bytes = self.ring.bytes(buffer);
        let connection = &mut self.connections[index as usize];
        let report = &mut self.reader.report;
        report.reads += 1;
        report.bytes += buffer.len() as u64;
        let messages = report.progress.messages;
        let before = connection.phase;
        let outcome = match before {
            Phase::Ready | Phase::Subscribing(_) => self.reader.read(index, connection, bytes, now_ns),
            Phase::Upgrading => super::ramp::answered(&mut self.reader, index, connection, bytes, now_ns),
            // Whatever still comes is not for us any more.
            Phase::Leaving | Phase::Waiting | Phase::Connecting | Phase::Closed => Ok(()),
        };
        let report = &mut self.reader.report;
        let messages = report.progress.messages - messages;
        report.recorder.arrived(now_ns, messages, buffer.len() as u64);
        if !connection.out.is_empty() && !connection.polling {
            self.listed.push(index);
        }
        if before != Phase::Ready && connection.phase == Phase::Ready {
            self.became_ready(index, now_ns);
        }
        if let Err(ending) = outcome {
            self.end(index, ending);
        }
    }

    /// A connection is over, by the peer or by a fault.
    pub(super) fn end(&mut self, index: u32, ending: Ending) {
        let connection = &mut self.connections[index as usize];
        let report = &mut self.reader.report;
        match connection.phase {
            Phase::Connecting | Phase::Upgrading | Phase::Subscribing(_) => {
                self.pending -= 1;
                report.progress.failed += 1;
                tally(&mut report.failures, &ending.to_string());
            }
            Phase::Ready => {
                report.progress.closed += 1;
                *report.closes.entry(ending.code()).or_default() += 1;
                if ending.code() == 1_006 {
                    tally(&mut report.cuts, &ending.to_string());
                }
            }
            Phase::Waiting | Phase::Leaving | Phase::Closed => return,
        }
        let was = std::mem::replace(&mut connection.phase, Phase::Leaving);
        let Some(slot) = connection.slot else {
            connection.phase = Phase::Closed;
            return;
        };
        // After a close frame the peer ends the connection, once it has our answer (RFC 6455 7.1.1).
        if was == Phase::Connecting {
            self.push(index, Op::Cancel { slot, armed: Armed::Connect });
        } else if !matches!(ending, Ending::Close(_)) {
            self.push(index, Op::Shutdown { slot, how: Shutdown::Both });
        }
    }

    /// Closes the descriptor when nothing is in flight on it, nor waits to leave (the answer to a close).
    fn close_if_over(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if connection.phase == Phase::Leaving
            && connection.is_quiet()
            && connection.out.is_empty()
            && let Some(slot) = connection.slot.take()
        {
            self.push(index, Op::Close { slot });
        }
    }
}
