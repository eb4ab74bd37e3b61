//! What arrives on an upgraded connection: decoded where it lies, checked, timed.

use super::connection::{Connection, Ending, Phase};
use crate::{
    load::control::{ClientReport, tally},
    random::Random,
    spread::Spread,
    verify::Verifier,
};
use proto::{
    native::{envelope::Envelope, scan},
    ws::{
        close::CloseCode,
        decoder::{Event, Limits},
        frame::{self, OpCode},
    },
};

/// A server's message may be as large as its record limit allows, and then some.
const LIMITS: Limits = Limits { frame_bytes_max: 64 << 20, message_bytes_max: 64 << 20 };

/// Takes bytes of any connection of a thread; everything it finds out is in `report`.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) verifier: Verifier,
    pub(super) report: ClientReport,
    pub(super) random: Random,
    /// Names of all channels.
    pub(super) names: Vec<String>,
    pub(super) spread: Spread,
    /// Number of the thread's first client among all.
    pub(super) first_client: u32,
    /// Messages stamped from here on are in the figures, ns since 1970,
    pub(super) from_ns: u64,
    /// up to here.
    pub(super) until_ns: u64,
}

impl Reader {
    /// Takes what came on connection `index` at `now_ns`; answers go to its `out`.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn read(
        &mut self,
        index: u32,
        connection: &mut Connection,
        mut input: &mut [u8],
        now_ns: u64,
    ) -> Result<(), Ending> {
        let Connection { decoder, phase, out, .. } = connection;
        loop {
            let event =
                decoder.next(&mut input, &LIMITS).map_err(|broken| Ending::Violation(broken.reason()))?;
            match event {
                None => return Ok(()),
                Some(Event::Binary(bytes)) => self.text(index, phase, bytes, now_ns)?,
                Some(Event::Text(text)) => self.text(index, phase, text.as_bytes(), now_ns)?,
                Some(Event::Ping(payload)) => {
                    frame::put_masked(out, OpCode::Pong, payload, self.random.mask())
                }
                Some(Event::Pong(_) | Event::Fragment) => {}
                Some(Event::Close(reason)) => {
                    let code = reason.map(|(code, _)| code);
                    let echo = code.and_then(CloseCode::received).unwrap_or(CloseCode::NORMAL);
                    frame::put_close_masked(out, echo, "", self.random.mask());
                    return Err(Ending::Close(code));
                }
            }
        }
    }

    /// One frame: nearly always one message, else one or more objects separated by newlines.
    fn text(&mut self, index: u32, phase: &mut Phase, text: &[u8], now_ns: u64) -> Result<(), Ending> {
        // The scanner takes all to the end of the text for data; a search for one byte is quick.
        if !text.contains(&b'\n') {
            return self.object(index, phase, text, now_ns);
        }
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.try_for_each(|line| self.object(index, phase, line, now_ns))
    }

    fn object(&mut self, index: u32, phase: &mut Phase, text: &[u8], now_ns: u64) -> Result<(), Ending> {
        if let Some(message) = scan::message(text) {
            self.message(index, &message.channel, message.data, now_ns);
            return Ok(());
        }
        self.other(index, phase, text, now_ns)
    }

    #[inline]
    fn message(&mut self, index: u32, channel: &str, data: Option<&[u8]>, now_ns: u64) {
        self.report.progress.messages += 1;
        let Some(arrival) = self.verifier.message(index, channel, data) else { return };
        self.report.recorder.latency(arrival.t_ns, now_ns.saturating_sub(arrival.t_ns));
        if arrival.t_ns >= self.from_ns && arrival.t_ns < self.until_ns {
            self.report.measured += 1;
            self.report.early += u64::from(arrival.t_ns > now_ns);
            let latency_ns = now_ns.saturating_sub(arrival.t_ns);
            let times = if arrival.broadcast { &mut self.report.broadcast } else { &mut self.report.keyed };
            times.record(latency_ns);
        }
    }

    fn other(&mut self, index: u32, phase: &mut Phase, text: &[u8], now_ns: u64) -> Result<(), Ending> {
        let envelope = Envelope::parse(text)
            .map_err(|_| Ending::Violation("a text that is not of the native protocol"))?;
        let notice = match envelope {
            Envelope::Message(message) => {
                self.message(index, &message.channel, message.data, now_ns);
                return Ok(());
            }
            Envelope::SubscriptionAck(ack) => {
                if let Some(error) = ack.results.into_values().find_map(|outcome| outcome.error) {
                    return Err(Ending::Denied(error));
                }
                if let Phase::Subscribing(left) = *phase {
                    *phase = if left > 1 { Phase::Subscribing(left - 1) } else { Phase::Ready };
                }
                return Ok(());
            }
            Envelope::Error(error) => {
                tally(&mut self.report.errors, &error.code);
                let subscribing = matches!(phase, Phase::Subscribing(_));
                return if subscribing { Err(Ending::Denied(error.code)) } else { Ok(()) };
            }
            Envelope::Gap(gap) => {
                self.verifier.gap();
                format!("gap {}", gap.reason)
            }
            Envelope::Status(status) => format!("status {}", status.state),
            Envelope::Welcome(_) => "welcome".to_owned(),
            Envelope::Position(_) => "position".to_owned(),
            Envelope::UnsubscriptionAck(_) => "unsubscription_ack".to_owned(),
            Envelope::Pong(_) => "pong".to_owned(),
            Envelope::Other(kind) => kind,
        };
        tally(&mut self.report.notices, &notice);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
