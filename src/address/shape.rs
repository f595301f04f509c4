//! Where scheme, authority and segments of an address stand, found in one pass; and, for what that pass does
//! not know, in several, which also say what is wrong.
//!
//! The one pass looks at blocks of 64 bytes: which are a `/`, which a dot, where the colon is. It counts the
//! places where a `/` is followed by another or by a dot: an address has one, the `//` of its scheme. It
//! knows printable ASCII of up to 128 bytes with a scheme of up to 60, which is nearly every address; all
//! else, and whatever looks odd, goes the other way. Nothing is refused here but by the other way.

use super::AddressError;
use crate::{
    limits::{ADDRESS_BYTES_MAX, ADDRESS_SEGMENTS_MAX},
    simd::{BLOCK_BYTES, Block, Blocks, Way, Work},
};

/// What is remembered of a checked address beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Length of the scheme, so the authority starts three bytes later.
    pub(super) scheme_len: u16,
    /// Where the authority ends: the first `/` of the path, or the end of the text.
    pub(super) authority_end: u16,
    /// Bit `i`: a `/` stands at `authority_end + i`.
    pub(super) slashes: u64,
}

/// Bytes of a path whose slashes [`Shape::slashes`] knows.
pub(super) const SLASHES_BYTES: usize = u64::BITS as usize;

/// Checks `text`; gives it without a trailing `/`, and its shape. O(length).
#[inline]
pub(super) fn check(text: &str) -> Result<(&str, Shape), AddressError> {
    match Way::best().run(Usual(text)) {
        Some(shape) => Ok((text.strip_suffix('/').unwrap_or(text), shape)),
        None => check_any(text),
    }
}

/// The shape of a text, if it is an address like most of them; `None` says no more than that it is not.
struct Usual<'a>(&'a str);

impl Work for Usual<'_> {
    type Answer = Option<Shape>;

    #[inline(always)]
    fn with<B: Blocks>(self, blocks: B) -> Option<Shape> {
        let text = self.0.strip_suffix('/').unwrap_or(self.0).as_bytes();
        let (len, first) = (text.len(), text.first_chunk::<BLOCK_BYTES>());
        if len > 2 * BLOCK_BYTES || text.last() == Some(&b'/') {
            return None;
        }
        let seen = match first {
            Some(first) if len == BLOCK_BYTES => Seen::of(blocks, first)?,
            Some(first) => {
                let last = Seen::of(blocks, text.last_chunk()?)?;
                Seen::joined(Seen::of(blocks, first)?, last, (2 * BLOCK_BYTES - len) as u32)
            }
            None => {
                // No letter of an address matters.
                let mut block = [b'a'; BLOCK_BYTES];
                block[..len].copy_from_slice(text);
                Seen::of(blocks, &block)?
            }
        };
        seen.shape(len)
    }
}

/// What matters of up to 128 bytes, all of them printable ASCII: a bit a byte, of the first 64 and of those
/// behind.
#[derive(Clone, Copy)]
struct Seen {
    slashes: [u64; 2],
    /// What is a slash or a dot.
    marks: [u64; 2],
    /// Of the first 64 bytes.
    colons: u64,
}

impl Seen {
    /// Of one block. `None` if a byte is no printable ASCII.
    #[inline(always)]
    fn of<B: Blocks>(blocks: B, block: &Block) -> Option<Seen> {
        if blocks.has_unprintable(block) {
            return None;
        }
        let slashes = blocks.equal_to(block, b'/');
        let marks = blocks.dots_and_slashes(block);
        Some(Seen {
            slashes: [slashes, 0],
            marks: [marks, 0],
            colons: blocks.equal_to(block, b':'),
        })
    }

    /// The first block, and a last one whose first `overlap` bytes, not all, are in it.
    #[inline(always)]
    fn joined(first: Seen, last: Seen, overlap: u32) -> Seen {
        Seen {
            slashes: [first.slashes[0], last.slashes[0] >> overlap],
            marks: [first.marks[0], last.marks[0] >> overlap],
            colons: first.colons,
        }
    }

    /// The shape of a text of `len` bytes that does not end with a slash, if its slashes are those of an
    /// address.
    #[inline(always)]
    fn shape(self, len: usize) -> Option<Shape> {
        let ([low, high], marks) = (self.slashes, self.marks);
        let scheme_len = self.colons.trailing_zeros();
        let pairs = low & (marks[0] >> 1 | marks[1] << (BLOCK_BYTES - 1));
        let is_usual = (1..=SCHEME_BYTES_MAX).contains(&scheme_len)
            && pairs == 1 << (scheme_len + 1)
            && low >> (scheme_len + 2) & 1 == 1
            && high & marks[1] >> 1 == 0
            && len > scheme_len as usize + 3;
        if !is_usual {
            return None;
        }
        let path = low >> (scheme_len + 3);
        let (authority_end, slashes) = if path != 0 {
            let authority_end = scheme_len + 3 + path.trailing_zeros();
            (authority_end, low >> authority_end | high << (BLOCK_BYTES as u32 - authority_end))
        } else if high != 0 {
            let at = high.trailing_zeros();
            (BLOCK_BYTES as u32 + at, high >> at)
        } else {
            (len as u32, 0)
        };
        let (scheme_len, authority_end) = (scheme_len as u16, authority_end as u16);
        Some(Shape { scheme_len, authority_end, slashes })
    }
}

// What the one pass knows needs no count: it is never too long, and has a segment for each two bytes at most.
const _: () = assert!(2 * BLOCK_BYTES <= ADDRESS_BYTES_MAX && BLOCK_BYTES <= ADDRESS_SEGMENTS_MAX);

/// So that what stands behind the scheme is within the first block.
const SCHEME_BYTES_MAX: u32 = BLOCK_BYTES as u32 - 4;

/// The places of the ones in a word, lowest first.
#[derive(Clone, Debug)]
pub(super) struct Bits(pub(super) u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let at = (self.0 != 0).then(|| self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        at
    }
}

/// The same for any text, step by step.
#[cold]
fn check_any(text: &str) -> Result<(&str, Shape), AddressError> {
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    if trimmed.len() > ADDRESS_BYTES_MAX {
        let (bytes, bytes_max) = (trimmed.len(), ADDRESS_BYTES_MAX);
        return Err(AddressError::TooLong { bytes, bytes_max });
    }
    if let Some((at, _)) = text.char_indices().find(|(_, char)| char.is_control()) {
        return Err(AddressError::ControlCharacter { at });
    }
    let scheme_len = text.find("://").ok_or(AddressError::NoScheme)?;
    if scheme_len == 0 {
        return Err(AddressError::EmptyScheme);
    }
    let authority_start = scheme_len + 3;
    // The slashes of `scheme://` are no trailing ones.
    let text = if trimmed.len() < authority_start { text } else { trimmed };
    let authority_end =
        text[authority_start..].find('/').map_or(text.len(), |at| authority_start + at);
    if authority_end == authority_start {
        return Err(AddressError::EmptyDomain);
    }
    check_segments(text, authority_end)?;
    let path = text.as_bytes()[authority_end..].iter().take(SLASHES_BYTES);
    let slashes = path.rev().fold(0, |all, byte| all << 1 | u64::from(*byte == b'/'));
    let (scheme_len, authority_end) = (scheme_len as u16, authority_end as u16);
    Ok((text, Shape { scheme_len, authority_end, slashes }))
}

/// `text` has its authority end at `authority_end` and no trailing `/` that may be ignored.
fn check_segments(text: &str, authority_end: usize) -> Result<(), AddressError> {
    let mut at = authority_end + 1;
    let mut segments = 0;
    for segment in text[authority_end..].split('/').skip(1) {
        match segment {
            "" => return Err(AddressError::EmptySegment { at }),
            "." | ".." => return Err(AddressError::DotSegment { at }),
            _ => {}
        }
        at += segment.len() + 1;
        segments += 1;
    }
    if segments > ADDRESS_SEGMENTS_MAX {
        let segments_max = ADDRESS_SEGMENTS_MAX;
        return Err(AddressError::TooManySegments { segments, segments_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Addresses, and what is nearly one, of every length around the bounds of the usual ones.
    fn texts() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            12 => "[a-z.~ -]{1,40}",
            1 => "[.]{0,3}",
            1 => "[a-z]{0,9}(\u{7f}|\u{80}|\u{9f}|\t|é|:|://|\u{ff0f})[a-z]{0,9}",
        ];
        let path = prop::collection::vec(segment, 0..7).prop_map(|s| s.join("/"));
        ("\t?[a-z]{0,9}", prop_oneof![9 => Just("://"), 1 => Just(":/"), 1 => Just("/")], path)
            .prop_map(|(scheme, colon, path)| format!("{scheme}{colon}{path}"))
    }

    /// The one pass in every way that this machine has.
    fn usual(text: &str) -> Option<Shape> {
        let mut found = Way::available().map(|way| way.run(Usual(text)));
        let first = found.next().expect("there is one way");
        assert!(found.all(|other| other == first), "{text}");
        first
    }

    proptest! {
        /// Goal: the one pass says what the several say. Method: both, on texts of all lengths and faults.
        #[test]
        fn the_one_pass_agrees_with_the_several(text in texts()) {
            let expected = check_any(&text);
            if let Some(shape) = usual(&text) {
                prop_assert_eq!(expected.map(|(_, shape)| shape), Ok(shape));
            }
            prop_assert_eq!(check(&text), expected);
        }

        /// The same where slashes and dots are most of a text.
        #[test]
        fn they_agree_on_slashes_and_dots(
            scheme in "[a-z]{1,70}",
            path in "[a/.:]{0,150}",
        ) {
            for text in [format!("{scheme}://{path}"), format!("{scheme}://a{path}b")] {
                if let Some(shape) = usual(&text) {
                    prop_assert_eq!(check_any(&text).map(|(_, shape)| shape), Ok(shape));
                }
                prop_assert_eq!(check(&text), check_any(&text));
            }
        }
    }

    /// Goal: nearly every address takes the one pass. Method: names as runtimes give them.
    #[test]
    fn usual_addresses_are_usual() {
        for text in [
            "hyperty://domain-00017.example.net/5d3c9e60-75c1-4c8f-91d8-0d6f3f8a2b11",
            "hyperty-runtime://example.org/5d3c9e60-75c1-4c8f-91d8-0d6f3f8a2b11/registry/changes",
            "comm://example.org/7/changes",
            "domain://msg-node.example.org/sm",
            "domain://example.org",
        ] {
            assert!(usual(text).is_some(), "{text}");
        }
    }
}
