//! Numbers that look random and follow from a seed.

/// A generator (xorshift64star).
pub struct Noise(u64);

impl Noise {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from((self.draw() >> 11) % limit).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A number on which bounds are often wrong.
    pub fn edge(&mut self) -> u64 {
        let near = [0, 1, 2, 3, 4, 8, 255, 256, 511, 512, 1023, 1024, 4095, 4096, 65_535, 65_536];
        match self.below(6) {
            0 => self.draw(),
            1 => u64::MAX >> self.below(64),
            2 => 1 << self.below(64),
            _ => near[self.below(near.len())],
        }
    }
}
