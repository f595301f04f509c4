//! Blocks as eight words of eight bytes, for every machine: no byte's bits ever carry into the next byte.

use super::{BLOCK_BYTES, Blocks, Work};

/// The way that is always there.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Portable;

impl Blocks for Portable {
    type Block = [u64; 8];

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        work.with(self)
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; BLOCK_BYTES]) -> Self::Block {
        let (words, _) = bytes.as_chunks();
        std::array::from_fn(|i| u64::from_le_bytes(words[i]))
    }

    #[inline(always)]
    fn special(self, block: Self::Block) -> u64 {
        gather(block, |word| equal(word, b'"') | equal(word, b'\\') | unplain(word))
    }

    #[inline(always)]
    fn quotes(self, block: Self::Block) -> u64 {
        gather(block, |word| equal(word, b'"'))
    }

    #[inline(always)]
    fn backslashes(self, block: Self::Block) -> u64 {
        gather(block, |word| equal(word, b'\\'))
    }

    #[inline(always)]
    fn rare(self, block: Self::Block) -> u64 {
        gather(block, |word| equal(word, b'\\') | unplain(word))
    }

    #[inline(always)]
    fn non_ascii(self, block: Self::Block) -> u64 {
        gather(block, |word| word)
    }

    #[inline(always)]
    fn brackets(self, block: Self::Block) -> u64 {
        gather(block, |word| {
            // The bit of lower case is all that tells `[` from `{` and `]` from `}`.
            let folded = word | (ONES * 0x20);
            equal(folded, b'{') | equal(folded, b'}')
        })
    }

    #[inline(always)]
    fn parity(self, mut mask: u64) -> u64 {
        for distance in [1, 2, 4, 8, 16, 32] {
            mask ^= mask << distance;
        }
        mask
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// The top bit of each byte of `marks(word)`, gathered: one bit a byte.
#[inline(always)]
fn gather(block: [u64; 8], marks: impl Fn(u64) -> u64) -> u64 {
    let mut square = 0;
    for (i, word) in block.into_iter().enumerate() {
        square |= (marks(word) & TOPS) >> (7 - i);
    }
    if square == 0 { 0 } else { transpose(square) }
}

/// Bit `i` of byte `j` becomes bit `j` of byte `i`: the halves that are in each other's place change places, of
/// squares of two by two bits, then of four by four, then of the whole.
#[inline(always)]
fn transpose(mut square: u64) -> u64 {
    for (distance, above) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let differing = (square ^ square >> distance) & above;
        square ^= differing ^ differing << distance;
    }
    square
}

/// Sets the top bit of each byte that is `byte`, an ASCII one, and leaves rubbish in the others' low bits.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let zero_if_equal = word ^ (ONES * byte as u64);
    // The addition reaches the top bit from any low bit, and never the next byte.
    !(((zero_if_equal & !TOPS) + !TOPS) | zero_if_equal)
}

/// Sets the top bit of each byte below 0x20 or above 0x7f.
#[inline(always)]
fn unplain(word: u64) -> u64 {
    !((word & !TOPS) + ONES * 0x60) | word
}
