//! A coarse timer wheel. Timers are data: what fires is a kind and a key, and the owner looks whether it still matters;
//! nothing is ever taken out early.

use ring::Key;

/// Width of a slot.
const SLOT_MS: u64 = 128;
/// Slots: two minutes; what lies further away goes round again.
const SLOTS: u64 = 1_024;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The connection's keep-alive turn.
    KeepAlive,
    /// Its grace after a turn without a sign of life is over.
    Grace,
    /// Its socket may have taken nothing for too long.
    Blocked,
    /// It may have tokens again.
    Tokens,
    /// Its close has taken long enough.
    Close,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    due_ms: u64,
    key: Key,
    timer: Timer,
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<Item>>,
    /// Number of the next slot to look at, not reduced.
    at: u64,
    armed: usize,
}

impl Wheel {
    /// An empty wheel.
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), at: now_ms / SLOT_MS, armed: 0 }
    }

    /// Arms a timer; it fires at or after `due_ms`, at most a slot and a turn late.
    pub(crate) fn arm(&mut self, due_ms: u64, key: Key, timer: Timer) {
        let slot = (due_ms / SLOT_MS + 1).max(self.at);
        let slot = Self::index(slot);
        self.slots[slot].push(Item { due_ms, key, timer });
        self.armed += 1;
    }

    /// Moves what is due into `fired`.
    pub(crate) fn turn(&mut self, now_ms: u64, fired: &mut Vec<(Key, Timer)>) {
        let now_slot = now_ms / SLOT_MS;
        // After a long sleep one round over all slots is enough.
        self.at = self.at.max((now_slot + 1).saturating_sub(SLOTS));
        while self.at <= now_slot {
            let slot = &mut self.slots[Self::index(self.at)];
            let before = slot.len();
            slot.retain(|item| {
                let due = item.due_ms <= now_ms;
                if due {
                    fired.push((item.key, item.timer));
                }
                !due
            });
            self.armed -= before - slot.len();
            self.at += 1;
        }
    }

    /// Time until the next slot has to be looked at; none: nothing is armed.
    pub(crate) fn next_ms(&self, now_ms: u64) -> Option<u64> {
        if self.armed == 0 {
            return None;
        }
        let empty =
            (0..SLOTS).take_while(|ahead| self.slots[Self::index(self.at + ahead)].is_empty()).count();
        Some(((self.at + empty as u64) * SLOT_MS).saturating_sub(now_ms).max(1))
    }

    fn index(slot: u64) -> usize {
        usize::try_from(slot % SLOTS).expect("64-bit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_once_at_or_after_its_time_and_not_early() {
        let mut wheel = Wheel::new(1_000);
        let key = Key::new(7, 1);
        for delay in [0, 1, 127, 128, 5_000, 130_000, 400_000] {
            wheel.arm(1_000 + delay, key, Timer::Close);
            let mut fired = Vec::new();
            let mut now = 1_000;
            while fired.is_empty() {
                now += wheel.next_ms(now).expect("armed");
                wheel.turn(now, &mut fired);
                assert!(now < 1_000_000, "a timer of {delay} ms never fired");
            }
            assert!(now >= 1_000 + delay, "a timer of {delay} ms fired at {now}");
            assert!(now <= 1_000 + delay + 2 * SLOT_MS, "a timer of {delay} ms fired at {now}");
            assert_eq!(fired, [(key, Timer::Close)]);
            assert_eq!(wheel.next_ms(now), None);
            wheel = Wheel::new(1_000);
        }
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let mut wheel = Wheel::new(0);
        (0..500).for_each(|n| wheel.arm(n * 1_000, Key::new(0, 0), Timer::KeepAlive));
        let mut fired = Vec::new();
        wheel.turn(10_000_000, &mut fired);
        assert_eq!(fired.len(), 500);
    }
}
