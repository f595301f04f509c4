//! Where an object or array ends, in blocks of 64 bytes: its strings are passed over, its brackets matched.
//! What else stands in it is not looked at, but for control characters in strings.
//!
//! ```text
//!  bytes     {"a\"b":[1]}
//!  quotes     ^    ^          but those that are escaped
//!  inside     ^~~~~           parity of the quotes
//!  brackets  ^       ^ ^^     outside strings
//! ```
//!
//! Blocks are read by the [`Batch`], without a branch that depends on what is in them; then the brackets of
//! the whole batch are walked. Most of what is guessed wrong is the end of such a walk, so batches are large,
//! but for the first: many values are small, and what lies behind them is read again.

use super::envelope::Lacks;
use crate::limits::MESSAGE_DEPTH_MAX;
use crate::simd::{BLOCK_BYTES, BLOCKS_MAX, Block, Blocks, Places, Room};

/// Blocks of the first batch.
const FIRST_BLOCKS: usize = 4;

/// A nested value.
pub(super) struct Nested {
    /// The place behind its last bracket.
    pub(super) end: usize,
    /// A byte above 0x7f was seen, perhaps some blocks behind it.
    pub(super) non_ascii: bool,
    /// What its strings are not.
    pub(super) lacks: Lacks,
}

/// The value in `bytes`, at least a block of them, whose bracket stands at `at`. `None` if it is not
/// balanced, deeper than `depth_max`, holds a control character in a string, or a backslash elsewhere. Linear
/// in what lies before the end, and some blocks.
#[inline(always)]
pub(super) fn end<B: Blocks>(
    blocks: B,
    bytes: &[u8],
    at: usize,
    depth_max: usize,
) -> Option<Nested> {
    let mut room = Room::new();
    let mut inside = [0; BLOCKS_MAX];
    let mut open = Open::new();
    let mut strings = Strings::default();
    let mut non_ascii = false;
    let mut at = at;
    let mut blocks_max = FIRST_BLOCKS;
    while at < bytes.len() {
        let mut batch = Batch { blocks, strings, inside: &mut inside, brackets: room.places() };
        let (next, unplain) = batch.read(bytes, at, blocks_max)?;
        non_ascii |= unplain && batch.strings_are_fine(&bytes[..next], at)?;
        if let Some(last) = open.walk(&bytes[at..], batch.brackets.written(), depth_max) {
            let end = at + last as usize + 1;
            let lacks = batch.strings.lacks();
            return open.balanced().then_some(Nested { end, non_ascii, lacks });
        }
        (at, strings, blocks_max) = (next, batch.strings, BLOCKS_MAX);
    }
    None
}

/// Some blocks in a row.
struct Batch<'a, B> {
    blocks: B,
    strings: Strings,
    /// Of each block, what lies in strings.
    inside: &'a mut [u64; BLOCKS_MAX],
    /// The brackets outside strings.
    brackets: Places<'a>,
}

impl<B: Blocks> Batch<'_, B> {
    /// Reads at most `blocks_max` blocks from `at` on, and gives the place behind them and whether one has a
    /// byte below 0x20 or above 0x7f. `None` if a backslash stands outside a string.
    #[inline(always)]
    fn read(&mut self, bytes: &[u8], at: usize, blocks_max: usize) -> Option<(usize, bool)> {
        let rest = &bytes[at..];
        let whole = blocks_max.min(rest.len() / BLOCK_BYTES);
        let (mut seen, mut misplaced, mut start) = (self.blocks.nothing_seen(), 0, 0);
        for block in &rest.as_chunks::<BLOCK_BYTES>().0[..whole] {
            seen = self.blocks.see(seen, block);
            misplaced |= self.take(block, start, 0);
            start += BLOCK_BYTES as u16;
        }
        let mut next = at + whole * BLOCK_BYTES;
        if whole < blocks_max
            && let Some((block, passed)) = block_at(bytes, next)
        {
            seen = self.blocks.see(seen, block);
            misplaced |= self.take(block, start, passed);
            next = bytes.len();
        }
        (misplaced == 0).then_some((next, self.blocks.saw_unplain(seen)))
    }

    /// Takes the block that starts at `start` of the batch, but for the first `passed` bytes of it, and gives
    /// the backslashes outside strings.
    #[inline(always)]
    fn take(&mut self, block: &Block, start: u16, passed: usize) -> u64 {
        let masks = self.blocks.masks(block);
        let backslashes = masks.backslashes >> passed;
        // The one branch: most blocks have none, and many messages not one.
        let escaped = if backslashes | self.strings.escape == 0 {
            0
        } else {
            let u = self.blocks.equal_to(block, b'u') >> passed;
            self.strings.note_escapes(backslashes, u);
            self.strings.escaped(backslashes)
        };
        let quotes = masks.quotes >> passed & !escaped;
        let inside = self.strings.inside(self.blocks.parity(quotes));
        self.strings.note_quotes(quotes & inside, quotes & !inside);
        self.inside[start as usize / BLOCK_BYTES % BLOCKS_MAX] = inside;
        self.brackets.push(self.blocks, masks.brackets >> passed & !inside, start);
        backslashes & !inside
    }

    /// For a batch with bytes below 0x20 or above 0x7f, that starts at `at` and ends with `bytes`: whether
    /// there are some of the latter. `None` if one of the former stands in a string.
    #[inline(always)]
    fn strings_are_fine(&self, bytes: &[u8], at: usize) -> Option<bool> {
        let (mut misplaced, mut non_ascii) = (0, 0);
        for (inside, number) in self.inside.iter().zip(0..) {
            let Some((block, passed)) = block_at(bytes, at + number * BLOCK_BYTES) else { break };
            misplaced |= self.blocks.controls(block) >> passed & inside;
            non_ascii |= self.blocks.non_ascii(block) >> passed;
        }
        (misplaced == 0).then_some(non_ascii != 0)
    }
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
#[derive(Clone, Copy, Default)]
struct Strings {
    /// All ones if the last block ended in a string.
    inside: u64,
    /// 1 if the last block ended with a backslash that escapes the first byte of the next.
    escape: u64,
    /// Not 0: there was a `\u`, or maybe one.
    unicode: u64,
    /// Not 0: there was a string of three bytes.
    triples: u64,
    /// The places of the last four bytes of the last block, from 0 on, where a string began.
    begun: u64,
}

impl Strings {
    /// The bytes of a block that lie in strings, opening quotes included, by the parity of its quotes.
    #[inline(always)]
    fn inside(&mut self, parity: u64) -> u64 {
        let inside = parity ^ self.inside;
        self.inside = ((inside as i64) >> 63) as u64;
        inside
    }

    /// Takes note of backslashes before a `u`.
    #[inline(always)]
    fn note_escapes(&mut self, backslashes: u64, u: u64) {
        // What a last byte escapes is not seen here.
        self.unicode |= backslashes & (u >> 1 | 1 << (BLOCK_BYTES - 1));
    }

    /// Takes note of what a block's strings are, by their opening and closing quotes.
    #[inline(always)]
    fn note_quotes(&mut self, opening: u64, closing: u64) {
        self.triples |= opening & closing >> 4 | self.begun & closing;
        self.begun = opening >> (BLOCK_BYTES - 4);
    }

    #[inline(always)]
    fn lacks(&self) -> Lacks {
        Lacks::new(self.unicode == 0, self.triples == 0)
    }

    /// The bytes of a block that a backslash escapes.
    ///
    /// In a run of backslashes every second escapes. A subtraction finds them for all runs at once: with ones
    /// in the odd places it borrows from the start of each run on, which flips the odd places of the runs
    /// that start in an odd place and the even ones of the others.
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

/// The open brackets, each as the one that closes it. Steps take no branch: what is wrong is remembered. But
/// a bracket that is closed by the next is passed over with it: that much is worth guessing.
struct Open {
    closing: [u8; SLOTS],
    len: usize,
    wrong: u32,
}

/// More than any depth allowed; a power of two, so that no place needs a check.
const SLOTS: usize = 256;
const _: () = assert!(MESSAGE_DEPTH_MAX < SLOTS && SLOTS.is_power_of_two());

impl Open {
    #[inline(always)]
    fn new() -> Self {
        Open { closing: [0; SLOTS], len: 0, wrong: 0 }
    }

    /// Walks over the brackets that stand at `places` of `bytes` until none is open, and gives the place of
    /// the one that closed the last. More than `depth_max` open ones are wrong.
    ///
    /// A function of its own: it has the registers for itself.
    #[inline(never)]
    fn walk(&mut self, bytes: &[u8], places: &[u16], depth_max: usize) -> Option<u16> {
        if self.len + places.len() > depth_max {
            return self.walk_deep(bytes, places, depth_max);
        }
        let (mut len, mut wrong) = (self.len, self.wrong);
        let (mut last, mut rest) = (None, places);
        while let [place, more @ ..] = rest {
            let bracket = bytes[*place as usize];
            if let [next, behind @ ..] = more
                && is_pair(bracket, bytes[*next as usize])
                && len != 0
            {
                rest = behind;
                continue;
            }
            (len, wrong) = step(&mut self.closing, len, wrong, bracket);
            if len == 0 {
                last = Some(*place);
                break;
            }
            rest = more;
        }
        (self.len, self.wrong) = (len, wrong);
        last
    }

    /// The same when the depth allowed may be reached.
    #[cold]
    fn walk_deep(&mut self, bytes: &[u8], places: &[u16], depth_max: usize) -> Option<u16> {
        for &place in places {
            let (len, wrong) = step(&mut self.closing, self.len, self.wrong, bytes[place as usize]);
            self.wrong = wrong | (len > depth_max) as u32;
            // What is wrong stays so, and deeper than this nothing needs to be remembered.
            self.len = len.min(depth_max + 1);
            if len == 0 {
                return Some(place);
            }
        }
        None
    }

    #[inline(always)]
    fn balanced(&self) -> bool {
        self.wrong == 0
    }
}

/// One bracket opens and the other closes it.
#[inline(always)]
fn is_pair(bracket: u8, next: u8) -> bool {
    bracket & 2 != 0 && bracket ^ next == 6
}

/// Takes a bracket, `len` being open, and gives the number of those open behind it and what is wrong.
#[inline(always)]
fn step(closing: &mut [u8; SLOTS], len: usize, wrong: u32, bracket: u8) -> (usize, u32) {
    // `{` is 0x7b, `}` 0x7d, `[` 0x5b, `]` 0x5d: bit 1 opens, and bits 1 and 2 tell the two of a pair apart.
    let opens = bracket as usize >> 1 & 1;
    let place = len + opens - 1;
    let slot = &mut closing[place % SLOTS];
    let differs = (*slot ^ bracket) as u32;
    *slot = bracket ^ 6;
    (place + opens, wrong | differs & (opens as u32).wrapping_sub(1))
}
