//! Backoff with jitter, without a clock and without a random source: the same seed waits the same.

/// SplitMix64: small, seedable, good enough to spread restarts. Not for secrets.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// How long to wait before attempt `attempt` (from 0): doubled each time up to the maximum, then a random half off.
    pub fn backoff_ms(&mut self, [base_ms, max_ms]: [u64; 2], attempt: u32) -> u64 {
        let doubled = base_ms.saturating_mul(1 << attempt.min(20));
        let whole = doubled.min(max_ms);
        whole - self.below(whole / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_to_its_maximum_and_loses_at_most_half() {
        let mut jitter = Jitter::seeded(7);
        for (attempt, whole) in [(0, 100), (1, 200), (3, 800), (9, 30_000), (u32::MAX, 30_000)] {
            let wait = jitter.backoff_ms([100, 30_000], attempt);
            assert!((whole / 2..=whole).contains(&wait), "attempt {attempt} waits {wait} ms");
        }
    }
}
