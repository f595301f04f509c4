//! A peer's slot: generation and status in one atomic word.
//!
//! **A status flip is one store.** Entries of the FIB point at the slot's owner; however many addresses stand
//! behind it, turning them all to P2P or back writes this one word and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::status::Status;

/// Generation (upper 56 bits) and status (lower 8) of a connection.
///
/// One writer, the Registry; any number of readers.
#[derive(Debug)]
pub struct Slot(AtomicU64);

impl Slot {
    /// A slot at `status` of `generation`.
    pub fn new(generation: u64, status: Status) -> Self {
        Slot(AtomicU64::new(pack(generation, status)))
    }

    /// Both, read together. One load.
    pub fn load(&self) -> (u64, Status) {
        let word = self.0.load(Ordering::Acquire);
        (word >> 8, Status::from_bits(word as u8))
    }

    /// The status alone. One load.
    pub fn status(&self) -> Status {
        self.load().1
    }

    /// True if messages may take the direct way. One load.
    pub fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire) as u8 == Status::Live as u8
    }

    /// Flips to `status` of `generation`. One store.
    pub fn store(&self, generation: u64, status: Status) {
        self.0.store(pack(generation, status), Ordering::Release);
    }
}

fn pack(generation: u64, status: Status) -> u64 {
    (generation << 8) | status as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let slot = Slot::new(0, Status::Created);
        for generation in [0, 1, 7, (1 << 56) - 1] {
            for status in Status::ALL {
                slot.store(generation, status);
                assert_eq!(slot.load(), (generation, status));
                assert_eq!(slot.is_live(), status == Status::Live);
            }
        }
    }
}
