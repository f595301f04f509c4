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
    strings: Strings,
    non_ascii: bool,
}

/// Blocks that are looked at together. What is asked of all at once, whether there is a backslash, say, is
/// guessed right more often than for each, and their brackets make a longer walk.
const TOGETHER: usize = 4;

/// A block, or what remains of the text, and its masks.
#[derive(Clone, Copy)]
struct Part<'a> {
    block: &'a [u8; BLOCK_BYTES],
    /// Bytes of the block that lie before the part; the masks are shifted down by as many bits.
    passed: usize,
    quotes: u64,
    rare: u64,
    brackets: u64,
}

impl<'a, B: Blocks> Nested<'a, B> {
    /// For a value in `bytes`, at least one block.
    #[inline(always)]
    pub(super) fn new(blocks: B, bytes: &'a [u8]) -> Self {
        Nested { blocks, bytes, strings: Strings::default(), non_ascii: false }
    }

    /// Behind the value whose bracket stands at `at`. `None` if it is not balanced, deeper than `depth_max`, holds
    /// a control character in a string, or a backslash elsewhere. Linear in what lies before the end, and
    /// some blocks.
    #[inline(always)]
    pub(super) fn end(&mut self, mut at: usize, depth_max: usize) -> Option<usize> {
        let mut open = Open::new();
        let mut brackets = [0; TOGETHER * BLOCK_BYTES];
        while at < self.bytes.len() {
            let mut parts = self.parts(at);
            if !self.leave_out_strings(&mut parts) {
                return None;
            }
            let mut count = 0;
            for part in &parts {
                let out = brackets[count..].first_chunk_mut()?;
                self.blocks.compress(part.block, part.brackets << part.passed, out);
                count += part.brackets.count_ones() as usize;
            }
            if let Some(last) = open.walk(&brackets[..count], depth_max) {
                return open.balanced().then(|| at + place(&parts, last) + 1);
            }
            at += parts.len() * BLOCK_BYTES;
        }
        None
    }

    /// Whether a byte above 0x7f was seen, perhaps some blocks behind the value.
    pub(super) fn non_ascii(&self) -> bool {
        self.non_ascii
    }

    /// Written out: what the standard library calls for us is not compiled for the instructions of `B`.
    #[inline(always)]
    fn parts(&self, at: usize) -> [Part<'a>; TOGETHER] {
        [
            self.part(at),
            self.part(at + BLOCK_BYTES),
            self.part(at + 2 * BLOCK_BYTES),
            self.part(at + 3 * BLOCK_BYTES),
        ]
    }

    #[inline(always)]
    fn part(&self, at: usize) -> Part<'a> {
        let (blocks, Some((block, passed))) = (self.blocks, block_at(self.bytes, at)) else {
            let block = &[b' '; BLOCK_BYTES];
            return Part { block, passed: 0, quotes: 0, rare: 0, brackets: 0 };
        };
        let loaded = blocks.load(block);
        Part {
            block,
            passed,
            quotes: blocks.quotes(loaded) >> passed,
            rare: blocks.rare(loaded) >> passed,
            brackets: blocks.brackets(loaded) >> passed,
        }
    }

    /// Takes the brackets in strings out of the masks. False if a byte stands where none of its kind may.
    #[inline(always)]
    fn leave_out_strings(&mut self, parts: &mut [Part<'a>; TOGETHER]) -> bool {
        let rare = parts.iter().fold(self.strings.escape, |all, part| all | part.rare);
        if rare != 0 {
            return self.leave_out_rare_strings(parts);
        }
        for part in parts {
            part.brackets &= !self.strings.inside(self.blocks.parity(part.quotes));
        }
        true
    }

    /// The same for parts with backslashes, control characters, or what is not ASCII.
    #[inline(always)]
    fn leave_out_rare_strings(&mut self, parts: &mut [Part<'a>; TOGETHER]) -> bool {
        let blocks = self.blocks;
        let (mut misplaced, mut any_non_ascii) = (0, 0);
        for part in parts {
            let loaded = blocks.load(part.block);
            let backslashes = blocks.backslashes(loaded) >> part.passed;
            let mut controls = part.rare & !backslashes;
            if controls != 0 {
                let non_ascii = blocks.non_ascii(loaded) >> part.passed;
                any_non_ascii |= non_ascii;
                controls &= !non_ascii;
            }
            let quotes = part.quotes & !self.strings.escaped(backslashes);
            let inside = self.strings.inside(blocks.parity(quotes));
            part.brackets &= !inside;
            misplaced |= backslashes & !inside | controls & inside;
        }
        self.non_ascii |= any_non_ascii != 0;
        misplaced == 0
    }
}

/// Where bracket number `number` of the parts stands, from their start.
#[inline(always)]
fn place(parts: &[Part<'_>; TOGETHER], mut number: usize) -> usize {
    for (i, part) in parts.iter().enumerate() {
        let mut brackets = part.brackets;
        let count = brackets.count_ones() as usize;
        if number < count {
            for _ in 0..number {
                brackets &= brackets - 1;
            }
            return i * BLOCK_BYTES + brackets.trailing_zeros() as usize;
        }
        number -= count;
    }
    unreachable!("a bracket that was walked over is in one of the parts")
}

/// The block at `at`, and by how many bits its masks are to be shifted down to start there: near the end of
/// `bytes` the block is their last one. `None` at the end.
#[inline(always)]
pub(super) fn block_at(bytes: &[u8], at: usize) -> Option<(&[u8; BLOCK_BYTES], usize)> {
    let rest = bytes.get(at..)?;
    if let Some(block) = rest.first_chunk() {
        return Some((block, 0));
    }
    if rest.is_empty() {
        return None;
    }
    Some((bytes.last_chunk()?, BLOCK_BYTES - rest.len()))
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
    wrong: u8,
}

/// More than any depth allowed; a power of two, so that no place needs a check.
const SLOTS: usize = 256;
const _: () = assert!(MESSAGE_DEPTH_MAX < SLOTS && SLOTS.is_power_of_two());

impl Open {
    #[inline(always)]
    fn new() -> Self {
        Open { closing: [0; SLOTS], len: 0, wrong: 0 }
    }

    /// Walks until no bracket is open, and gives the number of the one that closed the last. More than
    /// `depth_max` open ones are wrong.
    #[inline(always)]
    fn walk(&mut self, brackets: &[u8], depth_max: usize) -> Option<usize> {
        if self.len + brackets.len() > depth_max {
            return self.walk_deep(brackets, depth_max);
        }
        brackets.iter().position(|&bracket| self.step(bracket) == 0)
    }

    /// The same when the depth allowed may be reached.
    #[cold]
    fn walk_deep(&mut self, brackets: &[u8], depth_max: usize) -> Option<usize> {
        brackets.iter().position(|&bracket| {
            let len = self.step(bracket);
            self.wrong |= (len > depth_max) as u8;
            // What is wrong stays so, and deeper than this nothing needs to be remembered.
            self.len = len.min(depth_max + 1);
            len == 0
        })
    }

    /// Takes a bracket and gives the number of those open behind it.
    #[inline(always)]
    fn step(&mut self, bracket: u8) -> usize {
        // `{` is 0x7b, `}` 0x7d, `[` 0x5b, `]` 0x5d: bit 1 opens, and bits 1 and 2 tell the two of a pair apart.
        let opens = bracket >> 1 & 1;
        let place = self.len + opens as usize - 1;
        let slot = &mut self.closing[place % SLOTS];
        self.wrong |= (*slot ^ bracket) & opens.wrapping_sub(1);
        *slot = bracket ^ 6;
        self.len = place + opens as usize;
        self.len
    }

    #[inline(always)]
    fn balanced(&self) -> bool {
        self.wrong == 0
    }
}
