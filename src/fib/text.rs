//! Two questions about bytes that every look-up asks: where the next `/` is, and whether a segment
//! is equal.
//!
//! Sixteen bytes at a time, the tail by a load that overlaps what was seen already, so that nothing
//! outside the text is read. It knows neither addresses nor nodes.

/// Where the next `/` stands at or behind `from`, or the end of `text`.
#[inline]
pub(super) fn next_slash(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while at + BLOCK <= text.len() {
        let hits = slashes(block(text, at));
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    let rest = text.len().saturating_sub(at);
    if rest == 0 {
        return text.len();
    }
    if text.len() < BLOCK {
        return memchr::memchr(b'/', &text[at..]).map_or(text.len(), |found| at + found);
    }
    let hits = slashes(block(text, text.len() - BLOCK)) >> (BLOCK - rest);
    if hits == 0 { text.len() } else { at + hits.trailing_zeros() as usize }
}

/// True if both are the same bytes.
#[inline(always)]
pub(super) fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let length = one.len();
    if length != other.len() {
        return false;
    }
    if length < BLOCK {
        return is_short_equal(one, other);
    }
    let last = length - BLOCK;
    let mut differing = differing(one, other, last);
    let mut at = 0;
    while at < last {
        differing |= self::differing(one, other, at);
        at += BLOCK;
    }
    differing == 0
}

/// Both are of one length, below [`BLOCK`].
#[inline(never)]
fn is_short_equal(one: &[u8], other: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (one.first_chunk::<8>(), one.last_chunk::<8>()) {
        return other.first_chunk() == Some(first) && other.last_chunk() == Some(last);
    }
    if let (Some(first), Some(last)) = (one.first_chunk::<4>(), one.last_chunk::<4>()) {
        return other.first_chunk() == Some(first) && other.last_chunk() == Some(last);
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// A bit for each byte of the block at `at` that differs; the block must be within both.
#[cfg(target_arch = "x86_64")]
#[inline]
fn differing(one: &[u8], other: &[u8], at: usize) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8};
    // SAFETY: every x86-64 processor has SSE2.
    let equal = unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(block(one, at), block(other, at))) };
    equal as u32 ^ 0xffff
}

/// A bit for each byte of a block that is `/`.
#[cfg(target_arch = "x86_64")]
#[inline]
fn slashes(block: std::arch::x86_64::__m128i) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(b'/' as i8))) as u32 }
}

/// The block at `at`, which must be within `text`.
#[cfg(target_arch = "x86_64")]
#[inline]
fn block(text: &[u8], at: usize) -> std::arch::x86_64::__m128i {
    let block: &[u8; BLOCK] = text[at..].first_chunk().expect("the block is within the text");
    // SAFETY: so many bytes are there; the load needs no alignment.
    unsafe { std::arch::x86_64::_mm_loadu_si128(block.as_ptr().cast()) }
}

/// Not 0 if the blocks at `at` differ; they must be within both.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn differing(one: &[u8], other: &[u8], at: usize) -> u32 {
    u32::from(block(one, at) != block(other, at))
}

/// A bit for each byte of a block that is `/`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn slashes(block: [u8; BLOCK]) -> u32 {
    (0..BLOCK).fold(0, |hits, at| hits | u32::from(block[at] == b'/') << at)
}

/// The block at `at`, which must be within `text`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn block(text: &[u8], at: usize) -> [u8; BLOCK] {
    *text[at..].first_chunk().expect("the block is within the text")
}

const BLOCK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place of a slash, or none, in texts of every length around the block, from every
    /// start.
    #[test]
    fn the_next_slash_is_found() {
        for length in 0..50 {
            for slash in 0..=length {
                let mut text = vec![b'a'; length];
                if let Some(byte) = text.get_mut(slash) {
                    *byte = b'/';
                }
                for from in 0..=length {
                    let expected = if slash >= from { slash } else { length };
                    assert_eq!(next_slash(&text, from), expected, "{length} {slash} {from}");
                }
            }
        }
    }

    /// Every single difference, in texts of every length around the block.
    #[test]
    fn each_difference_is_seen() {
        for length in 0..50 {
            let one = vec![b'a'; length];
            assert!(is_equal(&one, &one.clone()));
            assert!(!is_equal(&one, &vec![b'a'; length + 1]));
            for at in 0..length {
                let mut other = one.clone();
                other[at] = b'b';
                assert!(!is_equal(&one, &other), "{length} {at}");
            }
        }
    }
}
