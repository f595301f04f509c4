//! Blocks of 64 bytes and what can be asked of all their bytes at once: one bit a byte, the first byte's
//! lowest.
//!
//! A type that implements [`Blocks`] is a token: whoever has one runs on a machine that can do what it takes.
//! Nothing here knows JSON beyond which bytes matter.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod places;
mod portable;

use std::{mem::MaybeUninit, sync::OnceLock};

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
pub(crate) use places::{BLOCKS_MAX, Places, Room};
use portable::Portable;

/// Bytes of one block: as many as a mask has bits.
pub(crate) const BLOCK_BYTES: usize = 64;

/// One block.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// Room for the places of all bytes of one block.
type BlockRoom = [MaybeUninit<u16>; BLOCK_BYTES];

/// What can be done by any way to look at blocks. To be inlined, and all that it calls on blocks: only within
/// [`Blocks::run`] may the compiler use the instructions, and what is a function of its own is outside.
/// Closures that the standard library calls are.
pub(crate) trait Work {
    type Answer;

    fn with<B: Blocks>(self, blocks: B) -> Self::Answer;
}

/// The bytes of a block that count in nested values.
#[derive(Clone, Copy)]
pub(crate) struct Masks {
    /// `"`
    pub(crate) quotes: u64,
    /// `\`
    pub(crate) backslashes: u64,
    /// `{`, `}`, `[`, `]`
    pub(crate) brackets: u64,
}

/// A way to look at blocks that this machine has: the tokens within say so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Way {
    /// The ways that this machine has, the slowest first.
    pub(crate) fn available() -> impl Iterator<Item = Way> {
        let always = [Some(Way::Portable(Portable))];
        #[cfg(target_arch = "x86_64")]
        let detected = [Avx2::detect().map(Way::Avx2), Avx512::detect().map(Way::Avx512)];
        #[cfg(not(target_arch = "x86_64"))]
        let detected = [];
        always.into_iter().chain(detected).flatten()
    }

    /// The fastest of them, which programs get. One load.
    #[inline]
    pub(crate) fn best() -> Way {
        static BEST: OnceLock<Way> = OnceLock::new();
        *BEST.get_or_init(Way::fastest)
    }

    #[cold]
    fn fastest() -> Way {
        Way::available().last().unwrap_or(Way::Portable(Portable))
    }

    /// `portable`, `avx2` or `avx512`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Way::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Way::Avx512(_) => "avx512",
        }
    }

    /// Does `work` this way.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Answer {
        match self {
            Way::Portable(blocks) => blocks.run(work),
            #[cfg(target_arch = "x86_64")]
            Way::Avx2(blocks) => blocks.run(work),
            #[cfg(target_arch = "x86_64")]
            Way::Avx512(blocks) => blocks.run(work),
        }
    }
}

/// A way to look at blocks.
pub(crate) trait Blocks: Copy {
    /// What is remembered of the blocks that were [seen](Self::see).
    type Seen: Copy;

    /// Does `work` in a function that is compiled for the instructions of this way.
    fn run<W: Work>(self, work: W) -> W::Answer;

    fn masks(self, block: &Block) -> Masks;

    /// Where plain ASCII text of a string ends: `"`, `\`, below 0x20, above 0x7f.
    fn special(self, block: &Block) -> u64;

    /// `byte`, which is ASCII.
    fn equal_to(self, block: &Block, byte: u8) -> u64;

    /// `.` and `/`.
    fn dots_and_slashes(self, block: &Block) -> u64;

    /// Whether any byte is no printable ASCII: below 0x20, or above 0x7e.
    fn has_unprintable(self, block: &Block) -> bool;

    /// Below 0x20.
    fn controls(self, block: &Block) -> u64;

    /// Above 0x7f: parts of characters that are not ASCII.
    fn non_ascii(self, block: &Block) -> u64;

    fn nothing_seen(self) -> Self::Seen;

    fn see(self, seen: Self::Seen, block: &Block) -> Self::Seen;

    /// Whether a byte below 0x20 or above 0x7f was among those seen.
    fn saw_unplain(self, seen: Self::Seen) -> bool;

    /// Each bit becomes the parity of itself and those below.
    fn parity(self, mask: u64) -> u64;

    /// Writes `start` and the number of the bit for each bit of `mask`, the lowest first, and perhaps rubbish
    /// behind.
    #[inline(always)]
    fn write_places(self, mut mask: u64, start: u16, room: &mut BlockRoom) {
        // Four whether there are four or not: a branch less to guess, and more are rare.
        let (first, more) = room.split_at_mut(4);
        for place in first {
            place.write(start.wrapping_add(mask.trailing_zeros() as u16));
            mask &= mask.wrapping_sub(1);
        }
        if mask != 0 {
            for place in more.iter_mut().take(mask.count_ones() as usize) {
                place.write(start.wrapping_add(mask.trailing_zeros() as u16));
                mask &= mask.wrapping_sub(1);
            }
        }
    }
}
