//! Blocks as eight words of eight bytes, for every machine: no byte's bits ever carry into the next byte.

use super::{Block, Blocks, Masks, Work};

/// The way that is always there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Blocks for Portable {
    /// The top bit of each byte: one in its column was below 0x20 or above 0x7f.
    type Seen = u64;

    /// Not inlined: whoever may run other ways needs no room for this one.
    #[inline(never)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        work.with(self)
    }

    #[inline(always)]
    fn masks(self, block: &Block) -> Masks {
        let others = |marks: fn(u64) -> u64| gather(block, |word| marks(word & !TOPS));
        let quotes = others(|low| differs(low, b'"'));
        let backslashes = others(|low| differs(low, b'\\'));
        let brackets = others(|low| {
            // The bit of lower case is all that tells `[` from `{` and `]` from `}`.
            let folded = low | (ONES * 0x20);
            differs(folded, b'{') & differs(folded, b'}')
        });
        let all = words(block).into_iter().fold(0, |all, word| all | word);
        let others = if all & TOPS == 0 { 0 } else { self.non_ascii(block) };
        Masks {
            quotes: !(quotes | others),
            backslashes: !(backslashes | others),
            brackets: !(brackets | others),
        }
    }

    #[inline(always)]
    fn special(self, block: &Block) -> u64 {
        gather(block, |word| {
            let low = word & !TOPS;
            !(differs(low, b'"') & differs(low, b'\\')) | unplain(word)
        })
    }

    #[inline(always)]
    fn equal_to(self, block: &Block, byte: u8) -> u64 {
        gather(block, |word| !(differs(word & !TOPS, byte) | word))
    }

    #[inline(always)]
    fn dots_and_slashes(self, block: &Block) -> u64 {
        // The lowest bit is all that tells them apart.
        gather(block, |word| !(differs(word & !TOPS | ONES, b'/') | word))
    }

    #[inline(always)]
    fn has_unprintable(self, block: &Block) -> bool {
        let odd = |word: u64| unplain(word) | !differs(word & !TOPS, 0x7f);
        words(block).into_iter().fold(0, |all, word| all | odd(word)) & TOPS != 0
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
    match square {
        0 => 0,
        u64::MAX => u64::MAX,
        _ => transpose(square),
    }
}

/// Bit `i` of byte `j` becomes bit `j` of byte `i`: the halves that are in each other's place change places,
/// of squares of two by two bits, then of four by four, then of the whole.
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

/// Sets the top bit of each byte that is not `byte`, an ASCII one, and leaves rubbish in the low bits. The
/// top bits of `low` are clear.
#[inline(always)]
fn differs(low: u64, byte: u8) -> u64 {
    // The addition reaches the top bit from any low bit, and never the next byte.
    (low ^ (ONES * byte as u64)) + !TOPS
}

/// Sets the top bit of each byte below 0x20 or above 0x7f.
#[inline(always)]
fn unplain(word: u64) -> u64 {
    !((word & !TOPS) + ONES * 0x60) | word
}
