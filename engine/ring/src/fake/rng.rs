//! Chance from a seed: SplitMix64 (Steele, Lea, Flood 2014), because it is five lines and any seed is good.

#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `thousandths` of 1,000 cases.
    pub(super) const fn chance(&mut self, thousandths: u32) -> bool {
        // Draw nothing for what never happens, so that switching one disturbance off leaves the rest of a run alone.
        thousandths > 0 && self.next() % 1000 < thousandths as u64
    }

    /// 1 to `max`.
    pub(super) fn up_to(&mut self, max: usize) -> usize {
        let drawn = usize::try_from(self.next() >> 1).unwrap_or(0);
        1 + drawn % max.max(1)
    }
}
