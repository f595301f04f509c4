//! Where an object or array ends, in blocks of 64 bytes: its strings are passed over, its brackets matched. What
//! else stands in it is not looked at, but for control characters in strings.
//!
//! ```text
//!  bytes     {"a\"b":[1]}
//!  quotes     ^    ^          but those that are escaped
//!  inside     ^~~~~           parity of the quotes
//!  brackets  ^       ^ ^^     outside strings
//! ```

use super::simd::{BLOCK_BYTES, Blocks};
use crate::limits::MESSAGE_DEPTH_MAX;

pub(super) struct Nested<'a, B> {
    blocks: B,
    bytes: &'a [u8],
    depth_max: usize,
    strings: Strings,
    non_ascii: bool,
}

impl<'a, B: Blocks> Nested<'a, B> {
    /// For a value in `bytes`, at least one block, which may be `depth_max` deep.
    #[inline(always)]
    pub(super) fn new(blocks: B, bytes: &'a [u8], depth_max: usize) -> Self {
        Nested { blocks, bytes, depth_max, strings: Strings::default(), non_ascii: false }
    }

    /// Behind the value whose bracket stands at `at`. `None` if it is not balanced, too deep, holds a control
    /// character in a string, or a backslash elsewhere. Linear in what lies before the end, and one block.
    #[inline(always)]
    pub(super) fn end(&mut self, mut at: usize) -> Option<usize> {
        let mut open = Open::new();
        loop {
            let (block, passed) = block_at(self.blocks, self.bytes, at)?;
            let mut brackets = self.outside_strings(block, passed)?;
            while brackets != 0 {
                let here = at + brackets.trailing_zeros() as usize;
                brackets &= brackets - 1;
                if open.step(self.bytes[here]) == 0 {
                    return open.balanced(self.depth_max).then_some(here + 1);
                }
            }
            at += BLOCK_BYTES;
        }
    }

    /// Whether a byte above 0x7f was seen, perhaps up to one block behind the value.
    pub(super) fn non_ascii(&self) -> bool {
        self.non_ascii
    }

    /// The brackets of a block that count.
    #[inline(always)]
    fn outside_strings(&mut self, block: B::Block, passed: usize) -> Option<u64> {
        let blocks = self.blocks;
        let mut quotes = blocks.quotes(block) >> passed;
        let backslashes = blocks.backslashes(block) >> passed;
        let unplain = blocks.unplain(block) >> passed;
        let brackets = blocks.brackets(block) >> passed;
        if backslashes | self.strings.escape != 0 {
            quotes &= !self.strings.escaped(backslashes);
        }
        let inside = self.strings.inside(blocks.parity(quotes));
        if backslashes & !inside != 0 {
            return None;
        }
        if unplain != 0 {
            let non_ascii = blocks.non_ascii(block) >> passed;
            self.non_ascii |= non_ascii != 0;
            if unplain & !non_ascii & inside != 0 {
                return None;
            }
        }
        Some(brackets & !inside)
    }
}

/// The block at `at`, and by how many bits its masks are to be shifted down to start there: near the end of
/// `bytes` the block is their last one. `None` at the end.
#[inline(always)]
pub(super) fn block_at<B: Blocks>(blocks: B, bytes: &[u8], at: usize) -> Option<(B::Block, usize)> {
    let rest = bytes.get(at..)?;
    if let Some(chunk) = rest.first_chunk() {
        return Some((blocks.load(chunk), 0));
    }
    if rest.is_empty() {
        return None;
    }
    Some((blocks.load(bytes.last_chunk()?), BLOCK_BYTES - rest.len()))
}

/// What one block has to know of those before it.
#[derive(Default)]
struct Strings {
    /// All ones if the last block ended in a string.
    inside: u64,
    /// 1 if the last block ended with a backslash that escapes the first byte of the next.
    escape: u64,
}

impl Strings {
    /// The bytes of a block that lie in strings, opening quotes included, by the parity of its quotes.
    #[inline(always)]
    fn inside(&mut self, parity: u64) -> u64 {
        let inside = parity ^ self.inside;
        self.inside = ((inside as i64) >> 63) as u64;
        inside
    }

    /// The bytes of a block that a backslash escapes.
    ///
    /// In a run of backslashes every second escapes. A subtraction finds them for all runs at once: with ones in
    /// the odd places it borrows from the start of each run on, which flips the odd places of the runs that
    /// start in an odd place and the even ones of the others.
    #[inline(always)]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let escaping = backslashes & !self.escape;
        let behind = escaping << 1;
        let flipped = (behind | ODD).wrapping_sub(escaping) ^ ODD;
        let escaped = flipped ^ (backslashes | self.escape);
        self.escape = (flipped & backslashes) >> 63;
        escaped
    }
}

/// The open brackets, each as the one that closes it. Steps take no branch: what is wrong is remembered.
struct Open {
    closing: [u8; SLOTS],
    len: usize,
    len_most: usize,
    wrong: u8,
}

/// More than any depth allowed; a power of two, so that deeper ones wrap around instead of being looked at.
const SLOTS: usize = 256;
const _: () = assert!(MESSAGE_DEPTH_MAX < SLOTS && SLOTS.is_power_of_two());

impl Open {
    #[inline(always)]
    fn new() -> Self {
        Open { closing: [0; SLOTS], len: 0, len_most: 0, wrong: 0 }
    }

    /// Takes a bracket and gives the number of those open behind it.
    #[inline(always)]
    fn step(&mut self, bracket: u8) -> usize {
        // `{` is 0x7b, `}` 0x7d, `[` 0x5b, `]` 0x5d: bit 1 opens, and bits 1 and 2 tell the two of a pair apart.
        let opens = (bracket >> 1 & 1) as usize;
        let place = self.len + opens - 1;
        let slot = &mut self.closing[place % SLOTS];
        self.wrong |= (*slot ^ bracket) & (opens as u8).wrapping_sub(1);
        *slot = bracket ^ 6;
        self.len = place + opens;
        self.len_most = self.len_most.max(self.len);
        self.len
    }

    #[inline(always)]
    fn balanced(&self, depth_max: usize) -> bool {
        self.wrong == 0 && self.len_most <= depth_max
    }
}
