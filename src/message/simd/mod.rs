//! Blocks of 64 bytes and what can be asked of all their bytes at once: one bit a byte, the first byte's lowest.
//!
//! A type that implements [`Blocks`] is a token: whoever has one runs on a machine that can do what it takes.
//! Nothing here knows JSON beyond which bytes matter.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
pub(super) use portable::Portable;

/// Bytes of one block: as many as a mask has bits.
pub(super) const BLOCK_BYTES: usize = 64;

/// What can be done by any way to look at blocks. To be inlined, and all that it calls on blocks: only within
/// [`Blocks::run`] may the compiler use the instructions, and what is a function of its own is outside. Closures
/// that the standard library calls are.
pub(super) trait Work {
    type Answer;

    fn with<B: Blocks>(self, blocks: B) -> Self::Answer;
}

/// A way to look at blocks.
pub(super) trait Blocks: Copy {
    /// 64 bytes, wherever this way likes to have them.
    type Block: Copy;

    /// Does `work` in a function that is compiled for the instructions of this way.
    fn run<W: Work>(self, work: W) -> W::Answer;

    fn load(self, bytes: &[u8; BLOCK_BYTES]) -> Self::Block;

    /// `"`
    fn quotes(self, block: Self::Block) -> u64;

    /// `\`
    fn backslashes(self, block: Self::Block) -> u64;

    /// `\`, below 0x20, above 0x7f: what plain ASCII text of a string does not have.
    fn rare(self, block: Self::Block) -> u64;

    /// Where plain ASCII text of a string ends: `"` and what is [rare](Self::rare).
    fn special(self, block: Self::Block) -> u64;

    /// Above 0x7f: parts of characters that are not ASCII.
    fn non_ascii(self, block: Self::Block) -> u64;

    /// `{`, `}`, `[`, `]`
    fn brackets(self, block: Self::Block) -> u64;

    /// Writes the bytes that `mask` marks one behind the other, and rubbish behind them.
    #[inline(always)]
    fn compress(self, block: &[u8; BLOCK_BYTES], mut mask: u64, out: &mut [u8; BLOCK_BYTES]) {
        // Four at a time whether there are four or not: a branch less to guess, and more are rare.
        for four in out.as_chunks_mut::<4>().0 {
            for byte in four {
                *byte = block[mask.trailing_zeros() as usize % BLOCK_BYTES];
                mask &= mask.wrapping_sub(1);
            }
            if mask == 0 {
                break;
            }
        }
    }

    /// Each bit becomes the parity of itself and those below.
    fn parity(self, mask: u64) -> u64;
}
