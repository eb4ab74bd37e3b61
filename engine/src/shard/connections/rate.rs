//! How much a client may ask in what time.

/// A client without tokens is read again once it has earned those of an eighth of a second, not for each by itself.
const REST_OF_SECOND: u64 = 8;
/// The minute of `failed_requests_per_minute`, ms.
const MINUTE_MS: u64 = 60_000;

/// Failed requests, and when their minute began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    count: u32,
    since_ms: u64,
}

impl Failures {
    pub(super) fn since(now_ms: u64) -> Self {
        Self { count: 0, since_ms: now_ms }
    }

    /// One more: how many it are in this minute.
    pub(super) fn add(&mut self, now_ms: u64) -> u32 {
        if now_ms.saturating_sub(self.since_ms) >= MINUTE_MS {
            *self = Self::since(now_ms);
        }
        self.count += 1;
        self.count
    }
}

/// A token bucket in thousandths. It may go into debt: what a message costs is known once it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens_milli: i64,
    filled_ms: u64,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn full(burst: u32, now_ms: u64) -> Self {
        Self { tokens_milli: i64::from(burst) * 1_000, filled_ms: now_ms }
    }

    /// There is a token.
    pub(super) fn has(&mut self, burst: u32, per_second: u32, now_ms: u64) -> bool {
        // Each time, or the time of a full bucket would be earned once more when it is empty.
        let earned = now_ms.saturating_sub(self.filled_ms).saturating_mul(u64::from(per_second));
        let filled = self.tokens_milli.saturating_add_unsigned(earned);
        self.tokens_milli = filled.min(i64::from(burst) * 1_000);
        self.filled_ms = now_ms;
        self.tokens_milli >= 1_000
    }

    pub(super) fn take(&mut self, tokens: usize) {
        self.tokens_milli -= i64::try_from(tokens).unwrap_or(i64::MAX / 2_000) * 1_000;
    }

    /// Time until it has enough to be worth while.
    pub(super) fn wait_ms(&self, burst: u32, per_second: u32) -> u64 {
        let per_second = u64::from(per_second).max(1);
        let wanted = (per_second * 1_000 / REST_OF_SECOND).clamp(1_000, u64::from(burst.max(1)) * 1_000);
        let missing = i64::try_from(wanted).unwrap_or(i64::MAX).saturating_sub(self.tokens_milli);
        u64::try_from(missing).unwrap_or(0).div_ceil(per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_silence_earns_one_burst_and_no_more() {
        let mut bucket = Bucket::full(200, 0);
        let now_ms = 60_000;
        let mut frames = 0;
        while bucket.has(200, 200, now_ms) {
            bucket.take(1);
            frames += 1;
        }
        assert_eq!(frames, 200);
    }
}
