//! Blocks as two vectors of 32 bytes. Needs AVX2, and carry-less multiplication for the parity of quotes.

use std::arch::x86_64::*;

use super::{BLOCK_BYTES, Blocks, Work};

/// Proof that the processor has AVX2, PCLMULQDQ, BMI1, BMI2 and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    pub(in super::super) fn detect() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Avx2(()))
    }

    /// One bit a byte that `test` sets the top bit of.
    #[inline(always)]
    fn mask(self, block: Block, test: impl Fn(__m256i) -> __m256i) -> u64 {
        // SAFETY: `self` proves that the processor has AVX2.
        let bits = |half| unsafe { _mm256_movemask_epi8(test(half)) } as u32 as u64;
        bits(block.0) | bits(block.1) << 32
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

    /// Bytes above 0x7f are negative, and so below 0x20 as well.
    #[inline(always)]
    fn rare_bytes(self, half: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        let below_or_above = unsafe { _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), half) };
        self.or(self.equal(half, b'\\'), below_or_above)
    }
}

type Block = (__m256i, __m256i);

impl Blocks for Avx2 {
    type Block = Block;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Answer {
        #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,popcnt")]
        fn compiled_for_avx2<W: Work>(blocks: Avx2, work: W) -> W::Answer {
            work.with(blocks)
        }
        // SAFETY: `self` proves that the processor has all that the function is compiled for.
        unsafe { compiled_for_avx2(self, work) }
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; BLOCK_BYTES]) -> Block {
        let start = bytes.as_ptr().cast::<__m256i>();
        // SAFETY: both loads lie within the 64 bytes and need no alignment; `self` proves AVX2.
        unsafe { (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))) }
    }

    #[inline(always)]
    fn special(self, block: Block) -> u64 {
        self.mask(block, |half| self.or(self.equal(half, b'"'), self.rare_bytes(half)))
    }

    #[inline(always)]
    fn quotes(self, block: Block) -> u64 {
        self.mask(block, |half| self.equal(half, b'"'))
    }

    #[inline(always)]
    fn backslashes(self, block: Block) -> u64 {
        self.mask(block, |half| self.equal(half, b'\\'))
    }

    #[inline(always)]
    fn rare(self, block: Block) -> u64 {
        self.mask(block, |half| self.rare_bytes(half))
    }

    #[inline(always)]
    fn non_ascii(self, block: Block) -> u64 {
        self.mask(block, |half| half)
    }

    #[inline(always)]
    fn brackets(self, block: Block) -> u64 {
        self.mask(block, |half| {
            // SAFETY: `self` proves that the processor has AVX2.
            let folded = unsafe { _mm256_or_si256(half, _mm256_set1_epi8(0x20)) };
            self.or(self.equal(folded, b'{'), self.equal(folded, b'}'))
        })
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
