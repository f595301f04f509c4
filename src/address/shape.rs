//! Where scheme, authority and segments of an address stand, found in one pass; and, for what that pass does not
//! know, in several, which also say what is wrong.
//!
//! The one pass compares sixteen bytes at a time, in loops that compile to vector instructions, and takes no branch on
//! what they are. It counts the places where a `/` is followed by another or by a dot: an address has one, the
//! `//` of its scheme. It knows printable ASCII of 18 to 128 bytes with a scheme of up to 15, which is nearly every
//! address; all else, and whatever looks odd, goes the other way. Nothing is refused here but by the other way.

use super::AddressError;
use crate::limits::{ADDRESS_BYTES_MAX, ADDRESS_SEGMENTS_MAX};

/// What is remembered of a checked address beside its text.
#[derive(Clone, Copy)]
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
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let shape = usual(trimmed.as_bytes())
        .and_then(|scheme_len| Shape::of_usual(trimmed.as_bytes(), scheme_len));
    match shape {
        Some(shape) => Ok((trimmed, shape)),
        None => check_any(text),
    }
}

/// Checks `text` only. O(length), and half the work.
#[inline]
pub(super) fn check_only(text: &str) -> Result<(), AddressError> {
    match usual(text.strip_suffix('/').unwrap_or(text).as_bytes()) {
        Some(_) => Ok(()),
        None => check_any(text).map(|_| ()),
    }
}

/// Bytes that are compared together.
const LANES: usize = 16;

/// The length of the scheme, if this is an address like most of them; `None` says no more than that it is not.
#[inline]
fn usual(text: &[u8]) -> Option<usize> {
    let len = text.len();
    let scheme_len = first_colon(text)?;
    let is_scheme = scheme_len > 0 && text.get(scheme_len + 1..scheme_len + 3) == Some(b"//");
    let is_scheme = is_scheme && !is_odd(text[0]);
    if !is_scheme || !(LANES + 2..=8 * LANES).contains(&len) || text[len - 1] == b'/' {
        return None;
    }
    // Each byte but the last, beside the one that follows it.
    let (first, second) = (&text[..len - 1], &text[1..]);
    let counts = Counts::default();
    let (firsts, seconds) = (first.as_chunks().0.iter(), second.as_chunks().0);
    let counts = firsts
        .zip(seconds)
        .fold(counts, |counts, (first, second)| counts.with(first, second, &[1; LANES]));
    let unseen = UNSEEN[first.len() % LANES..].first_chunk()?;
    let counts = counts.with(first.last_chunk()?, second.last_chunk()?, unseen);
    counts.are_usual().then_some(scheme_len)
}

/// No printable ASCII.
fn is_odd(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte)
}

/// From place `n` on: a mask of which only the last `n` of a chunk's places are ones.
const UNSEEN: [u8; 2 * LANES] = {
    let mut unseen = [0; 2 * LANES];
    let mut at = LANES;
    while at < 2 * LANES {
        unseen[at] = 1;
        at += 1;
    }
    unseen
};

/// What is counted in each lane.
#[derive(Default)]
struct Counts {
    /// Not 0: a byte is no printable ASCII.
    odd: [u8; LANES],
    /// A `/`, and behind it another or a dot.
    pairs: [u8; LANES],
}

impl Counts {
    /// Takes in the places where `counted` has a one; of the others too whether they are odd.
    #[inline]
    fn with(mut self, first: &[u8; LANES], second: &[u8; LANES], counted: &[u8; LANES]) -> Counts {
        for i in 0..LANES {
            let is_pair = (first[i] == b'/') & ((second[i] == b'/') | (second[i] == b'.'));
            self.odd[i] |= u8::from(is_odd(second[i]));
            self.pairs[i] += u8::from(is_pair) & counted[i];
        }
        self
    }

    #[inline]
    fn are_usual(&self) -> bool {
        u128::from_le_bytes(self.odd) == 0 && self.pairs.iter().sum::<u8>() == 1
    }
}

impl Shape {
    /// `text` is usual, and its scheme has `scheme_len` bytes. `None` if its path is too long for [`Shape::slashes`].
    #[inline]
    fn of_usual(text: &[u8], scheme_len: usize) -> Option<Shape> {
        let authority_end = first_slash(text, scheme_len + 3);
        let path = &text[authority_end..];
        if path.len() > SLASHES_BYTES {
            return None;
        }
        let (words, tail) = path.as_chunks();
        let mut slashes = match (tail.len(), text.last_chunk()) {
            (1.., Some(last)) => slashes_in(u64::from_le_bytes(*last)) >> (8 - tail.len()),
            _ => 0,
        };
        for word in words.iter().rev() {
            slashes = slashes << 8 | slashes_in(u64::from_le_bytes(*word));
        }
        let (scheme_len, authority_end) = (scheme_len as u16, authority_end as u16);
        Some(Shape { scheme_len, authority_end, slashes })
    }
}

/// Where the first `:` stands, if it is among the first 16 bytes of a text that has as many.
#[inline]
fn first_colon(text: &[u8]) -> Option<usize> {
    let [low, high] = text.first_chunk::<LANES>()?.as_chunks().0 else { return None };
    let first = |word: &[u8; 8]| first_in(u64::from_le_bytes(*word), b':');
    first(low).or_else(|| first(high).map(|at| 8 + at))
}

/// Where the first `/` at or behind `from` stands, or the end.
#[inline]
fn first_slash(text: &[u8], from: usize) -> usize {
    let (words, tail) = text[from..].as_chunks();
    for (number, word) in words.iter().enumerate() {
        if let Some(at) = first_in(u64::from_le_bytes(*word), b'/') {
            return from + 8 * number + at;
        }
    }
    let in_tail = tail.iter().position(|byte| *byte == b'/');
    text.len() - tail.len() + in_tail.unwrap_or(tail.len())
}

/// One in each of eight bytes.
const EACH: u64 = 0x0101_0101_0101_0101;
/// All bits of each byte but the upper one.
const LOWER: u64 = EACH * 0x7f;

/// Where `wanted` first stands in a word.
#[inline]
fn first_in(word: u64, wanted: u8) -> Option<usize> {
    let others = word ^ (EACH * u64::from(wanted));
    // The upper bit of each byte that is 0, and of some behind the first.
    let zeroes = others.wrapping_sub(EACH) & !others & !LOWER;
    (zeroes != 0).then(|| zeroes.trailing_zeros() as usize / 8)
}

/// A bit for each byte of a word, the lowest for the first: it is `/`.
#[inline]
fn slashes_in(word: u64) -> u64 {
    // The upper bit of a byte stays 0 only where all bits of it are.
    let others = word ^ (EACH * u64::from(b'/'));
    let others = ((others & LOWER) + LOWER) | others;
    let slashes = !others >> 7 & EACH;
    // The products of the places bring bit `8 * i` to bit `56 + i`, and no two meet.
    slashes.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

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

    fn found(checked: Result<(&str, Shape), AddressError>) -> Result<Found, AddressError> {
        checked.map(|(text, of)| (text.to_owned(), of.scheme_len, of.authority_end, of.slashes))
    }

    type Found = (String, u16, u16, u64);

    proptest! {
        /// Goal: the one pass says what the several say. Method: both, on texts of all lengths and faults.
        #[test]
        fn the_one_pass_agrees_with_the_several(text in texts()) {
            prop_assert_eq!(found(check(&text)), found(check_any(&text)));
            prop_assert_eq!(check_only(&text), check_any(&text).map(|_| ()));
        }

        /// Goal: each `/` is seen for what it is, wherever in its word it stands and whatever stands beside it.
        #[test]
        fn slashes_are_found(bytes in any::<[u8; 8]>(), slash in 0_usize..8) {
            let mut bytes = bytes;
            bytes[slash] = b'/';
            let expected = (0..8).fold(0, |all, i| all | u64::from(bytes[i] == b'/') << i);
            prop_assert_eq!(slashes_in(u64::from_le_bytes(bytes)), expected);
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
            assert!(usual(text.as_bytes()).is_some(), "{text}");
        }
    }
}
