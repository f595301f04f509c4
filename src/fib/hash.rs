//! A keyed hash of every prefix of an address, in one pass.
//!
//! Whoever chooses addresses must not be able to choose collisions, so both halves are families
//! with a proven bound over a random key: NH (the universal hash inside UMAC) with 64-bit words
//! folds the text, two different prefixes meeting with probability ≤ 2^-63; a multilinear hash,
//! strongly universal, then makes 64 bits of it of which any part is as good as any other. It is no
//! message digest: who sees hashes can work out the key, so no hash leaves this module's parent.
//!
//! NH is a sum with one product for each 16 bytes, so the sum up to a prefix is on the way to the
//! sum of the next, and the products do not wait for each other. Text is padded with zero bytes,
//! which no address holds.

use super::text::next_slash;
use crate::{
    address::Address,
    limits::{ADDRESS_BYTES_MAX, ADDRESS_SEGMENTS_MAX},
};

/// Prefixes that one address can have: `scheme://domain` and one for each segment.
pub(super) const PREFIXES_MAX: usize = ADDRESS_SEGMENTS_MAX + 1;

/// One prefix of an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    /// The keyed hash of its bytes.
    pub(super) hash: Hash,
    /// Its length in bytes.
    pub(super) end: u16,
}

/// The keyed hash of a prefix. Its low byte, the *tag*, is never 0; all its bits are of one
/// quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u32);

impl Hash {
    /// What tells nodes of one line apart; not 0.
    pub(super) fn tag(self) -> u8 {
        self.0 as u8
    }
}

/// The key, drawn at random for each table.
pub(super) struct PrefixHasher {
    /// Two for each block of an address.
    words: Box<[[u64; 2]; BLOCKS_MAX]>,
    mix: [u128; 3],
}

impl PrefixHasher {
    /// Draws a key.
    ///
    /// # Panics
    /// If the operating system gives no random bytes.
    pub(super) fn new() -> Self {
        let mut bytes = [0; BLOCKS_MAX * BLOCK + 3 * 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        let (words, mix) = bytes.split_at(BLOCKS_MAX * BLOCK);
        let mut hasher = PrefixHasher { words: Box::new([[0; 2]; BLOCKS_MAX]), mix: [0; 3] };
        for (key, block) in hasher.words.iter_mut().zip(words.as_chunks::<BLOCK>().0) {
            *key = halves(u128::from_le_bytes(*block));
        }
        for (key, block) in hasher.mix.iter_mut().zip(mix.as_chunks::<16>().0) {
            *key = u128::from_le_bytes(*block);
        }
        hasher
    }

    /// The prefix of `address` that ends with its first segment; none for a bare one.
    #[inline]
    pub(super) fn first(&self, address: &Address<'_>) -> Option<Prefix> {
        let text = address.as_str().as_bytes();
        let end = address.boundaries().nth(1)?;
        Some(Prefix { hash: self.hash(&text[..end]), end: end as u16 })
    }

    /// The hash of `text`, which is not empty.
    #[inline]
    pub(super) fn hash(&self, text: &[u8]) -> Hash {
        let (blocks, tail) = text.as_chunks::<BLOCK>();
        let mut sum = 0;
        for (block, key) in blocks.iter().zip(self.words.iter()) {
            sum = product(key, u128::from_le_bytes(*block)).wrapping_add(sum);
        }
        if let (false, Some(key)) = (tail.is_empty(), self.words.get(blocks.len())) {
            sum = product(key, load_tail(text, tail)).wrapping_add(sum);
        }
        self.finish(sum)
    }

    /// Gives each prefix of `address` that is longer than `from` to `each`, shortest first; at most
    /// [`PREFIXES_MAX`].
    pub(super) fn prefixes(
        &self,
        address: &Address<'_>,
        from: usize,
        mut each: impl FnMut(Prefix),
    ) {
        let text = address.as_str().as_bytes();
        let (mut block, mut sum) = (0, 0u128);
        let mut end = from;
        while end < text.len() {
            end = match end {
                0 => address.authority_end(),
                _ => next_slash(text, end + 1),
            };
            while (block + 1) * BLOCK <= end {
                let whole = text[block * BLOCK..].first_chunk().expect("it ends before `end`");
                let product = product(&self.words[block], u128::from_le_bytes(*whole));
                sum = product.wrapping_add(sum);
                block += 1;
            }
            let hash = match &text[block * BLOCK..end] {
                [] => self.finish(sum),
                tail => {
                    let product = product(&self.words[block], load_tail(&text[..end], tail));
                    self.finish(product.wrapping_add(sum))
                }
            };
            each(Prefix { hash, end: end as u16 });
        }
    }

    #[inline]
    fn finish(&self, sum: u128) -> Hash {
        let [low, high] = halves(sum).map(u128::from);
        let mixed = self.mix[0]
            .wrapping_add(self.mix[1].wrapping_mul(low))
            .wrapping_add(self.mix[2].wrapping_mul(high));
        let hash = (mixed >> 96) as u32;
        Hash(hash | u32::from(hash as u8 == 0))
    }
}

#[inline]
fn product(key: &[u64; 2], text: u128) -> u128 {
    let [low, high] = halves(text);
    u128::from(low.wrapping_add(key[0])) * u128::from(high.wrapping_add(key[1]))
}

/// `tail`, the last bytes of `text` and fewer than a block, with zeroes behind.
#[inline]
fn load_tail(text: &[u8], tail: &[u8]) -> u128 {
    if let Some(last) = text.last_chunk::<BLOCK>() {
        return u128::from_le_bytes(*last) >> (8 * (BLOCK - tail.len()));
    }
    let mut padded = [0; BLOCK];
    padded[..tail.len()].copy_from_slice(tail);
    u128::from_le_bytes(padded)
}

fn halves(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

/// Bytes that one product takes in.
const BLOCK: usize = 16;
const BLOCKS_MAX: usize = ADDRESS_BYTES_MAX.div_ceil(BLOCK);

#[cfg(test)]
mod tests {
    use super::*;

    fn all(hasher: &PrefixHasher, text: &str) -> Vec<(u32, usize)> {
        let mut found = Vec::new();
        let address = Address::parse(text).expect("a test's address is right");
        hasher.prefixes(&address, 0, |prefix| found.push((prefix.hash.0, prefix.end as usize)));
        found
    }

    /// The hash of a prefix is that of the same text as a whole address, wherever the blocks fall.
    #[test]
    fn a_prefix_hashes_as_itself() {
        let hasher = PrefixHasher::new();
        for pad in 1..40 {
            let text = format!("s://{}/bb/{}/c/dddddddddddddddd", "a".repeat(pad), "é".repeat(pad));
            for (hash, end) in all(&hasher, &text) {
                assert_eq!(
                    all(&hasher, &text[..end]).last(),
                    Some(&(hash, end)),
                    "{text} to {end}"
                );
                assert_eq!(hasher.hash(&text.as_bytes()[..end]).0, hash);
            }
        }
        let longest = format!("s://d/{}", "x".repeat(ADDRESS_BYTES_MAX - 6));
        assert_eq!(all(&hasher, &longest).len(), 2);
    }

    /// Another table hashes otherwise.
    #[test]
    fn keys_differ() {
        let (one, other) = (PrefixHasher::new(), PrefixHasher::new());
        assert_ne!(all(&one, "s://d/a"), all(&other, "s://d/a"));
    }

    /// Names chosen for their pattern fill the lines as random ones do. Goal: the finish must
    /// spread what NH leaves alike. Method: 2^15 names that differ in one byte each way, counted
    /// into 2^10 lines by high bits and into 2^8 tags by low bits; 32 and 128 are expected, the
    /// bounds some ten deviations away.
    #[test]
    fn chosen_names_spread() {
        let hasher = PrefixHasher::new();
        let (mut lines, mut tags) = (vec![0; 1 << 10], vec![0; 1 << 8]);
        for number in 0..1 << 15 {
            let [a, b, c] = [0, 5, 10].map(|shift| char::from(b'A' + (number >> shift & 31) as u8));
            let (hash, _) = all(&hasher, &format!("s://d/{a}0000000{b}00000000000000{c}"))[1];
            lines[(hash >> 22) as usize] += 1;
            tags[(hash & 255) as usize] += 1;
        }
        assert!(lines.iter().all(|count| *count < 32 + 10 * 6), "{:?}", lines.iter().max());
        // Tag 1 stands for 0 too.
        assert_eq!(tags[0], 0);
        assert!(tags.iter().all(|count| *count < 256 + 10 * 16), "{:?}", tags.iter().max());
    }
}
