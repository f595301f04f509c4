//! Blocks as eight words of eight bytes, for every machine: no byte's bits ever carry into the next byte.

use super::{Block, Blocks, Masks, Work};

/// The way that is always there.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Portable;

impl Blocks for Portable {
    /// The top bit of each byte: one in its column was below 0x20 or above 0x7f.
    type Seen = u64;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        work.with(self)
    }

    #[inline(always)]
    fn masks(self, block: &Block) -> Masks {
        let words = words(block);
        let (mut quotes, mut backslashes, mut brackets, mut all) = (0, 0, 0, 0);
        for (i, word) in words.into_iter().enumerate() {
            let low = word & !TOPS;
            quotes |= (equal(low, b'"') & TOPS) >> (7 - i);
            backslashes |= (equal(low, b'\\') & TOPS) >> (7 - i);
            // The bit of lower case is all that tells `[` from `{` and `]` from `}`.
            let folded = low | (ONES * 0x20);
            brackets |= ((equal(folded, b'{') | equal(folded, b'}')) & TOPS) >> (7 - i);
            all |= word;
        }
        let ascii = if all & TOPS == 0 { !0 } else { !self.non_ascii(block) };
        Masks {
            quotes: transpose(quotes) & ascii,
            backslashes: if backslashes == 0 { 0 } else { transpose(backslashes) & ascii },
            brackets: transpose(brackets) & ascii,
        }
    }

    #[inline(always)]
    fn special(self, block: &Block) -> u64 {
        gather(block, |word| {
            let low = word & !TOPS;
            equal(low, b'"') | equal(low, b'\\') | unplain(word)
        })
    }

    #[inline(always)]
    fn controls(self, block: &Block) -> u64 {
        gather(block, |word| unplain(word) & !word)
    }

    #[inline(always)]
    fn non_ascii(self, block: &Block) -> u64 {
        gather(block, |word| word)
    }

    #[inline(always)]
    fn nothing_seen(self) -> u64 {
        0
    }

    #[inline(always)]
    fn see(self, seen: u64, block: &Block) -> u64 {
        words(block).into_iter().fold(seen, |seen, word| seen | unplain(word))
    }

    #[inline(always)]
    fn saw_unplain(self, seen: u64) -> bool {
        seen & TOPS != 0
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

#[inline(always)]
fn words(block: &Block) -> [u64; 8] {
    let (words, _) = block.as_chunks();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

/// The top bit of each byte of `marks(word)`, gathered: one bit a byte.
#[inline(always)]
fn gather(block: &Block, marks: impl Fn(u64) -> u64) -> u64 {
    let mut square = 0;
    for (i, word) in words(block).into_iter().enumerate() {
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

/// Sets the top bit of each byte that is `byte`, an ASCII one, and leaves rubbish in the others' low bits. The top
/// bits of `low` are clear.
#[inline(always)]
fn equal(low: u64, byte: u8) -> u64 {
    // What is subtracted is at most 0x7f, so nothing is borrowed, and the top bit stays if it is zero.
    TOPS - (low ^ (ONES * byte as u64))
}

/// Sets the top bit of each byte below 0x20 or above 0x7f.
#[inline(always)]
fn unplain(word: u64) -> u64 {
    !((word & !TOPS) + ONES * 0x60) | word
}
