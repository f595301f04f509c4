//! Blocks as two vectors of 32 bytes. Needs AVX2, and carry-less multiplication for the parity of quotes.

use std::arch::x86_64::*;

use super::{Block, Blocks, Masks, Work};

/// Proof that the processor has AVX2, PCLMULQDQ, BMI1, BMI2, LZCNT and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Avx2(()))
    }

    #[inline(always)]
    fn load(self, block: &Block) -> (__m256i, __m256i) {
        let start = block.as_ptr().cast::<__m256i>();
        // SAFETY: both loads lie within the 64 bytes and need no alignment; `self` proves AVX2.
        unsafe { (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))) }
    }

    /// One bit a byte that `test` sets the top bit of.
    #[inline(always)]
    fn mask(self, block: &Block, test: impl Fn(__m256i) -> __m256i) -> u64 {
        let (low, high) = self.load(block);
        // SAFETY: `self` proves that the processor has AVX2.
        let bits = |half| unsafe { _mm256_movemask_epi8(test(half)) } as u32 as u64;
        bits(low) | bits(high) << 32
    }

    #[inline(always)]
    fn equal(self, half: __m256i, byte: u8) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte as i8)) }
    }

    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    fn is_bracket(self, half: __m256i) -> __m256i {
        // The bit of lower case is all that tells `[` from `{` and `]` from `}`. Each byte is compared with
        // the bracket that ends in the same four bits; zero stands for none, and no byte is zero with that
        // bit.
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let folded = _mm256_or_si256(half, _mm256_set1_epi8(0x20));
            let brackets = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0, 0x7d, 0, 0);
            let wanted = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(brackets), half);
            _mm256_cmpeq_epi8(folded, wanted)
        }
    }

    /// Bytes above 0x7f are negative, and so below 0x20 as well.
    #[inline(always)]
    fn is_unplain(self, half: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_cmpgt_epi8(self.all(0x20), half) }
    }

    #[inline(always)]
    fn all(self, byte: i8) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_set1_epi8(byte) }
    }
}

impl Blocks for Avx2 {
    /// The lowest bytes, with a sign.
    type Seen = __m256i;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
        fn compiled_for_avx2<W: Work>(blocks: Avx2, work: W) -> W::Answer {
            work.with(blocks)
        }
        // SAFETY: `self` proves that the processor has all that the function is compiled for.
        unsafe { compiled_for_avx2(self, work) }
    }

    #[inline(always)]
    fn masks(self, block: &Block) -> Masks {
        Masks {
            quotes: self.mask(block, |half| self.equal(half, b'"')),
            backslashes: self.mask(block, |half| self.equal(half, b'\\')),
            brackets: self.mask(block, |half| self.is_bracket(half)),
        }
    }

    #[inline(always)]
    fn special(self, block: &Block) -> u64 {
        self.mask(block, |half| {
            let in_escapes = self.or(self.equal(half, b'"'), self.equal(half, b'\\'));
            self.or(in_escapes, self.is_unplain(half))
        })
    }

    #[inline(always)]
    fn equal_to(self, block: &Block, byte: u8) -> u64 {
        let (low, high) = self.load(block);
        // Without a closure: one with an argument of its own would stay a function of its own.
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let low = _mm256_movemask_epi8(self.equal(low, byte)) as u32;
            let high = _mm256_movemask_epi8(self.equal(high, byte)) as u32;
            u64::from(low) | u64::from(high) << 32
        }
    }

    #[inline(always)]
    fn dots_and_slashes(self, block: &Block) -> u64 {
        let (low, high) = self.load(block);
        // The lowest bit is all that tells them apart.
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let (low, high) = (self.or(low, self.all(1)), self.or(high, self.all(1)));
            let low = _mm256_movemask_epi8(self.equal(low, b'/')) as u32;
            let high = _mm256_movemask_epi8(self.equal(high, b'/')) as u32;
            u64::from(low) | u64::from(high) << 32
        }
    }

    #[inline(always)]
    fn has_unprintable(self, block: &Block) -> bool {
        let (low, high) = self.load(block);
        // Above 0x7e are 0x7f and what is negative; each of these is less than 0x21 once 1 is added.
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let (low, high) =
                (_mm256_add_epi8(low, self.all(1)), _mm256_add_epi8(high, self.all(1)));
            let odd = _mm256_cmpgt_epi8(self.all(0x21), _mm256_min_epi8(low, high));
            _mm256_movemask_epi8(odd) != 0
        }
    }

    #[inline(always)]
    fn controls(self, block: &Block) -> u64 {
        self.mask(block, |half| self.is_unplain(half)) & !self.non_ascii(block)
    }

    #[inline(always)]
    fn non_ascii(self, block: &Block) -> u64 {
        self.mask(block, |half| half)
    }

    #[inline(always)]
    fn nothing_seen(self) -> __m256i {
        self.all(i8::MAX)
    }

    #[inline(always)]
    fn see(self, seen: __m256i, block: &Block) -> __m256i {
        let (low, high) = self.load(block);
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_min_epi8(seen, _mm256_min_epi8(low, high)) }
    }

    #[inline(always)]
    fn saw_unplain(self, seen: __m256i) -> bool {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_movemask_epi8(self.is_unplain(seen)) != 0 }
    }

    #[inline(always)]
    fn parity(self, mask: u64) -> u64 {
        // SAFETY: `self` proves that the processor has PCLMULQDQ.
        unsafe {
            let all = _mm_set1_epi8(-1);
            let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(mask as i64), all);
            _mm_cvtsi128_si64(product) as u64
        }
    }
}
