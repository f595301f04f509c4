//! Numbers from a seed, the virtual clock, and the hash of what happened. Nothing here knows the world.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// SplitMix64's finaliser.
pub(crate) fn mix(of: u64) -> u64 {
    let mut z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A generator that can be shared with what the world drives.
#[derive(Clone)]
pub(crate) struct Dice(Arc<AtomicU64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Arc::new(AtomicU64::new(mix(seed))))
    }

    /// Another generator, from the state of this one, which draws as if there were none.
    pub(crate) fn apart(&self) -> Dice {
        Dice::new(!self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn draw(&self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    pub(crate) fn draw_u128(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }

    /// `from` to before `to`; `from` if that is nothing.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.draw() % (to.saturating_sub(from)).max(1)
    }

    pub(crate) fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[(self.draw() % of.len() as u64) as usize]
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}

/// The hash of all that happened, in order; two runs of a seed must have the same.
pub(crate) struct Trace {
    hash: u64,
    /// Prints each line, for the replay of one seed.
    loud: bool,
}

impl Trace {
    pub(crate) fn new(loud: bool) -> Trace {
        Trace { hash: 0, loud }
    }

    /// Something of `kind` happened at `at` (nanoseconds of the virtual clock) at `place`.
    pub(crate) fn note(&mut self, at: u128, kind: &str, place: usize, bytes: &[u8]) {
        self.fold(at as u64);
        self.fold(place as u64);
        self.fold_bytes(kind.as_bytes());
        self.fold_bytes(bytes);
        if self.loud {
            let text = String::from_utf8_lossy(bytes);
            println!("{:>10.3} ms {kind} {place} {text}", at as f64 / 1e6);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn fold_bytes(&mut self, bytes: &[u8]) {
        self.fold(bytes.len() as u64);
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn fold(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
