//! Where everything random of the simulation comes from: one seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// A small generator (splitmix64), shared with the peers.
pub(super) struct Dice(pub(super) AtomicU64);

impl Dice {
    pub(super) fn draw(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn draw_u128(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }

    pub(super) fn in_range(&self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to - from).max(1)
    }

    pub(super) fn chance(&self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}
