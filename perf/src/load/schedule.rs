//! When which message is due: a constant schedule that no delay of the producer can stretch.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Messages a second, exact to a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Messages in a thousand seconds.
    milli: u64,
}

impl Rate {
    /// None at all.
    pub const ZERO: Self = Self { milli: 0 };

    /// A whole number of messages a second.
    #[must_use]
    pub const fn per_second(n: u32) -> Self {
        Self { milli: n as u64 * 1_000 }
    }

    /// None at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.milli == 0
    }

    /// When message `n` is due, ns after the first; `half` is half an interval later. `None`: never.
    #[must_use]
    fn due_ns(self, n: u64, half: bool) -> Option<u64> {
        // 10^12 ns are a thousand seconds; the doubled count makes room for the half.
        let doubled = (u128::from(n) * 2 + u128::from(half)) * 1_000_000_000_000;
        u64::try_from(doubled.checked_div(u128::from(self.milli) * 2)?).ok()
    }
}

/// Why a text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number of messages a second, from 0 to 4294967295 with at most three decimals")]
pub struct NoRate;

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if part.is_empty()
            || part.len() > 3
            || !part.bytes().chain(whole.bytes()).all(|byte| byte.is_ascii_digit())
        {
            return Err(NoRate);
        }
        let whole: u32 = whole.parse().map_err(|_| NoRate)?;
        let thousandths: u64 = format!("{part:0<3}").parse().map_err(|_| NoRate)?;
        Ok(Self { milli: u64::from(whole) * 1_000 + thousandths })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.milli % 1_000 {
            0 => write!(f, "{}", self.milli / 1_000),
            part => write!(f, "{}", format!("{}.{part:03}", self.milli / 1_000).trim_end_matches('0')),
        }
    }
}

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, in ns after the start of the schedule.
    pub at_ns: u64,
    /// On which channel.
    pub channel: u32,
    /// Its number within the channel, from 0.
    pub seq: u64,
}

/// All messages of a run in the order in which they are due: the keyed channels in turn at one rate, and the
/// broadcast channel (number `keyed`) at another, half an interval off so that the two do not begin together.
#[derive(Debug, Clone)]
pub struct Schedule {
    keyed: u32,
    rate: Rate,
    broadcast_rate: Rate,
    end_ns: u64,
    keyed_sent: u64,
    broadcast_sent: u64,
}

impl Schedule {
    /// A schedule over `keyed` channels that is over after `length`.
    #[must_use]
    pub fn new(keyed: u32, rate: Rate, broadcast_rate: Rate, length: Duration) -> Self {
        let end_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let rate = if keyed == 0 { Rate::ZERO } else { rate };
        Self { keyed, rate, broadcast_rate, end_ns, keyed_sent: 0, broadcast_sent: 0 }
    }

    /// Messages given out so far, by channel; the last number is that of the broadcast channel.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        let keyed = u64::from(self.keyed);
        (0..keyed)
            .map(|channel| self.keyed_sent / keyed + u64::from(channel < self.keyed_sent % keyed))
            .chain([self.broadcast_sent])
            .collect()
    }

    /// Messages given out so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.keyed_sent + self.broadcast_sent
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let keyed_ns = self.rate.due_ns(self.keyed_sent, false).unwrap_or(u64::MAX);
        let broadcast_ns = self.broadcast_rate.due_ns(self.broadcast_sent, true).unwrap_or(u64::MAX);
        let at_ns = keyed_ns.min(broadcast_ns);
        if at_ns >= self.end_ns {
            return None;
        }
        if keyed_ns <= broadcast_ns {
            let (seq, channel) =
                (self.keyed_sent / u64::from(self.keyed), self.keyed_sent % u64::from(self.keyed));
            self.keyed_sent += 1;
            Some(Due { at_ns, channel: u32::try_from(channel).unwrap_or(u32::MAX), seq })
        } else {
            self.broadcast_sent += 1;
            Some(Due { at_ns, channel: self.keyed, seq: self.broadcast_sent - 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written_exactly() {
        for (text, milli) in [("0", 0), ("25", 25_000), ("0.5", 500), ("1.25", 1_250), ("3.001", 3_001)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.milli, milli);
            assert_eq!(rate.to_string(), text);
        }
        for wrong in ["", "-1", "1.", ".5", "1e3", "1.2345", "4294967296", "NaN", "+1"] {
            assert_eq!(wrong.parse::<Rate>(), Err(NoRate), "{wrong}");
        }
    }

    #[test]
    fn a_rate_gives_so_many_messages_in_a_time_and_no_drift() {
        let schedule = Schedule::new(3, Rate::per_second(7), Rate::ZERO, Duration::from_secs(100));
        let due: Vec<Due> = schedule.collect();
        assert_eq!(due.len(), 700);
        assert_eq!(due[7 * 60].at_ns, 60_000_000_000);
        assert!(due.windows(2).all(|pair| pair[0].at_ns < pair[1].at_ns));
    }

    #[test]
    fn sequences_of_each_channel_are_whole() {
        let length = Duration::from_millis(10_300);
        let mut schedule = Schedule::new(7, Rate::per_second(50), "1.5".parse().unwrap(), length);
        let mut next = [0; 8];
        let mut last_ns = 0;
        for due in schedule.by_ref() {
            let expected = &mut next[usize::try_from(due.channel).unwrap()];
            assert_eq!(due.seq, *expected);
            *expected += 1;
            assert!(due.at_ns >= last_ns && due.at_ns < 10_300_000_000);
            last_ns = due.at_ns;
        }
        assert_eq!(schedule.counts(), next);
        assert_eq!(schedule.total(), 515 + 15);
        assert_eq!(next[7], 15, "at 1/3 s, 1 s, 5/3 s ...");
    }

    #[test]
    fn nothing_is_due_without_a_rate() {
        assert_eq!(Schedule::new(3, Rate::ZERO, Rate::ZERO, Duration::MAX).next(), None);
        assert_eq!(Schedule::new(0, Rate::per_second(1), Rate::ZERO, Duration::MAX).next(), None);
        assert_eq!(Schedule::new(0, Rate::ZERO, Rate::ZERO, Duration::MAX).counts(), [0]);
    }
}
