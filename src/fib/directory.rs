//! The hash directory: where the slot of a prefix is found without walking down to it.
//!
//! It indexes the trie's nodes by the keyed hash of their whole prefix and replaces none of what
//! they know: a hit is taken only if the node has the right parent and the right segment. The upper
//! bits of a hash choose one of 1,024 places of an array, each of which leads to [`Lines`]; several
//! neighbours lead to the same ones while these are few. So the directory grows and shrinks part by
//! part (extendible hashing), and no edit pays for the whole.
//!
//! This is the readers' half; the writer's is [`super::growth`].

use std::sync::atomic::{AtomicPtr, Ordering};

use crossbeam_epoch::Guard;

use super::{
    hash::Hash,
    line::{Line, Lines, PLACE_BITS},
};
use crate::memory::prefetch;

/// The array of parts. Lines go into it and out of it by the writer's hand only; it does not own
/// them.
pub(super) struct Directory {
    parts: [AtomicPtr<Line>; PARTS],
}

impl Directory {
    pub(super) fn new() -> Directory {
        let empty = Lines::empty().tagged();
        Directory { parts: std::array::from_fn(|_| AtomicPtr::new(empty)) }
    }

    /// The lines of `hash`.
    #[inline]
    pub(super) fn lines<'g>(&'g self, hash: Hash, _guard: &'g Guard) -> Lines<'g> {
        // SAFETY: lines that the writer replaces stay until the guards that were pinned before are
        // gone.
        unsafe { Lines::from_tagged(self.part(part_of(hash))) }
    }

    /// Asks for the home line of `hash`. No guard is needed: a hint to a line that has gone does no
    /// harm.
    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        // SAFETY: only the address is computed.
        let lines = unsafe { Lines::from_tagged(self.part(part_of(hash))) };
        prefetch(lines.address_of_home(hash));
    }

    /// The tagged lines of a part.
    #[inline]
    pub(super) fn part(&self, part: usize) -> *mut Line {
        self.parts[part % PARTS].load(Ordering::Acquire)
    }

    /// Makes a part lead to other lines. Only the writer does.
    pub(super) fn set_part(&self, part: usize, tagged: *mut Line) {
        self.parts[part].store(tagged, Ordering::Release);
    }
}

/// The part of a hash.
#[inline]
pub(super) fn part_of(hash: Hash) -> usize {
    (hash.0 >> PLACE_BITS) as usize
}

/// Bits of a hash that choose the part.
pub(super) const PART_BITS: u32 = 32 - PLACE_BITS;
/// As many as keep a part small where the table holds ten million nodes, and the array at 8 KiB.
pub(super) const PARTS: usize = 1 << PART_BITS;
